"""Sweeps and notebooks on a cluster: real schedulers and workers, all of them on this machine."""

import contextlib
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat
import numpy as np
import psutil
import pytest
import tiny
from nbclient import NotebookClient
from tiny import (
    FIRST,
    FOURTH,
    SAVE,
    call_and_note,
    read_notes,
    read_seeds,
    wait_for,
    write_notebook,
)

import fprin_utils as fp
from fprin_utils import cluster, sweeps
from fprin_utils.build import regenerate
from fprin_utils.files import ROOT

TESTS = Path(tiny.__file__).parent


class Cluster:
    """A scheduler and its workers, each a process of its own."""

    def __init__(self, folder):
        self.folder, self.stack, self.workers = folder, contextlib.ExitStack(), []
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.address = f"tcp://127.0.0.1:{port}"
        options = ["--host", "127.0.0.1", "--port", str(port)]
        options += ["--dashboard-address", "127.0.0.1:0"]
        self.scheduler = self.start("scheduler", *options)

    def start(self, kind, *options, package=ROOT, **how):
        environment = os.environ | {"PYTHONPATH": f"{package}{os.pathsep}{TESTS}"}
        environment |= {"OMP_NUM_THREADS": "1", "FPRIN_SWEEPS": ""}
        command = [sys.executable, "-m", f"distributed.cli.dask_{kind}", *options]
        process = subprocess.Popen(
            command, env=environment, cwd=self.folder, stderr=subprocess.DEVNULL, **how
        )
        self.stack.callback(process.wait)
        self.stack.callback(process.kill)
        return process

    def add_worker(self, *further, **how):
        options = [*further, "--nthreads", "1", "--no-nanny", "--local-directory", str(self.folder)]
        options += ["--no-dashboard", "--death-timeout", "20"]
        self.workers.append(self.start("worker", self.address, *options, **how))
        return self.workers[-1]

    def wait_for_workers(self, number):
        with cluster.Client(self.address, timeout=30, set_as_default=False) as client:
            client.wait_for_workers(number, timeout=30)


@pytest.fixture
def start_cluster(tmp_path):
    """Return what starts a scheduler with so many workers."""
    with contextlib.ExitStack() as stack:

        def start(num_workers):
            started = Cluster(tmp_path)
            stack.enter_context(started.stack)
            for _ in range(num_workers):
                started.add_worker()
            if num_workers:
                started.wait_for_workers(num_workers)
            return started

        yield start


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """A scheduler with two workers, for tests that end neither."""
    started = Cluster(tmp_path_factory.mktemp("cluster"))
    with started.stack:
        started.add_worker()
        started.add_worker("--resources", "GPU=1")
        started.wait_for_workers(2)
        yield started


@pytest.fixture(autouse=True)
def _keep_results_here(tmp_path, monkeypatch):
    monkeypatch.setenv("FPRIN_SWEEPS", str(tmp_path / "sweeps"))


@pytest.fixture
def notes(tmp_path):
    folder = tmp_path / "notes"
    folder.mkdir()
    return folder


def assert_same(results, others):
    for (number, outputs), (other, its_outputs) in zip(results, others, strict=True):
        assert number == other
        assert np.array_equal(outputs, its_outputs)


def test_what_a_killed_worker_had_in_hand_is_done_elsewhere_to_the_same_bits(
    start_cluster, notes, tmp_path
):
    here = fp.sweep(call_and_note, {"folder": [str(tmp_path)], "number": range(90, 98)})
    started = start_cluster(3)
    settings = {"folder": [str(notes)], "number": range(90, 98), "seconds": [0.5]}
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(fp.sweep, call_and_note, settings, client=started.address)
        wait_for(lambda: len(list(notes.iterdir())) >= 4)
        newest = max(notes.iterdir(), key=lambda path: path.stat().st_mtime)
        in_hand, (killed,) = int(newest.name), map(int, newest.read_text().split())
        os.kill(killed, signal.SIGKILL)
        there = running.result(timeout=60)
    assert_same(there, here)
    calls = read_notes(notes)
    assert len(calls[in_hand]) == 2
    for by in calls.values():  # What it had not given back is done again, too.
        assert len(by) == 1 or by[0] == killed


