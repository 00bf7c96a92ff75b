"""The explorer: experiments of one's own, watched while they train."""

from __future__ import annotations

import asyncio
import base64
import html
import json
import math
import shlex
import time
from collections.abc import Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import anywidget
import numpy as np
import traitlets
import yaml
from matplotlib.figure import Figure
from tqdm import tqdm

from fprin_utils.checks import check_kind
from fprin_utils.figures import Settings, save_figure
from fprin_utils.play.experiments import PRESETS, Experiment, list_controls
from fprin_utils.play.pages import MovingFigure, read_source
from fprin_utils.plotting import (
    plot_error_heatmap,
    plot_fits,
    plot_image,
    plot_spectrum,
)
from fprin_utils.training import TrainingRun

NOTEBOOK = "12_explorer"
SECONDS_BETWEEN_ANSWERS = 0.15
# One training at a time in a process: two would set the number of torch threads for each other.
_TRAINER = ThreadPoolExecutor(1)


class Explorer(anywidget.AnyWidget):
    """Experiments of one's own: controls, and a picture that moves while the networks learn.

    The browser draws; it is sent the records, and sends what its controls say.

    Attributes:
        experiment: The experiment that is shown.
        run: Its run so far.
    """

    _esm = read_source("player.js", "explorer.js")
    start = traitlets.Dict().tag(sync=True)

    def __init__(self, experiment: Experiment, run: TrainingRun, settings: Settings) -> None:
        """Show an experiment that has been made.

        Args:
            experiment: The experiment.
            run: Its run.
            settings: Settings of the notebook: those of experiments to come are like them but for
                what the controls say, and their figures are saved below the same folder.
        """
        check_kind("experiment", experiment, Experiment, "an Experiment")
        check_kind("run", run, TrainingRun, "a TrainingRun")
        check_kind("settings", settings, Settings, "what configure returns")
        self.experiment, self.run, self.settings = experiment, run, settings
        self.cpu_seconds = time.process_time() - settings.started[1]
        self.is_stopping = self.has_diverged = False
        self.task: asyncio.Task | None = None
        fixed = {
            "style": read_source("player.css"),
            "controls": list_controls(),
            "presets": {name: preset.to_controls() for name, preset in PRESETS.items()},
        }
        super().__init__(start=fixed | self._describe())
        self.on_msg(lambda _, request, __: self._answer(request))

    def _repr_mimebundle_(self, **options: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the widget, and for whoever has no kernel the run that it starts with."""
        shown = super()._repr_mimebundle_(**options)
        data, about = shown if isinstance(shown, tuple) else (shown, {})
        start = MovingFigure([self.start["run"] | {"name": "start"}])
        return start._repr_mimebundle_() | data, about

    def _answer(self, request: Mapping[str, Any]) -> None:
        """Do what a button asks for; what comes while something else is done is not heard."""
        wanted, works = request.get("do"), {"train": self.train, "save": self.save}
        if wanted == "stop":
            self.is_stopping = True
        elif wanted in works and (self.task is None or self.task.done()):
            work = works[wanted]
            self.task = asyncio.get_running_loop().create_task(self._work(work(request)))

    async def _work(self, work: Coroutine) -> None:
        try:
            self._tell(await work)
        except (ValueError, FloatingPointError, OSError) as error:
            self._tell(f"{error}.", control=getattr(error, "control", None))
        except Exception as error:
            self._tell(f"This failed: {type(error).__name__} {error}.")

    async def train(self, request: Mapping[str, Any]) -> str:
        """Train what the controls say, and send the records meanwhile; return what to tell."""
        experiment = Experiment.from_controls(request["settings"])
        self.is_stopping, latest, num_sent = False, [], 0
        loop, started = asyncio.get_running_loop(), time.process_time()

        def note(step: int, run: TrainingRun) -> bool:
            latest[:] = [(step, run)]
            return self.is_stopping

        working = loop.run_in_executor(
            _TRAINER,
            lambda: experiment.train(device=self.settings.device, progress=False, on_progress=note),
        )
        self._tell("Training.", is_busy=True)
        try:
            while not working.done():
                await asyncio.sleep(SECONDS_BETWEEN_ANSWERS)
                if latest:
                    step, run = latest[0]
                    num_sent = self._send_records(experiment, run, num_sent)
                    left = run.seconds * (experiment.num_steps / max(step, 1) - 1)
                    told = f"Step {step:,} of {experiment.num_steps:,}; about "
                    self._tell(f"{told}{tqdm.format_interval(left)} left.", is_busy=True)
            run = await working
        except FloatingPointError as error:
            self.has_diverged = True
            raise FloatingPointError(f"The training diverged: {error}") from error
        finally:
            self.is_stopping = True
            await asyncio.wait([working])
            self.cpu_seconds = time.process_time() - started
        self._send_records(experiment, run, num_sent)
        self.start = self.start | self._describe()
        ended = "Stopped" if run.steps[-1] < experiment.num_steps else "Done"
        return f"{ended} after {run.seconds:.1f} seconds. Play it again, or drag on the heat map."

    async def save(self, request: Mapping[str, Any]) -> str:
        """Save the figure at a record, and show where it is and what would re-create it."""
        record = min(max(int(request["record"]), 0), len(self.run.steps) - 1)
        path = await asyncio.get_running_loop().run_in_executor(None, self._save, record)
        links = [_make_download(file) for file in (path, path.with_suffix(".json"))]
        if self.has_diverged:
            promise = "repeats the training, which ends in the same error"
        elif self.run.steps[-1] == self.experiment.num_steps:
            promise = "re-creates the run"
        else:
            promise = "re-creates the whole run"
        command = html.escape(make_papermill_line(self.experiment, self.settings.device))
        saved = (
            f"<p>Download {' and '.join(links)}. In the folder of the repository, this line "
            f"{promise}:</p><pre>{command}</pre>"
        )
        self.send({"kind": "saved", "html": saved})
        return f"Saved in {path.parent}."

    def _save(self, record: int) -> Path:
        experiment, run = self.experiment, self.run
        steps = {"last_step": int(run.steps[-1]), "shown_step": int(run.steps[record])}
        figure = draw_experiment(experiment, run, record)
        # As if it were saved at the end of the training.
        started = time.perf_counter() - run.seconds, time.process_time() - self.cpu_seconds
        settings = replace(
            self.settings,
            output_dir=_make_folder(self.settings.output_dir),
            values=dict(self.settings.values) | asdict(experiment) | steps,
            started=started,
        )
        return save_figure(figure, settings, [])

    def _describe(self) -> dict[str, Any]:
        """Return what a view that is opened now starts with."""
        experiment, run = self.experiment, self.run
        return {
            "settings": experiment.to_controls(),
            "run": experiment.view.pack_run("run", run, experiment.take_curves(run)),
            "lastStep": experiment.num_steps,
            "text": f"Trained for {run.steps[-1]:,} steps. Change something and press Train.",
        }

    def _begin(self, experiment: Experiment, packed: Mapping[str, Any]) -> None:
        run = experiment.view.about | packed
        self.send({"kind": "begin", "run": run, "lastStep": experiment.num_steps})

    def _send_records(self, experiment: Experiment, run: TrainingRun, num_sent: int) -> int:
        """Send what has not been sent yet; return how many records have been."""
        new = slice(num_sent, len(run.steps))
        if new.start == new.stop:
            return num_sent
        curves = experiment.take_curves(run)
        packed = experiment.view.pack(run.steps[new], run.outputs[new], curves[new])
        if num_sent == 0:
            self.experiment, self.has_diverged = experiment, False
            self._begin(experiment, packed)
        else:
            self.send({"kind": "records"} | packed)
        self.run = run
        return new.stop

    def _tell(self, text: str, *, is_busy: bool = False, control: str | None = None) -> None:
        self.send({"kind": "tell", "text": text, "isBusy": is_busy, "control": control})


def draw_experiment(experiment: Experiment, run: TrainingRun, record: int) -> Figure:
    """Draw a run at a record: what is learnt, its spectrum, its errors up to there."""
    view = experiment.view
    figure = Figure(figsize=(9.6, 2.9))  # Not pyplot's, which would keep it.
    left, middle, right = figure.subplots(1, 3, width_ratios=(1.15, 1, 1.25))
    outputs = run.outputs[record]
    if view.curve_inputs is None:
        size = view.about["size"]
        plot_image(outputs[0].reshape(size, size), "a  the first network", ax=left)
    else:
        fits = {"networks": experiment.take_curves(run)[record]}
        inputs = view.curve_inputs
        plot_fits(experiment.inputs, experiment.targets, fits, fit_inputs=inputs, ax=left)
        left.set(title="a  samples and fits", ylim=view.limits)
    frequencies = np.array(view.about["frequencies"])
    amplitudes = {"networks": view.compute_amplitudes(outputs)}
    plot_spectrum(amplitudes, frequencies=frequencies, ax=middle)
    middle.plot(
        frequencies, view.about["targetAmplitudes"], "k.", linestyle="none", label="samples"
    )
    middle.set(title="b  spectrum")
    shown = slice(max(record, 1) + 1)
    errors = np.median(view.compute_errors(run.outputs[shown]), axis=1)
    labels, threshold = view.about["labels"], view.about["threshold"]
    plot_error_heatmap(run.steps[shown], errors, labels, threshold=threshold, ax=right)
    right.set_title("c  red is learnt")
    return figure


def make_papermill_line(experiment: Experiment, device: str) -> str:
    """Return the command that runs the explorer's notebook with an experiment."""
    # JSON's 2e-05 would be a text to papermill, which reads YAML.
    plain = json.loads(json.dumps(asdict(experiment) | {"device": device}))
    values = yaml.safe_dump(plain, default_flow_style=True, sort_keys=False, width=math.inf)
    line = f"papermill notebooks/{NOTEBOOK}.ipynb {NOTEBOOK}.ipynb -y "
    return line + shlex.quote(values.strip())


def _make_folder(parent: Path) -> Path:
    """Make the first of a row of numbered folders that is not there yet."""
    # What stands in its place, be it a link that leads nowhere, is an error of its own.
    parent.mkdir(parents=True, exist_ok=True)
    number = 1
    while True:
        folder = parent / f"{NOTEBOOK}_{number}"
        try:
            folder.mkdir()
        except FileExistsError:
            number += 1
        else:
            return folder


def _make_download(path: Path) -> str:
    kind = {"png": "image/png", "json": "application/json"}[path.suffix[1:]]
    content = base64.b64encode(path.read_bytes()).decode("ascii")
    return f'<a download="{path.name}" href="data:{kind};base64,{content}">{path.name}</a>'
