"""What is measured: spectra, peaks, relative errors, convergence steps and oscillations."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import scipy

from fprin_utils.checks import (
    as_array,
    as_arrays,
    as_flags,
    as_records,
    check_broadcast,
    check_flag,
    check_increasing,
    check_list,
    check_number,
    check_whole,
    tell,
)

# An amplitude below this share of the largest is rounding, not signal.
ROUNDING = 1e-9


def compute_spectrum(values: np.ndarray) -> np.ndarray:
    """Return the discrete Fourier transform of real values, divided by their number.

    With n points, f^_k = (1/n) sum_i f(x_i) exp(-2 pi i k i / n), for the frequency indices
    k = 0 ... floor(n / 2); a unit sine that falls into a bin has |f^_k| = 0.5.

    Args:
        values: Real values on an equispaced grid, shape (..., N).

    Returns:
        Complex spectrum, shape (..., N // 2 + 1).

    Raises:
        ValueError: If there are no values.
    """
    values = as_array("values", values, "(..., N)")
    return np.fft.rfft(values, axis=-1) / values.shape[-1]


def taper(values: np.ndarray) -> np.ndarray:
    """Return values without their mean, under a Hann window whose own mean is 1.

    A function whose ends differ jumps where a period would join the next, and the jump leaks into
    all frequencies like 1 / k. Under the window it is gone; a sinusoid in bin k keeps its
    amplitude there and gets half of it in the bins k - 1 and k + 1.

    Args:
        values: Real values on a periodic grid, shape (..., N).

    Returns:
        Tapered values, shape (..., N).

    Raises:
        ValueError: If there are no values.
    """
    values = as_array("values", values, "(..., N)")
    window = scipy.signal.windows.hann(values.shape[-1], sym=False)
    return 2 * window * (values - values.mean(axis=-1, keepdims=True))


def compute_nonuniform_spectrum(
    inputs: np.ndarray, values: np.ndarray, frequencies: Sequence[float]
) -> np.ndarray:
    """Return (1/n) sum_i f(x_i) exp(-i w x_i) for points x_i anywhere.

    Args:
        inputs: Points x, shape (N,).
        values: Real values at the points, shape (..., N).
        frequencies: Angular frequencies w, radians per unit of x, shape (K,).

    Returns:
        Complex spectrum, shape (..., K).

    Raises:
        ValueError: If the numbers of points and of values differ.
    """
    inputs, values, frequencies = as_arrays(
        "(N,) (..., N) (K,)", inputs=inputs, values=values, frequencies=frequencies
    )
    waves = np.exp(-1j * np.outer(inputs, frequencies))
    return values @ waves / inputs.size


def make_transform_kernel(points: np.ndarray, frequencies: Sequence[float]) -> np.ndarray:
    """Return the matrix that takes samples of a function to its Fourier transform on the line.

    h^(k) = int h(x) exp(-i k x) dx for a function that is constant beyond both ends of the grid,
    as a sum of tanh is: the sum of h(x_i) exp(-i k x_i) dx, whose two constant tails are summed as
    geometric series. It equals the transform of the differences h(x + dx) - h(x), which vanish at
    the ends, divided by exp(i k dx) - 1. For a smooth function the error falls exponentially with
    1 / dx.

    Args:
        points: Equally spaced, increasing points, shape (N,), N at least 2.
        frequencies: Angular frequencies, not 0 and below pi / dx, length K.

    Returns:
        Complex matrix, shape (K, N); transforms are `values @ kernel.T`.

    Raises:
        ValueError: If an argument is outside what is listed above.
    """
    points, k = as_arrays("(N,) (K,)", points=points, frequencies=frequencies)
    spacing = (points[-1] - points[0]) / max(points.size - 1, 1)
    if not spacing > 0 or np.abs(np.diff(points) - spacing).max() > 1e-6 * spacing:
        raise ValueError("points are not equally spaced and increasing")
    if not ((k != 0) & (np.abs(k) < np.pi / spacing)).all():
        raise ValueError(
            f"frequencies are {tell(frequencies)}; they must differ from 0 and stay below "
            f"{np.pi / spacing:g}"
        )
    waves = spacing * np.exp(-1j * k[:, None] * points)
    waves[:, 0] /= 1 - np.exp(1j * k * spacing)
    waves[:, -1] /= 1 - np.exp(-1j * k * spacing)
    return waves


def find_peaks(
    spectrum: np.ndarray, *, num_peaks: int | None = None, min_share: float = 0.25
) -> np.ndarray:
    """Return the frequency indices of the local maxima of |f^_k|.

    Args:
        spectrum: Spectrum of the target, shape (K,).
        num_peaks: How many of the highest peaks to return; None for all.
        min_share: Least height of a peak, as a share of the highest amplitude above k = 0.

    Returns:
        Frequency indices in increasing order, shape (P,).

    Raises:
        ValueError: If there is no peak, or there are fewer than `num_peaks`.
    """
    amplitudes = np.abs(as_array("spectrum", spectrum, "(K,)", is_complex=True))
    if amplitudes.size < 3:
        raise ValueError(
            f"spectrum has shape {amplitudes.shape}; it must be (K,) with K of 3 or more"
        )
    min_share = check_number("min_share", min_share, "from 0 to 1", lambda share: 0 <= share <= 1)
    height = min_share * amplitudes[1:].max()
    # The mean is no frequency; the last bin has no neighbour above it.
    flanked = np.concatenate([[0], amplitudes[1:], [0]])
    peaks, _ = scipy.signal.find_peaks(flanked, height=height)
    wanted = max(len(peaks), 1) if num_peaks is None else check_whole("num_peaks", num_peaks)
    if not 0 < wanted <= len(peaks) or not height > 0:
        raise ValueError(
            f"num_peaks is {wanted}, but the spectrum has {len(peaks)} local maxima of at least "
            f"{min_share:g}, min_share, of the highest"
        )
    return np.sort(peaks[np.argsort(amplitudes[peaks])[::-1][:wanted]])


def compute_relative_error(
    spectrum: np.ndarray, target_spectrum: np.ndarray, bins: Sequence[int], *, phase: bool = True
) -> np.ndarray:
    """Return Delta_F(k) = |h^_k - f^_k| / |f^_k| at chosen frequency indices.

    Args:
        spectrum: Spectrum of what was learnt, shape (..., K).
        target_spectrum: Spectrum of the target, shape (K,), or one for each network, (S, K).
        bins: Frequency indices, length P.
        phase: If false, compare magnitudes only, | |h^_k| - |f^_k| | / |f^_k|, as published scripts
            do; a component with the wrong phase then counts as learnt.

    Returns:
        Relative errors, shape (..., P).

    Raises:
        ValueError: If a bin is not in the spectrum, or the target has nothing there.
    """
    learnt, target = _take_bins(spectrum, target_spectrum, bins)
    if not check_flag("phase", phase):
        learnt, target = np.abs(learnt), np.abs(target)
    return np.abs(learnt - target) / np.abs(target)


def compute_signed_deviation(
    spectrum: np.ndarray, target_spectrum: np.ndarray, bins: Sequence[int]
) -> np.ndarray:
    """Return Re[(h^_k - f^_k) conj(f^_k)] / |f^_k|^2: how far the amplitude is off, with a sign.

    -1 is an output without that component, 0 the right amplitude, positive values overshoot. It is
    the error's part in phase with the target.

    Args:
        spectrum: Spectrum of what was learnt, shape (..., K).
        target_spectrum: Spectrum of the target, shape (K,), or one for each network, (S, K).
        bins: Frequency indices, length P.

    Returns:
        Signed deviations, shape (..., P).

    Raises:
        ValueError: If a bin is not in the spectrum, or the target has nothing there.
    """
    learnt, target = _take_bins(spectrum, target_spectrum, bins)
    return np.real((learnt - target) * np.conj(target)) / np.abs(target) ** 2


def _take_bins(
    spectrum: np.ndarray, target_spectrum: np.ndarray, bins: Sequence[int]
) -> tuple[np.ndarray, np.ndarray]:
    known: dict[str, tuple[int, str]] = {}
    target_spectrum, spectrum = (
        as_array(name, values, "(..., K)", is_complex=True, known=known)
        for name, values in (("target_spectrum", target_spectrum), ("spectrum", spectrum))
    )
    check_broadcast(spectrum=spectrum, target_spectrum=target_spectrum)
    for row in target_spectrum.reshape(-1, target_spectrum.shape[-1]):
        bins = check_bins(row, bins)
    return spectrum[..., bins], target_spectrum[..., bins]


def check_bins(target_spectrum: np.ndarray, bins: Sequence[int]) -> np.ndarray:
    """Return frequency indices at which a target has something, or raise a ValueError.

    Args:
        target_spectrum: Spectrum of the target, shape (K,).
        bins: Frequency indices, length P.

    Returns:
        The indices as whole numbers, shape (P,).

    Raises:
        ValueError: If a bin is no whole number, not in the spectrum, or empty there.
    """
    amplitudes = np.abs(as_array("target_spectrum", target_spectrum, "(K,)", is_complex=True))
    bins = check_list("bins", bins, object, "frequency indices, at least one")
    checked = [check_whole("a bin", k) for k in bins]
    for k in checked:
        if k >= amplitudes.size:
            raise ValueError(f"bin {k} is not in the spectrum, which ends at {amplitudes.size - 1}")
        if amplitudes[k] <= ROUNDING * amplitudes.max():
            raise ValueError(f"the target has no peak at bin {k}: its amplitude there is zero")
    return np.array(checked, dtype=int)


def find_first_step_below(steps: np.ndarray, errors: np.ndarray, threshold: float) -> np.ndarray:
    """Return the first recorded step at which an error is below a threshold.

    Args:
        steps: Recorded steps, shape (R,).
        errors: Errors, shape (R, ...).
        threshold: Positive bound.

    Returns:
        Steps, shape (...); infinity where it never happens.

    Raises:
        ValueError: If the numbers of steps and of errors differ.
    """
    return find_convergence_step(steps, errors, threshold, num_records=1)


def find_convergence_step(
    steps: np.ndarray,
    errors: np.ndarray,
    threshold: float,
    *,
    num_records: int = 10,
    stopped: np.ndarray | None = None,
) -> np.ndarray:
    """Return the first recorded step from which an error stays below a threshold.

    Args:
        steps: Recorded steps, shape (R,).
        errors: Errors, shape (R, ...); one that is not a number is not below any threshold.
        threshold: Positive bound.
        num_records: How many records in a row must be below it; a stretch that is still below at
            the last record counts only if it is that long, or if its network has stopped.
        stopped: Whether a network had stopped by the last record, as at a loss tolerance, shape
            (S,) for errors of shape (R, S, ...). It stays as it is for good, so its last record
            counts as often as needed; otherwise it would matter how long other networks go on.

    Returns:
        Steps, shape (...); infinity where it never happens.

    Raises:
        ValueError: If the numbers of steps, of errors and of networks differ, or `num_records` is
            not 1 or more.
    """
    steps, errors = as_records(steps, "(R, ...)", errors=errors, is_finite=False)
    threshold = check_number("threshold", threshold, "a positive number", lambda bound: bound > 0)
    # With more than there are, only networks that have stopped count.
    num_records = min(check_whole("num_records", num_records, least=1), len(steps) + 1)
    below = errors < threshold
    later = np.zeros((num_records - 1, *below.shape[1:]), dtype=bool)
    if stopped is not None:
        stopped = as_flags("stopped", stopped)
        if stopped.shape != errors.shape[1:2]:
            raise ValueError(f"stopped has shape {stopped.shape} for errors of {errors.shape}")
        later[:, stopped] = below[-1, stopped]
    padded = np.concatenate([below, later])
    stays = np.lib.stride_tricks.sliding_window_view(padded, num_records, axis=0).all(axis=-1)
    return np.where(stays.any(axis=0), steps[stays.argmax(axis=0)], np.inf)


def estimate_steps_needed(steps: np.ndarray, errors: np.ndarray, threshold: float) -> int:
    """Return about how many steps would bring all errors below a threshold.

    Each error that is not there is continued as it fell in the second half of the run, along an
    exponential; the estimate is twice to twenty times the run's length, and twenty times where an
    error did not fall.

    Args:
        steps: Recorded steps, shape (R,).
        errors: Errors, shape (R, ...).
        threshold: Positive bound.

    Returns:
        A round number of steps; the last step where all errors are below the threshold.

    Raises:
        ValueError: If the numbers of steps and of errors differ.
    """
    steps, errors = as_records(steps, "(R, ...)", errors=errors)
    reached, last = find_first_step_below(steps, errors, threshold), int(steps[-1])
    if np.isfinite(reached).all():
        return last
    late = steps >= last / 2
    left = errors[late][:, ~np.isfinite(reached)].clip(min=1e-300)
    rates = np.polyfit(steps[late], np.log(left), 1)[0] if late.sum() > 1 else np.zeros(1)
    with np.errstate(divide="ignore"):
        needed = last + np.log(left[-1] / threshold) / np.maximum(-rates, 0)
    estimate = np.clip(needed.max(), 2 * last, 20 * last)
    digits = 10 ** max(int(np.log10(max(estimate, 1))) - 1, 0)
    return int(np.ceil(estimate / digits) * digits)


def compute_radial_bands(images: np.ndarray, edges: Sequence[float]) -> np.ndarray:
    """Split the two-dimensional discrete Fourier transform of images into rings.

    Args:
        images: Square images, shape (..., H, H).
        edges: Increasing radii in cycles per image, length B + 1; a ring holds the frequencies from
            its inner radius up to, but without, its outer one.

    Returns:
        Complex coefficients, zero outside the ring, divided by H^2, shape (B, ..., H, H).

    Raises:
        ValueError: If the images are not square, or a ring is empty.
    """
    images, edges = as_arrays("(..., H, H) (B + 1,)", images=images, edges=edges)
    size = images.shape[-1]
    frequencies = np.fft.fftfreq(size, d=1 / size)
    radius = np.hypot(*np.meshgrid(frequencies, frequencies))
    rings = [(radius >= low) & (radius < high) for low, high in pairwise(edges)]
    if not rings or not all(ring.any() for ring in rings):
        raise ValueError(f"edges {tell(edges)} leave a ring without frequencies, size {size}")
    coefficients = np.fft.fft2(images) / size**2
    return np.stack([np.where(ring, coefficients, 0) for ring in rings])


def compute_band_errors(
    images: np.ndarray, target_image: np.ndarray, edges: Sequence[float]
) -> np.ndarray:
    """Return the relative error of each ring: the norm of the error over that of the target.

    Args:
        images: What was learnt, shape (..., H, H).
        target_image: The target, shape (H, H), or one for each network, (S, H, H), for images of
            shape (..., S, H, H).
        edges: Radii as for `compute_radial_bands`, length B + 1.

    Returns:
        Relative errors, shape (..., B).

    Raises:
        ValueError: If the images are not square, or the target has nothing in a ring.
    """
    target_image, images = as_arrays(
        "(..., H, H) (..., H, H)", target_image=target_image, images=images
    )
    errors = np.linalg.norm(compute_radial_bands(images - target_image, edges), axis=(-2, -1))
    norms = np.linalg.norm(compute_radial_bands(target_image, edges), axis=(-2, -1))
    if (norms <= ROUNDING * np.linalg.norm(target_image, axis=(-2, -1))).any():
        raise ValueError(f"target_image has an empty ring among the edges {tell(edges)}")
    return np.moveaxis(errors, 0, -1) / np.moveaxis(norms, 0, -1)


def compute_energy_above(values: np.ndarray, cut: int) -> np.ndarray:
    """Return the share of the energy, the mean left out, at frequency indices above a cut.

    Args:
        values: Real values on a periodic grid, shape (..., N).
        cut: Highest frequency index that does not count.

    Returns:
        Shares from 0 to 1, shape (...).

    Raises:
        ValueError: If the cut is not from 0 to N // 2, or the values are constant.
    """
    values, cut = as_array("values", values, "(..., N)"), check_whole("cut", cut)
    num_points = values.shape[-1]
    if cut > num_points // 2:
        raise ValueError(f"cut is {cut}; it must be from 0 to {num_points // 2}")
    energies = np.abs(compute_spectrum(values)) ** 2
    # A bin stands for k and -k, except the one at half an even number of points.
    energies[..., 1 : (num_points + 1) // 2] *= 2
    total = energies[..., 1:].sum(axis=-1)
    if (total <= ROUNDING**2 * energies[..., 0]).any():
        raise ValueError("the values are constant; they have no energy to share out")
    return energies[..., cut + 1 :].sum(axis=-1) / total


def compute_learnt_shares(
    values: np.ndarray, component: np.ndarray, edges: Sequence[int]
) -> np.ndarray:
    """Return how much of a component values hold, by bands of frequency indices.

    In a band it is the projection sum_k Re[v^_k conj(c^_k)] / sum_k |c^_k|^2: 1 where the values
    hold the component whole, 0 where they hold nothing of it.

    Args:
        values: Real values on a periodic grid, shape (..., N).
        component: What may be in them, such as the noise of a target; shape (N,), or one that
            broadcasts against the values.
        edges: Increasing frequency indices, length B + 1; a band goes from one up to, but without,
            the next.

    Returns:
        Shares, shape (..., B).

    Raises:
        ValueError: If the edges do not increase within the spectrum, or the component is empty in
            a band.
    """
    values, component = as_arrays("(..., N) (..., N)", values=values, component=component)
    check_broadcast(values=values, component=component)
    wanted = compute_spectrum(component)
    edges = check_list("edges", edges, object, "frequency indices")
    edges = [check_whole("an edge", edge) for edge in edges]
    size = wanted.shape[-1]
    if len(edges) < 2 or (np.diff(edges) <= 0).any() or edges[-1] > size:
        raise ValueError(f"edges {edges} must increase strictly and end at {size} at most")

    def sum_bands(terms: np.ndarray) -> np.ndarray:
        return np.stack([terms[..., a:b].sum(axis=-1) for a, b in pairwise(edges)], axis=-1)

    energies = sum_bands(np.abs(wanted) ** 2)
    if (energies <= ROUNDING**2 * np.square(component).mean(axis=-1)[..., None]).any():
        raise ValueError(f"the component has nothing in a band among the edges {edges}")
    return sum_bands(np.real(compute_spectrum(values) * np.conj(wanted))) / energies


def find_excursions(values: np.ndarray, dead_band: float) -> np.ndarray:
    """Return the largest deviation of each stretch between changes of sign.

    A stretch counts once it leaves the dead band, and ends when the values leave the band on the
    other side; so jitter around zero is not taken for oscillation.

    Args:
        values: Signed deviations over time, shape (R,).
        dead_band: Size below which a deviation is taken for zero, positive.

    Returns:
        Signed deviations of largest size, one a stretch, in time order, shape (M,); there are
        M - 1 changes of sign.

    Raises:
        ValueError: If the values are not one-dimensional or the dead band is not positive.
    """
    values = as_array("values", values, "(R,)")
    dead_band = check_number("dead_band", dead_band, "a positive number", lambda band: band > 0)
    outside = values[np.abs(values) > dead_band]
    stretches = np.split(outside, np.flatnonzero(np.diff(np.sign(outside))) + 1)
    return np.array([part[np.abs(part).argmax()] for part in stretches if part.size])


def take_at_steps(steps: np.ndarray, values: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Return recorded values at a step of its own for each network.

    Args:
        steps: Recorded steps, shape (R,).
        values: Recorded values, shape (R, S, ...).
        at: A recorded step for each network, or infinity, shape (S,).

    Returns:
        Values, shape (S, ...); not a number where the step is infinite.

    Raises:
        ValueError: If a step was not recorded.
    """
    steps, values = as_records(steps, "(R, S, ...)", values=values, is_finite=False)
    known = {"S": (values.shape[1], "values")}
    at = as_array("at", at, "(S,)", is_finite=False, known=known)
    finite = np.isfinite(at)
    if not np.isin(at[finite], steps).all():
        raise ValueError(
            f"at is {tell(at)}; not all of it is among the {len(steps)} recorded steps"
        )
    taken = np.full(values.shape[1:], np.nan)
    taken[finite] = values[np.searchsorted(steps, at[finite]), np.flatnonzero(finite)]
    return taken


def compute_relapse(steps: np.ndarray, errors: np.ndarray, since: np.ndarray) -> np.ndarray:
    """Return the largest rise of an error above an earlier value, from a step on.

    Args:
        steps: Recorded steps, shape (R,).
        errors: Errors, shape (R, S).
        since: The step from which on to look, for each network, shape (S,), such as that of its
            convergence.

    Returns:
        Largest rises, shape (S,), 0 or more; infinity where `since` is.

    Raises:
        ValueError: If the numbers of steps, errors and networks differ.
    """
    steps, errors = as_records(steps, "(R, S)", errors=errors)
    known = {"S": (errors.shape[1], "errors")}
    since = as_array("since", since, "(S,)", is_finite=False, known=known)
    later = steps[:, None] >= since
    lowest = np.minimum.accumulate(np.where(later, errors, np.inf), axis=0)
    rises = np.where(later, errors - np.where(later, lowest, 0), 0)
    return np.where(np.isfinite(since), rises.max(axis=0), np.inf)


def find_flip(positions: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return where values, such as log ratios, become negative for good.

    It is the zero of the straight line from the last value that is not negative to the next one.
    Values that are not numbers are passed over.

    Args:
        positions: Increasing positions, shape (P,).
        values: Values there, shape (..., P).

    Returns:
        Positions, shape (...); minus infinity where all values are negative, infinity where the
        last one is not, not a number where there is none.

    Raises:
        ValueError: If the positions do not increase, or their number is not that of the values.
    """
    known: dict[str, tuple[int, str]] = {}
    positions = as_array("positions", positions, "(P,)", known=known)
    values = as_array("values", values, "(..., P)", is_finite=False, known=known)
    check_increasing("positions", positions)
    flips = [_find_row_flip(positions, row) for row in values.reshape(-1, positions.size)]
    return np.reshape(flips, values.shape[:-1])


def _find_row_flip(positions: np.ndarray, values: np.ndarray) -> float:
    known = ~np.isnan(values)
    positions, values = positions[known], values[known]
    if not values.size:
        return np.nan
    last = np.flatnonzero(values >= 0)[-1:]
    if not last.size:
        return -np.inf
    if last[0] == values.size - 1:
        return np.inf
    (left, right), (above, below) = positions[last[0] :][:2], values[last[0] :][:2]
    # An infinite value draws the zero to its neighbour.
    with np.errstate(divide="ignore", invalid="ignore"):
        return left + (right - left) / (1 - below / above)
