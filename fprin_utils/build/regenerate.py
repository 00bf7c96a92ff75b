"""Regenerating figures: papermill over the notebooks, in parallel, with a table at the end."""

from __future__ import annotations

import argparse
import ast
import contextlib
import html
import json
import multiprocessing
import multiprocessing.connection
import os
import re
import shutil
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from queue import Empty, Queue
from typing import Any

import nbformat
import papermill
import psutil
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import NBClientEngine, papermill_engines
from tqdm import tqdm

from fprin_utils.claims import VERDICTS
from fprin_utils.figures import DEFAULT_PROFILE, PROFILES, list_notebooks
from fprin_utils.files import (
    NOTEBOOKS,
    ROOT,
    InUseError,
    Lock,
    clear_folder,
    move_all,
    write_whole,
)

FIGURES_DIR = ROOT / "figures"
EXECUTED, FAILURE = "executed.ipynb", "failure.txt"
CHECKPOINTS = "checkpoints"
CLAIM, WORKER_LOCK = ".running", "worker"
SECONDS_BETWEEN_LINES = 60
SECONDS_TO_STOP = 10
# How a kernel starts: on Linux it is killed when the process that started it ends, and from the
# first moment on; elsewhere, ipykernel looks once a second whether it is still there.
START_OF_A_KERNEL = """
import ctypes, os, runpy, signal, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
if os.getppid() != int(os.environ["JPY_PARENT_PID"]):
    os._exit(1)
runpy.run_module("ipykernel_launcher", run_name="__main__", alter_sys=True)
"""


@dataclass(frozen=True)
class Result:
    """How the run of one notebook ended.

    Attributes:
        notebook: Name of the notebook.
        seconds: Wall-clock seconds, start of the kernel included.
        record: What was stored beside the figure; None if the notebook failed.
        failure: Traceback of a notebook that failed, else the empty string.
    """

    notebook: str
    seconds: float
    record: Mapping[str, Any] | None
    failure: str = ""


