"""An experiment that numbers and names alone describe, and what it shows."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np

from fprin_utils.checks import check_choice, check_number, tell
from fprin_utils.figures import Settings
from fprin_utils.networks import ACTIVATIONS, INITIALIZATIONS, Ensemble
from fprin_utils.play.views import View, view_curve, view_image
from fprin_utils.targets import (
    load_image,
    make_grid,
    make_image_coordinates,
    make_random,
    make_sinusoids,
)
from fprin_utils.training import OPTIMIZERS, TrainingRun, make_steps, train

SINUSOIDS = "sinusoids"
TARGETS = (SINUSOIDS, "random data", "picture")
# Least and most that is allowed; beyond, two cores and a gigabyte of memory would not do.
LIMITS: dict[str, tuple[float, float]] = {
    "frequency": (1, 30),
    "amplitude": (0.0, 3.0),
    "noise_std": (0.0, 1.0),
    "num_points": (16, 256),
    "num_layers": (1, 5),
    "widths": (1, 400),
    "init_std": (0.01, 3.0),
    "learning_rate": (1e-6, 1.0),
    "num_steps": (10, 20_000),
    "num_seeds": (1, 16),
    "seed": (0, 999),
}
MOST_SINUSOIDS = 4
NUM_RECORDS = 300
PICTURE_SIZE = 32
# The explorer's controls by the setting that they hold, and how many of them are in sight.
CONTROLS = {
    "frequencies": "frequencies",
    "amplitudes": "amplitudes",
    "widths": "neurons of each layer",
    "init_std": "initial scale",
    "learning_rate": "learning rate",
    "target": "target",
    "noise_std": "noise",
    "num_points": "samples",
    "activation": "activation",
    "initialization": "initial weights",
    "optimizer": "optimiser",
    "num_steps": "steps",
    "num_seeds": "seeds",
    "seed": "first seed",
}
NUM_IN_SIGHT, TYPED = 5, ("frequencies", "amplitudes", "widths")
# A slider has at most as many values as this.
MOST_SINGLE_STEPS = 1000
# Points of a curve for each sample, and what a run calls its outputs there.
FINENESS, CURVES = 6, "curves"


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """A target, networks that learn it, and how.

    Attributes:
        target: "random data", "picture", or up to `MOST_SINUSOIDS` pairs of a frequency index, a
            whole number, and an amplitude; a sinusoid of amplitude 0 is left out.
        noise_std: Standard deviation of what is added to each sample.
        num_points: Samples of a sum of sinusoids or of random data.
        widths: Neurons of each hidden layer.
        activation: One of `ACTIVATIONS`.
        initialization: One of `INITIALIZATIONS`.
        init_std: Standard deviation of the initial weights, for "normal".
        optimizer: One of `OPTIMIZERS`.
        learning_rate: Its step size.
        num_steps: Updates.
        num_seeds: Networks trained side by side.
        seed: First of their seeds, and that of random data and noise.
    """

    target: str | tuple[tuple[int, float], ...] = ((1, 1.0), (4, 1.0))
    noise_std: float = 0.0
    num_points: int = 61
    widths: tuple[int, ...] = (200, 200, 200, 100)
    activation: str = "tanh"
    initialization: str = "normal"
    init_std: float = 0.05
    optimizer: str = "adam"
    learning_rate: float = 2e-4
    num_steps: int = 2000
    num_seeds: int = 4
    seed: int = 0

    def __post_init__(self) -> None:
        for name, allowed in _CHOICES.items():
            check_choice(name, getattr(self, name), allowed)
        widths = _check_length("widths", self.widths, LIMITS["num_layers"][1])
        checked = {"widths": tuple(_check_limits("widths", width) for width in widths)}
        for name in (LIMITS.keys() - {"widths"}) & {field.name for field in fields(self)}:
            checked[name] = _check_limits(name, getattr(self, name))
        if not isinstance(self.target, str):
            checked["target"] = _check_sinusoids(self.target, checked["num_points"])
        elif self.target not in TARGETS[1:]:
            raise ValueError(
                f"target {self.target!r} is not one of {', '.join(TARGETS[1:])}, and lists no "
                "sinusoids"
            )
        for name, value in checked.items():
            # Frozen for others; here a list becomes a tuple, and 3.0 the whole number that it is.
            object.__setattr__(self, name, value)

    @classmethod
    def from_settings(cls, settings: Settings) -> Experiment:
        """Return the experiment that the settings of a notebook describe."""
        return cls(**{field.name: getattr(settings, field.name) for field in fields(cls)})

    @classmethod
    def from_controls(cls, values: Mapping[str, Any]) -> Experiment:
        """Return the experiment that the explorer's controls describe.

        Raises:
            ValueError: If there is none; its attribute `control` names the control to change.
        """
        values = dict(values)
        for name in TYPED:
            if not all(isinstance(number, (int, float)) for number in values[name]):
                raise _complain(name, "numbers with commas between them are wanted")
        sinusoids = values.pop("frequencies"), values.pop("amplitudes")
        if values["target"] == SINUSOIDS:
            if len(sinusoids[0]) != len(sinusoids[1]):
                raise _complain("amplitudes", "there must be one for each frequency")
            values["target"] = list(zip(*sinusoids, strict=True))
        try:
            return cls(**values)
        except ValueError as error:
            name, _, reason = str(error).partition(" ")
            control = {
                "frequency": "frequencies",
                "target": "frequencies",
                "amplitude": "amplitudes",
            }
            raise _complain(control.get(name, name), reason.removeprefix("is ")) from error

    def to_controls(self) -> dict[str, Any]:
        """Return what the explorer's controls say for this experiment."""
        sinusoids = self.target if self.kind == SINUSOIDS else ()
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return values | {
            "target": self.kind,
            "frequencies": [frequency for frequency, _ in sinusoids],
            "amplitudes": [amplitude for _, amplitude in sinusoids],
        }

    @property
    def kind(self) -> str:
        """Which of `TARGETS` the target is."""
        return self.target if isinstance(self.target, str) else SINUSOIDS

    @cached_property
    def inputs(self) -> np.ndarray:
        """Training inputs, shape (N,), or (N, 2) for the picture."""
        if self.target == "picture":
            return make_image_coordinates(PICTURE_SIZE)
        return make_grid(self.num_points)

    @cached_property
    def clean_targets(self) -> np.ndarray:
        """What is to be learnt before noise is added, shape (N,)."""
        if self.target == "picture":
            return load_image("camera", size=PICTURE_SIZE).ravel()
        if self.target == "random data":
            return make_random(self.num_points, seed=self.seed)
        return make_sinusoids(self.inputs, *zip(*self.target, strict=True))

    @cached_property
    def targets(self) -> np.ndarray:
        """Training targets, shape (N,)."""
        # A stream of its own, or noise on random data would be those data once more.
        noise = make_random(len(self.clean_targets), seed=self.seed + LIMITS["seed"][1] + 1)
        return self.clean_targets + self.noise_std * noise

    @cached_property
    def view(self) -> View:
        """The view that follows the sinusoids, all frequencies of random data, or rings."""
        if self.target == "picture":
            return view_image(self.targets.reshape(PICTURE_SIZE, PICTURE_SIZE))
        if self.target == "random data":
            bins = range(1, (self.num_points + 1) // 2)
        else:
            bins = sorted({frequency for frequency, amplitude in self.target if amplitude})
        curve_inputs = make_grid(FINENESS * self.num_points)
        return view_curve(self.inputs, self.targets, bins=bins, curve_inputs=curve_inputs)

    def take_curves(self, run: TrainingRun) -> np.ndarray:
        """Return the outputs of a run of it at the view's `curve_inputs`, shape (R, S, M)."""
        return run.outputs if self.target == "picture" else run.further_outputs[CURVES]

    @property
    def steps(self) -> np.ndarray:
        """Steps of the records, shape (R,)."""
        return make_steps(self.num_steps, NUM_RECORDS)

    def train(
        self,
        *,
        device: str = "cpu",
        progress: bool = True,
        on_progress: Callable[[int, TrainingRun], object] | None = None,
    ) -> TrainingRun:
        """Train the networks; arguments and errors are those of `fprin_utils.train`.

        Returns:
            The run; its further outputs `CURVES` are those at the view's `curve_inputs`.
        """
        is_picture = self.target == "picture"
        networks = Ensemble(
            self.widths,
            seeds=range(self.seed, self.seed + self.num_seeds),
            activation=self.activation,
            initialization=self.initialization,
            init_std=self.init_std,
            num_inputs=2 if is_picture else 1,
            device=device,
        )
        return train(
            networks,
            self.inputs,
            self.targets,
            num_steps=self.num_steps,
            learning_rate=self.learning_rate,
            optimizer=self.optimizer,
            record_at=self.steps,
            further_inputs={} if is_picture else {CURVES: self.view.curve_inputs},
            progress=progress,
            on_progress=on_progress,
        )


def list_controls() -> list[dict[str, Any]]:
    """Return the explorer's controls as `explorer.js` takes them; what is typed has no values."""
    options = {"target": TARGETS} | _CHOICES
    controls = []
    for place, (name, label) in enumerate(CONTROLS.items()):
        control = {"name": name, "label": label, "isMore": place >= NUM_IN_SIGHT}
        if name in options:
            control["values"] = list(options[name])
        elif name not in TYPED:
            control["values"] = _list_values(*LIMITS[name])
        controls.append(control)
    return controls


def _list_values(least: float, most: float) -> list[float]:
    """Return the values of a slider, in powers and parts of them where its limits are far apart."""
    if isinstance(least, int) and most <= MOST_SINGLE_STEPS:
        return list(range(least, int(most) + 1))
    if least == 0:
        return np.arange(0, most + 0.05, 0.05).round(2).tolist()
    powers = range(math.floor(math.log10(least)), math.ceil(math.log10(most)) + 1)
    values = [float(f"{digit}e{power}") for power in powers for digit in (1, 1.5, 2, 3, 5, 8)]
    return [value for value in values if least <= value <= most]


def _complain(control: str, reason: str) -> ValueError:
    error = ValueError(f"{CONTROLS[control]}: {reason}")
    error.control = control
    return error


def _check_length(name: str, values: Any, most: int) -> list | tuple:
    if not isinstance(values, (tuple, list)) or not 1 <= len(values) <= most:
        raise ValueError(f"{name} is {tell(values)}; it must list 1 to {most} entries")
    return values


def _check_sinusoids(target: Any, num_points: int) -> tuple[tuple[int, float], ...]:
    for pair in _check_length("target", target, MOST_SINUSOIDS):
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise ValueError(f"target lists {tell(pair)}; it must be a frequency and an amplitude")
    sinusoids = tuple(
        (_check_limits("frequency", frequency), _check_limits("amplitude", amplitude))
        for frequency, amplitude in target
    )
    frequencies = [frequency for frequency, amplitude in sinusoids if amplitude]
    if not frequencies:
        raise ValueError(f"target is {sinusoids}; one amplitude must be above 0")
    highest = max(frequencies)
    if 2 * highest >= num_points:
        raise ValueError(
            f"num_points is {num_points}; a frequency of {highest} wants more than {2 * highest}"
        )
    return sinusoids


def _check_limits(name: str, value: Any) -> float:
    least, most = LIMITS[name]
    is_whole = isinstance(least, int)
    wanted = f"{'a whole number ' if is_whole else ''}from {least:,g} to {most:,g}"

    def is_allowed(number: float) -> bool:
        return least <= number <= most and (number.is_integer() or not is_whole)

    number = check_number(name, value, wanted, is_allowed)
    return int(number) if is_whole else number


_CHOICES: dict[str, Mapping[str, Any] | tuple[str, ...]] = {
    "activation": ACTIVATIONS,
    "initialization": INITIALIZATIONS,
    "optimizer": OPTIMIZERS,
}

PRESETS: dict[str, Experiment] = {
    "Figure 1": Experiment(target=((1, 1.0), (3, 1.0), (5, 1.0))),
    "Figure 2": Experiment(
        target="picture",
        widths=(256, 256, 256, 128),
        learning_rate=1e-3,
        num_steps=2000,
        num_seeds=1,
    ),
    "Figure 3": Experiment(
        target=((1, 1.0), (2, 0.7), (3, 0.5), (4, 0.35)),
        widths=(400, 400, 400, 400),
        init_std=0.08,
        learning_rate=1e-4,
        num_steps=1000,
        num_seeds=2,
    ),
    "Figure 4": Experiment(target=((1, 1.0), (3, 2.0), (5, 3.0)), num_points=101, num_steps=3000),
    "Large initial weights": Experiment(
        target=((1, 1.0), (3, 1.0), (5, 1.0), (7, 1.0)),
        num_points=40,
        init_std=1.0,
        learning_rate=5e-4,
    ),
    "Noisy samples": Experiment(
        target=((1, 1.0), (2, 1.0)), noise_std=0.4, num_points=60, init_std=0.1, num_steps=4000
    ),
    "Random data": Experiment(
        target="random data", num_points=32, learning_rate=5e-4, num_steps=4000
    ),
}
