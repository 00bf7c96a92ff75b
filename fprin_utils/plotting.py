"""Panels of trainings, for figures and players: each function returns what it has drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Real
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.image import AxesImage
from matplotlib.ticker import MaxNLocator

from fprin_utils.artists import (
    Band,
    HeatMap,
    as_curves,
    check_level,
    check_log,
    draw_level,
    drop_step_0,
    make_edges,
    plot_median,
    take_axes,
)
from fprin_utils.checks import (
    as_array,
    as_arrays,
    as_records,
    check_flag,
    check_list,
    check_mapping,
    check_number,
    check_texts,
    check_whole,
)
from fprin_utils.convergence import find_convergence_step

MOST_ROW_LABELS = 12
STYLE = str(Path(__file__).with_name("fprin.mplstyle"))


def use_style() -> None:
    """Set the look of all figures that are made from now on."""
    plt.style.use(STYLE)


def plot_fits(
    inputs: np.ndarray,
    targets: np.ndarray,
    fits: Mapping[str, np.ndarray],
    *,
    fit_inputs: np.ndarray | None = None,
    ax: Axes | None = None,
) -> dict[str, Band]:
    """Plot the samples of a target and what an ensemble makes of them.

    Args:
        inputs: Points of the samples, shape (N,).
        targets: Samples, shape (N,).
        fits: Outputs by label, each of shape (S, M): the median over the seeds is drawn as a line,
            their range as a band.
        fit_inputs: Points of the outputs, shape (M,); `inputs` if left out.
        ax: Axes to draw on; new ones if left out.

    Returns:
        What shows the outputs, by label.
    """
    inputs, targets = as_arrays("(N,) (N,)", inputs=inputs, targets=targets)
    points, known = inputs, {"M": (len(inputs), "inputs")}
    if fit_inputs is not None:
        known = {}
        points = as_array("fit_inputs", fit_inputs, "(M,)", known=known)
    fits = as_curves("fits", fits, "(S, M)", known)
    ax = take_axes(ax)
    ax.plot(inputs, targets, "k.", linestyle="none", label="samples", zorder=3)
    bands = {label: plot_median(ax, points, outputs, label) for label, outputs in fits.items()}
    ax.set(xlabel="x", ylabel="f(x)")
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.22), ncols=len(fits) + 1)
    return bands


def plot_spectrum(
    amplitudes: Mapping[str, np.ndarray],
    *,
    frequencies: np.ndarray | None = None,
    peaks: Sequence[int] = (),
    marks: Mapping[str, float] | None = None,
    log: bool = False,
    ax: Axes | None = None,
) -> dict[str, Band]:
    """Plot spectra over the frequency index.

    Args:
        amplitudes: |f^_k| by label, each of shape (K,), or (S, K) to draw median and range.
        frequencies: Their frequency indices, shape (K,); 0, 1, 2, ... if left out.
        peaks: Frequency indices to mark on the first spectrum.
        marks: Positions on the frequency axis to mark by a vertical line, by label.
        log: Whether the amplitude axis is logarithmic.
        ax: Axes to draw on; new ones if left out.

    Returns:
        What shows the spectra, by label.
    """
    curves = as_curves("amplitudes", amplitudes, "(..., K)", {})
    curves = {label: np.atleast_2d(values) for label, values in curves.items()}
    curves = as_curves("amplitudes", curves, "(S, K)", {})
    check_log("amplitudes", curves, log)
    if frequencies is not None:
        known = {"K": (next(iter(curves.values())).shape[1], "amplitudes")}
        frequencies = as_array("frequencies", frequencies, "(K,)", known=known)
    first = next(iter(curves.values()))[0]
    peaks = check_list("peaks", peaks, object, "frequency indices", least=0)
    peaks = [check_whole("a peak", k, most=len(first) - 1) for k in peaks]
    marks = check_mapping("marks", {} if marks is None else marks, "labels to positions", least=0)
    marks = {label: check_number(f"marks[{label!r}]", place) for label, place in marks.items()}
    ax = take_axes(ax)
    bands = {}
    for label, values in curves.items():
        places = np.arange(values.shape[1]) if frequencies is None else frequencies
        bands[label] = plot_median(ax, places, values, label)
    if len(peaks):
        ax.plot(peaks, first[peaks], "ko", linestyle="none", label="peaks", zorder=3)
    for k in peaks:
        ax.annotate(f"{k}", (k, first[k]), xytext=(4, 2), textcoords="offset points", fontsize=8)
    for row, (label, position) in enumerate(marks.items()):
        ax.axvline(position, color="0.4", linewidth=0.8, linestyle=":")
        # One below the other, as the lines may be close together.
        place = {"transform": ax.get_xaxis_transform(), "va": "top"}
        ax.text(position, 0.98 - 0.08 * row, f" {label}", fontsize=7.5, color="0.3", **place)
    ax.set(xlabel="frequency index k", ylabel=r"amplitude $|\hat f_k|$")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    if log:
        ax.set_yscale("log")
    if len(amplitudes) > 1 or len(peaks):
        ax.legend()
    return bands


def plot_error_heatmap(
    steps: np.ndarray,
    errors: np.ndarray,
    bins: Sequence[int],
    *,
    threshold: float,
    marks: Sequence[float] | None = None,
    ax: Axes | None = None,
) -> HeatMap:
    """Plot relative errors as a heat map over log steps: red is small, blue is large.

    A step is marked in each row: the first at which the error is below the threshold, or another.

    Args:
        steps: Recorded steps, shape (R,); step 0 is left out, as the axis is logarithmic.
        errors: Relative errors, shape (R, P).
        bins: Frequency index of each column of `errors`, length P.
        threshold: The error that counts as converged.
        marks: Steps to mark instead, such as convergence steps, length P; infinity for none.
        ax: Axes to draw on; new ones if left out.

    Returns:
        The cells and the marks.
    """
    steps, errors = as_records(steps, "(R, P)", errors=errors, is_finite=False)
    wanted = "frequency indices, one for each column of errors"
    bins = check_list("bins", bins, (Real, str), wanted, length=errors.shape[1])
    threshold = check_number("threshold", threshold, "a positive number", lambda most: most > 0)
    steps, errors = drop_step_0(steps, errors)
    if marks is None:
        marks = find_convergence_step(steps, errors, threshold, num_records=1)
    known = {"P": (len(bins), "bins")}
    marks = as_array("marks", marks, "(P,)", is_finite=False, known=known)
    ax = take_axes(ax)
    rows = np.arange(len(bins))
    edges = make_edges(steps), make_edges(rows)
    colors = plt.get_cmap("RdBu").with_extremes(bad="0.92")
    mesh = ax.pcolormesh(*edges, errors.T, cmap=colors, vmin=0, vmax=1, rasterized=True)
    size = min(14, 110 / len(rows))
    marked = np.flatnonzero(np.isfinite(marks))
    style = {"linestyle": "none", "markersize": size, "markeredgewidth": 1.6}
    (lines,) = ax.plot(marks[marked], marked, "k|", **style)
    ax.set(xscale="log", xlabel="step", ylabel="frequency index k")
    every = -(-len(rows) // MOST_ROW_LABELS)
    ax.set_yticks(rows[::every], [str(k) for k in bins[::every]])
    ax.figure.colorbar(mesh, ax=ax, label=r"relative error $\Delta_F(k)$", extend="max")
    return HeatMap(mesh, lines)


def plot_over_steps(
    steps: np.ndarray,
    values: np.ndarray,
    labels: Sequence[str],
    *,
    ylabel: str,
    level: float | None = None,
    log: bool = True,
    ax: Axes | None = None,
) -> dict[str, Band]:
    """Plot measured curves over the steps, the median over the seeds with their range.

    Args:
        steps: Recorded steps, shape (R,); step 0 is left out on a logarithmic axis.
        values: For example relative errors, shape (R, S, P).
        labels: One for each of the P curves.
        ylabel: Name of the values, with unit.
        level: Height of a horizontal line, such as a threshold.
        log: Whether the axis of the steps is logarithmic.
        ax: Axes to draw on; new ones if left out.

    Returns:
        What shows the curves, by label.
    """
    steps, values = as_records(steps, "(R, S, P)", values=values, is_finite=False)
    wanted = "texts, one for each curve of values"
    labels = check_list("labels", labels, (Real, str), wanted, length=values.shape[2])
    check_texts(ylabel=ylabel)
    level = check_level(level)
    if check_flag("log", log):
        steps, values = drop_step_0(steps, values)
    ax = take_axes(ax)
    bands = {
        label: plot_median(ax, steps, values[..., index].T, label)
        for index, label in enumerate(labels)
    }
    draw_level(ax, level)
    ax.set(xscale="log" if log else "linear", xlabel="step", ylabel=ylabel)
    ax.legend()
    return bands


def plot_image(image: np.ndarray, title: str, *, ax: Axes | None = None) -> AxesImage:
    """Plot a grey image, 0 black and 1 white; values beyond are cut.

    Args:
        image: Grey values, shape (H, W).
        title: Text above the image.
        ax: Axes to draw on; new ones if left out.

    Returns:
        The image.
    """
    image = as_array("image", image, "(H, W)")
    check_texts(title=title)
    ax = take_axes(ax)
    shown = ax.imshow(image, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    ax.set_title(title, fontweight="normal", loc="center")
    ax.set_axis_off()
    return shown
