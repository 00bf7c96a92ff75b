"""What is played with: sliders over a run that has been made."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import ipywidgets
import matplotlib.pyplot as plt
import numpy as np

from fprin_utils.plotting import plot_fits, plot_image, plot_spectrum
from fprin_utils.recording import TrainingRun
from fprin_utils.spectra import compute_spectrum


def explore_run(run: TrainingRun, inputs: np.ndarray, targets: np.ndarray) -> ipywidgets.Widget:
    """Return a slider over the records of a run: the fit and its spectrum at that step.

    Args:
        run: A run on one-dimensional inputs.
        inputs: Training inputs, shape (N,).
        targets: Training targets, shape (N,).

    Returns:
        The widget, to be shown as the last value of a cell.
    """

    def draw(record: int) -> None:
        _, (left, right) = plt.subplots(1, 2, figsize=(7.2, 2.6))
        outputs = run.outputs[record]
        plot_fits(inputs, targets, {"networks": outputs}, ax=left)
        amplitudes = {"target": targets, "networks": outputs}
        amplitudes = {name: np.abs(compute_spectrum(v)) for name, v in amplitudes.items()}
        plot_spectrum(amplitudes, ax=right)

    return _make_slider(run.steps, draw)


def explore_images(
    steps: Sequence[int], images: np.ndarray, target_image: np.ndarray
) -> ipywidgets.Widget:
    """Return a slider over the records of a run on an image: target, output and error.

    Args:
        steps: Recorded steps, length R.
        images: What was learnt, shape (R, H, W).
        target_image: The target, shape (H, W).

    Returns:
        The widget, to be shown as the last value of a cell.
    """

    def draw(record: int) -> None:
        _, axes = plt.subplots(1, 3, figsize=(7.2, 2.6))
        error = np.abs(images[record] - target_image)
        shown = {"target": target_image, "network": images[record], "absolute error": error}
        for ax, (title, image) in zip(axes, shown.items(), strict=True):
            plot_image(image, title, ax=ax)

    return _make_slider(steps, draw)


def _make_slider(steps: Sequence[int], draw: Callable[[int], None]) -> ipywidgets.Widget:
    slider = ipywidgets.SelectionSlider(
        options=[(str(step), record) for record, step in enumerate(steps)],
        value=len(steps) // 2,
        description="step",
        continuous_update=False,
        layout=ipywidgets.Layout(width="90%"),
    )

    def show(record: int) -> None:
        draw(record)
        plt.show()

    output = ipywidgets.interactive_output(show, {"record": slider})
    return ipywidgets.VBox([slider, output])
