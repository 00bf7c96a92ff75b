"""The explorer: experiments of one's own, watched while they train."""

from __future__ import annotations

import asyncio
import base64
import html
import json
import math
import shlex
import time
from collections.abc import Callable, Coroutine, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import ipywidgets
import yaml
from tqdm import tqdm

from fprin_utils.checks import check_kind
from fprin_utils.figures import Settings, save_figure
from fprin_utils.networks import ACTIVATIONS, INITIALIZATIONS
from fprin_utils.play.experiments import (
    LIMITS,
    MOST_SINUSOIDS,
    PRESETS,
    SINUSOIDS,
    TARGETS,
    Experiment,
)
from fprin_utils.play.moving import MovingPicture
from fprin_utils.play.players import Player, check_run, make_label
from fprin_utils.play.views import describe_order
from fprin_utils.training import OPTIMIZERS, TrainingRun

NOTEBOOK = "12_explorer"
SECONDS_BETWEEN_PICTURES, SHORTEST_PAUSE = 0.15, 0.03
OWN = "your own"
# With more values than these a slider goes in tens.
MOST_SINGLE_STEPS = 1000
# For values that lie between the steps of a slider.
FINEST_STEPS = {ipywidgets.IntSlider: 1, ipywidgets.FloatSlider: 0.001}
# One training at a time in a process: two would set the number of torch threads for each other.
_TRAINER = ThreadPoolExecutor(1)


