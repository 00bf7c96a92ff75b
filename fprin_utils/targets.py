"""What is learned: grids, sums of sinusoids, random targets and images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import skimage

from fprin_utils.checks import check_whole

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
        ValueError: If there are fewer than 2 points or the interval is empty.
    """
    num_points = check_whole("num_points", num_points, least=2)
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
    grid = np.asarray(grid, dtype=float)
    if grid.ndim != 1 or grid.size == 0:
        raise ValueError(f"grid has shape {grid.shape}; it must be one-dimensional and not empty")
    frequencies = np.asarray(frequencies, dtype=float)
    if frequencies.ndim != 1 or frequencies.size == 0:
        raise ValueError("frequencies must be a list of at least one angular frequency")
    amplitudes = np.ones_like(frequencies) if amplitudes is None else np.asarray(amplitudes, float)
    phases = np.zeros_like(frequencies) if phases is None else np.asarray(phases, float)
    for name, values in (("amplitudes", amplitudes), ("phases", phases)):
        if values.shape != frequencies.shape:
            raise ValueError(f"{values.size} {name} for {frequencies.size} frequencies")
    nyquist = np.pi / np.abs(np.diff(grid)).min() if grid.size > 1 else np.inf
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
    if step_height < 0:
        raise ValueError(f"step_height is {step_height}; it must be 0 or more")
    return step_height * np.round(values / step_height) if step_height else np.array(values)


def make_random(shape: int | tuple[int, ...], *, std: float = 1.0, seed: int) -> np.ndarray:
    """Return independent normal numbers: a random target, or noise to add to one.

    Args:
        shape: Shape of the result.
        std: Standard deviation, 0 or more.
        seed: Seed of the generator.

    Returns:
        Values of the given shape, float64.

    Raises:
        ValueError: If the standard deviation is negative.
    """
    if std < 0:
        raise ValueError(f"std is {std}; it must be 0 or more")
    return np.random.default_rng(seed).normal(0.0, std, shape)


def load_image(source: str | Path = "camera", *, size: int = 64) -> np.ndarray:
    """Load a grey image, cut to its central square, resized with anti-aliasing.

    Args:
        source: Name of an image that scikit-image ships (`SAMPLE_IMAGES`), or the path of an image
            file of your own.
        size: Side length of the result in pixels, at least 2.

    Returns:
        Grey values from 0 (black) to 1 (white), shape (size, size), row 0 on top.

    Raises:
        ValueError: If the name is unknown and no such file exists, or the size is too small.
    """
    size = check_whole("size", size, least=2)
    if source in SAMPLE_IMAGES:
        image = getattr(skimage.data, source)()
    elif Path(source).is_file():
        image = skimage.io.imread(source)
    else:
        raise ValueError(
            f"image {str(source)!r} is neither a file nor one of {', '.join(SAMPLE_IMAGES)}"
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
    """
    axis = make_grid(size)
    vertical, horizontal = np.meshgrid(axis, axis, indexing="ij")
    return np.stack([horizontal.ravel(), vertical.ravel()], axis=1)


def shuffle_pixels(image: np.ndarray, *, seed: int) -> np.ndarray:
    """Return an image with the same grey values in random places: a nearly white spectrum.

    Args:
        image: Grey values, shape (H, W).
        seed: Seed of the permutation.

    Returns:
        Shuffled image, shape (H, W).
    """
    return np.random.default_rng(seed).permutation(image.ravel()).reshape(image.shape)
