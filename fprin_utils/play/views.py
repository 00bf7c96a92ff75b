"""What there is to see of networks that learn a target, as the browser takes it."""

from __future__ import annotations

import base64
import math
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from fprin_utils.checks import (
    as_array,
    as_arrays,
    check_increasing,
    check_number,
    check_texts,
    tell,
)
from fprin_utils.convergence import Convergence, measure_convergence
from fprin_utils.spectra import (
    compute_band_errors,
    compute_radial_bands,
    compute_relative_error,
    compute_spectrum,
)
from fprin_utils.training import TrainingRun

# Edges of the rings in cycles per image.
OCTAVES = (1, 2, 4, 8, 16)
# As in notebooks 01 and 02.
PEAK_THRESHOLD, RING_THRESHOLD = 0.2, 0.5
# What a browser is given: more points are not told apart, nor are numbers between two levels, and
# what lies beyond these margins, shares of the target's height and of its largest amplitude, is
# outside of the panels of player.js.
MOST_RECORDS, MOST_POINTS, LEVELS = 150, 200, 1024
MARGIN, LARGEST_ERROR = 0.4, 1.5


@dataclass(frozen=True)
class View:
    """What there is to see of networks that learn a target.

    Attributes:
        about: What `player.js` knows of a run before its first record.
        curve_inputs: Points at which the networks are drawn as curves, shape (M,); None for an
            image.
        limits: Least and largest value that is drawn.
        is_shared: Whether all seeds have one target; else curves and spectra are the first one's.
        compute_amplitudes: Turns outputs (..., N) into amplitudes, shape (..., K).
        compute_errors: Turns outputs (R, S, N) into relative errors, shape (R, S, P).
    """

    about: dict[str, Any]
    curve_inputs: np.ndarray | None
    limits: tuple[float, float]
    is_shared: bool
    compute_amplitudes: Callable[[np.ndarray], np.ndarray]
    compute_errors: Callable[[np.ndarray], np.ndarray]

    def pack(self, steps: np.ndarray, outputs: np.ndarray, curves: np.ndarray) -> dict[str, Any]:
        """Return records as `player.js` takes them.

        Args:
            steps: Their steps, shape (R,).
            outputs: Outputs at the samples, shape (R, S, N).
            curves: Outputs at `curve_inputs`, shape (R, S, M); those at the pixels of an image.
        """
        seeds = slice(None) if self.is_shared else slice(1)
        if self.curve_inputs is None:
            curves = curves[:, :1]
        else:
            curves = curves[:, seeds, _thin(self.curve_inputs)]
        amplitudes = self.compute_amplitudes(outputs[:, seeds])
        highest = (1 + MARGIN) * max(self.about["targetAmplitudes"][1:])
        errors = np.median(self.compute_errors(outputs), axis=1)
        return {
            "steps": np.asarray(steps).tolist(),
            "curves": _pack(_summarise(curves), *self.limits),
            "amplitudes": _pack(_summarise(amplitudes), 0.0, highest),
            "errors": _pack(errors, 0.0, LARGEST_ERROR),
        }

    def pack_run(
        self, name: str, run: TrainingRun | Convergence, curves: np.ndarray | None
    ) -> dict[str, Any]:
        """Return a run as `player.js` takes it, with at most `MOST_RECORDS` records.

        Args:
            name: What the run is called in messages.
            run: The run.
            curves: Outputs at `curve_inputs`, shape (R, S, M).

        Raises:
            ValueError: If the outputs are not at the points of the view.
        """
        num_points = len(self.about["y"])
        if run.outputs.shape[2:] != (num_points,):
            raise ValueError(
                f"{name} has outputs of shape {run.outputs.shape}; the targets have {num_points} "
                "points"
            )
        if self.curve_inputs is not None and np.shape(curves)[2:] != self.curve_inputs.shape:
            raise ValueError(f"{name} has no outputs at the points of the curves")
        steps = np.asarray(run.steps)
        wanted = np.geomspace(1, max(steps[-1], 1), MOST_RECORDS - 1)
        records = np.unique([0, *np.searchsorted(steps, wanted).clip(max=len(steps) - 1)])
        return self.about | self.pack(steps[records], run.outputs[records], curves[records])