def test_when_the_scheduler_ends_nothing_is_lost_and_the_next_sweep_goes_on(start_cluster, notes):
    started = start_cluster(2)
    settings = {"folder": [str(notes)], "number": range(8), "seconds": [0.4]}
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(fp.sweep, call_and_note, settings, client=started.address)
        wait_for(lambda: len(list(notes.iterdir())) >= 5)
        started.scheduler.kill()
        with pytest.raises(ConnectionError, match=rf"the scheduler at {started.address} has ended"):
            running.result(timeout=90)
    known = {number for number, by in read_notes(notes).items()}
    results = fp.sweep(call_and_note, settings)
    assert [number for number, _ in results] == list(range(8))
    again = [number for number, by in read_notes(notes).items() if os.getpid() in by]
    assert 3 <= len(again) <= 6
    assert known - set(again), "some were not called again"
    # A worker whose scheduler is gone ends by itself.
    for worker in started.workers:
        worker.wait(timeout=60)


def test_a_worker_with_other_code_is_refused_with_both_versions(
    start_cluster, notes, tmp_path, monkeypatch
):
    started = start_cluster(0)
    other = tmp_path / "other"
    shutil.copytree(ROOT / "fprin_utils", other / "fprin_utils")
    with (other / "fprin_utils" / "spectra.py").open("a") as file:
        file.write("# Changed.\n")
    started.add_worker(package=other)
    ours = cluster.read_versions()["fprin_utils"]
    settings = {"folder": [str(notes)], "number": [1]}
    refused = (
        rf"has fprin_utils 0\.1\.0 \(\w+\) instead of {ours.replace('(', '.').replace(')', '.')}"
    )
    with pytest.raises(RuntimeError, match=rf"worker tcp://127\.0\.0\.1:\d+ {refused}"):
        fp.sweep(call_and_note, settings, client=started.address)
    # One that comes later is met when it gets its first task.
    monkeypatch.setattr(cluster, "check_workers", lambda _: None)
    with pytest.raises(RuntimeError, match=refused):
        fp.sweep(call_and_note, settings, client=started.address)
    assert list(notes.iterdir()) == []


def test_two_thousand_tiny_tasks_come_back_in_order(shared):
    with cluster.connect(shared.address) as client:
        results = fp.sweep(tiny.double, {"number": range(2000)}, client=client)
    assert results == [2 * number for number in range(2000)]


def test_errors_name_their_settings_and_the_rest_is_done(shared):
    settings = [{"number": number, "fails": number == 2} for number in range(4)]
    for where in (None, shared.address):
        with pytest.raises(RuntimeError) as raised:
            fp.sweep(tiny.double, settings, client=where)
        assert str(raised.value).splitlines() == [
            "1 of 4 settings failed; the first of them:",
            "number=2, fails=True: ValueError: number is 2",
        ]
    called = []
    with pytest.raises(RuntimeError, match="10 of 10 settings failed; the first of them:"):
        fp.sweep(lambda number: called.append(number / 0), {"number": range(100)})


def test_what_needs_a_gpu_goes_to_a_worker_that_has_one(shared, start_cluster):
    settings = {"device": ["cuda"], "number": range(6)}
    processes = fp.sweep(tiny.tell_process, settings, client=shared.address)
    assert set(processes) == {shared.workers[1].pid}
    without = start_cluster(1).address
    with pytest.raises(RuntimeError, match=f"no worker of {without} was started with --resources"):
        fp.sweep(tiny.tell_process, settings, client=without)


