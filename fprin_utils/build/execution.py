"""Running one notebook, as the work of one process or worker; its files come back as bytes."""

from __future__ import annotations

import contextlib
import html
import os
import re
import signal
import tempfile
import threading
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat
import papermill
from distributed import Worker, get_worker
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import NBClientEngine, papermill_engines

from fprin_utils.cluster import check_versions
from fprin_utils.files import write_whole

SOURCE, EXECUTED = "source.ipynb", "executed.ipynb"
# How often a notebook tells how far it is, and finds out whether it is still wanted.
SECONDS_BETWEEN_REPORTS = 1.0
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
class Job:
    """A notebook that is to be run, with all that takes.

    Attributes:
        notebook: Its name, without ending.
        text: Its content.
        parameters: What is injected, but for the folder for its files.
        environment: Environment variables for its kernel, besides those of the worker.
        checkpoints: The client's folder for unfinished work.
        lock: A file beside that folder, and what it holds: a worker that finds both works on the
            client's disk.
        topic: The topic of its reports.
        versions: What the worker must have.
    """

    notebook: str
    text: str
    parameters: Mapping[str, Any]
    environment: Mapping[str, str]
    checkpoints: Path
    lock: tuple[Path, str]
    topic: str
    versions: Mapping[str, str]


@dataclass(frozen=True)
class Outcome:
    """What came out of a notebook.

    Attributes:
        failure: Traceback, or what else went wrong; empty if nothing did.
        files: The files of its figure by name.
        executed: The executed copy.
    """

    failure: str = ""
    files: Mapping[str, bytes] = field(default_factory=dict)
    executed: str = ""


def run_notebook(job: Job) -> Outcome:
    """Run a notebook with papermill, as a task on a worker of Dask.

    If its client cancels it, or is no more, the kernel is killed.
    """
    check_versions(job.versions)
    worker = get_worker()
    task = _Task(worker, job)
    task.report("starts", is_new=True)
    try:
        # The worker's own folder: what a worker leaves there that is killed, Dask removes.
        with tempfile.TemporaryDirectory(dir=worker.local_directory) as folder:
            return _run_in(Path(folder), job, task)
    except OSError as error:
        return Outcome(f"{type(error).__name__} on {worker.address}: {error}")


def _run_in(folder: Path, job: Job, task: _Task) -> Outcome:
    papermill_engines.register("reporting", _ReportingEngine)
    write_whole(folder / SOURCE, job.text)
    checkpoints = job.checkpoints if _is_here(*job.lock) else folder / "checkpoints"
    kept = {
        "FPRIN_CHECKPOINTS": str(checkpoints),
        "FPRIN_SWEEPS": str(checkpoints / f"{job.notebook}.sweeps"),
    }
    try:
        papermill.execute_notebook(
            str(folder / SOURCE),
            str(folder / EXECUTED),
            {**job.parameters, "output_dir": str(folder)},
            engine_name="reporting",
            progress_bar=False,
            environment=os.environ | kept | job.environment,
            folder=str(folder),
            task=task,
        )
    except Exception:
        failure = re.sub(r"\x1b\[[0-9;]*m", "", traceback.format_exc())
        return Outcome(failure.replace(f"{folder}/", ""))
    made = sorted(folder.glob(f"{job.notebook}.*"))
    executed = (folder / EXECUTED).read_text(encoding="utf-8")
    return Outcome("", {path.name: path.read_bytes() for path in made}, executed)


def _is_here(lock: Path, holder: str) -> bool:
    """Tell whether a file is on a disk of this machine, as its client has it."""
    try:
        return lock.read_text(encoding="utf-8") == holder
    except OSError:
        return False


class _Task:
    """The task that runs a notebook: it reports, and knows whether it is wanted."""

    def __init__(self, worker: Worker, job: Job) -> None:
        self._worker, self._key, self._job = worker, worker.get_current_task(), job
        self._reported = 0.0

    def report(self, text: str, *, is_new: bool) -> None:
        """Tell the client what the notebook is at; the progress within a cell now and then."""
        if is_new or time.monotonic() - self._reported > SECONDS_BETWEEN_REPORTS:
            self._reported = time.monotonic()
            self._worker.log_event(self._job.topic, [self._job.notebook, text])

    @property
    def is_wanted(self) -> bool:
        """Whether a client still waits for it."""
        # What a worker does with a task that it cannot stop: it calls it cancelled.
        state = self._worker.state.tasks.get(self._key)
        return state is not None and state.state != "cancelled"


class _ReportingClient(PapermillNotebookClient):
    """Reports the cell that the kernel is at, and the text of a progress bar that moves."""

    def __init__(self, nb_man: Any, *, task: _Task, **options: Any) -> None:
        super().__init__(nb_man, **options)
        self.task = task

    def create_kernel_manager(self) -> Any:
        manager = super().create_kernel_manager()
        command = manager.kernel_spec.argv
        if "ipykernel_launcher" in command:
            place = command.index("ipykernel_launcher")
            start = ["-c", START_OF_A_KERNEL]
            manager.kernel_spec.argv = [*command[: place - 1], *start, *command[place + 1 :]]
        return manager

    def process_message(self, msg: Any, cell: Any, cell_index: int) -> Any:
        place = f"cell {cell_index + 1}/{len(self.nb.cells)}"
        if msg["msg_type"] == "execute_input":
            self.task.report(place, is_new=True)
        state = msg["content"].get("data", {}) if msg["msg_type"] == "comm_msg" else {}
        text = state.get("state", {}).get("value")
        if isinstance(text, str) and re.search("(step|setting)/s|s/(step|setting)", text):
            text = re.sub(r"\s+", " ", html.unescape(text)).strip()
            self.task.report(f"{place}  {text}", is_new=False)
        return super().process_message(msg, cell, cell_index)

    def end_unless_wanted(self, is_over: threading.Event) -> None:
        """Kill the kernel when nobody waits for it any more."""
        while not is_over.wait(SECONDS_BETWEEN_REPORTS):
            if not self.task.is_wanted and self.km is not None and self.km.has_kernel:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self.km.provisioner.pid, signal.SIGKILL)
                return


class _ReportingEngine(NBClientEngine):
    @classmethod
    def execute_managed_notebook(
        cls,
        nb_man: Any,
        kernel_name: str,
        *,
        task: _Task,
        environment: Mapping[str, str],
        folder: str,
        **_: Any,
    ) -> Any:
        client = _ReportingClient(
            nb_man,
            task=task,
            kernel_name=kernel_name,
            startup_timeout=120,
            extra_arguments=["--log-level=CRITICAL"],
        )
        is_over = threading.Event()
        watch = threading.Thread(target=client.end_unless_wanted, args=(is_over,), daemon=True)
        watch.start()
        try:
            return client.execute(env=dict(environment), cwd=folder)
        finally:
            is_over.set()
            watch.join()


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
