"""What is timed: networks and data of the companion's experiments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

import fprin_utils as fp


@dataclass(frozen=True)
class Workload:
    """A training that every contender does, by full-batch Adam.

    Attributes:
        title: What it is, in a few words.
        widths: Neurons of each hidden layer.
        num_seeds: Networks trained, S.
        num_steps: Updates that are timed.
        inputs: Training inputs, shape (N, num_inputs).
        targets: Training targets, shape (N,).
        learning_rate: Step size of Adam.
        activation: "tanh" or "relu".
        initialization: As in `fprin_utils.Ensemble`.
        init_std: As in `fprin_utils.Ensemble`.
    """

    title: str
    widths: Sequence[int]
    num_seeds: int
    num_steps: int
    inputs: np.ndarray
    targets: np.ndarray
    learning_rate: float
    activation: str = "tanh"
    initialization: str = "normal"
    init_std: float = 0.05

    def make_ensemble(self) -> fp.Ensemble:
        """Return the networks as they start."""
        return fp.Ensemble(
            list(self.widths),
            seeds=range(self.num_seeds),
            activation=self.activation,
            initialization=self.initialization,
            init_std=self.init_std,
            num_inputs=self.inputs.shape[1],
        )

    def make_initial_layers(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Return weights (S, in, out) and biases (S, 1, out) of each layer as they start."""
        ensemble = self.make_ensemble()
        return [
            (weight.detach().numpy(), bias.detach().numpy())
            for weight, bias in zip(ensemble.weights, ensemble.biases, strict=True)
        ]


def make_workload(name: str) -> Workload:
    """Return the workload of a name, one of `WORKLOADS`."""
    return WORKLOADS[name]()


def _make_public() -> Workload:
    grid = np.linspace(-10, 10, 61)
    targets = np.sin(grid) + np.sin(4 * grid)
    return Workload(
        "tanh 200-200-200-100, 61 points",
        [200, 200, 200, 100],
        16,
        600,
        grid[:, None],
        targets,
        2e-5,
    )


def _make_sinusoids() -> Workload:
    grid = fp.make_grid(200, start=0.0, stop=1.0)
    targets = fp.make_sinusoids(grid, 2 * np.pi * np.arange(5, 51, 5))
    return Workload(
        "ReLU 256 x 5, 200 points",
        [256] * 5,
        4,
        300,
        grid[:, None],
        targets,
        3e-4,
        activation="relu",
        initialization="pytorch",
    )


def _make_small() -> Workload:
    grid = fp.make_grid(61)
    targets = fp.make_sinusoids(grid, [1, 2, 3, 4], [1.0, 0.7, 0.5, 0.35])
    return Workload(
        "tanh 40-20, 61 points", [40, 20], 64, 1000, grid[:, None], targets, 1e-3, init_std=0.4
    )


def _make_wide() -> Workload:
    grid = fp.make_grid(121)
    targets = fp.make_sinusoids(grid, [1, 2, 3, 4], [1.0, 0.7, 0.5, 0.35])
    return Workload(
        "tanh 800-800-400-400, 121 points",
        [800, 800, 400, 400],
        2,
        200,
        grid[:, None],
        targets,
        2e-5,
        init_std=0.08,
    )


def _make_image() -> Workload:
    image = fp.load_image("camera", size=64)
    return Workload(
        "image 64 x 64, tanh 256-256-256-128",
        [256, 256, 256, 128],
        1,
        150,
        fp.make_image_coordinates(64),
        image.ravel() - image.mean(),
        5e-4,
        initialization="glorot",
    )


WORKLOADS = {
    "public": _make_public,
    "sinusoids": _make_sinusoids,
    "small": _make_small,
    "wide": _make_wide,
    "image": _make_image,
}