class Explorer:
    """Experiments of one's own: controls, a picture that moves while the networks learn, a player.

    Attributes:
        widget: What is shown, as the last value of a cell.
        experiment: The experiment that is shown.
        run: Its run so far.
    """

    def __init__(self, experiment: Experiment, run: TrainingRun, settings: Settings) -> None:
        """Show an experiment that has been made.

        Args:
            experiment: The experiment.
            run: Its run.
            settings: Settings of the notebook: those of experiments to come are like them but for
                what the controls say, and their figures are saved below the same folder.
        """
        check_kind("experiment", experiment, Experiment, "an Experiment")
        check_kind("settings", settings, Settings, "what configure returns")
        check_run("run", run, experiment.view)
        self.settings = settings
        self.player = Player()
        self.controls = _Controls(experiment)
        self.train_button = ipywidgets.Button(
            description="Train", icon="play", button_style="primary", tooltip="Train the networks"
        )
        self.stop_button = ipywidgets.Button(
            description="Stop", icon="stop", disabled=True, tooltip="End the training here"
        )
        self.save_button = ipywidgets.Button(
            description="Save figure", icon="download", tooltip="Save the picture and its JSON"
        )
        self.progress = ipywidgets.IntProgress(layout=ipywidgets.Layout(flex="1 1 auto"))
        self.status, self.sentence, self.saved = (ipywidgets.HTML() for _ in range(3))
        self.train_button.on_click(lambda _: self._begin(self.train))
        self.stop_button.on_click(lambda _: self._ask_to_stop())
        self.save_button.on_click(lambda _: self._begin(self.save))
        buttons = [self.train_button, self.stop_button, self.save_button, self.progress]
        self.widget = ipywidgets.VBox(
            [
                self.controls.widget,
                ipywidgets.HBox(buttons),
                self.status,
                self.player.widget,
                self.sentence,
                self.saved,
            ]
        )
        self.picture: MovingPicture | None = None
        self.cpu_seconds = time.process_time() - settings.started[1]
        self._follow(experiment, MovingPicture(experiment.view, experiment.steps), run)
        self._tell(f"Trained for {run.steps[-1]:,} steps. Change something and press Train.")

    async def train(self) -> None:
        """Train what the controls describe, and move the picture meanwhile."""
        self._set_busy(True)
        self.stop_button.disabled, self.is_stopping = False, False
        loop, started = asyncio.get_running_loop(), time.process_time()
        latest: list[tuple[int, TrainingRun]] = []
        working = None

        def note(step: int, run: TrainingRun) -> bool:
            latest[:] = [(step, run)]
            return self.is_stopping

        try:
            experiment = self.controls.read()
            # What takes long is done elsewhere, so that the controls go on answering.
            picture = await loop.run_in_executor(
                None, MovingPicture, experiment.view, experiment.steps
            )
            working = loop.run_in_executor(
                _TRAINER,
                lambda: experiment.train(
                    device=self.settings.device, progress=False, on_progress=note
                ),
            )
            while not working.done():
                due = time.perf_counter() + SECONDS_BETWEEN_PICTURES
                if latest:
                    step, run = latest[0]
                    self._follow(experiment, picture, run)
                    left = run.seconds * (experiment.num_steps / max(step, 1) - 1)
                    self._tell(
                        f"Step {step:,} of {experiment.num_steps:,}; about "
                        f"{tqdm.format_interval(left)} left."
                    )
                # Never less than a moment, in which the controls are heard.
                await asyncio.sleep(max(due - time.perf_counter(), SHORTEST_PAUSE))
            run = await working
            self._follow(experiment, picture, run)
            self._tell(
                f"{'Stopped' if self.is_stopping else 'Done'} after {run.seconds:.1f} seconds. "
                "Move the slider, or press play, to go through the training once more."
            )
        except ValueError as error:
            self._tell(f"{error}.")
        except FloatingPointError as error:
            self._tell(f"The training diverged: {error}.")
            if latest:
                self._follow(experiment, picture, latest[0][1])
                self.has_diverged = True
        except Exception as error:
            self._tell(f"The training failed: {type(error).__name__} {error}.")
        finally:
            self.is_stopping = True
            if working is not None:
                await asyncio.wait([working])
            self.cpu_seconds = time.process_time() - started
            self.stop_button.disabled = True
            self._set_busy(False)

    async def save(self) -> None:
        """Save the figure as it is, and show where it is and what would re-create it."""
        self._set_busy(True)
        experiment, run, record = self.experiment, self.run, self.player.slider.value
        steps = {"last_step": int(run.steps[-1]), "shown_step": int(run.steps[record])}
        values = dict(self.settings.values) | asdict(experiment) | steps
        if self.has_diverged:
            promise = "repeats the training, which ends in the same error"
        elif steps["last_step"] == experiment.num_steps:
            promise = "re-creates the run"
        else:
            promise = "re-creates the whole run"

        def draw_and_save() -> Path:
            # A picture of its own, since the one that is shown may move meanwhile.
            picture = MovingPicture(experiment.view, experiment.steps)
            picture.draw(run, record)
            # As if it were saved at the end of the training.
            started = time.perf_counter() - run.seconds, time.process_time() - self.cpu_seconds
            folder = _make_folder(self.settings.output_dir)
            settings = replace(self.settings, output_dir=folder, values=values, started=started)
            return save_figure(picture.freeze(), settings, [])

        try:
            path = await asyncio.get_running_loop().run_in_executor(None, draw_and_save)
        except OSError as error:
            self.saved.value = f"<p>Not saved: {html.escape(str(error))}.</p>"
        else:
            links = [_make_download(file) for file in (path, path.with_suffix(".json"))]
            command = html.escape(make_papermill_line(experiment, self.settings.device))
            self.saved.value = (
                f"<p>Saved in {html.escape(str(path.parent))}; download {' and '.join(links)}. "
                f"Later, in the folder of the repository, this line {promise}:</p>"
                f"<pre style='white-space:pre-wrap'>{command}</pre>"
            )
        finally:
            self._set_busy(False)

    def _follow(self, experiment: Experiment, picture: MovingPicture, run: TrainingRun) -> None:
        """Show an experiment as far as it has come."""
        if picture is not self.picture:
            self.experiment, self.picture, self.has_diverged = experiment, picture, False
            self.progress.max = experiment.num_steps
            self.saved.value = ""
        self.run = run
        self.progress.value = run.steps[-1]
        self.player.show(picture, run, len(run.steps) - 1)
        told = describe_order(experiment.view, run.steps, picture.errors)
        self.sentence.value = f'<p role="status" style="font-size:115%">{html.escape(told)}</p>'

    def _tell(self, text: str) -> None:
        self.status.value = f'<span role="status">{html.escape(text)}</span>'

    def _ask_to_stop(self) -> None:
        self.is_stopping = True

    def _set_busy(self, is_busy: bool) -> None:
        for button in (self.train_button, self.save_button):
            button.disabled = is_busy

    def _begin(self, make_work: Callable[[], Coroutine]) -> None:
        """Begin a training or a save, unless one is going on: a second click may be on its way."""
        if not self.train_button.disabled:
            self._set_busy(True)
            # The loop holds tasks weakly: one that nobody holds may end half-way.
            self.task = asyncio.get_running_loop().create_task(make_work())


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


