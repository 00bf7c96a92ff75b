"""What moves: a picture of a training that is drawn many times a second."""

from __future__ import annotations

import io
from collections.abc import Callable

import matplotlib.pyplot as plt
import numpy as np
import PIL.Image
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from fprin_utils.checks import as_records, check_kind
from fprin_utils.plotting import STYLE, make_edges
from fprin_utils.recording import TrainingRun
from fprin_utils.views import View

# How far the axes reach beyond the target, as shares of its height.
MARGIN_OF_FITS, MARGIN_OF_AMPLITUDES = 0.35, 0.3
MOST_ROW_LABELS = 12


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
        outputs = _drop_components(run.outputs)
        curves = run.further_outputs[self.view.curves] if self.view.curves else run.outputs
        new = self.view.compute_errors(outputs[len(self.errors) :])
        self.errors = np.concatenate([self.errors.reshape(-1, *new.shape[1:]), new])
        self._draw_outputs(_drop_components(curves)[record])
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
        targets = self.view.targets
        ax.plot(self.view.inputs, targets, "k.", linestyle="none", label="samples", zorder=3)
        margin = MARGIN_OF_FITS * np.ptp(targets)
        limits = (targets.min() - margin, targets.max() + margin)
        ax.set(title="a  samples and fits", xlabel="x", ylabel="f(x)", ylim=limits)
        draw = self._add_band(ax, self.view.curve_inputs)
        ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2)
        return draw

    def _add_image(self, ax: Axes) -> Callable[[np.ndarray], None]:
        """Add the image and what is learnt of it; return what draws outputs of shape (S, N)."""
        image = self.view.targets
        ax.set_axis_off()
        ax.set_title("a  the first network")
        learnt, target = (ax.inset_axes((start, 0, 0.48, 1)) for start in (0, 0.52))
        for panel, name in ((learnt, "network"), (target, "target")):
            panel.set(xticks=[], yticks=[], xlabel=name)
        target.imshow(image, cmap="gray", vmin=0, vmax=1)
        shown = learnt.imshow(np.zeros_like(image), cmap="gray", vmin=0, vmax=1)
        self._moving.append(shown)
        return lambda outputs: shown.set_data(outputs[0].reshape(image.shape))

    def _add_spectrum(self, ax: Axes) -> Callable[[np.ndarray], None]:
        """Add the target's spectrum; return what draws that of outputs of shape (S, N)."""
        view = self.view
        amplitudes = view.compute_amplitudes(view.targets.reshape(1, -1))[0]
        ax.plot(view.frequencies, amplitudes, "k.", linestyle="none", label="samples", zorder=3)
        # The mean is no frequency, and may be far above them.
        highest = amplitudes[view.frequencies > 0].max()
        unit = "cycles per image" if view.inputs is None else "frequency index k"
        ax.set(title="b  spectrum", xlabel=unit, ylabel=r"amplitude $|\hat f_k|$")
        ax.set_ylim(0, (1 + MARGIN_OF_AMPLITUDES) * highest)
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        draw = self._add_band(ax, view.frequencies)
        ax.legend()
        return lambda outputs: draw(view.compute_amplitudes(outputs))

    def _add_errors(self, ax: Axes) -> Callable[[int], None]:
        """Add the heat map of errors; return what draws it as it is, with a line at a record."""
        labels, shown = self.view.labels, self.steps > 0  # The axis is logarithmic.
        rows = np.arange(len(labels))
        mesh = ax.pcolormesh(
            make_edges(self.steps[shown]),
            make_edges(rows),
            np.full((len(rows), shown.sum()), np.nan),
            cmap=plt.get_cmap("RdBu").with_extremes(bad="0.92"),
            vmin=0,
            vmax=1,
            rasterized=True,
        )
        (marks,) = ax.plot([], [], "k|", linestyle="none", markersize=10, markeredgewidth=1.6)
        cursor = ax.axvline(1, color="k", linewidth=0.9, linestyle="-")
        self._moving += [mesh, marks, cursor]
        every = -(-len(rows) // MOST_ROW_LABELS)
        ax.set_yticks(rows[::every], labels[::every])
        unit = "cycles per image" if self.view.inputs is None else "frequency index k"
        ax.set(title="c  relative error: red is learnt", xlabel="step", ylabel=unit, xscale="log")
        self.figure.colorbar(mesh, ax=ax, extend="max")

        def draw(record: int) -> None:
            medians = np.full((len(self.steps), len(labels)), np.nan)
            medians[: len(self.errors)] = np.median(self.errors, axis=1)
            mesh.set_array(medians[shown].T)
            below = medians < self.view.threshold
            learnt = np.flatnonzero(below.any(axis=0))
            marks.set_data(self.steps[below.argmax(axis=0)[learnt]].clip(min=1), learnt)
            cursor.set_xdata([max(self.steps[record], 1)] * 2)

        return draw

    def _add_band(self, ax: Axes, positions: np.ndarray) -> Callable[[np.ndarray], None]:
        """Add a line and a band; return what draws the median and range of (S, N) values."""
        (line,) = ax.plot(positions, np.full(len(positions), np.nan), color="C0", label="networks")
        band = PolyCollection([], facecolors=[line.get_color()], alpha=0.25, linewidths=0)
        ax.add_collection(band, autolim=False)
        self._moving += [band, line]

        def draw(values: np.ndarray) -> None:
            line.set_ydata(np.median(values, axis=0))
            there_and_back = np.concatenate([positions, positions[::-1]])
            range_of_seeds = np.concatenate([values.min(axis=0), values.max(axis=0)[::-1]])
            band.set_verts([np.column_stack([there_and_back, range_of_seeds])])

        return draw


def _drop_components(outputs: np.ndarray) -> np.ndarray:
    """Return outputs (R, S, N) of ones that may have an axis for their one component."""
    return outputs.reshape(outputs.shape[:3])
