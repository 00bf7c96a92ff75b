import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import papermill
import psutil
import pytest

from fprin_utils import regenerate
from fprin_utils.regenerate import NOTEBOOKS, Result, format_table, main, store_outputs

FIRST, FOURTH = "01_one_dimensional_peaks", "04_high_frequency_oscillation"
COMMAND = [sys.executable, "-m", "fprin_utils.regenerate"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--notebooks", "01", "99"], "unknown notebook '99'; known: 01_one_dimensional_peaks, 02"),
        (["--profile", "fast"], "unknown profile 'fast'; known: smoke, quick, paper"),
        (["--jobs", "0"], "jobs is 0; it must be 1 or more"),
        (["--parameter", "seed"], "parameter 'seed' is not of the form NAME=VALUE"),
        (
            ["--notebooks", "01", "--parameter", "stepz=3"],
            f"unknown parameter 'stepz' for {FIRST}; known: seed, num_seeds, device, num_steps",
        ),
        (["--parameter", "frequencies=[1]"], "unknown parameter 'frequencies' for 02_image"),
        (["--notebooks", "01", "01"], "a notebook is named twice"),
        (["--parameter", "seed=1", "--parameter", "seed=2"], "parameter 'seed' is given twice"),
        (["--write-notebooks"], "--write-notebooks takes no --profile, --parameter or --output"),
    ],
)
def test_a_bad_request_is_named_before_anything_runs(arguments, message, capsys, tmp_path):
    assert main([*arguments, "--output", str(tmp_path / "new")]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_parameter_values_are_read_as_literals_or_else_as_text():
    parse = regenerate._parse_parameters
    assert parse(["learning_rate=2e-5", "activation=tanh"]) == {
        "learning_rate": 2e-5,
        "activation": "tanh",
    }
    assert parse(["widths=[20, 20]"]) == {"widths": [20, 20]}
    assert parse(["a=(1,4)", "b=[(1,(2,)),3]", "c=1,4"]) == {
        "a": [1, 4],
        "b": [[1, [2]], 3],
        "c": [1, 4],
    }
    assert parse(["a={[1]:2}"]) == {"a": "{[1]:2}"}
    with pytest.raises(ValueError, match="parameter 'seed' is given twice"):
        parse(["seed=1", "num_steps=2", "seed=1"])


def run_command(*arguments):
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, check=False)