def view_curve(
    inputs: np.ndarray,
    targets: np.ndarray,
    *,
    bins: Sequence[int] | None = None,
    curve_inputs: np.ndarray | None = None,
    curve_name: str = "curve_inputs",
    threshold: float = PEAK_THRESHOLD,
) -> View:
    """Look at networks on a line: their spectrum, and the relative errors of some frequencies.

    Args:
        inputs: Training inputs, shape (N,).
        targets: Training targets, shape (N,), or one for each seed, shape (S, N).
        bins: Frequency indices whose errors are followed; the peaks of the (first) target if left
            out.
        curve_inputs: Points at which the networks are drawn, shape (M,); `inputs` if left out.
        curve_name: What these points are called in messages.
        threshold: Relative error below which a frequency counts as learnt.

    Returns:
        The view.

    Raises:
        ValueError: If points do not increase, or the targets have no peak, or nothing at one of
            the frequencies.
    """
    known: dict[str, tuple[int, str]] = {}
    inputs = as_array("inputs", inputs, "(N,)", known=known)
    targets = as_array("targets", targets, "(..., N)", known=known)
    if targets.ndim > 1:
        targets = as_array("targets", targets, "(S, N)")
    first = targets if targets.ndim == 1 else targets[0]
    check_texts(curve_name=curve_name)
    if curve_inputs is None:
        curve_inputs = inputs
    curve_inputs = as_array(curve_name, curve_inputs, "(M,)")
    for name, points in (("inputs", inputs), (curve_name, curve_inputs)):
        check_increasing(name, points)
    threshold = _check_threshold(threshold)
    # What cannot be followed is refused now and not in the middle of a training.
    nothing = np.zeros((1, *np.atleast_2d(targets).shape))
    bins = measure_convergence([0], nothing, targets, bins=bins).bins
    amplitudes = np.abs(compute_spectrum(first))
    about = {
        "x": _round(inputs),
        "y": _round(first),
        "curveX": _round(curve_inputs[_thin(curve_inputs)]),
        "frequencies": list(range(len(amplitudes))),
        "targetAmplitudes": _round(amplitudes),
        "labels": [str(k) for k in bins],
        "threshold": threshold,
    }
    margin = MARGIN * np.ptp(first)
    spectra = compute_spectrum(targets)
    return View(
        about=about,
        curve_inputs=curve_inputs,
        limits=(first.min() - margin, first.max() + margin),
        is_shared=targets.ndim == 1,
        compute_amplitudes=lambda outputs: np.abs(compute_spectrum(outputs)),
        compute_errors=lambda outputs: compute_relative_error(
            compute_spectrum(outputs), spectra, bins
        ),
    )


def view_image(
    image: np.ndarray,
    *,
    band_edges: Sequence[float] = OCTAVES,
    threshold: float = RING_THRESHOLD,
) -> View:
    """Look at networks that learn an image: norms of rings one cycle wide, errors of wider ones.

    Args:
        image: Grey values from 0 to 1, shape (H, H).
        band_edges: Edges of the rings whose errors are followed, in cycles per image; those above
            H / 2 are left out.
        threshold: Relative error below which a ring counts as learnt.

    Returns:
        The view.

    Raises:
        ValueError: If the image is not square, or a ring that is followed holds nothing.
    """
    image, band_edges = as_arrays("(H, H) (B + 1,)", image=image, band_edges=band_edges)
    threshold, size = _check_threshold(threshold), len(image)
    rings = np.arange(1, size // 2 + 1)
    check_increasing("band_edges", band_edges)
    edges = band_edges[band_edges <= size // 2]
    if size < 4 or len(edges) < 2 or edges[0] < 0:
        raise ValueError(
            f"band_edges {tell(band_edges)} leave no ring of an image of {size} by {size} pixels"
        )

    def compute_amplitudes(outputs: np.ndarray) -> np.ndarray:
        images = outputs.reshape(*outputs.shape[:-1], size, size)
        norms = np.linalg.norm(compute_radial_bands(images, rings), axis=(-2, -1))
        return np.moveaxis(norms, 0, -1)

    def compute_errors(outputs: np.ndarray) -> np.ndarray:
        images = outputs.reshape(*outputs.shape[:-1], size, size)
        return compute_band_errors(images, image, edges)

    compute_errors(image.reshape(1, 1, -1))
    about = {
        "size": size,
        "y": _round(image.ravel()),
        "frequencies": rings[:-1].tolist(),
        "targetAmplitudes": _round(compute_amplitudes(image.ravel())),
        "labels": [f"{low:g} to {high:g}" for low, high in pairwise(edges)],
        "threshold": threshold,
    }
    return View(about, None, (0.0, 1.0), True, compute_amplitudes, compute_errors)


def _check_threshold(threshold: float) -> float:
    return check_number("threshold", threshold, "a positive number", lambda error: error > 0)


def _thin(points: np.ndarray) -> slice:
    return slice(None, None, -(-len(points) // MOST_POINTS))


def _summarise(values: np.ndarray) -> np.ndarray:
    """Return median, least and most over the seeds, (R, S, M) to (R, 3 M); one seed as it is."""
    if values.shape[1] == 1:
        return values[:, 0]
    parts = np.median(values, axis=1), values.min(axis=1), values.max(axis=1)
    return np.concatenate(parts, axis=1)


def _pack(values: np.ndarray, least: float, most: float) -> dict[str, Any]:
    """Return numbers (R, M), cut off at limits and rounded to one of `LEVELS`, in few bytes.

    What is stored are the changes from one record to the next, 16 bits each, deflated.
    """
    shares = (np.clip(values, least, most) - least) / (most - least)
    whole = np.round(shares * (LEVELS - 1)).astype(np.uint16)
    changes = np.diff(whole, axis=0, prepend=np.zeros_like(whole[:1])).astype("<u2")
    data = base64.b64encode(zlib.compress(changes.tobytes(), 9)).decode("ascii")
    scale = (most - least) / (LEVELS - 1)
    return {"least": float(least), "scale": float(scale), "length": values.shape[1], "data": data}


def _round(values: np.ndarray) -> list[float]:
    """Round to a ten-thousandth of the largest."""
    largest = np.abs(values).max() or 1.0
    return np.round(values, 4 - math.floor(math.log10(largest))).tolist()
