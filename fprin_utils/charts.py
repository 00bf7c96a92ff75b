"""Panels of results over settings and cases: each function returns what it has drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D

from fprin_utils.artists import as_curves, check_level, check_log, draw_level, take_axes
from fprin_utils.checks import as_array, check_flag, check_texts, tell

# Of red, green and blue (ITU-R BT.709).
PERCEIVED_BRIGHTNESS = (0.2126, 0.7152, 0.0722)


def plot_against(
    settings: Sequence[float],
    values: Mapping[str, np.ndarray],
    *,
    xlabel: str,
    ylabel: str,
    log: bool = True,
    ax: Axes | None = None,
) -> dict[str, Line2D]:
    """Plot measured values against a setting: a dot a seed, a line through the medians.

    Args:
        settings: Values of the setting, length I, drawn on a logarithmic axis.
        values: Measured values by label, each of shape (I, S).
        xlabel: Name of the setting.
        ylabel: Name of the values, with unit.
        log: Whether the axis of the values is logarithmic.
        ax: Axes to draw on; new ones if left out.

    Returns:
        The lines through the medians, by label.
    """
    known: dict[str, tuple[int, str]] = {}
    settings = as_array("settings", settings, "(I,)", known=known)
    if (settings <= 0).any():
        raise ValueError(f"settings is {tell(settings)}; a logarithmic axis wants positive numbers")
    values = as_curves("values", values, "(I, S)", known)
    check_log("values", values, log)
    check_texts(xlabel=xlabel, ylabel=ylabel)
    ax = take_axes(ax)
    lines = {}
    for label, measured in values.items():
        (line,) = ax.plot(settings, np.median(measured, axis=1), label=label)
        lines[label] = line
        for column in measured.T:
            ax.plot(settings, column, ".", linestyle="none", color=line.get_color(), alpha=0.6)
    ax.set(xscale="log", xlabel=xlabel, ylabel=ylabel)
    ax.set_xticks(settings, [f"{setting:g}" for setting in settings])
    ax.minorticks_off()
    ax.set_yscale(_choose_scale(log, values))
    if len(values) > 1:
        ax.legend()
    return lines


def plot_cases(
    values: Mapping[str, np.ndarray],
    *,
    ylabel: str,
    level: float | None = None,
    log: bool = False,
    ax: Axes | None = None,
) -> dict[str, Line2D]:
    """Plot measured values of several cases side by side: a dot a seed.

    Args:
        values: Measured values by the name of the case, each of shape (M,); M may be 0.
        ylabel: Name of the values, with unit.
        level: Height of a horizontal line, such as a threshold.
        log: Whether the axis of the values is logarithmic.
        ax: Axes to draw on; new ones if left out.

    Returns:
        The dots, by case.
    """
    arrays = as_curves("values", values, "(...)", {})
    for case, each in arrays.items():
        if each.ndim != 1:
            raise ValueError(f"values[{case!r}] has shape {each.shape}; it must be (M,)")
    check_texts(ylabel=ylabel)
    check_flag("log", log)
    level = check_level(level)
    ax, dots = take_axes(ax), {}
    for place, (case, each) in enumerate(arrays.items()):
        spread = place + np.linspace(-0.25, 0.25, len(each))
        (dots[case],) = ax.plot(spread, each, "o", linestyle="none", markersize=3.5)
    draw_level(ax, level)
    ax.set_xticks(range(len(arrays)), list(arrays))
    ax.set(xlim=(-0.5, len(arrays) - 0.5), ylabel=ylabel, yscale=_choose_scale(log, arrays))
    return dots


def _choose_scale(log: bool, values: Mapping[str, np.ndarray]) -> str:
    """Return the scale of an axis: where nothing is finite, a logarithmic one has no ticks."""
    is_drawn = any(np.isfinite(each).any() for each in values.values())
    return "log" if log and is_drawn else "linear"


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
) -> AxesImage:
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
        The cells.
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
    ax = take_axes(ax)
    norm = LogNorm(*limits)
    mesh = ax.imshow(values, cmap=cmap, norm=norm, origin="lower", aspect="auto")
    ax.set_facecolor("0.85")
    for (row, column), value in np.ndenumerate(values):
        digits = ".1g" if value < 0.1 else ".2g" if value < 99.5 else ".0f"
        text = "none" if np.isnan(value) else f"{marks[row, column]}{value:{digits}}"
        shade = np.dot(mesh.cmap(norm(value))[:3], PERCEIVED_BRIGHTNESS)
        color = "white" if shade < 0.5 and not np.isnan(value) else "black"
        ax.text(column, row, text, ha="center", va="center", color=color, fontsize=7)
        if marks[row, column]:
            edges = {"fill": False, "hatch": "////", "edgecolor": "0.55", "linewidth": 0}
            ax.add_patch(plt.Rectangle((column - 0.5, row - 0.5), 1, 1, **edges))
    ax.set_xticks(range(len(columns)), [f"{column:g}" for column in columns])
    ax.set_yticks(range(len(rows)), [f"{row:g}" for row in rows])
    ax.set(xlabel=xlabel, ylabel=ylabel)
    ax.figure.colorbar(mesh, ax=ax, label=label, extend="both")
    return mesh
