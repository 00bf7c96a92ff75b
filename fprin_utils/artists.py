"""What panels and pages are made of: lines with bands, heat maps, pictures with their text."""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import FillBetweenPolyCollection, QuadMesh
from matplotlib.lines import Line2D

from fprin_utils.checks import (
    LARGEST,
    as_array,
    check_flag,
    check_increasing,
    check_kind,
    check_mapping,
    check_number,
)


@dataclass(frozen=True)
class Band:
    """A line and the band around it: median and range of several networks.

    Attributes:
        line: The line.
        area: The band.
    """

    line: Line2D
    area: FillBetweenPolyCollection


@dataclass(frozen=True)
class HeatMap:
    """A heat map of errors over log steps, and the marks in its rows.

    Attributes:
        mesh: The cells.
        marks: A mark in each row that has a step to mark.
    """

    mesh: QuadMesh
    marks: Line2D


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


def take_axes(ax: Axes | None) -> Axes:
    """Return the axes, or new ones; called when all else has been checked."""
    return plt.subplots()[1] if ax is None else check_kind("ax", ax, Axes, "Axes of matplotlib")


def as_curves(
    name: str, curves: Mapping[str, np.ndarray], shape: str, known: dict[str, tuple[int, str]]
) -> dict[str, np.ndarray]:
    """Return curves by label as arrays of a shape; what is not finite is a gap in a curve."""
    curves = check_mapping(name, curves, "labels to curves", least=name != "fits")
    return {
        label: as_array(f"{name}[{label!r}]", values, shape, is_finite=False, known=dict(known))
        for label, values in curves.items()
    }


def check_log(name: str, curves: Mapping[str, np.ndarray], log: bool) -> None:
    """Raise a ValueError if curves that are all 0 or less are to be drawn on a logarithmic axis."""
    if check_flag("log", log) and not any((curve > 0).any() for curve in curves.values()):
        raise ValueError(f"{name} holds nothing above 0 for a logarithmic axis; set log=False")


def drop_step_0(steps: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the records after step 0, which has no place on a logarithmic axis."""
    if steps[-1] == 0:
        raise ValueError("steps has no record after step 0")
    return steps[steps > 0], values[steps > 0]


def plot_median(ax: Axes, positions: np.ndarray, values: np.ndarray, label: str) -> Band:
    """Draw the median of (S, N) values as a line, and their range as a band."""
    (line,) = ax.plot(positions, np.median(values, axis=0), label=label)
    low, high = values.min(axis=0), values.max(axis=0)
    color = line.get_color()
    return Band(line, ax.fill_between(positions, low, high, color=color, alpha=0.2, linewidth=0))


def check_level(level: float | None) -> float | None:
    """Return the height of a horizontal line, or None, or raise a ValueError."""
    wanted = f"a number up to {LARGEST:g}"
    if level is None:
        return None
    return check_number("level", level, wanted, lambda height: abs(height) <= LARGEST)


def draw_level(ax: Axes, level: float | None) -> None:
    """Draw a horizontal line, such as a threshold, if there is one."""
    if level is not None:
        ax.axhline(level, color="0.4", linewidth=0.8, linestyle=":")


@dataclass(frozen=True)
class DisplayedFigure:
    """A picture as a notebook shows it; JupyterLab has no alternative text for pictures but HTML.

    Attributes:
        png: The picture.
        alt: Its alternative text.
    """

    png: bytes
    alt: str

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        return {
            "text/plain": self.alt,
            "text/html": make_image_tag(self.png, self.alt),
            "image/png": base64.b64encode(self.png).decode("ascii"),
        }


def make_image_tag(png: bytes, alt: str, *, style: str = "max-width:100%") -> str:
    """Return HTML that shows a picture, drawn at once where it replaces another.

    Args:
        png: The picture.
        alt: Its alternative text.
        style: CSS of the element.

    Returns:
        The element, with the picture in it.
    """
    content = base64.b64encode(png).decode("ascii")
    return (
        f'<img alt="{html.escape(alt)}" style="{style}" decoding="sync" '
        f'src="data:image/png;base64,{content}">'
    )
