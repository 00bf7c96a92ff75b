"""What a cluster costs and gains: `python -m benchmarks.cluster` measures it on this machine.

It times tiny tasks, the sweeps of two notebooks with one and with two workers, and the memory of
scheduler and workers, and computes from that with a model of the schedule what a cluster of 100
nodes would take. The results go to benchmarks/cluster.json, from which README.md is filled.
"""

from __future__ import annotations

import heapq
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import papermill
import psutil

import fprin_utils as fp
from fprin_utils.build.readmes import CLUSTER, update_readmes
from fprin_utils.build.requests import resolve_notebook
from fprin_utils.cluster import start_workers
from fprin_utils.figures import list_notebooks
from fprin_utils.files import NOTEBOOKS, ROOT, write_whole
from fprin_utils.provenance import read_processor
from fprin_utils.verdicts import read_reference

SWEEPS = ("06", "24")
WAYS = {"threads of one process": None, "1 worker": 1, "2 workers": 2}
ROUNDS = 3
NUM_TINY, NUM_WAITING = 2000, 20_000
# The cluster that is computed: nodes, and workers a node, each with one core.
NODES, WORKERS_A_NODE = 100, 32
NUM_TRAININGS = 100_000
# What grows with a parameter that a profile sets, and by which power: updates, networks and samples
# each take their time, and of a wide layer the weights do.
POWERS = {"num_steps": 1, "num_seeds": 1, "num_points": 1, "width": 2, "widths": 2}


def find_sweep(notebook: str) -> tuple[Callable[..., Any], list[dict[str, Any]]]:
    """Return the function of a notebook's sweep and its settings, of which each is there once."""
    found: list[Any] = []

    def note(function: Callable[..., Any], settings: Any, **_: Any) -> None:
        found.extend((function, settings))
        raise StopIteration

    cells = json.loads((NOTEBOOKS / f"{notebook}.ipynb").read_text(encoding="utf-8"))["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    names: dict[str, Any] = {"__name__": "__main__", "In": code}  # as IPython keeps what it runs
    real, fp.sweep = fp.sweep, note
    try:
        for cell in code:
            exec(cell, names)
    except StopIteration:
        pass
    finally:
        fp.sweep = real
    function, settings = found
    return function, list({json.dumps(each): each for each in settings}.values())


def time_sweep(number: str, num_workers: int | None) -> dict[str, Any]:
    """Return the seconds of a notebook's sweep in this process or with workers, and of each task.

    Workers have imported the package before.
    """
    function, settings = find_sweep(resolve_notebook(number))

    def timed(**setting: Any) -> float:
        started = time.perf_counter()
        function(**setting)
        return time.perf_counter() - started

    if num_workers is None:
        started = time.perf_counter()
        tasks = fp.sweep(timed, settings)
        return {"seconds": time.perf_counter() - started, "tasks": tasks}
    with start_workers(num_workers) as client:
        fp.sweep(fp.make_grid, {"num_points": range(2, 2 + 4 * num_workers)}, client=client)
        started = time.perf_counter()
        tasks = fp.sweep(timed, settings, client=client)
        return {"seconds": time.perf_counter() - started, "tasks": tasks}


def _measure_in_a_process(code: str, threads: int = 1) -> Any:
    """Return the value of code over this module, in a new process.

    The process is started with code and not with this module, as workers import the module that
    their parent was started with.
    """
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "FPRIN_SWEEPS": ""}
    code = f"from benchmarks.cluster import *\nprint(json.dumps({code}))"
    command = [sys.executable, "-c", code]
    told = subprocess.run(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True
    )
    return json.loads(told.stdout.splitlines()[-1])


def measure_sweeps() -> dict[str, Any]:
    """Return for each sweep and way the median seconds of some rounds, in which ways take turns."""
    results = {}
    for number in SWEEPS:
        runs: dict[str, list[dict[str, Any]]] = {way: [] for way in WAYS}
        for _ in range(ROUNDS):
            for way in WAYS:
                threads = 2 if WAYS[way] is None else 1
                code = f"time_sweep({number!r}, {WAYS[way]})"
                runs[way].append(_measure_in_a_process(code, threads))
        seconds = {way: statistics.median(run["seconds"] for run in runs[way]) for way in WAYS}
        ratios = {way: seconds["threads of one process"] / seconds[way] for way in WAYS}
        tasks = np.median([run["tasks"] for run in runs["1 worker"]], axis=0)
        results[resolve_notebook(number)] = {
            "seconds": {way: round(value, 2) for way, value in seconds.items()},
            "speed_up": {way: round(value, 3) for way, value in ratios.items()},
            "task_seconds": [round(float(value), 3) for value in tasks],
        }
        print(number, results[resolve_notebook(number)]["seconds"], flush=True)
    return results


