import json
import os
import signal
import subprocess
import time
from pathlib import Path

import nbformat
import papermill
import psutil
import pytest
from tiny import COMMAND, FIRST, FOURTH, SAVE, TRAIN, write_notebook

from fprin_utils.build import regenerate, requests
from fprin_utils.build.execution import store_outputs
from fprin_utils.build.progress import Result, format_table
from fprin_utils.build.regenerate import main
from fprin_utils.files import NOTEBOOKS


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
    ],
)
def test_a_bad_request_is_named_before_anything_runs(arguments, message, capsys, tmp_path):
    assert main([*arguments, "--output", str(tmp_path / "new")]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_parameter_values_are_read_as_literals_or_else_as_text():
    parse = requests.parse_parameters
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


def test_a_failing_notebook_does_not_stop_the_others(tmp_path, notebooks, capsys):
    write_notebook(notebooks, FIRST, SAVE)
    write_notebook(notebooks, FOURTH, "raise ValueError('2 amplitudes for 3 frequencies')", SAVE)
    output = tmp_path / "output"
    output.mkdir()
    (output / f"{FOURTH}.png").write_bytes(b"earlier")
    arguments = ["--profile", "smoke", "--notebooks", "01", "04", "--output", str(output)]
    assert main([*arguments, "--parameter", "seed=5"]) == 1
    printed = capsys.readouterr()
    assert printed.err.count("ValueError: 2 amplitudes for 3 frequencies") == 1
    table = {line.split()[0]: line for line in printed.out.splitlines() if line.strip()}
    assert "FAILED" in table[FOURTH]
    assert table[FIRST].split()[3] == "-", "too few seeds for verdicts"
    assert (output / f"{FOURTH}.png").read_bytes() == b"earlier"
    made = {f"{FIRST}{ending}" for ending in (".json", ".pdf", ".png")}
    assert {path.name for path in output.iterdir()} == made | {f"{FOURTH}.png"}
    record = json.loads((output / f"{FIRST}.json").read_text())
    assert record["profile"] == "smoke"
    assert record["parameters"]["seed"] == 5


def test_notebooks_run_in_the_order_given(tmp_path, notebooks):
    log, names = tmp_path / "log", regenerate.fp.figures.list_notebooks()[5::-1]
    for name in names:
        write_notebook(notebooks, name, f"print(notebook, file=open({str(log)!r}, 'a'))", SAVE)
    regenerate.regenerate(names, output_dir=tmp_path / "output", jobs=1)
    assert log.read_text().split() == names


def test_a_notebook_that_fails_after_it_saved_its_figure_has_failed(tmp_path, notebooks):
    write_notebook(notebooks, FIRST, SAVE, "raise ValueError('too late')")
    (result,) = regenerate.regenerate([FIRST], output_dir=tmp_path / "output")
    assert result.record is None
    assert "ValueError: too late" in result.failure
    assert list((tmp_path / "output").iterdir()) == []


def test_a_notebook_that_saves_no_figure_has_failed(tmp_path, notebooks):
    write_notebook(notebooks, FIRST, "pass")
    (result,) = regenerate.regenerate([FIRST], output_dir=tmp_path / "output")
    assert result.failure == "it ran to its end without saving a figure"


def test_a_figure_that_cannot_be_put_in_its_place_is_a_failure_of_its_notebook(tmp_path, notebooks):
    for name in (FIRST, FOURTH):
        write_notebook(notebooks, name, SAVE)
    output = tmp_path / "output"
    (output / f"{FIRST}.pdf").mkdir(parents=True)
    (output / f"{FIRST}.json").write_text("earlier")
    first, fourth = regenerate.regenerate([FIRST, FOURTH], output_dir=output)
    assert first.failure.startswith("its files cannot be stored: ")
    assert f"{FIRST}.pdf is a folder" in first.failure
    assert fourth.failure == ""
    assert (output / f"{FIRST}.json").read_text() == "earlier"
    assert not (output / f"{FIRST}.png").exists()


def test_a_record_tells_processor_time_and_the_threads_of_its_share(
    tmp_path, notebooks, monkeypatch
):
    save = (
        "import time, matplotlib.pyplot as plt, fprin_utils as fp\n"
        "settings = fp.configure(notebook, vars())\n"
        "time.sleep(2)\n"
        "busy = time.process_time() + 0.5\n"
        "while time.process_time() < busy:\n    pass\n"
        "fp.save_figure(plt.figure(), settings, [])"
    )
    write_notebook(notebooks, FIRST, save)
    write_notebook(notebooks, FOURTH, SAVE)
    monkeypatch.setattr(regenerate, "_count_cores", lambda: 4)
    first, fourth = regenerate.regenerate([FIRST, FOURTH], output_dir=tmp_path / "output", jobs=2)
    assert (first.failure, fourth.failure) == ("", "")
    assert first.record["threads"] == min(2, os.cpu_count())  # PyTorch takes no more than cores
    assert first.record["seconds"] >= 2.5
    assert 0.5 <= first.record["cpu_seconds"] <= first.record["seconds"] - 1.5


MARK_AND_WAIT = """\
import pathlib, time
pathlib.Path(MARK).touch()
time.sleep(600)
"""


@pytest.mark.parametrize(
    ("send", "number"), [(os.killpg, signal.SIGINT), (os.kill, signal.SIGTERM)]
)
def test_an_interrupted_run_leaves_earlier_figures_as_they_were(send, number, tmp_path):
    notebooks, output, mark = (tmp_path / name for name in ("notebooks", "output", "mark"))
    for name in (FIRST, FOURTH):
        write_notebook(notebooks, name, MARK_AND_WAIT.replace("MARK", repr(str(mark))), SAVE)
    output.mkdir()
    pictures = [output / f"{name}.png" for name in (FIRST, FOURTH)]
    for picture in pictures:
        picture.write_bytes(b"earlier")
    arguments = ["--notebooks", "01", "04", "--jobs", "1"]
    process = start_command(notebooks, "--output", str(output), *arguments)
    wait_until(process, mark.exists)
    send(process.pid, number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted; unfinished figures are as they were" in errors
    assert sorted(output.iterdir()) == pictures
    assert {picture.read_bytes() for picture in pictures} == {b"earlier"}


def start_command(notebooks, *arguments):
    return subprocess.Popen(
        [*COMMAND, str(notebooks), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # A test run in the background hands down an ignored SIGINT.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def wait_until(process, condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_killed_notebook_does_not_stop_the_others(tmp_path, notebooks):
    kill = "import os, signal, time\nos.kill(os.getppid(), signal.SIGKILL)\ntime.sleep(600)"
    write_notebook(notebooks, FIRST, kill, SAVE)
    write_notebook(notebooks, FOURTH, "import time; time.sleep(0.5)", SAVE)
    output = tmp_path / "output"
    first, fourth = regenerate.regenerate([FIRST, FOURTH], output_dir=output)
    assert first.failure.startswith("its worker ended while running it, and so did a second one")
    assert fourth.failure == ""
    made = {f"{FOURTH}{ending}" for ending in (".json", ".pdf", ".png")}
    assert {path.name for path in output.iterdir()} == made


def test_a_killed_long_run_goes_on_where_it_was_stopped(tmp_path, notebooks):
    write_notebook(notebooks, FIRST, TRAIN, SAVE)
    output = tmp_path / "output"
    checkpoints = output / "checkpoints"
    first, second = (checkpoints / f"{FIRST}.{name}.npz" for name in ("target", "control"))
    arguments = ["--notebooks", "01", "--profile", "paper", "--output", str(output)]
    with start_command(notebooks, *arguments) as process:
        wait_until(process, first.exists)
        started = psutil.Process(process.pid).children(recursive=True)
        os.killpg(process.pid, signal.SIGKILL)
    # The kernel, which is not of the group, may save once more before it ends.
    assert psutil.wait_procs(started, timeout=20)[1] == []
    assert not second.exists()
    left = len(first.read_bytes())

    run = {"profile": "paper", "output_dir": output}
    (refused,) = regenerate.regenerate([FIRST], parameters={"learning_rate": 0.5}, **run)
    assert f"{FIRST}.target.npz is a checkpoint of another training" in refused.failure
    assert len(first.read_bytes()) == left
    assert not second.exists()

    (gone_on,) = regenerate.regenerate([FIRST], **run)
    assert gone_on.failure == ""
    assert list(checkpoints.iterdir()) == []
    assert {path.name for path in output.iterdir()} == {
        "checkpoints",
        *(f"{FIRST}{ending}" for ending in (".json", ".pdf", ".png")),
    }


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
    assert lines[2].split() == ["one", "12", "321", "C1", "supported", "figures/one.png"]
    assert lines[3].split() == ["two", "4", "-", "FAILED", "-"]
    assert lines[4].split() == ["three", "1", "321", "-", "figures/three.png"]