class _Controls:
    """The controls of an experiment: numbers within limits and names from lists, nothing else.

    Attributes:
        widget: What is shown.
    """

    def __init__(self, experiment: Experiment) -> None:
        self.preset = _make_choice("preset", [OWN, *PRESETS])
        self.target = _make_choice("target", TARGETS)
        places = range(1, MOST_SINUSOIDS + 1)
        self.frequencies = [_make_slider("frequency", f"frequency {place}") for place in places]
        self.amplitudes = [_make_slider("amplitude", "amplitude") for _ in places]
        self.num_layers = _make_slider("num_layers", "hidden layers")
        places = range(1, LIMITS["num_layers"][1] + 1)
        self.widths = [_make_slider("widths", f"neurons, layer {place}") for place in places]
        self.others = {
            "noise_std": _make_slider("noise_std", "noise, std"),
            "num_points": _make_slider("num_points", "samples"),
            "activation": _make_choice("activation", ACTIVATIONS),
            "initialization": _make_choice("initial weights", INITIALIZATIONS),
            "init_std": _make_slider("init_std", "their std"),
            "optimizer": _make_choice("optimiser", OPTIMIZERS),
            "learning_rate": _make_slider("learning_rate", "learning rate"),
            "num_steps": _make_slider("num_steps", "steps"),
            "num_seeds": _make_slider("num_seeds", "seeds"),
            "seed": _make_slider("seed", "first seed"),
        }
        for amplitude in self.amplitudes:
            amplitude.style.description_width, amplitude.layout.width = "70px", "220px"
        pairs = zip(self.frequencies, self.amplitudes, strict=True)
        self.sinusoids = ipywidgets.VBox([ipywidgets.HBox(pair) for pair in pairs])
        of_target = [self.others[name] for name in ("noise_std", "num_points")]
        of_networks = [self.others[name] for name in ("activation", "initialization", "init_std")]
        of_training = ("optimizer", "learning_rate", "num_steps", "num_seeds", "seed")
        self.widget = ipywidgets.HBox(
            [
                _make_column("Target", [self.preset, self.target, self.sinusoids, *of_target]),
                _make_column("Networks", [self.num_layers, *self.widths, *of_networks]),
                _make_column("Training", [self.others[name] for name in of_training]),
            ],
            layout=ipywidgets.Layout(flex_flow="row wrap"),
        )
        self.write(experiment)
        self.preset.observe(self._take_preset, "value")
        lists = [*self.frequencies, *self.amplitudes, *self.widths, *self.others.values()]
        for widget in [self.target, self.num_layers, *lists]:
            widget.observe(lambda _: self._note_change(), "value")

    def read(self) -> Experiment:
        """Return the experiment that the controls describe; a ValueError says what is wrong."""
        sinusoids = tuple(
            (frequency.value, amplitude.value)
            for frequency, amplitude in zip(self.frequencies, self.amplitudes, strict=True)
            if amplitude.value
        )
        is_sinusoids = self.target.value == SINUSOIDS
        if is_sinusoids and not sinusoids:
            raise ValueError("all amplitudes are 0; raise one")
        return Experiment(
            target=sinusoids if is_sinusoids else self.target.value,
            widths=tuple(slider.value for slider in self.widths[: self.num_layers.value]),
            **{name: widget.value for name, widget in self.others.items()},
        )

    def write(self, experiment: Experiment) -> None:
        """Set the controls to an experiment."""
        self.is_writing = True
        self.target.value = experiment.kind
        sinusoids = experiment.target if experiment.kind == SINUSOIDS else ()
        self.num_layers.value = len(experiment.widths)
        for sliders, values, rest in (
            (self.frequencies, [frequency for frequency, _ in sinusoids], 1),
            (self.amplitudes, [amplitude for _, amplitude in sinusoids], 0.0),
            (self.widths, experiment.widths, experiment.widths[-1]),
        ):
            for place, slider in enumerate(sliders):
                _set_value(slider, values[place] if place < len(values) else rest)
        for name, widget in self.others.items():
            _set_value(widget, getattr(experiment, name))
        self.is_writing = False
        self._note_change()

    def _take_preset(self, change: dict[str, Any]) -> None:
        if not self.is_writing and change["new"] != OWN:
            self.write(PRESETS[change["new"]])

    def _note_change(self) -> None:
        """Name the preset that the controls have come to, and hide those that have no say."""
        if self.is_writing:
            return
        try:
            experiment = self.read()
        except ValueError:
            experiment = None
        known = [name for name, preset in PRESETS.items() if preset == experiment]
        self.is_writing = True
        self.preset.value = known[0] if known else OWN
        self.is_writing = False
        _set_visible(self.sinusoids, self.target.value == SINUSOIDS)
        _set_visible(self.others["num_points"], self.target.value != "picture")
        _set_visible(self.others["init_std"], self.others["initialization"].value == "normal")
        for place, slider in enumerate(self.widths):
            _set_visible(slider, place < self.num_layers.value)


