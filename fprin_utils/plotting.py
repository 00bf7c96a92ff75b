"""What is shown: one function a panel; each draws on the given axes and returns them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Real
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.ticker import MaxNLocator

from fprin_utils.checks import (
    as_array,
    as_arrays,
    as_records,
    check_flag,
    check_increasing,
    check_kind,
    check_list,
    check_mapping,
    check_number,
    check_texts,
    check_whole,
    tell,
)
from fprin_utils.spectra import find_first_step_below

# Of red, green and blue (ITU-R BT.709).
PERCEIVED_BRIGHTNESS = (0.2126, 0.7152, 0.0722)
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
) -> Axes:
    """Plot the samples of a target and what an ensemble makes of them.

    Args:
        inputs: Points of the samples, shape (N,).
        targets: Samples, shape (N,).
        fits: Outputs by label, each of shape (S, M): the median over the seeds is drawn as a line,
            their range as a band.
        fit_inputs: Points of the outputs, shape (M,); `inputs` if left out.
        ax: Axes to draw on; new ones if left out.

    Returns:
        The axes.
    """
    inputs, targets = as_arrays("(N,) (N,)", inputs=inputs, targets=targets)
    points, known = inputs, {"M": (len(inputs), "inputs")}
    if fit_inputs is not None:
        known = {}
        points = as_array("fit_inputs", fit_inputs, "(M,)", known=known)
    fits = _as_curves("fits", fits, "(S, M)", known)
    ax = _take_axes(ax)
    ax.plot(inputs, targets, "k.", linestyle="none", label="samples", zorder=3)
    for label, outputs in fits.items():
        _plot_median(ax, points, outputs.T, label)
    ax.set(xlabel="x", ylabel="f(x)")
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.22), ncols=len(fits) + 1)
    return ax


def plot_spectrum(
    amplitudes: Mapping[str, np.ndarray],
    *,
    peaks: Sequence[int] = (),
    marks: Mapping[str, float] | None = None,
    log: bool = False,
    ax: Axes | None = None,
) -> Axes:
    """Plot spectra over the frequency index.

    Args:
        amplitudes: |f^_k| by label, each of shape (K,), or (S, K) to draw median and range.
        peaks: Frequency indices to mark on the first spectrum.
        marks: Positions on the frequency axis to mark by a vertical line, by label.
        log: Whether the amplitude axis is logarithmic.
        ax: Axes to draw on; new ones if left out.

    Returns:
        The axes.
    """
    curves = _as_curves("amplitudes", amplitudes, "(..., K)", {})
    curves = {label: np.atleast_2d(values) for label, values in curves.items()}
    curves = _as_curves("amplitudes", curves, "(S, K)", {})
    _check_log("amplitudes", curves, log)
    first = next(iter(curves.values()))[0]
    peaks = check_list("peaks", peaks, object, "frequency indices", least=0)
    peaks = [check_whole("a peak", k, most=len(first) - 1) for k in peaks]
    marks = check_mapping("marks", {} if marks is None else marks, "labels to positions", least=0)
    marks = {label: check_number(f"marks[{label!r}]", place) for label, place in marks.items()}
    ax = _take_axes(ax)
    for label, values in curves.items():
        _plot_median(ax, np.arange(values.shape[1]), values.T, label)
    if len(peaks):
        ax.plot(peaks, first[peaks], "ko", linestyle="none", label="peaks", zorder=3)
    for k in peaks:
        ax.annotate(f"{k}", (k, first[k]), xytext=(4, 2), textcoords="offset points", fontsize=8)
    for label, position in marks.items():
        ax.axvline(position, color="0.4", linewidth=0.8, linestyle=":")
        ax.annotate(
            label,
            (position, 0.98),
            xycoords=("data", "axes fraction"),
            xytext=(3, 0),
            textcoords="offset points",
            va="top",
            fontsize=7.5,
            color="0.3",
        )
    ax.set(xlabel="frequency index k", ylabel=r"amplitude $|\hat f_k|$")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    if log:
        ax.set_yscale("log")
    if len(amplitudes) > 1 or len(peaks):
        ax.legend()
    return ax


def plot_error_heatmap(
    steps: np.ndarray,
    errors: np.ndarray,
    bins: Sequence[int],
    *,
    threshold: float,
    marks: Sequence[float] | None = None,
    ax: Axes | None = None,
) -> Axes:
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
        The axes.
    """
    steps, errors = as_records(steps, "(R, P)", errors=errors, is_finite=False)
    wanted = "frequency indices, one for each column of errors"
    bins = check_list("bins", bins, (Real, str), wanted, length=errors.shape[1])
    threshold = check_number("threshold", threshold, "a positive number", lambda most: most > 0)
    steps, errors = _drop_step_0(steps, errors)
    ax = _take_axes(ax)
    rows = np.arange(len(bins))
    edges = make_edges(steps), make_edges(rows)
    mesh = ax.pcolormesh(*edges, errors.T, cmap="RdBu", vmin=0, vmax=1, rasterized=True)
    marks = find_first_step_below(steps, errors, threshold) if marks is None else marks
    for row, step in zip(rows, marks, strict=True):
        if np.isfinite(step):
            ax.plot(step, row, "k|", markersize=min(14, 110 / len(rows)), markeredgewidth=1.6)
    ax.set(xscale="log", xlabel="step", ylabel="frequency index k")
    ax.set_yticks(rows, [str(k) for k in bins])
    ax.figure.colorbar(mesh, ax=ax, label=r"relative error $\Delta_F(k)$", extend="max")
    return ax