def measure_overhead() -> dict[str, Any]:
    """Return what a task costs that does nothing, and the memory of the processes, in MB.

    The scheduler is part of the process that starts the workers.
    """
    scheduler = psutil.Process()
    with start_workers(2) as client:
        workers = [psutil.Process(pid) for pid in client.run(os.getpid).values()]
        memory = {"worker, before any task": workers[0].memory_info().rss / 2**20}
        started = time.perf_counter()
        fp.sweep(fp.make_grid, {"num_points": range(2, 10)}, client=client)
        imported = time.perf_counter() - started
        memory["worker, PyTorch imported"] = workers[0].memory_info().rss / 2**20
        seconds = []
        for _ in range(ROUNDS):
            started = time.perf_counter()
            fp.sweep(fp.make_grid, {"num_points": range(2, 2 + NUM_TINY)}, client=client)
            seconds.append((time.perf_counter() - started) / NUM_TINY)
        memory["scheduler and client, PyTorch imported"] = scheduler.memory_info().rss / 2**20
        for worker in workers:
            worker.suspend()
        before, started = scheduler.memory_info().rss, time.perf_counter()
        waiting = client.map(abs, range(NUM_WAITING))
        client.run_on_scheduler(lambda: None)
        submitted = (time.perf_counter() - started) / NUM_WAITING
        grown = (scheduler.memory_info().rss - before) / NUM_WAITING
        for worker in workers:
            worker.resume()
        client.cancel(waiting)
    return {
        "import_seconds": round(imported, 2),
        "task_ms": round(1e3 * statistics.median(seconds), 2),
        "submit_ms": round(1e3 * submitted, 3),
        "waiting_task_kb": round(grown / 2**10, 2),
        "memory_mb": {name: round(value) for name, value in memory.items()},
    }


def simulate(
    tasks: Sequence[float], num_workers: int, overhead: float, start: float = 0.0
) -> dict[str, float]:
    """Return how long tasks take on workers that one scheduler serves.

    The model: each worker is there from the beginning and needs `start` seconds before its first
    task; whoever is free gets the next task in the order given; the scheduler, which does one thing
    at a time, needs `overhead` seconds for each. Transfers, failures and other users are left out.

    Args:
        tasks: Seconds of each task on one worker.
        num_workers: Number of workers.
        overhead: Seconds of the scheduler for a task.
        start: Seconds until a worker is ready.

    Returns:
        The seconds until the last task has ended, the share of the workers' time that is work, the
        share of that time in which the scheduler is busy, and the longest task in seconds.
    """
    free = [start] * min(num_workers, len(tasks))
    heapq.heapify(free)
    ready, end = 0.0, 0.0
    for seconds in tasks:
        ready = max(ready, heapq.heappop(free)) + overhead
        end = max(end, ready + seconds)
        heapq.heappush(free, ready + seconds)
    work = float(sum(tasks))
    return {
        "seconds": round(end, 1),
        "busy": round(work / (end * num_workers), 4),
        "scheduler_busy": round(overhead * len(tasks) / end, 4),
        "longest": round(max(tasks), 1),
    }


def estimate_paper_seconds() -> dict[str, float]:
    """Return processor seconds that each notebook would take in the profile `paper`.

    Where it has been run to its end, those; else the seconds of `quick` times what grows, as in
    `POWERS`. Notebooks of which no parameter grows take as long as in `quick`.
    """
    seconds = {}
    for notebook, entry in read_reference().items():
        stored = ROOT / "figures" / "paper" / f"{notebook}.json"
        if stored.is_file():
            seconds[notebook] = json.loads(stored.read_text(encoding="utf-8"))["cpu_seconds"]
        else:
            seconds[notebook] = entry["cpu_seconds"] * compute_growth(notebook)
    return {name: round(value) for name, value in seconds.items()}


def compute_growth(notebook: str) -> float:
    """Return how much more work the profile `paper` of a notebook is than `quick`, by `POWERS`."""
    growth = 1.0
    for name, entry in papermill.inspect_notebook(str(NOTEBOOKS / f"{notebook}.ipynb")).items():
        value = eval(entry["default"], {}, {})
        if name in POWERS and isinstance(value, Mapping) and "paper" in value:
            sizes = {
                each: np.sum(np.power(value[each], POWERS[name])) for each in ("quick", "paper")
            }
            growth *= sizes["paper"] / sizes["quick"]
    return float(growth)


def compute_clusters(measured: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a cluster would take for the profile `paper` and for a large sweep."""
    overhead = measured["overhead"]["task_ms"] / 1e3
    imported = measured["overhead"]["import_seconds"]
    paper = estimate_paper_seconds()
    longest_first = sorted(paper.values(), reverse=True)
    known = measured["sweeps"][resolve_notebook("24")]["task_seconds"]
    trainings = np.random.default_rng(0).choice(known, NUM_TRAININGS)
    num_workers = NODES * WORKERS_A_NODE
    return {
        "paper_seconds": paper,
        "checked": {
            name: round(entry["cpu_seconds"] * compute_growth(name) / paper[name], 2)
            for name, entry in read_reference().items()
            if (ROOT / "figures" / "paper" / f"{name}.json").is_file()
        },
        "paper": {
            str(number): simulate(longest_first, number, overhead, imported)
            for number in (1, 2, 4, len(list_notebooks()), num_workers)
        },
        "trainings": {
            str(number): simulate(trainings, number, overhead, imported)
            for number in (1, 32, 320, num_workers, 10 * num_workers)
        },
        "mean_training": round(float(np.mean(known)), 3),
    }


def main() -> int:
    """Measure, store and fill the page."""
    overhead = _measure_in_a_process("measure_overhead()")
    measured = {"processor": read_processor(), "overhead": overhead, "sweeps": measure_sweeps()}
    measured["computed"] = compute_clusters(measured)
    write_whole(CLUSTER, json.dumps(measured, indent=1) + "\n")
    update_readmes()
    return 0


if __name__ == "__main__":
    sys.exit(main())