def regenerate(
    notebooks: Sequence[str],
    *,
    profile: str = DEFAULT_PROFILE,
    output_dir: Path = FIGURES_DIR,
    jobs: int | None = None,
    parameters: Mapping[str, Any] | None = None,
    write_notebooks: bool = False,
    environment: Mapping[str, str] | None = None,
) -> list[Result]:
    """Run notebooks with papermill, several at a time, and put their figures into a folder.

    Each notebook works in a process and a folder of its own; its files are moved to `output_dir`
    when it has run to its end, so that a failure or an interruption leaves earlier figures as they
    were. Long trainings are saved now and then in `output_dir`/checkpoints; what was stopped goes
    on from there when it is run again, and the folder is emptied when all notebooks have succeeded.
    A notebook is run once at a time in an output folder; who is killed takes its notebooks along.

    Args:
        notebooks: Names of the notebooks, without their ending.
        profile: One of `PROFILES`.
        output_dir: Folder for the figures, made if missing.
        jobs: Notebooks at a time, at most one a core; the cores are shared out evenly.
        parameters: Parameters by name, for all of the notebooks.
        write_notebooks: Whether to store the outputs in the notebooks themselves.
        environment: Further environment variables for the notebooks.

    Returns:
        A result for each notebook, in the order given.

    Raises:
        ValueError: If a profile, notebook or parameter is unknown; nothing has run then.
        InUseError: If another run has one of the notebooks in hand there; nothing has run then.
    """
    parameters = dict(parameters or {})
    check_request(notebooks, profile, jobs, parameters)
    num_cores = _count_cores()
    jobs = min(jobs or num_cores, num_cores, len(notebooks))
    output_dir.mkdir(parents=True, exist_ok=True)
    # All of it, as the server that processes are forked from may have been started long ago.
    kernel_environment = os.environ | {
        "OMP_NUM_THREADS": str(max(1, num_cores // jobs)),
        "FPRIN_CHECKPOINTS": str(output_dir / CHECKPOINTS),
        **(environment or {}),
    }
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    messages = context.Queue()
    waiting, running, results = list(notebooks), {}, {}
    with contextlib.ExitStack() as claims:
        stagings = {name: claims.enter_context(_claim(name, output_dir)) for name in notebooks}
        clear_folder(output_dir)
        _clear_after_the_killed(output_dir)
        lines = _ProgressLines(notebooks)
        try:
            while waiting or running:
                while waiting and len(running) < jobs:
                    notebook = waiting.pop(0)
                    source, staging = NOTEBOOKS / f"{notebook}.ipynb", stagings[notebook]
                    injected = parameters | {"profile": profile, "output_dir": str(staging)}
                    process = context.Process(
                        target=_run_notebook,
                        args=(source, injected, staging, kernel_environment, messages),
                    )
                    process.start()
                    running[notebook] = process, time.perf_counter()
                multiprocessing.connection.wait([p.sentinel for p, _ in running.values()], 0.5)
                lines.update(messages)
                for notebook, (process, started) in list(running.items()):
                    if process.is_alive():
                        continue
                    del running[notebook]
                    staging, seconds = stagings[notebook], time.perf_counter() - started
                    result = _collect(notebook, staging, seconds, process.exitcode)
                    try:
                        if result.record is not None:
                            _keep(notebook, staging, output_dir, write_notebooks)
                    except OSError as error:
                        failure = f"its files cannot be stored: {error}"
                        result = Result(notebook, seconds, None, failure)
                    results[notebook] = result
                    lines.end(result)
        finally:
            lines.close()
            _stop([process for process, _ in running.values()])
        if all(result.record is not None for result in results.values()):
            for notebook in notebooks:
                for pattern in (f"{notebook}.*", f".{notebook}.*.aside"):
                    for path in (output_dir / CHECKPOINTS).glob(pattern):
                        path.unlink()
    return [results[notebook] for notebook in notebooks]


def check_request(
    notebooks: Sequence[str], profile: str, jobs: int | None, parameters: Mapping[str, Any]
) -> None:
    """Raise a ValueError that names what is unknown and lists what is known."""
    known = list_notebooks()
    if not known:
        raise ValueError(f"there are no notebooks in {NOTEBOOKS}; run from a checkout")
    for notebook in notebooks:
        if notebook not in known:
            raise ValueError(f"unknown notebook {notebook!r}; known: {', '.join(known)}")
    if len(set(notebooks)) < len(notebooks):
        raise ValueError(f"a notebook is named twice: {', '.join(notebooks)}")
    if not notebooks:
        raise ValueError(f"no notebook given; known: {', '.join(known)}")
    if profile not in PROFILES:
        raise ValueError(f"unknown profile {profile!r}; known: {', '.join(PROFILES)}")
    if jobs is not None and jobs < 1:
        raise ValueError(f"jobs is {jobs}; it must be 1 or more")
    for notebook in notebooks if parameters else ():
        inspected = papermill.inspect_notebook(str(NOTEBOOKS / f"{notebook}.ipynb"))
        settable = [name for name in inspected if name not in ("profile", "output_dir")]
        for name in parameters:
            if name not in settable:
                raise ValueError(
                    f"unknown parameter {name!r} for {notebook}; known: {', '.join(settable)}"
                )


def format_table(results: Sequence[Result], output_dir: Path) -> str:
    """Return a plain table: notebook, seconds, peak MB, verdicts, figure."""
    rows = [("notebook", "seconds", "peak MB", "verdicts", "figure")]
    for result in results:
        if result.record is None:
            rows.append((result.notebook, f"{result.seconds:.0f}", "-", "FAILED", "-"))
            continue
        claims = result.record["claims"]
        verdicts = ", ".join(f"{c['id']} {VERDICTS[c['verdict']]}" for c in claims)
        if result.record["profile"] == "smoke":
            verdicts = "-"  # Of a few seeds after a few steps it would mean nothing.
        picture = output_dir / f"{result.notebook}.png"
        peak = str(result.record["peak_memory_mb"])
        rows.append((result.notebook, f"{result.seconds:.0f}", peak, verdicts, str(picture)))
    return align_columns(rows)


def align_columns(rows: Sequence[Sequence[str]]) -> str:
    """Return rows of equal length, the first of them the header, as a plain table."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def store_outputs(source: Path, executed: nbformat.NotebookNode) -> None:
    """Store the outputs of an executed copy in a notebook, without what changes from run to run.

    Progress bars, widgets and the injected cell stay out; nothing but outputs is taken over. Of a
    widget stays what it shows without a kernel, if it is more than its name.

    Args:
        source: Path of the notebook, replaced in one piece.
        executed: The copy that papermill has run.
    """
    notebook = nbformat.read(source, as_version=4)
    outputs_of = {cell.id: cell.outputs for cell in executed.cells if cell.cell_type == "code"}
    count = 0
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        cell.outputs, cell.execution_count = [], None
        count += 1
        cell.execution_count = count
        for output in outputs_of[cell.id]:
            data = output.get("data", {})
            is_widget = data.pop("application/vnd.jupyter.widget-view+json", None) is not None
            if output.get("name") == "stderr" or (is_widget and list(data) == ["text/plain"]):
                continue
            if output.output_type == "execute_result":
                output.execution_count = count
            cell.outputs.append(output)
    nbformat.validate(notebook)
    write_whole(source, nbformat.writes(notebook) + "\n")


class _ReportingClient(PapermillNotebookClient):
    """Tells what the kernel is at: the cell, and the text of a progress bar that moves."""

    def __init__(self, nb_man: Any, *, report: Callable[[str], None], **options: Any) -> None:
        super().__init__(nb_man, **options)
        self.report = report

    def create_kernel_manager(self) -> Any:
        manager = super().create_kernel_manager()
        command = manager.kernel_spec.argv
        if "ipykernel_launcher" in command:
            place = command.index("ipykernel_launcher")
            manager.kernel_spec.argv = [
                *command[: place - 1],
                *("-c", START_OF_A_KERNEL),
                *command[place + 1 :],
            ]
        return manager

    def process_message(self, msg: Any, cell: Any, cell_index: int) -> Any:
        place = f"cell {cell_index + 1}/{len(self.nb.cells)}"
        if msg["msg_type"] == "execute_input":
            self.report(place)
        state = msg["content"].get("data", {}) if msg["msg_type"] == "comm_msg" else {}
        text = state.get("state", {}).get("value")
        if isinstance(text, str) and re.search("step/s|s/step", text):
            text = re.sub(r"\s+", " ", html.unescape(text)).strip()
            self.report(f"{place}  {text}")
        return super().process_message(msg, cell, cell_index)


class _ReportingEngine(NBClientEngine):
    @classmethod
    def execute_managed_notebook(
        cls, nb_man: Any, kernel_name: str, *, report: Callable[[str], None], **_: Any
    ) -> Any:
        client = _ReportingClient(
            nb_man,
            report=report,
            kernel_name=kernel_name,
            startup_timeout=120,
            extra_arguments=["--log-level=CRITICAL"],
        )
        return client.execute()


def _run_notebook(
    source: Path,
    parameters: Mapping[str, Any],
    staging: Path,
    environment: Mapping[str, str],
    messages: Queue,
) -> None:
    """Run one notebook, as the work of one process; a traceback goes into a file."""
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    # Held until this process ends, which the parent's lock is not where the parent is killed.
    at_work = Lock(staging.parent / WORKER_LOCK, f"{staging.parent}")
    at_work.take()
    # The way in which the parent asks for an end; a run in the background ignores SIGINT.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # The kernel inherits the environment of the process that starts it.
    os.environ.update(environment)
    # What it was last at is not worth waiting for when the run itself is over.
    messages.cancel_join_thread()
    papermill_engines.register("reporting", _ReportingEngine)
    notebook = source.stem
    try:
        papermill.execute_notebook(
            str(source),
            str(staging / EXECUTED),
            dict(parameters),
            engine_name="reporting",
            progress_bar=False,
            cwd=str(staging),
            report=lambda text: messages.put((notebook, text)),
        )
    except Exception:
        failure = re.sub(r"\x1b\[[0-9;]*m", "", traceback.format_exc())
        (staging / FAILURE).write_text(failure, encoding="utf-8")


def _end_with_the_parent() -> None:
    """Wait for the end of the process that wants the notebook run; end then, kernel included."""
    multiprocessing.parent_process().join()
    kernels = psutil.Process().children(recursive=True)
    for kernel in kernels:
        with contextlib.suppress(psutil.NoSuchProcess):
            kernel.kill()
    psutil.wait_procs(kernels, SECONDS_TO_STOP)
    os._exit(1)


def _collect(notebook: str, staging: Path, seconds: float, exit_code: int) -> Result:
    """Read how a notebook ended from what its process left behind."""
    if exit_code != 0:
        return Result(notebook, seconds, None, f"its process ended with exit code {exit_code}")
    if (staging / FAILURE).exists():
        failure = (staging / FAILURE).read_text(encoding="utf-8")
        return Result(notebook, seconds, None, failure)
    record = staging / f"{notebook}.json"
    if not record.exists():
        return Result(notebook, seconds, None, "it ran to its end without saving a figure")
    return Result(notebook, seconds, json.loads(record.read_text(encoding="utf-8")))


def _keep(notebook: str, staging: Path, output_dir: Path, write_notebooks: bool) -> None:
    """Move the files of a notebook that succeeded to where they belong."""
    if write_notebooks:
        executed = nbformat.read(staging / EXECUTED, as_version=4)
        store_outputs(NOTEBOOKS / f"{notebook}.ipynb", executed)
    made = sorted(staging.glob(f"{notebook}.*"))
    move_all({path: output_dir / path.name for path in made})


@contextlib.contextmanager
def _claim(notebook: str, output_dir: Path) -> Iterator[Path]:
    """Keep other runs from a notebook's files in an output folder; yield a folder to work in.

    Raises:
        InUseError: If another run has claimed it.
    """
    place = output_dir / f".{notebook}{CLAIM}"
    lock = Lock(place / "lock", f"{notebook} in {output_dir}")
    while True:
        place.mkdir(exist_ok=True)
        try:
            lock.take()
        except FileNotFoundError:
            continue  # The one who had it has just removed the folder.
        break
    try:
        # Of a run that was killed, a notebook may still be ending.
        worker = Lock(place / WORKER_LOCK, f"{notebook} in {output_dir}")
        worker.take(SECONDS_TO_STOP)
        worker.free()
        _empty(place)
        yield Path(tempfile.mkdtemp(dir=place))
    finally:
        _empty(place)
        lock.free()
        with contextlib.suppress(OSError):  # Another has claimed it already.
            place.rmdir()


def _empty(place: Path) -> None:
    """Remove all but the lock."""
    for path in place.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        elif path.name != "lock":
            path.unlink(missing_ok=True)


def _clear_after_the_killed(output_dir: Path) -> None:
    """Remove what runs of other notebooks left behind that are no more."""
    for notebook in list_notebooks():
        if (output_dir / f".{notebook}{CLAIM}").is_dir():
            with contextlib.suppress(InUseError), _claim(notebook, output_dir):
                pass


def _stop(processes: Sequence[BaseProcess]) -> None:
    """Ask processes to shut down their kernels and end, and wait for it."""
    for process in processes:
        process.terminate()
    for process in processes:
        process.join(SECONDS_TO_STOP)
        process.kill()
        process.join()


class _ProgressLines:
    """A line for each notebook; where no one watches, a line is printed now and then."""

    def __init__(self, notebooks: Sequence[str]) -> None:
        self.watched = sys.stderr.isatty()
        self.printed = dict.fromkeys(notebooks, time.monotonic())
        self.latest: dict[str, str] = {}
        self.bars = {
            name: tqdm(bar_format="{desc}", desc=f"{name}  waiting", disable=not self.watched)
            for name in notebooks
        }

    def update(self, messages: Queue) -> None:
        """Show the latest of what the notebooks have reported."""
        with contextlib.suppress(Empty):
            while True:
                notebook, text = messages.get_nowait()
                # A message may come after the end of its notebook; the end has the last word.
                if notebook in self.printed:
                    self.latest[notebook] = text
                    self.bars[notebook].set_description_str(f"{notebook}  {text}")
        for notebook, text in self.latest.items() if not self.watched else ():
            if time.monotonic() - self.printed[notebook] > SECONDS_BETWEEN_LINES:
                self.printed[notebook] = time.monotonic()
                print(f"{notebook}  {text}", flush=True)

    def end(self, result: Result) -> None:
        """Show that a notebook has ended."""
        ended = "failed" if result.record is None else "done"
        text = f"{result.notebook}  {ended} in {result.seconds:.0f} s"
        del self.printed[result.notebook]
        self.latest.pop(result.notebook, None)
        self.bars[result.notebook].set_description_str(text)
        if not self.watched:
            print(text, flush=True)

    def close(self) -> None:
        """Leave the lines as they are and let others write below them."""
        for bar in self.bars.values():
            bar.close()


def _count_cores() -> int:
    """Count the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def resolve_notebook(name: str) -> str:
    """Turn a number such as 01 into the notebook's name; leave anything else as it is."""
    matches = [notebook for notebook in list_notebooks() if notebook.split("_")[0] == name]
    return matches[0] if matches else name


def _parse_parameters(texts: Sequence[str]) -> dict[str, Any]:
    """Read texts of the form NAME=VALUE; a tuple becomes a list, as a notebook holds it."""
    parameters = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise ValueError(
                f"parameter {text!r} is not of the form NAME=VALUE (no spaces inside a value)"
            )
        if name in parameters:
            raise ValueError(f"parameter {name!r} is given twice")
        try:
            parameters[name] = _turn_into_lists(ast.literal_eval(value))
        except (ValueError, SyntaxError, TypeError):
            parameters[name] = value
    return parameters


def _turn_into_lists(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _turn_into_lists(each) for name, each in value.items()}
    return [_turn_into_lists(each) for each in value] if isinstance(value, list | tuple) else value


def _parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m fprin_utils.build.regenerate",
        description="Run the notebooks and regenerate their figures.",
    )
    parser.add_argument("--profile", default=DEFAULT_PROFILE, help=f"one of {', '.join(PROFILES)}")
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
    notebooks = options.notebooks or list_notebooks()
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
            parameters=_parse_parameters(options.parameter),
        )
    except (OSError, ValueError) as error:
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
