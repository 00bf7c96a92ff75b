"""A picture of a training that is drawn many times a second."""

from __future__ import annotations

import io
from collections.abc import Callable

import matplotlib.pyplot as plt
import numpy as np
import PIL.Image
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from fprin_utils.artists import Band
from fprin_utils.checks import as_records, check_kind
from fprin_utils.convergence import find_convergence_step
from fprin_utils.play.views import View
from fprin_utils.plotting import (
    STYLE,
    plot_error_heatmap,
    plot_fits,
    plot_image,
    plot_spectrum,
)
from fprin_utils.training import TrainingRun

# How far the axes reach beyond the target, as shares of its height.
MARGIN_OF_FITS, MARGIN_OF_AMPLITUDES = 0.35, 0.3


class MovingPicture:
    """Three linked panels: what is learnt, its spectrum, and its errors over training.

    What stays is drawn once and kept; for a moment only the curves are drawn upon it, which takes
    some hundredths of a second.

    Attributes:
        view: What there is to see.
        steps: Steps of all records that there will be, shape (R,).
        errors: Relative errors of the records so far, shape (R', S, P).
        figure: The figure, as it is at the moment that was drawn last.
    """

    def __init__(self, view: View, steps: np.ndarray) -> None:
        """Draw what stays.

        Args:
            view: What there is to see.
            steps: Steps of all records that there will be, shape (R,).

        Raises:
            ValueError: If there is no record after step 0.
        """
        check_kind("view", view, View, "a View")
        steps, _ = as_records(steps, "(R,)", values=steps)
        steps = steps.astype(int)
        if steps[-1] == 0:
            raise ValueError("a picture of a training wants a record after step 0 among its steps")
        self.view, self.steps = view, steps
        self.errors = np.empty((0, 0, len(view.labels)))
        self._moving: list[Artist] = []
        with plt.style.context(STYLE):
            self.figure = Figure(figsize=(9.6, 2.9), dpi=130)
            FigureCanvasAgg(self.figure)
            left, middle, right = self.figure.subplots(1, 3, width_ratios=(1.15, 1, 1.25))
            self._draw_outputs = (
                self._add_image(left) if view.inputs is None else self._add_fit(left)
            )
            self._draw_amplitudes = self._add_spectrum(middle)
            self._draw_errors = self._add_errors(right)
            self.figure.draw_without_rendering()
            # The layout is settled, and would only cost time from now on.
            self.figure.set_layout_engine("none")
        self._still = self._draw_still()

    def draw(self, run: TrainingRun, record: int) -> bytes:
        """Draw a moment.

        Args:
            run: The run so far, with R' records; at each call that of the last one, grown or not.
            record: Which of them to show, from 0 to R' - 1.

        Returns:
            The picture, as PNG.
        """
        outputs = run.outputs
        curves = run.further_outputs[self.view.curves] if self.view.curves else outputs
        new = self.view.compute_errors(outputs[len(self.errors) :])
        self.errors = np.concatenate([self.errors.reshape(-1, *new.shape[1:]), new])
        self._draw_outputs(curves[record])
        self._draw_amplitudes(outputs[record])
        self._draw_errors(record)
        canvas = self.figure.canvas
        if self._still is None:
            self._still = self._draw_still()
        canvas.restore_region(self._still)
        for artist in self._moving:
            artist.axes.draw_artist(artist)
        size = canvas.get_width_height(physical=True)
        image = PIL.Image.frombuffer("RGBA", size, canvas.buffer_rgba(), "raw", "RGBA", 0, 1)
        drawn = io.BytesIO()
        image.convert("RGB").save(drawn, "PNG", compress_level=1)
        return drawn.getvalue()

    def freeze(self) -> Figure:
        """Return the figure with all its parts, to be saved; `draw` moves it on again."""
        for artist in self._moving:
            artist.set_animated(False)
        self._still = None
        return self.figure

    def _draw_still(self) -> object:
        for artist in self._moving:
            artist.set_animated(True)
        with plt.style.context(STYLE):  # It has a say in new ticks.
            self.figure.canvas.draw()
        return self.figure.canvas.copy_from_bbox(self.figure.bbox)

    def _add_fit(self, ax: Axes) -> Callable[[np.ndarray], None]:
        """Add samples and fits; return what draws outputs of shape (S, M)."""
        view = self.view
        nothing = {"networks": np.full((1, len(view.curve_inputs)), np.nan)}
        bands = plot_fits(view.inputs, view.targets, nothing, fit_inputs=view.curve_inputs, ax=ax)
        margin = MARGIN_OF_FITS * np.ptp(view.targets)
        limits = (view.targets.min() - margin, view.targets.max() + margin)
        ax.set(title="a  samples and fits", ylim=limits)
        return self._follow(bands["networks"])

    def _add_image(self, ax: Axes) -> Callable[[np.ndarray], None]:
        """Add the image and what is learnt of it; return what draws outputs of shape (S, N)."""
        image = self.view.targets
        ax.set_axis_off()
        ax.set_title("a  the first network")
        learnt, target = (ax.inset_axes((start, 0, 0.48, 0.9)) for start in (0, 0.52))
        plot_image(image, "target", ax=target)
        shown = plot_image(np.zeros_like(image), "network", ax=learnt)
        self._moving.append(shown)
        return lambda outputs: shown.set_data(outputs[0].reshape(image.shape))

    def _add_spectrum(self, ax: Axes) -> Callable[[np.ndarray], None]:
        """Add the target's spectrum; return what draws that of outputs of shape (S, N)."""
        view = self.view
        amplitudes = view.compute_amplitudes(view.targets.reshape(1, -1))[0]
        nothing = {"networks": np.full((1, len(amplitudes)), np.nan)}
        bands = plot_spectrum(nothing, frequencies=view.frequencies, ax=ax)
        ax.plot(view.frequencies, amplitudes, "k.", linestyle="none", label="samples", zorder=3)
        # The mean is no frequency, and may be far above them.
        highest = amplitudes[view.frequencies > 0].max()
        ax.set(title="b  spectrum", ylim=(0, (1 + MARGIN_OF_AMPLITUDES) * highest))
        if view.inputs is None:
            ax.set_xlabel("cycles per image")
        ax.legend()
        draw = self._follow(bands["networks"])
        return lambda outputs: draw(view.compute_amplitudes(outputs))

    def _add_errors(self, ax: Axes) -> Callable[[int], None]:
        """Add the heat map of errors; return what draws it as it is, with a line at a record."""
        labels, shown = self.view.labels, self.steps > 0  # The axis is logarithmic.
        medians = np.full((len(self.steps), len(labels)), np.nan)
        threshold = self.view.threshold
        heat_map = plot_error_heatmap(self.steps, medians, labels, threshold=threshold, ax=ax)
        cursor = ax.axvline(1, color="k", linewidth=0.9, linestyle="-")
        self._moving += [heat_map.mesh, heat_map.marks, cursor]
        ax.set_title("c  red is learnt")
        if self.view.inputs is None:
            ax.set_ylabel("cycles per image")

        def draw(record: int) -> None:
            medians[: len(self.errors)] = np.median(self.errors, axis=1)
            first = find_convergence_step(self.steps, medians, threshold, num_records=1)
            heat_map.move(medians[shown], first.clip(min=1))
            cursor.set_xdata([max(self.steps[record], 1)] * 2)

        return draw

    def _follow(self, band: Band) -> Callable[[np.ndarray], None]:
        """Let a line and its band move; return what draws values of shape (S, M)."""
        self._moving += [band.area, band.line]
        return band.move
