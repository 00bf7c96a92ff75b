"""Regenerating figures: papermill over the notebooks on a cluster of Dask, with a table at the end.

A worker of a cluster on this machine imports this module, too: what needs PyTorch is reached by its
full name, so that only a process imports it that uses it.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import sys
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import nbformat
from distributed import KilledWorker

import fprin_utils as fp
from fprin_utils import files
from fprin_utils.build.execution import Job, Outcome, run_notebook, store_outputs
from fprin_utils.build.progress import ProgressLines, Result, format_table
from fprin_utils.build.requests import check_request, parse_parameters, resolve_notebook
from fprin_utils.cluster import (
    ask_for,
    connect,
    read_versions,
    start_workers,
    tell_error,
    wait_for_each,
)
from fprin_utils.files import ROOT, InUseError, Lock, clear_folder, write_all_whole

FIGURES_DIR = ROOT / "figures"
CHECKPOINTS = "checkpoints"
DEFAULT_PROFILE = "quick"


def regenerate(
    notebooks: Sequence[str],
    *,
    profile: str = DEFAULT_PROFILE,
    output_dir: Path = FIGURES_DIR,
    jobs: int | None = None,
    parameters: Mapping[str, Any] | None = None,
    write_notebooks: bool = False,
    environment: Mapping[str, str] | None = None,
    scheduler: str | None = None,
) -> list[Result]:
    """Run notebooks with papermill, several at a time, and put their figures into a folder.

    Each notebook is a task on a worker, which gives back the bytes of its files; they are written
    when it has run to its end, so that a failure or an interruption leaves earlier figures as they
    were. Long trainings and sweeps are saved now and then in `output_dir`/checkpoints, if the
    worker has that disk; what was stopped goes on from there when it is run again, and the folder
    is emptied when all notebooks have succeeded. A notebook is run once at a time in an output
    folder; who is killed takes its notebooks along.

    Args:
        notebooks: Names of the notebooks, without their ending.
        profile: "smoke", "quick" or "paper".
        output_dir: Folder for the figures, made if missing.
        jobs: Notebooks at a time on this machine, at most one a core, which are shared out evenly.
        parameters: Parameters by name, for all of the notebooks.
        write_notebooks: Whether to store the outputs in the notebooks themselves.
        environment: Further environment variables for the notebooks.
        scheduler: Address of the scheduler of a cluster; None for workers on this machine.

    Returns:
        A result for each notebook, in the order given.

    Raises:
        ValueError: If a profile, notebook or parameter is unknown; nothing has run then.
        InUseError: If another run has one of the notebooks in hand there; nothing has run then.
        ConnectionError: If the scheduler does not answer, or ends.
        RuntimeError: If a worker has another version of a package; names both.
    """
    parameters = dict(parameters or {})
    check_request(notebooks, profile, jobs, parameters)
    output_dir.mkdir(parents=True, exist_ok=True)
    num_cores = _count_cores()
    jobs = min(jobs or num_cores, num_cores, len(notebooks))
    environment = dict(environment or {})
    if scheduler is None:
        environment = {"OMP_NUM_THREADS": str(max(1, num_cores // jobs))} | environment
    with contextlib.ExitStack() as stack:
        locks = {name: stack.enter_context(_claim(name, output_dir)) for name in notebooks}
        clear_folder(output_dir)
        _clear_after_the_killed(output_dir)
        client = stack.enter_context(connect(scheduler) if scheduler else start_workers(jobs))
        lines = stack.enter_context(contextlib.closing(ProgressLines(notebooks)))
        topic = f"fprin-{uuid.uuid4().hex}"
        client.subscribe_topic(topic, lines.hear)
        tasks, device = {}, parameters.get("device") if scheduler else "cpu"
        resources = ask_for(device, client)
        for name in notebooks:
            job = Job(
                notebook=name,
                text=(files.NOTEBOOKS / f"{name}.ipynb").read_text(encoding="utf-8"),
                parameters=parameters | {"profile": profile},
                environment=environment,
                checkpoints=output_dir / CHECKPOINTS,
                lock=(locks[name], locks[name].read_text(encoding="utf-8")),
                topic=topic,
                versions=read_versions(),
            )
            how = {"resources": resources, "priority": -len(tasks)}  # in the order given
            tasks[client.submit(run_notebook, job, key=f"{name}-{topic}", **how)] = name
        results = {}
        for task, outcome, error in wait_for_each(tasks, client):
            name, outcome = tasks[task], _collect(outcome, error)
            record, failure = _keep(name, outcome, output_dir, write_notebooks)
            seconds = lines.end(name, has_failed=bool(failure))
            results[name] = Result(name, seconds, record, failure)
        if not any(result.failure for result in results.values()):
            _remove_checkpoints(notebooks, output_dir)
    return [results[notebook] for notebook in notebooks]


def _collect(outcome: Outcome | None, error: BaseException | None) -> Outcome:
    """Return what came out of a task, also if it failed."""
    if isinstance(error, KilledWorker):
        return Outcome("its worker ended while running it, and so did a second one; see memory")
    return Outcome(tell_error(error)) if error else outcome


def _keep(
    notebook: str, outcome: Outcome, output_dir: Path, write_notebooks: bool
) -> tuple[Mapping[str, Any] | None, str]:
    """Write the files of a notebook that succeeded; return its record, or what went wrong."""
    if outcome.failure:
        return None, outcome.failure
    if f"{notebook}.json" not in outcome.files:
        return None, "it ran to its end without saving a figure"
    try:
        if write_notebooks:
            executed = nbformat.reads(outcome.executed, as_version=4)
            store_outputs(files.NOTEBOOKS / f"{notebook}.ipynb", executed)
        write_all_whole({output_dir / name: content for name, content in outcome.files.items()})
    except OSError as error:
        return None, f"its files cannot be stored: {error}"
    return json.loads(outcome.files[f"{notebook}.json"]), ""


@contextlib.contextmanager
def _claim(notebook: str, output_dir: Path) -> Iterator[Path]:
    """Keep other runs from a notebook's files in an output folder; yield the file that does.

    Raises:
        InUseError: If another run has claimed it.
    """
    path = output_dir / f".{notebook}.running"
    with Lock(path, f"{notebook} in {output_dir}"):
        yield path


def _clear_after_the_killed(output_dir: Path) -> None:
    """Remove what runs of other notebooks left behind that are no more."""
    for notebook in fp.figures.list_notebooks():
        if (output_dir / f".{notebook}.running").exists():
            with contextlib.suppress(InUseError), _claim(notebook, output_dir):
                pass


def _count_cores() -> int:
    """Count the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def _remove_checkpoints(notebooks: Sequence[str], output_dir: Path) -> None:
    for notebook in notebooks:
        for pattern in (f"{notebook}.*", f".{notebook}.*.aside"):
            for path in (output_dir / CHECKPOINTS).glob(pattern):
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def _parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m fprin_utils.build.regenerate",
        description="Run the notebooks and regenerate their figures.",
    )
    parser.add_argument("--profile", default=DEFAULT_PROFILE, help="smoke, quick or paper")
    parser.add_argument(
        "--notebooks", nargs="+", metavar="NN", help="numbers or names; all if left out"
    )
    parser.add_argument(
        "--output",
        type=Path,
        help="folder for the figures; figures/ for the default profile as it stands, else "
        "figures/<profile>/",
    )
    parser.add_argument("--jobs", type=int, metavar="N", help="notebooks at a time; one a core")
    parser.add_argument(
        "--scheduler",
        metavar="ADDRESS",
        default=os.environ.get("DASK_SCHEDULER_ADDRESS"),
        help="scheduler of a Dask cluster, such as tcp://host:8786; workers on this machine if "
        "left out, and if the variable DASK_SCHEDULER_ADDRESS is not set",
    )
    parser.add_argument(
        "--parameter",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="set a parameter in each of the notebooks; may be given several times",
    )
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit status."""
    options = _parse_arguments(arguments)
    notebooks = options.notebooks or fp.figures.list_notebooks()
    as_it_stands = options.profile == DEFAULT_PROFILE and not options.parameter
    output_dir = options.output or (FIGURES_DIR if as_it_stands else FIGURES_DIR / options.profile)
    # A polite stop takes the same way out as Ctrl-C, so that nothing half-made stays behind.
    earlier_handler = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        results = regenerate(
            [resolve_notebook(name) for name in notebooks],
            profile=options.profile,
            output_dir=output_dir.resolve(),
            jobs=options.jobs,
            parameters=parse_parameters(options.parameter),
            scheduler=options.scheduler,
        )
    except (OSError, ValueError, RuntimeError) as error:
        print(f"regenerate: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("regenerate: interrupted; unfinished figures are as they were", file=sys.stderr)
        return 130
    finally:
        signal.signal(signal.SIGTERM, earlier_handler)
    print(format_table(results, Path(os.path.relpath(output_dir))))
    if options.profile == "smoke":
        print("The profile smoke proves that notebooks run; it has too few seeds for verdicts.")
    failures = [result for result in results if result.record is None]
    for result in failures:
        print(f"\n{result.notebook} failed:\n{result.failure}", file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
