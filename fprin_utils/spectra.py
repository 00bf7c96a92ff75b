"""Spectra: discrete Fourier transforms, peaks, relative errors, rings, energies, filters."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import scipy

from fprin_utils.checks import (
    as_array,
    as_arrays,
    check_broadcast,
    check_flag,
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
        raise ValueError(f"spectrum has shape {amplitudes.shape}; it must be (K,), K at least 3")
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


def filter_low_high(inputs: np.ndarray, values: np.ndarray, delta: float) -> np.ndarray:
    """Split values at scattered points into a low- and a high-frequency part (arXiv 1901.06523).

    y_low(x_i) = sum_j G_ij y_j / sum_j G_ij with G_ij = exp(-|x_i - x_j|^2 / (2 delta)), where
    delta is a variance, not a width; y_high = y - y_low.

    Args:
        inputs: Points x, shape (N, D), at most 2^14 of them.
        values: Values y, shape (..., N, O).
        delta: Positive; the larger, the lower the frequencies that are left in the low part.

    Returns:
        The low and the high part, shape (2, ..., N, O).

    Raises:
        ValueError: If shapes do not fit, or an argument is outside what is listed above.
    """
    inputs, values = as_arrays("(N, D) (..., N, O)", inputs=inputs, values=values)
    delta = check_number("delta", delta, "a positive number", lambda width: width > 0)
    check_whole("the number of inputs", len(inputs), most=2**14)
    with np.errstate(over="ignore"):
        weights = np.exp(-scipy.spatial.distance.cdist(inputs, inputs, "sqeuclidean") / delta / 2)
    low = (weights / weights.sum(axis=1, keepdims=True)) @ values
    return np.stack([low, values - low])


def project(inputs: np.ndarray, values: np.ndarray, frequencies: Sequence[float]) -> np.ndarray:
    """Return the transform of values along the inputs' first principal component p.

    y^_k = (1/n) sum_i y_i exp(-2 pi i k p . x_i), the non-uniform transform of arXiv 1901.06523.

    Args:
        inputs: Points x, shape (N, D), not all the same.
        values: Values y of one component, shape (..., N).
        frequencies: The k, in cycles per unit of p . x, length K.

    Returns:
        Complex spectrum, shape (..., K).

    Raises:
        ValueError: If shapes do not fit, or the inputs are all the same.
    """
    inputs, values, frequencies = as_arrays(
        "(N, D) (..., N) (K,)", inputs=inputs, values=values, frequencies=frequencies
    )
    _, spreads, axes = np.linalg.svd(inputs - inputs.mean(axis=0), full_matrices=False)
    if spreads[0] <= ROUNDING * np.abs(inputs).max():
        raise ValueError("inputs are all the same point; they have no principal component")
    return values @ np.exp(-2j * np.pi * np.outer(inputs @ axes[0], frequencies)) / len(inputs)


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
