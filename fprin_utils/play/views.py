"""Views of networks that learn: outputs, their spectrum, the order of the frequencies."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from fprin_utils.checks import (
    as_array,
    as_arrays,
    as_records,
    check_increasing,
    check_kind,
    check_mapping,
    check_number,
    check_texts,
    tell,
)
from fprin_utils.convergence import compute_kendall_tau, find_convergence_step, is_increasing
from fprin_utils.spectra import (
    check_bins,
    compute_band_errors,
    compute_radial_bands,
    compute_relative_error,
    compute_spectrum,
    find_peaks,
)

# Edges of the rings in cycles per image.
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
    threshold: float = PEAK_THRESHOLD,
) -> View:
    """Look at networks on a line: their spectrum, and the relative errors of some frequencies.

    Args:
        inputs: Training inputs, shape (N,).
        targets: Training targets, shape (N,).
        bins: Frequency indices whose errors are followed; the peaks of the targets if left out.
        curves: Name of the further outputs that are drawn as curves, with their inputs, shape (M,);
            the outputs at `inputs` if left out.
        threshold: Relative error below which a frequency counts as learnt.

    Returns:
        The view.

    Raises:
        ValueError: If the targets have no peak, or nothing at one of the frequencies.
    """
    inputs, targets = as_arrays("(N,) (N,)", inputs=inputs, targets=targets)
    check_increasing("inputs", inputs)
    threshold = _check_threshold(threshold)
    spectrum = compute_spectrum(targets)
    bins = find_peaks(spectrum) if bins is None else check_bins(spectrum, bins)

    def compute_errors(outputs: np.ndarray) -> np.ndarray:
        return compute_relative_error(compute_spectrum(outputs), spectrum, bins)

    # What cannot be followed is refused now and not in the middle of a training.
    compute_errors(targets)
    name, curve_inputs = None, inputs
    if curves is not None:
        if len(check_mapping("curves", curves, "a name to points")) > 1:
            raise ValueError(f"curves lists {tell(list(curves))}; it must map one name to points")
        name, curve_inputs = next(iter(curves.items()))
        curve_inputs = as_array(f"curves[{name!r}]", curve_inputs, "(M,)")
        check_increasing(f"curves[{name!r}]", curve_inputs)
        check_texts(**{"the name in curves": name})
    return View(
        targets=targets,
        inputs=inputs,
        curve_inputs=curve_inputs,
        curves=name,
        labels=[str(k) for k in bins],
        frequencies=np.arange(len(spectrum)),
        threshold=threshold,
        compute_amplitudes=lambda outputs: np.abs(compute_spectrum(outputs)),
        compute_errors=compute_errors,
    )


def view_image(
    image: np.ndarray,
    *,
    band_edges: Sequence[float] = OCTAVES,
    threshold: float = RING_THRESHOLD,
) -> View:
    """Look at networks that learn an image: norms of rings one cycle wide, errors of wider ones.

    Args:
        image: Grey values, shape (H, H).
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

    compute_errors(image.reshape(1, -1))
    return View(
        targets=image,
        inputs=None,
        curve_inputs=None,
        curves=None,
        labels=[f"{low:g} to {high:g}" for low, high in pairwise(edges)],
        frequencies=rings[:-1],
        threshold=threshold,
        compute_amplitudes=compute_amplitudes,
        compute_errors=compute_errors,
    )


def _check_threshold(threshold: float) -> float:
    return check_number("threshold", threshold, "a positive number", lambda error: error > 0)


def describe_order(view: View, steps: np.ndarray, errors: np.ndarray) -> str:
    """Say in a sentence or two in which order the frequencies were learnt.

    Args:
        view: Of what.
        steps: Recorded steps, shape (R,).
        errors: Relative errors, shape (R, S, P).

    Returns:
        The sentences.

    Raises:
        ValueError: If the numbers of steps, errors and frequencies differ.
    """
    check_kind("view", view, View, "a View")
    steps, errors = as_records(steps, f"(R, S, {len(view.labels)})", errors=errors)
    first = find_convergence_step(steps, errors, view.threshold, num_records=1)
    learnt, middle = np.isfinite(first), np.median(first, axis=0)
    num_seeds, num_frequencies = first.shape
    kind, kinds = ("ring", "rings") if view.inputs is None else ("frequency", "frequencies")
    if num_frequencies > MOST_LISTED:
        share, share_now = learnt.mean(), (errors[-1] < view.threshold).mean()
        told = f"{share:.0%} of the {kinds} are learnt"
        if share_now < share:
            told += f", of which some are above the threshold again: {share_now:.0%} are below it"
        if share < LEAST_SHARE:
            return f"{told}; too few to tell an order."
        # What is not learnt comes last.
        tau = np.median(compute_kendall_tau(np.where(learnt, first, steps[-1] + 1.0)))
        orders = {tau > 0.5: "low before high", tau < -0.5: "high before low"}
        return (
            f"{told}. Kendall's tau between {kind} and step, median of the seeds: {tau:.2f} "
            f"({orders.get(True, 'hardly any order')})."
        )
    is_lost = np.isfinite(middle) & (np.median(errors[-1], axis=0) >= view.threshold)
    lost = [label for label, is_one in zip(view.labels, is_lost, strict=True) if is_one]
    again = f" Above the threshold again: {', '.join(lost)}." if lost else ""
    if num_frequencies == 1:
        if not learnt.any():
            return f"{kind.capitalize()} {view.labels[0]} is not learnt yet."
        return (
            f"{kind.capitalize()} {view.labels[0]} is learnt in {learnt.sum()} of {num_seeds} "
            f"seeds, at step {np.median(first[learnt]):,.0f} (median).{again}"
        )
    if learnt.all():
        medians = ", ".join(f"{median:,.0f}" for median in middle)
        return (
            f"Low before high in {is_increasing(first).sum()} of {num_seeds} seeds; {kinds} "
            f"{', '.join(view.labels)} are learnt at steps {medians} (medians).{again}"
        )
    done = [label for label, all_of in zip(view.labels, learnt.all(axis=0), strict=True) if all_of]
    missing = [label for label in view.labels if label not in done]
    told = f"Learnt in all seeds: {', '.join(done)}. " if done else ""
    return f"{told}Not yet learnt in all seeds: {', '.join(missing)}.{again}"
