import contextlib
import io
import json
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks import __main__ as benchmark
from benchmarks import contenders
from benchmarks.report import GOALS, compute_ratios, format_table, plot_results
from benchmarks.scaling import BASE, SIZES, fit_exponent, measure_memory, measure_step
from benchmarks.workloads import WORKLOADS, make_workload

CONTENDERS = ["engine", "autograd", "plain loop", "products alone"]


@pytest.fixture(scope="module")
def stored():
    return json.loads((benchmark.HERE / "results.json").read_text(encoding="utf-8"))


@pytest.fixture
def in_this_process(monkeypatch):
    """Run contenders here, with few seeds: the start of a process and 64 seeds take their time."""
    few_seeds = replace(make_workload("small"), num_seeds=4)
    monkeypatch.setattr(contenders, "make_workload", lambda _: few_seeds)

    def run(module, *arguments):
        assert module == "benchmarks.contenders"
        monkeypatch.setattr(sys, "argv", ["contenders", *arguments])
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            contenders.main()
        return json.loads(said.getvalue())

    monkeypatch.setattr(benchmark, "_run", run)


@pytest.mark.usefixtures("in_this_process")
def test_contenders_reach_the_same_losses_and_are_timed_in_turn(capsys):
    benchmark.check_losses("small", CONTENDERS)
    options = SimpleNamespace(rounds=2, steps=3)
    measured = benchmark.measure_workload("small", CONTENDERS, options)
    assert list(measured["microseconds"]) == CONTENDERS
    assert all(len(numbers) == 2 for numbers in measured["microseconds"].values())
    told = [line.split(", ")[1] for line in capsys.readouterr().out.splitlines()]
    assert told == CONTENDERS * 2


def test_a_contender_runs_in_a_process_of_its_own():
    assert set(benchmark.run_contender("products alone", "small", 1)) == {"seconds", "losses"}


def test_other_losses_are_refused(monkeypatch):
    losses = {
        "engine": [[1.0, 2.0], [0.9, 1.9]],
        "autograd": [[1.0, 2.0], [0.9, 1.9]],
        "plain loop": [[1.0, 2.0], [0.9, 1.898]],
        "products alone": None,
    }
    monkeypatch.setattr(
        benchmark, "run_contender", lambda contender, *_: {"losses": losses[contender]}
    )
    with pytest.raises(ValueError, match=r"small: the losses of plain loop .* differ by 2.0e-03"):
        benchmark.check_losses("small", CONTENDERS)


def test_a_contender_that_breaks_is_named():
    with pytest.raises(RuntimeError, match="contenders nobody small --steps 1 failed"):
        benchmark.run_contender("nobody", "small", 1)


def test_ratios_are_taken_round_by_round():
    ratios = compute_ratios({"engine": [1.0, 2.0, 4.0], "JAX": [2.0, 6.0, 4.0]})
    assert ratios == {"JAX": {"median": 2.0, "least": 1.0, "largest": 3.0}}


def test_exponents_are_those_of_powers():
    sizes = [1.0, 2.0, 4.0]
    assert fit_exponent(sizes, [3 * size**1.5 for size in sizes]) == pytest.approx(1.5)


def test_the_engine_can_be_measured_at_any_size():
    assert 0 < measure_step(**(BASE | {"seeds": 2, "width": 8}), rounds=1) < 1
    assert measure_memory(seeds=2, records=3) >= 0


def test_every_workload_has_goals_and_sound_data():
    assert list(GOALS) == list(WORKLOADS)
    for name in WORKLOADS:
        workload = make_workload(name)
        assert workload.inputs.shape[0] == len(workload.targets)
        assert np.isfinite(workload.inputs).all()
        assert np.isfinite(workload.targets).all()
        layers = workload.make_initial_layers()
        assert len(layers) == len(workload.widths) + 1
        assert all(len(weight) == workload.num_seeds for weight, _ in layers)


def test_the_stored_table_and_picture_are_of_the_stored_results(stored):
    assert list(stored["workloads"]) == list(WORKLOADS)
    table = (benchmark.HERE / "results.txt").read_text(encoding="utf-8")
    assert table == format_table(stored) + "\n"
    for measured in stored["workloads"].values():
        assert list(measured["microseconds"]) == list(contenders.CONTENDERS)
        assert all(len(numbers) >= 3 for numbers in measured["microseconds"].values())
    assert list(stored["scaling"]["steps"]) == list(SIZES)
    assert len(plot_results(stored).axes) == 3