def test_nobody_answers(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(cluster, "SECONDS_TO_CONNECT", 1)
    for wrong in ("tcp://127.0.0.1:9", "127.0.0.1:9"):
        with pytest.raises(ConnectionError, match=f"no scheduler answers at {wrong}"):
            fp.sweep(tiny.double, {"number": [1]}, client=wrong)
    with pytest.raises(ValueError, match="scheduler 'nowhere://a' is no address"):
        fp.sweep(tiny.double, {"number": [1]}, client="nowhere://a")
    arguments = ["--notebooks", "01", "--scheduler", "tcp://127.0.0.1:9"]
    assert regenerate.main([*arguments, "--output", str(tmp_path / "new")]) == 2
    told = "regenerate: no scheduler answers at tcp://127.0.0.1:9\n"
    assert capsys.readouterr().err == told


WAIT = """\
import os, pathlib, time
mark = pathlib.Path(MARK)
is_first = not mark.exists()
mark.write_text(f"{os.getpid()} {os.getppid()}")
if is_first:
    time.sleep(600)
"""


def run_without_signals(arguments):
    """Run the command in a thread, which cannot handle signals."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(signal, "signal", lambda *_: None)
        return regenerate.main(arguments)


def is_running(number):
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(number).status() != psutil.STATUS_ZOMBIE
    return False


def find_kernels(process):
    kernels = []
    for child in psutil.Process(process.pid).children(recursive=True):
        with contextlib.suppress(psutil.Error):  # It has ended.
            kernels += [child] if "-f" in child.cmdline() else []
    return kernels


def test_notebooks_run_on_a_cluster_and_a_killed_worker_does_not_matter(
    start_cluster, notebooks, tmp_path
):
    mark = tmp_path / "mark"
    write_notebook(notebooks, FIRST, WAIT.replace("MARK", repr(str(mark))), SAVE)
    write_notebook(notebooks, FOURTH, SAVE)
    started, output = start_cluster(2), tmp_path / "output"
    with ThreadPoolExecutor(1) as pool:
        arguments = {"output_dir": output, "scheduler": started.address}
        running = pool.submit(regenerate.regenerate, [FIRST, FOURTH], **arguments)
        wait_for(lambda: mark.exists() and mark.read_text())
        kernel, worker = map(int, mark.read_text().split())
        os.kill(worker, signal.SIGKILL)
        results = running.result(timeout=60)
    assert [result.failure for result in results] == ["", ""]
    assert not is_running(kernel)
    assert read_seeds(output, FIRST) == read_seeds(output, FOURTH) == {0}
    assert len(list(output.iterdir())) == 6


def test_who_ends_takes_the_kernels_along_and_leaves_the_workers(shared, notebooks, tmp_path):
    output = tmp_path / "output"
    command = [*tiny.COMMAND, str(notebooks), "--notebooks", "01", "--output", str(output)]
    for number in (signal.SIGTERM, signal.SIGKILL):
        mark = tmp_path / f"mark {number}"
        write_notebook(notebooks, FIRST, WAIT.replace("MARK", repr(str(mark))), SAVE)
        client = subprocess.Popen(
            [*command, "--scheduler", shared.address], stderr=subprocess.PIPE, text=True
        )
        shared.stack.callback(client.kill)
        wait_for(mark.exists)
        wait_for(lambda: any(map(find_kernels, shared.workers)))
        client.send_signal(number)
        client.communicate(timeout=60)
        wait_for(lambda: not any(map(find_kernels, shared.workers)), seconds=10)
    # The workers are free for the next, which finds the disk as it was.
    (result,) = regenerate.regenerate([FIRST], output_dir=output, scheduler=shared.address)
    assert result.failure == ""
    assert len(list(output.iterdir())) == 3


def test_when_the_scheduler_ends_figures_are_as_they_were(
    start_cluster, notebooks, tmp_path, capsys
):
    mark, output = tmp_path / "mark", tmp_path / "output"
    write_notebook(notebooks, FIRST, WAIT.replace("MARK", repr(str(mark))), SAVE)
    write_notebook(notebooks, FOURTH, SAVE)
    output.mkdir()
    (output / f"{FIRST}.png").write_bytes(b"earlier")
    started = start_cluster(1)
    arguments = ["--notebooks", "04", "01", "--scheduler", started.address]
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(run_without_signals, [*arguments, "--output", str(output)])
        wait_for(mark.exists)
        started.scheduler.kill()
        assert running.result(timeout=90) == 2
    told = f"regenerate: the scheduler at {started.address} has ended\n"
    assert capsys.readouterr().err.endswith(told)
    made = {f"{FOURTH}{ending}" for ending in (".json", ".pdf", ".png")}
    assert {path.name for path in output.iterdir()} == made | {f"{FIRST}.png"}
    assert (output / f"{FIRST}.png").read_bytes() == b"earlier"


def test_a_full_disk_on_a_worker_fails_what_runs_there_alone(start_cluster, notebooks, tmp_path):
    write_notebook(notebooks, FIRST, SAVE)
    started = start_cluster(0)
    # Writing more than a few bytes fails, as on a disk that is full.
    limit = (2000, 2000)
    started.add_worker(preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limit))
    how = {"output_dir": tmp_path / "output", "scheduler": started.address}
    (result,) = regenerate.regenerate([FIRST], **how)
    assert "File too large" in result.failure
    assert list((tmp_path / "output").iterdir()) == []


def test_results_are_kept_where_a_sweep_fails_and_where_it_takes_long(notes, tmp_path, monkeypatch):
    settings = {"folder": [str(notes)], "number": range(3)}
    fp.sweep(call_and_note, settings)
    assert not (tmp_path / "sweeps").exists(), "it took no time"
    monkeypatch.setattr(sweeps, "SECONDS_BETWEEN_SAVES", 0)
    results = fp.sweep(call_and_note, settings)
    calls = read_notes(notes)
    assert_same(fp.sweep(call_and_note, settings), results)
    assert read_notes(notes) == calls, "nothing was called again"
    with monkeypatch.context() as patch:
        patch.setattr(sweeps, "read_versions", lambda: {"torch": "another"})
        fp.sweep(call_and_note, settings)
    assert len(read_notes(notes)[0]) == len(calls[0]) + 1
    for path in (tmp_path / "sweeps").rglob("*.pickle"):
        path.write_bytes(b"half")
    with pytest.raises(ValueError, match=r"\.pickle cannot be read .*; remove it"):
        fp.sweep(call_and_note, settings)


def test_a_disk_that_is_full_costs_no_result(notes, tmp_path, monkeypatch):
    monkeypatch.setattr(sweeps, "SECONDS_BETWEEN_SAVES", 0)
    (tmp_path / "sweeps").touch()
    with pytest.warns(UserWarning, match="results of the sweep cannot be kept: "):
        results = fp.sweep(call_and_note, {"folder": [str(notes)], "number": range(3)})
    assert [number for number, _ in results] == [0, 1, 2]


IN_A_NOTEBOOK = """\
def helper(x): return factor * x
def multiply(x): return helper(x)
from fprin_utils import sweeps
for factor in {factors}:
    print(sweeps._digest(multiply))
"""


def test_a_function_of_a_notebook_is_known_again_by_all_that_it_refers_to():
    digests = []
    for factors, hash_seed in (([2], 1), ([2, 3], 2)):
        cell = nbformat.v4.new_code_cell(IN_A_NOTEBOOK.format(factors=factors))
        book = nbformat.v4.new_notebook(cells=[cell])
        environment = os.environ | {"PYTHONHASHSEED": str(hash_seed)}
        NotebookClient(book, kernel_name="python3").execute(env=environment)
        digests += book.cells[0].outputs[0].text.split()
    assert digests[0] == digests[1] != digests[2]