def test_a_failing_notebook_does_not_stop_the_others(tmp_path):
    (tmp_path / f"{FOURTH}.png").write_bytes(b"earlier")
    ended = run_command(
        *("--profile", "smoke", "--notebooks", "01", "04", "--output", str(tmp_path)),
        *("--parameter", "amplitudes=[1.0, 0.5]", "--parameter", "seed=5"),
    )
    assert ended.returncode == 1, "notebook 04 has three frequencies"
    assert ended.stderr.count("ValueError: 2 amplitudes for 3 frequencies") == 1
    table = {line.split()[0]: line for line in ended.stdout.splitlines() if line.strip()}
    assert "FAILED" in table[FOURTH]
    assert table[FIRST].split()[3] == "-", "too few seeds for verdicts"
    assert (tmp_path / f"{FOURTH}.png").read_bytes() == b"earlier"
    made = {f"{FIRST}{ending}" for ending in (".json", ".pdf", ".png")}
    assert {path.name for path in tmp_path.iterdir()} == made | {f"{FOURTH}.png"}
    record = json.loads((tmp_path / f"{FIRST}.json").read_text())
    assert record["profile"] == "smoke"
    assert record["parameters"]["seed"] == 5
    assert record["threads"] == max(1, regenerate._count_cores() // 2)


def start_command(tmp_path, *arguments):
    """Start a run and wait until its first notebook is at work."""
    process = subprocess.Popen(
        [*COMMAND, "--output", str(tmp_path), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # A test run in the background hands down an ignored SIGINT.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob(f".running-*/{FIRST}/executed.ipynb")):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    time.sleep(3)
    return process


@pytest.mark.parametrize(
    ("send", "number"), [(os.killpg, signal.SIGINT), (os.kill, signal.SIGTERM)]
)
def test_an_interrupted_run_leaves_earlier_figures_as_they_were(send, number, tmp_path):
    pictures = [tmp_path / f"{name}.png" for name in (FIRST, FOURTH)]
    for picture in pictures:
        picture.write_bytes(b"earlier")
    process = start_command(tmp_path, "--notebooks", "01", "04", "--jobs", "1")
    send(process.pid, number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted; unfinished figures are as they were" in errors
    assert sorted(tmp_path.iterdir()) == pictures
    assert {picture.read_bytes() for picture in pictures} == {b"earlier"}


def test_a_killed_notebook_does_not_stop_the_others(tmp_path):
    process = start_command(
        *(tmp_path, "--profile", "smoke", "--notebooks", "01", "04"),
        *("--parameter", "num_steps=2000"),
    )
    (at_work,) = [
        each
        for each in psutil.Process(process.pid).children(recursive=True)
        for kernel in each.children()
        if "ipykernel_launcher" in kernel.cmdline() and kernel.cwd().endswith(FIRST)
    ]
    at_work.kill()
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 1
    assert f"{FIRST} failed:\nits process ended with exit code -9" in errors
    assert (tmp_path / f"{FOURTH}.png").is_file()
    assert not (tmp_path / f"{FIRST}.png").exists()
    assert f"{FOURTH}.png" in output


def test_a_killed_long_run_goes_on_where_it_was_stopped(tmp_path):
    arguments = ["--profile", "paper", "--notebooks", "01", "--output", str(tmp_path)]
    for parameter in ("num_steps=30000", "num_seeds=2", "widths=[20,20]"):
        arguments += ["--parameter", parameter]
    checkpoints = tmp_path / "checkpoints"
    first, second = (checkpoints / f"{FIRST}.{name}.npz" for name in ("target", "control"))
    process = subprocess.Popen([*COMMAND, *arguments], start_new_session=True)
    while not first.exists():
        assert process.poll() is None
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not second.exists()

    refused = run_command(*arguments, "--parameter", "learning_rate=0.5")
    assert refused.returncode == 1
    assert f"{FIRST}.target.npz is a checkpoint of another training" in refused.stderr
    assert first.exists()

    assert run_command(*arguments).returncode == 0
    assert (tmp_path / f"{FIRST}.png").exists()
    assert list(checkpoints.iterdir()) == []
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".")) == []


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path, capsys):
    (tmp_path / "file").touch()
    assert main(["--notebooks", "01", "--output", str(tmp_path / "file")]) == 2
    assert "File exists" in capsys.readouterr().err


def test_papermill_works_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    papermill.execute_notebook(
        str(NOTEBOOKS / f"{FIRST}.ipynb"),
        "out.ipynb",
        {"profile": "smoke", "seed": 3},
        progress_bar=False,
    )
    record = json.loads(Path(f"output/{FIRST}.json").read_text())
    assert record["parameters"]["seed"] == 3


def test_stored_outputs_are_the_results_without_bars_and_widgets(tmp_path):
    source = tmp_path / "notebook.ipynb"
    cells = [nbformat.v4.new_code_cell(text) for text in ("a", "b", "play")]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), source)
    executed = nbformat.read(source, as_version=4)
    output = nbformat.v4.new_output
    executed.cells[0].outputs = [
        output("stream", name="stderr", text="bar"),
        output("display_data", {"application/vnd.jupyter.widget-view+json": {}, "text/plain": "w"}),
        output("stream", name="stdout", text="C1 holds"),
    ]
    executed.cells[1].outputs = [output("execute_result", {"text/plain": "1"}, execution_count=9)]
    executed.cells[2].outputs = [
        output("display_data", {"application/vnd.jupyter.widget-view+json": {}, "text/plain": "w"})
    ]
    executed.cells.insert(1, nbformat.v4.new_code_cell("injected = 1"))
    executed.metadata["papermill"] = {"duration": 1.0}
    store_outputs(source, executed)
    stored = nbformat.read(source, as_version=4)
    assert [cell.source for cell in stored.cells] == ["a", "b", "play"]
    assert [cell.execution_count for cell in stored.cells] == [1, 2, 3]
    assert stored.cells[2].outputs == []
    assert [each.text for each in stored.cells[0].outputs] == ["C1 holds"]
    assert stored.cells[1].outputs[0].execution_count == 2
    assert "papermill" not in stored.metadata
    assert [path.name for path in tmp_path.iterdir()] == ["notebook.ipynb"]


def test_the_table_has_a_line_for_each_notebook():
    record = {
        "claims": [{"id": "C1", "verdict": "holds"}],
        "peak_memory_mb": 321,
        "profile": "quick",
    }
    quickly = record | {"profile": "smoke"}
    results = [
        Result("one", 12.3, record),
        Result("two", 4.0, None, "Traceback"),
        Result("three", 1.0, quickly),
    ]
    lines = format_table(results, Path("figures")).splitlines()
    assert lines[0].split() == ["notebook", "seconds", "peak", "MB", "verdicts", "figure"]
    assert lines[2].split() == ["one", "12", "321", "C1", "holds", "figures/one.png"]
    assert lines[3].split() == ["two", "4", "-", "FAILED", "-"]
    assert lines[4].split() == ["three", "1", "321", "-", "figures/three.png"]