def make_edges(positions: np.ndarray) -> np.ndarray:
    """Return where the cells of a heat map end that stand at given positions.

    Args:
        positions: Increasing, shape (R,). A single one has a cell of width 1.

    Returns:
        Half-way between neighbours, and as far beyond the first and the last, shape (R + 1,).
    """
    positions = as_array("positions", positions, "(R,)")
    check_increasing("positions", positions)
    if len(positions) == 1:
        return positions[0] + np.array([-0.5, 0.5])
    halves = np.diff(positions) / 2
    return np.concatenate(
        [positions[:1] - halves[:1], positions[:-1] + halves, positions[-1:] + halves[-1:]]
    )


def plot_over_steps(
    steps: np.ndarray,
    values: np.ndarray,
    labels: Sequence[str],
    *,
    ylabel: str,
    level: float | None = None,
    log: bool = True,
    ax: Axes | None = None,
) -> Axes:
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
        The axes.
    """
    steps, values = as_records(steps, "(R, S, P)", values=values, is_finite=False)
    wanted = "texts, one for each curve of values"
    labels = check_list("labels", labels, (Real, str), wanted, length=values.shape[2])
    check_texts(ylabel=ylabel)
    level = None if level is None else check_number("level", level)
    if log:
        steps, values = _drop_step_0(steps, values)
    ax = _take_axes(ax)
    for index, label in enumerate(labels):
        _plot_median(ax, steps, values[..., index], label)
    if level is not None:
        ax.axhline(level, color="0.4", linewidth=0.8, linestyle=":")
    ax.set(xscale="log" if log else "linear", xlabel="step", ylabel=ylabel)
    ax.legend()
    return ax


def plot_against(
    settings: Sequence[float],
    values: Mapping[str, np.ndarray],
    *,
    xlabel: str,
    ylabel: str,
    log: bool = True,
    ax: Axes | None = None,
) -> Axes:
    """Plot measured values against a setting: a dot a seed, a line through the medians.

    Args:
        settings: Values of the setting, length I, drawn on a logarithmic axis.
        values: Measured values by label, each of shape (I, S).
        xlabel: Name of the setting.
        ylabel: Name of the values, with unit.
        log: Whether the axis of the values is logarithmic.
        ax: Axes to draw on; new ones if left out.

    Returns:
        The axes.
    """
    known: dict[str, tuple[int, str]] = {}
    settings = as_array("settings", settings, "(I,)", known=known)
    if (settings <= 0).any():
        raise ValueError(f"settings is {tell(settings)}; a logarithmic axis wants positive numbers")
    values = _as_curves("values", values, "(I, S)", known)
    _check_log("values", values, log)
    check_texts(xlabel=xlabel, ylabel=ylabel)
    ax = _take_axes(ax)
    for label, measured in values.items():
        (line,) = ax.plot(settings, np.median(measured, axis=1), label=label)
        for column in measured.T:
            ax.plot(settings, column, ".", linestyle="none", color=line.get_color(), alpha=0.6)
    ax.set(xscale="log", xlabel=xlabel, ylabel=ylabel)
    ax.set_xticks(settings, [f"{setting:g}" for setting in settings])
    ax.minorticks_off()
    if log:
        ax.set_yscale("log")
    if len(values) > 1:
        ax.legend()
    return ax


def plot_map(
    values: np.ndarray,
    columns: Sequence[float],
    rows: Sequence[float],
    *,
    limits: tuple[float, float],
    xlabel: str,
    ylabel: str,
    label: str,
    marks: np.ndarray | None = None,
    cmap: str = "viridis",
    ax: Axes | None = None,
) -> Axes:
    """Plot values over two settings: cells on a logarithmic colour scale, the number in each.

    Columns and rows are equally spaced, at 0, 1, 2, ... of the axes.

    Args:
        values: Positive values, shape (I, J); those that are not numbers become grey cells.
        columns: Values of the setting along x, length J.
        rows: Values of the setting along y, length I.
        limits: Values at which the colours end; beyond, it is the number that tells.
        xlabel: Name of the setting along x.
        ylabel: Name of the setting along y.
        label: Name of the values, with unit.
        marks: Text to set before the numbers, such as "<", shape (I, J); cells with one are
            hatched. None if left out.
        cmap: Name of the colour map.
        ax: Axes to draw on; new ones if left out.

    Returns:
        The axes.
    """
    known: dict[str, tuple[int, str]] = {}
    rows = as_array("rows", rows, "(I,)", known=known)
    columns = as_array("columns", columns, "(J,)", known=known)
    values = as_array("values", values, "(I, J)", is_finite=False, known=known)
    if (values <= 0).any():
        raise ValueError("values holds numbers of 0 or less; the colours are logarithmic")
    limits = as_array("limits", limits, "(2,)")
    if not 0 < limits[0] < limits[1]:
        raise ValueError(f"limits is {tell(limits)}; it must be two numbers with 0 < low < high")
    check_texts(xlabel=xlabel, ylabel=ylabel, label=label)
    marks = np.full(values.shape, "") if marks is None else np.asarray(marks)
    if marks.shape != values.shape or marks.dtype.kind != "U":
        raise ValueError(f"marks is {tell(marks)}; it must hold a text for each of the values")
    if not isinstance(cmap, str) or cmap not in mpl.colormaps:
        raise ValueError(f"cmap {tell(cmap)} is no colour map of matplotlib")
    ax = _take_axes(ax)
    norm = LogNorm(*limits)
    mesh = ax.imshow(values, cmap=cmap, norm=norm, origin="lower", aspect="auto")
    ax.set_facecolor("0.85")
    for (row, column), value in np.ndenumerate(values):
        number = (
            f"{value:.1g}" if value < 0.1 else f"{value:.2g}" if value < 99.5 else f"{value:.0f}"
        )
        shade = np.dot(mesh.cmap(norm(value))[:3], PERCEIVED_BRIGHTNESS)
        ax.text(
            *(column, row, "none" if np.isnan(value) else f"{marks[row, column]}{number}"),
            ha="center",
            va="center",
            color="white" if shade < 0.5 and not np.isnan(value) else "black",
            fontsize=7,
        )
        if marks[row, column]:
            edges = {"fill": False, "hatch": "////", "edgecolor": "0.55", "linewidth": 0}
            ax.add_patch(plt.Rectangle((column - 0.5, row - 0.5), 1, 1, **edges))
    ax.set_xticks(range(len(columns)), [f"{column:g}" for column in columns])
    ax.set_yticks(range(len(rows)), [f"{row:g}" for row in rows])
    ax.set(xlabel=xlabel, ylabel=ylabel)
    ax.figure.colorbar(mesh, ax=ax, label=label, extend="both")
    return ax


def plot_image(image: np.ndarray, title: str, *, ax: Axes | None = None) -> Axes:
    """Plot a grey image, 0 black and 1 white; values beyond are cut.

    Args:
        image: Grey values, shape (H, W).
        title: Text above the image.
        ax: Axes to draw on; new ones if left out.

    Returns:
        The axes.
    """
    image = as_array("image", image, "(H, W)")
    check_texts(title=title)
    ax = _take_axes(ax)
    ax.imshow(image, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    ax.set_title(title, fontweight="normal", loc="center")
    ax.set_axis_off()
    return ax


def _take_axes(ax: Axes | None) -> Axes:
    """Return the axes, or new ones; called when all else has been checked."""
    return plt.subplots()[1] if ax is None else check_kind("ax", ax, Axes, "Axes of matplotlib")


def _as_curves(
    name: str, curves: Mapping[str, np.ndarray], shape: str, known: dict[str, tuple[int, str]]
) -> dict[str, np.ndarray]:
    """Return curves by label as arrays of a shape; what is not finite is a gap in a curve."""
    curves = check_mapping(name, curves, "labels to curves", least=name != "fits")
    return {
        label: as_array(f"{name}[{label!r}]", values, shape, is_finite=False, known=dict(known))
        for label, values in curves.items()
    }


def _check_log(name: str, curves: Mapping[str, np.ndarray], log: bool) -> None:
    """Raise a ValueError if curves that are all 0 or less are to be drawn on a logarithmic axis."""
    if check_flag("log", log) and not any((curve > 0).any() for curve in curves.values()):
        raise ValueError(f"{name} holds nothing above 0 for a logarithmic axis; set log=False")


def _drop_step_0(steps: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the records after step 0, which has no place on a logarithmic axis."""
    if steps[-1] == 0:
        raise ValueError("steps has no record after step 0")
    return steps[steps > 0], values[steps > 0]


def _plot_median(ax: Axes, positions: np.ndarray, values: np.ndarray, label: str) -> None:
    """Draw the median over the last axis of (N, S) values as a line, the range as a band."""
    (line,) = ax.plot(positions, np.median(values, axis=1), label=label)
    if values.shape[1] > 1:
        low, high = values.min(axis=1), values.max(axis=1)
        ax.fill_between(positions, low, high, color=line.get_color(), alpha=0.2, linewidth=0)