def _set_value(widget: ipywidgets.Widget, value: Any) -> None:
    """Set a control to a value, which a browser would round to the steps of a slider."""
    if isinstance(widget, ipywidgets.SelectionSlider) and value not in widget.options:
        widget.options = sorted([*widget.options, value])
    elif (step := getattr(widget, "step", None)) and not math.isclose(
        value / step, round(value / step), abs_tol=1e-6
    ):
        widget.step = FINEST_STEPS[type(widget)]
    widget.value = value


def _set_visible(widget: ipywidgets.Widget, is_visible: bool) -> None:
    widget.layout.display = None if is_visible else "none"


def _make_column(title: str, widgets: list[ipywidgets.Widget]) -> ipywidgets.Widget:
    return ipywidgets.VBox([ipywidgets.HTML(f"<b>{title}</b>"), *widgets])


def _make_choice(name: str, options: Iterable[str]) -> ipywidgets.Dropdown:
    return ipywidgets.Dropdown(options=list(options), **make_label(name))


def _make_slider(name: str, description: str) -> ipywidgets.Widget:
    """Make a slider over the limits of a setting; in powers where they are far apart."""
    least, most = LIMITS[name]
    shared = make_label(description)
    if isinstance(least, int):
        step = 10 if most > MOST_SINGLE_STEPS else 1
        return ipywidgets.IntSlider(min=least, max=most, step=step, **shared)
    if least > 0:
        powers = range(math.floor(math.log10(least)), math.ceil(math.log10(most)) + 1)
        values = [float(f"{digit}e{power}") for power in powers for digit in (1, 1.5, 2, 3, 5, 8)]
        options = [value for value in values if least <= value <= most]
        return ipywidgets.SelectionSlider(options=options, **shared)
    return ipywidgets.FloatSlider(min=least, max=most, step=0.05, **shared)
