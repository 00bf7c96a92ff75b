"""Runs that are killed, and runs at the same time: real processes over tiny notebooks."""

import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import psutil
import pytest
from tiny import COMMAND, FIRST, FOURTH, SAVE, read_seeds, wait_for, write_notebook

from fprin_utils.build import regenerate
from fprin_utils.files import Lock

# Has imported all it takes, and starts a run as a fork of itself for each line it reads.
NURSERY = """
import os, signal, sys
from pathlib import Path
from fprin_utils import figures, files
from fprin_utils.build import regenerate
files.NOTEBOOKS = Path(sys.argv[1])
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
print("ready", flush=True)
for line in sys.stdin:
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.environ["FPRIN_TRIAL"], *arguments = line.split()
        sys.stdin, sys.stdout = open(os.devnull), open(os.devnull, "w")
        os._exit(regenerate.main(arguments))
    print(child, flush=True)
"""
# Tells that it is at work, and goes on with it for longer than any test lasts.
WORK = """
import os, time, pathlib
mark = pathlib.Path(os.environ["FPRIN_MARKS"], os.environ["FPRIN_TRIAL"])
for _ in range(5000):
    mark.write_text(str(os.getpid()))
    time.sleep(0.02)
"""


def find(trial):
    """Return the processes of a trial, those included that nobody waits for any more."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            is_dead = process.status() == psutil.STATUS_ZOMBIE
            if not is_dead and process.environ().get("FPRIN_TRIAL") == trial:
                found.append(process)
    return found


def drop_servers(processes):
    """Leave workers and kernels, without what multiprocessing starts and keeps besides them."""
    numbers, left = {process.pid for process in processes}, []
    for process in processes:
        with contextlib.suppress(psutil.Error):
            command = " ".join(process.cmdline())
            is_server = "forkserver" in command and process.ppid() not in numbers
            if not is_server and "resource_tracker" not in command:
                left.append(process)
    return left


def test_who_is_killed_takes_worker_and_kernel_along_at_any_moment(tmp_path, monkeypatch):
    notebooks, marks = tmp_path / "notebooks", tmp_path / "marks"
    marks.mkdir()
    write_notebook(notebooks, FIRST, WORK)
    monkeypatch.setenv("FPRIN_MARKS", str(marks))
    events = [  # in the order in which they come
        lambda _, output: output.exists(),
        lambda _, output: (output / f".{FIRST}.running").exists(),
        lambda trial, _: any("spawn_main" in " ".join(each.cmdline()) for each in find(trial)),
        lambda trial, _: any("-f" in process.cmdline() for process in find(trial)),
        lambda trial, _: (marks / trial).exists(),
    ]
    generator, asking = random.Random(0), threading.Lock()
    plans = [(f"{tmp_path}-{n}", events[n % 5], generator.uniform(0, 0.4)) for n in range(10)]

    def kill(plan):
        trial, event, delay = plan
        output = tmp_path / f"output-{trial[-1]}"
        with asking:
            nursery.stdin.write(f"{trial} --notebooks 01 --output {output}\n")
            nursery.stdin.flush()
            parent = int(nursery.stdout.readline())
        wait_for(lambda: event(trial, output))
        time.sleep(delay)
        os.kill(parent, signal.SIGKILL)
        wait_for(lambda: not drop_servers(find(trial)), seconds=10)
        # What is still importing when it is to start workers ends after that.
        wait_for(lambda: not find(trial))
        return [path for path in output.glob("*") if not path.name.startswith(".")]

    monkeypatch.setenv("FPRIN_TRIAL", "")
    with subprocess.Popen(
        [sys.executable, "-c", NURSERY, str(notebooks)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as nursery:
        try:
            assert nursery.stdout.readline() == "ready\n"
            marks_of = {trial: trial.replace("/", "_") for trial, *_ in plans}
            plans = [(marks_of[trial], *rest) for trial, *rest in plans]
            with ThreadPoolExecutor(3) as pool:
                assert list(pool.map(kill, plans)) == [[]] * 10
            assert len(list(marks.iterdir())) >= 2, "some were at work"
        finally:
            nursery.stdin.close()
            for trial, *_ in plans:
                for process in find(trial):
                    process.kill()


@pytest.fixture(autouse=True)
def _note_here(tmp_path, monkeypatch):
    monkeypatch.setenv("FPRIN_MARKS", str(tmp_path))
    monkeypatch.setenv("FPRIN_TRIAL", "mark")


def start(notebooks, output, *arguments):
    command = [*COMMAND, str(notebooks), "--output", str(output), *arguments]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


# Notes who is at work for a while, and would meet who goes on beside it.
NOTE = """
import os, time, pathlib
log = pathlib.Path(os.environ["FPRIN_MARKS"], "log")
for _ in range(seconds * 50):
    with log.open("a") as file:
        file.write(f"{os.getpid()}\\n")
    time.sleep(0.02)
