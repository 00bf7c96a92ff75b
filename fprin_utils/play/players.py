"""Players of runs that have been made: they move in any browser, without a kernel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fprin_utils.checks import check_kind, check_mapping, check_texts, tell
from fprin_utils.convergence import Convergence
from fprin_utils.play.pages import MovingFigure
from fprin_utils.play.views import (
    OCTAVES,
    PEAK_THRESHOLD,
    RING_THRESHOLD,
    view_curve,
    view_image,
)
from fprin_utils.training import TrainingRun


def explore_runs(
    runs: Mapping[Any, TrainingRun | Convergence],
    inputs: np.ndarray,
    targets: np.ndarray | Mapping[Any, np.ndarray],
    *,
    legend: str,
    bins: Sequence[int] | Mapping[Any, Sequence[int]] | None = None,
    curves: Mapping[str, np.ndarray] | None = None,
    threshold: float = PEAK_THRESHOLD,
) -> MovingFigure:
    """Return a player of runs, with a button for each of them.

    Lines and bands are medians and ranges over the seeds. Where each seed has its own target, curve
    and spectrum are those of the first; errors are medians over all.

    Args:
        runs: Runs on one-dimensional inputs, or what `measure_convergence` returned of them, by
            what the buttons say: a text, a number, or a tuple of them.
        inputs: Training inputs, shape (N,).
        targets: Training targets, shape (N,) or (S, N), the same for all or by the keys of `runs`.
        legend: What differs between the runs.
        bins: Frequency indices whose errors are followed, the same for all or by the keys of
            `runs`; the peaks of the targets if left out.
        curves: Name of the further outputs that are drawn as curves, with their inputs, shape (M,).
        threshold: Relative error below which a frequency counts as learnt.

    Returns:
        The player, to be shown as the last value of a cell.

    Raises:
        ValueError: If shapes do not fit, or a target has no peak, or nothing at a frequency that is
            to be followed.
    """
    check_texts(legend=legend)
    further, drawn_at = None, {}
    if curves is not None:
        if len(check_mapping("curves", curves, "a name to points")) > 1:
            raise ValueError(f"curves lists {tell(list(curves))}; it must map one name to points")
        further, points = next(iter(curves.items()))
        drawn_at = {"curve_inputs": points, "curve_name": f"curves[{further!r}]"}
    kind = (TrainingRun, Convergence) if further is None else TrainingRun
    packed = []
    for key, run in check_mapping("runs", runs, "what differs to runs").items():
        check_kind(f"runs[{key!r}]", run, kind, "a TrainingRun")
        target, followed = _choose("targets", targets, key), _choose("bins", bins, key)
        view = view_curve(inputs, target, bins=followed, threshold=threshold, **drawn_at)
        name = ", ".join(str(part) for part in (key if isinstance(key, tuple) else (key,)))
        drawn = run.outputs if further is None else run.further_outputs.get(further)
        packed.append(view.pack_run(f"runs[{key!r}]", run, drawn) | {"name": name})
    return MovingFigure(packed, legend)


def explore_image(
    run: TrainingRun,
    image: np.ndarray,
    *,
    band_edges: Sequence[float] = OCTAVES,
    threshold: float = RING_THRESHOLD,
) -> MovingFigure:
    """Return a player of a run on an image; the picture is that of the first seed.

    Args:
        run: A run whose outputs are the pixels of the image, row by row.
        image: The image that was learnt, grey values from 0 to 1, shape (H, H).
        band_edges: Edges of the rings whose errors are followed, in cycles per image; those above
            H / 2 are left out.
        threshold: Relative error below which a ring counts as learnt.

    Returns:
        The player, to be shown as the last value of a cell.

    Raises:
        ValueError: If the run and the image do not fit, or the image has nothing in a ring.
    """
    check_kind("run", run, TrainingRun, "a TrainingRun")
    view = view_image(image, band_edges=band_edges, threshold=threshold)
    return MovingFigure([view.pack_run("run", run, run.outputs) | {"name": "picture"}])


def _choose(name: str, each: Any, key: Any) -> Any:
    """Return what belongs to a key, of values by key or of one for all."""
    if isinstance(each, Mapping) and key not in each:
        raise ValueError(f"{name} has nothing for the run {tell(key)}")
    return each[key] if isinstance(each, Mapping) else each
