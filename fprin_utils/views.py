"""What is looked at while networks learn: outputs, their spectrum, the order of the frequencies."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from fprin_utils.claims import compute_kendall_tau, is_increasing
from fprin_utils.spectra import (
    compute_band_errors,
    compute_radial_bands,
    compute_relative_error,
    compute_spectrum,
    find_first_step_below,
    find_peaks,
)

# Rings of spatial frequency in cycles per image: octaves for the errors.
OCTAVES = (1, 2, 4, 8, 16)
# As in notebooks 01 and 02.
PEAK_THRESHOLD, RING_THRESHOLD = 0.2, 0.5
# With more frequencies than these, a coefficient tells their order and not a list.
MOST_LISTED = 5
# Of them, as many must be learnt before an order is told.
LEAST_SHARE = 0.5


@dataclass(frozen=True)
class View:
    """What there is to see of networks that learn a target.

    Attributes:
        targets: Training targets, shape (N,), or (H, H) for an image.
        inputs: Training inputs, shape (N,); None for an image.
        curve_inputs: Points at which the networks are drawn as curves, shape (M,); None for an
            image.
        curves: Name of the run's further outputs at these points; None if they are the inputs.
        labels: Names of the P frequencies or rings whose errors are followed, lowest first.
        frequencies: Positions of the K amplitudes on the axis of frequency, shape (K,).
        threshold: Relative error below which a frequency counts as learnt.
        compute_amplitudes: Turns outputs (..., N) into amplitudes, shape (..., K).
        compute_errors: Turns outputs (..., N) into relative errors, shape (..., P).
    """

    targets: np.ndarray
    inputs: np.ndarray | None
    curve_inputs: np.ndarray | None
    curves: str | None
    labels: Sequence[str]
    frequencies: np.ndarray
    threshold: float
    compute_amplitudes: Callable[[np.ndarray], np.ndarray]
    compute_errors: Callable[[np.ndarray], np.ndarray]


def view_curve(
    inputs: np.ndarray,
    targets: np.ndarray,
    *,
    bins: Sequence[int] | None = None,
    curves: Mapping[str, np.ndarray] | None = None,
) -> View:
    """Look at networks on a line: their spectrum, and the relative errors of some frequencies.

    Args:
        inputs: Training inputs, shape (N,).
        targets: Training targets, shape (N,).
        bins: Frequency indices whose errors are followed; the peaks of the targets if left out.
        curves: Name of the further outputs that are drawn as curves, with their inputs, shape (M,);
            the outputs at `inputs` if left out.

    Returns:
        The view.
    """
    spectrum = compute_spectrum(targets)
    bins = find_peaks(spectrum) if bins is None else bins
    name, curve_inputs = next(iter((curves or {None: inputs}).items()))
    return View(
        targets=targets,
        inputs=inputs,
        curve_inputs=curve_inputs,
        curves=name,
        labels=[str(k) for k in bins],
        frequencies=np.arange(len(spectrum)),
        threshold=PEAK_THRESHOLD,
        compute_amplitudes=lambda outputs: np.abs(compute_spectrum(outputs)),
        compute_errors=lambda outputs: compute_relative_error(
            compute_spectrum(outputs), spectrum, bins
        ),
    )


def view_image(image: np.ndarray) -> View:
    """Look at networks that learn an image: norms of rings one cycle wide, errors of octaves.

    Args:
        image: Grey values, shape (H, H); octaves up to H / 2 cycles per image are followed.

    Returns:
        The view.
    """
    size = len(image)
    rings = np.arange(1, size // 2 + 1)
    octaves = [edge for edge in OCTAVES if edge <= size // 2]

    def compute_amplitudes(outputs: np.ndarray) -> np.ndarray:
        images = outputs.reshape(*outputs.shape[:-1], size, size)
        norms = np.linalg.norm(compute_radial_bands(images, rings), axis=(-2, -1))
        return np.moveaxis(norms, 0, -1)

    def compute_errors(outputs: np.ndarray) -> np.ndarray:
        images = outputs.reshape(*outputs.shape[:-1], size, size)
        return compute_band_errors(images, image, octaves)

    return View(
        targets=image,
        inputs=None,
        curve_inputs=None,
        curves=None,
        labels=[f"{low} to {high}" for low, high in pairwise(octaves)],
        frequencies=rings[:-1],
        threshold=RING_THRESHOLD,
        compute_amplitudes=compute_amplitudes,
        compute_errors=compute_errors,
    )


def describe_order(view: View, steps: np.ndarray, errors: np.ndarray) -> str:
    """Say in a sentence or two in which order the frequencies were learnt.

    Args:
        view: Of what.
        steps: Recorded steps, shape (R,).
        errors: Relative errors, shape (R, S, P).

    Returns:
        The sentences.
    """
    first = find_first_step_below(steps, errors, view.threshold)
    learnt = np.isfinite(first)
    num_seeds, num_frequencies = first.shape
    what = "Frequency" if view.inputs is not None else "Ring"
    if num_frequencies == 1:
        when = f"is learnt at step {np.median(first):,.0f}" if learnt.all() else "is not learnt yet"
        return f"{what} {view.labels[0]} {when}."
    if num_frequencies > MOST_LISTED:
        share = f"{learnt.mean():.0%} of the frequencies are learnt"
        if learnt.mean() < LEAST_SHARE:
            return f"{share}; too few to tell an order."
        # What is not learnt comes last.
        tau = np.median(compute_kendall_tau(np.where(learnt, first, steps[-1] + 1.0)))
        orders = {tau > 0.5: "low before high", tau < -0.5: "high before low"}
        return (
            f"{share}. Kendall's tau between frequency and step, median of the seeds: {tau:.2f} "
            f"({orders.get(True, 'hardly any order')})."
        )
    if learnt.all():
        lost = [
            label
            for label, each in zip(view.labels, errors[-1].T, strict=True)
            if np.median(each) >= view.threshold
        ]
        again = f" Above the threshold again: {', '.join(lost)}." if lost else ""
        medians = ", ".join(f"{median:,.0f}" for median in np.median(first, axis=0))
        in_order = is_increasing(first).sum()
        return (
            f"Low before high in {in_order} of {num_seeds} seeds; frequencies "
            f"{', '.join(view.labels)} are learnt at steps {medians} (medians).{again}"
        )
    done = [label for label, all_of in zip(view.labels, learnt.all(axis=0), strict=True) if all_of]
    missing = [label for label in view.labels if label not in done]
    told = f"Learnt in all seeds: {', '.join(done)}. " if done else ""
    return f"{told}Not yet learnt in all seeds: {', '.join(missing)}."
