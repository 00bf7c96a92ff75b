"""Targets: grids, sums of sinusoids, random data and images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import skimage

from fprin_utils.checks import (
    MOST_VALUES,
    as_array,
    as_arrays,
    check_flag,
    check_kind,
    check_number,
    check_seed,
    check_whole,
)

# Longest side of an image.
MOST_PIXELS = math.isqrt(MOST_VALUES)
SAMPLE_IMAGES = (
    *("camera", "coins", "moon", "astronaut", "cat", "coffee", "rocket", "clock"),
    *("page", "brick", "grass", "gravel", "text"),
)


def make_grid(
    num_points: int, *, start: float = -np.pi, stop: float = np.pi, endpoint: bool = False
) -> np.ndarray:
    """Return equispaced points on an interval.

    Without the endpoint the grid is periodic: a sinusoid whose period divides the interval falls
    into exactly one bin of the discrete Fourier transform. With it, the grid leaks.

    Args:
        num_points: Number of points N, at least 2.
        start: First point.
        stop: End of the interval, itself a point only if `endpoint` is true.
        endpoint: Whether `stop` is a point of the grid.

    Returns:
        Points, shape (N,), float64.

    Raises:
        ValueError: If there are fewer than 2 points, far too many, or the interval is empty.
    """
    num_points = check_whole("num_points", num_points, least=2, most=MOST_VALUES)
    start, stop = check_number("start", start), check_number("stop", stop)
    endpoint = check_flag("endpoint", endpoint)
    if not start < stop:
        raise ValueError(f"the interval [{start}, {stop}] is empty; start must be below stop")
    return np.linspace(start, stop, num_points, endpoint=endpoint)


def make_sinusoids(
    grid: np.ndarray,
    frequencies: Sequence[float],
    amplitudes: Sequence[float] | None = None,
    phases: Sequence[float] | None = None,
) -> np.ndarray:
    """Return the sum over j of `amplitudes[j] * sin(frequencies[j] * x + phases[j])`.

    Args:
        grid: Points x, shape (N,).
        frequencies: Angular frequencies, radians per unit of x.
        amplitudes: One per frequency; all 1 if left out.
        phases: One per frequency, radians; all 0 if left out.

    Returns:
        Values on the grid, shape (N,).

    Raises:
        ValueError: If the grid is empty, there is no frequency, the lengths differ, or a frequency
            is above the grid's Nyquist frequency, pi over the distance of its points.
    """
    grid, frequencies = as_arrays("(N,) (P,)", grid=grid, frequencies=frequencies)
    frequencies, amplitudes, phases = as_arrays(
        "(P,) (P,) (P,)",
        frequencies=frequencies,
        amplitudes=np.ones_like(frequencies) if amplitudes is None else amplitudes,
        phases=np.zeros_like(frequencies) if phases is None else phases,
    )
    distances = np.abs(np.diff(grid))
    nyquist = np.pi / distances[distances > 0].min() if distances.any() else np.inf
    # A grid of whole steps may reach its Nyquist frequency but for rounding.
    if (np.abs(frequencies) > nyquist * (1 + 1e-9)).any():
        raise ValueError(
            f"frequencies are {frequencies.tolist()}; on this grid they must be at most "
            f"{nyquist:.4g}, its Nyquist frequency"
        )
    return np.sin(np.outer(grid, frequencies) + phases) @ amplitudes


def discretise(values: np.ndarray, step_height: float) -> np.ndarray:
    """Round values to multiples of a step height: alpha * round(f / alpha).

    The discretised targets of the authors' public code (alpha = 2 for sin x + 2 sin 3x + 3 sin 5x).

    Args:
        values: Any shape.
        step_height: The alpha above; 0 leaves the values as they are.

    Returns:
        Rounded values, same shape.

    Raises:
        ValueError: If the step height is negative.
    """
    values = as_array("values", values)
    step_height = check_number("step_height", step_height, "0 or more", lambda height: height >= 0)
    return step_height * np.round(values / step_height) if step_height else values.copy()


def make_random(
    shape: int | tuple[int, ...], *, std: float = 1.0, seed: int | Sequence[int]
) -> np.ndarray:
    """Return independent normal numbers: a random target, or noise to add to one.

    Args:
        shape: Shape of the result, each length at least 1.
        std: Standard deviation, 0 or more.
        seed: Seed of the generator, one whole number or several.

    Returns:
        Values of the given shape, float64.

    Raises:
        ValueError: If an argument is outside what is listed above, or the result far too large.
    """
    lengths = shape if isinstance(shape, (tuple, list)) and shape else (shape,)
    lengths = [check_whole("shape", length, least=1) for length in lengths]
    check_whole("the product of shape", math.prod(lengths), most=MOST_VALUES)
    std = check_number("std", std, "0 or more", lambda std: std >= 0)
    return np.random.default_rng(check_seed("seed", seed)).normal(0.0, std, lengths)


def load_image(source: str | Path = "camera", *, size: int = 64) -> np.ndarray:
    """Load a grey image, cut to its central square, resized with anti-aliasing.

    Args:
        source: Name of an image that scikit-image ships (`SAMPLE_IMAGES`), or the path of an image
            file of your own.
        size: Side length of the result in pixels, at least 2.

    Returns:
        Grey values from 0 (black) to 1 (white), shape (size, size), row 0 on top.

    Raises:
        ValueError: If the name is unknown and no such file exists, or the size is out of bounds.
    """
    size = check_whole("size", size, least=2, most=MOST_PIXELS)
    if check_kind("source", source, (str, Path), "a name or a path") in SAMPLE_IMAGES:
        image = getattr(skimage.data, source)()
    elif Path(source).is_file():
        image = skimage.io.imread(source)
    else:
        raise ValueError(
            f"source {str(source)!r} is neither a file nor one of {', '.join(SAMPLE_IMAGES)}"
        )
    if image.ndim == 3:
        image = skimage.color.rgb2gray(image[..., :3])
    image = skimage.util.img_as_float(image)
    side = min(image.shape)
    top, left = ((length - side) // 2 for length in image.shape)
    square = image[top : top + side, left : left + side]
    return skimage.transform.resize(square, (size, size), anti_aliasing=True)


def make_image_coordinates(size: int) -> np.ndarray:
    """Return the pixel coordinates of a square image, in row-major order.

    Args:
        size: Side length in pixels.

    Returns:
        (horizontal, vertical) coordinates in [-pi, pi), a periodic grid, shape (size * size, 2).

    Raises:
        ValueError: If the size is out of bounds.
    """
    axis = make_grid(check_whole("size", size, least=2, most=MOST_PIXELS))
    vertical, horizontal = np.meshgrid(axis, axis, indexing="ij")
    return np.stack([horizontal.ravel(), vertical.ravel()], axis=1)


def shuffle_pixels(image: np.ndarray, *, seed: int | Sequence[int]) -> np.ndarray:
    """Return an image with the same grey values in random places: a nearly white spectrum.

    Args:
        image: Grey values, shape (H, W).
        seed: Seed of the permutation, one whole number or several.

    Returns:
        Shuffled image, shape (H, W).

    Raises:
        ValueError: If an argument is outside what is listed above.
    """
    image = as_array("image", image, "(H, W)")
    generator = np.random.default_rng(check_seed("seed", seed))
    return generator.permutation(image.ravel()).reshape(image.shape)