"""


def test_what_was_killed_does_not_go_on_beside_the_next_run(tmp_path, notebooks):
    write_notebook(notebooks, FIRST, "seconds = 1 if seed else 60", NOTE, SAVE)
    output, log = tmp_path / "output", tmp_path / "log"
    with start(notebooks, output, "--notebooks", "01") as killed:
        wait_for(log.exists)
        killed.kill()
    (result,) = regenerate.regenerate([FIRST], output_dir=output, parameters={"seed": 1})
    assert result.failure == ""
    noted = log.read_text().split()
    changes = sum(one != other for one, other in pairwise(noted))
    assert len(set(noted)) == 2
    assert changes == 1, "one after the other"
    assert read_seeds(output, FIRST) == {1}
    assert len(list(output.iterdir())) == 3


def test_a_second_run_of_the_same_notebook_is_told_in_one_line(tmp_path, notebooks, capsys):
    write_notebook(notebooks, FIRST, WORK, SAVE)
    write_notebook(notebooks, FOURTH, SAVE)
    output = tmp_path / "output"
    with start(notebooks, output, "--notebooks", "01", "--parameter", "seed=1") as first:
        try:
            wait_for((tmp_path / "mark").exists)
            staged = sorted(output.rglob("*"))
            assert regenerate.main(["--notebooks", "04", "01", "--output", str(output)]) == 2
            told = capsys.readouterr().err
            assert told.startswith(
                f"regenerate: {FIRST} in {output} is in use by process {first.pid} on"
            )
            assert told.count("\n") == 1
            # Another notebook can be run, and harms nothing.
            assert regenerate.main(["--notebooks", "04", "--output", str(output)]) == 0
            assert set(output.rglob("*")) >= set(staged)
            assert read_seeds(output, FOURTH) == {0}
        finally:
            first.terminate()
            _, errors = first.communicate(timeout=60)
    assert first.returncode == 130, errors
    assert {path.stem for path in output.iterdir()} == {FOURTH}


def test_runs_in_one_folder_at_once_mix_nothing(tmp_path, notebooks):
    for name in (FIRST, FOURTH):
        write_notebook(notebooks, name, SAVE)
    output, ended = tmp_path / "output", []

    def run(seed):
        try:
            (result,) = regenerate.regenerate(
                [(FIRST, FOURTH)[seed % 2]], output_dir=output, parameters={"seed": seed}
            )
            ended.append(result.failure)
        except OSError as error:
            ended.append(str(error))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(run, range(4)))
    assert ended.count("") >= 2
    assert all(failure == "" or "is in use by" in failure for failure in ended)
    for name in (FIRST, FOURTH):
        assert len(read_seeds(output, name)) == 1
    assert len(list(output.iterdir())) == 6


def test_only_what_nobody_holds_is_removed(tmp_path, notebooks):
    write_notebook(notebooks, FIRST, SAVE)
    output = tmp_path / "output"
    ours, elsewhere, killed = (
        output / f".{name}.running" for name in (FIRST, FOURTH, "05_large_initialization_failure")
    )
    output.mkdir()
    for path in (ours, killed, output / ".running-x-y"):
        path.touch()
    # As a run on another machine holds it, whose processes cannot be seen from here.
    with Lock(elsewhere, "it"):
        (result,) = regenerate.regenerate([FIRST], output_dir=output)
        assert result.failure == ""
        assert sorted(path.name for path in output.glob(".*")) == [elsewhere.name, ".running-x-y"]


def test_a_figure_that_was_killed_half_way_is_whole_after_the_next_run(tmp_path, notebooks):
    # Of another notebook, and though it has not been run again.
    write_notebook(notebooks, FIRST, SAVE)
    output = tmp_path / "output"
    output.mkdir()
    (output / f"{FOURTH}.json").write_text("new")
    (output / f".{FOURTH}.json.77.earlier").write_text("old")
    (output / f"{FOURTH}.png").write_text("old")
    (output / f".{FOURTH}.png.77.aside").write_text("new")
    names = [
        [f"{FOURTH}.{end}", f".{FOURTH}.{end}.77.aside", f".{FOURTH}.{end}.77.earlier"]
        for end in ("json", "png")
    ]
    (output / f".{FOURTH}.json.77.moves").write_text(str(names).replace("'", '"'))
    (result,) = regenerate.regenerate([FIRST], output_dir=output)
    assert result.failure == ""
    assert {(output / f"{FOURTH}.{end}").read_text() for end in ("json", "png")} == {"new"}
    assert list(output.glob(".*")) == []
