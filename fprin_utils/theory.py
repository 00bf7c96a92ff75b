"""Theory: transforms and gradients of networks with one hidden layer, in closed form.

A network is h(x) = sum_j a_j sigma(w_j x + b_j), with sigma the tanh or the logistic sigmoid. Its
M neurons are an array of shape (..., M, 3) that holds (a_j, w_j, b_j). Frequencies k are angular,
in radians per unit of x, and not 0; the transform is h^(k) = int h(x) exp(-i k x) dx. At small
weights it lies far below the smallest float, so that functions return logarithms where sizes are
to be compared. Formulas follow Xu (arXiv 1808.04295) and Xu et al. (arXiv 1901.06523).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy

from fprin_utils.checks import (
    MOST_VALUES,
    as_array,
    as_arrays,
    check_broadcast,
    check_choice,
    check_number,
    check_seed,
    check_whole,
    tell,
)

# The transform of the activation decays as exp(-rate |k / w|).
DECAY_RATES = {"tanh": np.pi / 2, "sigmoid": np.pi}
NEAR_ONE = 1 - 1e-12


def compute_log_transforms(
    neurons: np.ndarray, frequencies: Sequence[float], activation: str = "tanh"
) -> np.ndarray:
    """Return the logarithm of each neuron's transform.

    h^_j(k) = -i pi a_j / |w_j| exp(i k b_j / w_j) / sinh(r k / w_j), with r = pi / 2 for tanh and
    pi for the sigmoid, since sigmoid(x) = (1 + tanh(x / 2)) / 2. The real part of the logarithm is
    the log magnitude, the imaginary part the phase.

    Args:
        neurons: (a, w, b) of each neuron, shape (..., M, 3).
        frequencies: Angular frequencies k, length K.
        activation: One of `DECAY_RATES`.

    Returns:
        Complex logarithms, shape (..., K, M); minus infinity where a is 0.

    Raises:
        ValueError: If an argument is outside what is listed above, or a w or a frequency is 0.
    """
    a, w, b, k, rate = _check_network(neurons, frequencies, activation)
    return _take_log(a) + _compute_log_units(w, b, k, rate)


def compute_transform(
    neurons: np.ndarray, frequencies: Sequence[float], activation: str = "tanh"
) -> np.ndarray:
    """Return the transform h^(k) of networks, the sum over their neurons.

    Args:
        neurons: (a, w, b) of each neuron, shape (..., M, 3).
        frequencies: Angular frequencies k, length K.
        activation: One of `DECAY_RATES`.

    Returns:
        Complex transforms, shape (..., K).

    Raises:
        ValueError: As for `compute_log_transforms`.
    """
    return np.exp(compute_log_transforms(neurons, frequencies, activation)).sum(axis=-1)


def compute_log_gradients(
    neurons: np.ndarray,
    frequencies: Sequence[float],
    target_transform: np.ndarray,
    activation: str = "tanh",
) -> tuple[np.ndarray, np.ndarray]:
    """Return the gradients of L(k) = |D(k)|^2 / 2, with D = h^ - f^, as signs and logarithms.

    dL(k)/dtheta = Re(conj(D) dh^/dtheta), where with r as in `compute_log_transforms`
    dh^/da = h^_j / a, dh^/db = (i k / w) h^_j, and
    dh^/dw = (-1/w - i k b / w^2 + (r k / w^2) coth(r k / w)) h^_j.
    This is the article's A(k) exp(-|r k / w_j|) G(theta_j, k), written out.

    Args:
        neurons: (a, w, b) of each neuron, shape (..., M, 3).
        frequencies: Angular frequencies k, length K.
        target_transform: f^(k), complex, shape (..., K).
        activation: One of `DECAY_RATES`.

    Returns:
        Signs, and natural logarithms of the absolute values, of the gradients with respect to
        (a, w, b), each of shape (..., K, M, 3).

    Raises:
        ValueError: As for `compute_log_transforms`.
    """
    a, w, b, k, rate = _check_network(neurons, frequencies, activation)
    units = _compute_log_units(w, b, k, rate)
    transforms = _take_log(a) + units
    x = rate * k / w
    slopes = (-1 - 1j * k * b / w + x / np.tanh(x)) / w
    derivatives = np.stack(
        [units, transforms + _take_log(slopes), transforms + _take_log(1j * k / w)], axis=-1
    )
    known = {"K": (len(k), "frequencies")}
    target = as_array(
        "target_transform", target_transform, "(..., K)", is_complex=True, known=known
    )
    outputs = np.exp(transforms).sum(axis=-1)
    check_broadcast(target_transform=target, transforms=outputs)
    errors = _take_log(outputs - target)[..., None, None]
    cosines = np.cos(derivatives.imag - errors.imag)
    return np.sign(cosines), errors.real + derivatives.real + _take_log(cosines).real


def is_low_first(
    neurons: np.ndarray,
    frequencies: Sequence[float],
    target_transform: np.ndarray,
    activation: str = "tanh",
) -> np.ndarray:
    """Tell whether |dL(k1)/dtheta| > |dL(k2)/dtheta| for every parameter of a network.

    This is the event of Theorem 1 in Xu et al. (arXiv 1901.06523).

    Args:
        neurons: (a, w, b) of each neuron, shape (..., M, 3).
        frequencies: The two angular frequencies k1 and k2.
        target_transform: f^(k1) and f^(k2), complex, shape (..., 2).
        activation: One of `DECAY_RATES`.

    Returns:
        Outcomes, shape (...).

    Raises:
        ValueError: As for `compute_log_transforms`, or if there are not two frequencies.
    """
    frequencies = as_array("frequencies", frequencies, "(2,)")
    _, sizes = compute_log_gradients(neurons, frequencies, target_transform, activation)
    return (sizes[..., 0, :, :] > sizes[..., 1, :, :]).all(axis=(-2, -1))


def compute_priority_border(
    frequencies: Sequence[float], amplitude_ratio: np.ndarray, activation: str = "tanh"
) -> np.ndarray:
    """Return the |w| above which the exponential factor lets the high frequency win.

    A2 exp(-r k2 / |w|) > A1 exp(-r k1 / |w|) where |w| > r (k2 - k1) / ln(A2 / A1), with r as in
    `compute_log_transforms`; the factor G of the gradient is left out.

    Args:
        frequencies: The two angular frequencies 0 < k1 < k2.
        amplitude_ratio: A2 / A1, positive, any shape.
        activation: One of `DECAY_RATES`.

    Returns:
        Borders in units of w, in the shape of the ratio; infinity where it is 1 or less.

    Raises:
        ValueError: If an argument is outside what is listed above.
    """
    rate, ratio = _find_rate(activation), as_array("amplitude_ratio", amplitude_ratio)
    frequencies = as_array("frequencies", frequencies, "(2,)")
    if not 0 < frequencies[0] < frequencies[1]:
        raise ValueError(f"frequencies are {frequencies}; they must be two with 0 < k1 < k2")
    if not (ratio > 0).all():
        raise ValueError(f"amplitude_ratio is {tell(amplitude_ratio)}; it must be positive")
    exponent = rate * (frequencies[1] - frequencies[0])
    return np.divide(exponent, np.log(ratio), out=np.full(ratio.shape, np.inf), where=ratio > 1)


def sample_ball(
    num_samples: int, num_neurons: int, radius: float, *, seed: int | Sequence[int]
) -> np.ndarray:
    """Draw networks uniformly from a ball around zero in the space of all their parameters.

    Args:
        num_samples: Number of networks, at least 1.
        num_neurons: Neurons of each, M, at least 1; the ball has 3 M dimensions.
        radius: Its radius, positive.
        seed: One whole number or several.

    Returns:
        (a, w, b) of each neuron, shape (num_samples, M, 3).

    Raises:
        ValueError: If an argument is outside what is listed above.
    """
    num_samples = check_whole("num_samples", num_samples, least=1)
    num_neurons = check_whole("num_neurons", num_neurons, least=1)
    check_whole("num_samples times num_neurons", num_samples * num_neurons, most=MOST_VALUES // 3)
    radius = check_number("radius", radius, "a positive number", lambda radius: radius > 0)
    rng = np.random.default_rng(check_seed("seed", seed))
    directions = rng.standard_normal((num_samples, 3 * num_neurons))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    # The share of a ball within distance s of its centre is s^dimension.
    distances = radius * rng.random((num_samples, 1)) ** (1 / (3 * num_neurons))
    return (distances * directions).reshape(num_samples, num_neurons, 3)


@dataclass(frozen=True)
class ApproachFit:
    """The law 1 - C exp(-c / delta), fitted to counts.

    Attributes:
        prefactor: The factor C.
        rate: The rate c, in units of delta.
        deviance: Twice the log likelihood that a perfect fit has more.
        degrees: Degrees of freedom, radii less two; a good fit has a deviance about as large.
    """

    prefactor: float
    rate: float
    deviance: float
    degrees: int

    def __call__(self, radii: np.ndarray) -> np.ndarray:
        """Return the shares that the law gives at radii, below 0 where it does not apply."""
        return 1 - self.prefactor * np.exp(-self.rate / np.asarray(radii, dtype=float))


def fit_approach(
    radii: Sequence[float], successes: Sequence[int], trials: Sequence[int]
) -> ApproachFit:
    """Fit 1 - C exp(-c / delta) of Theorem 1 (arXiv 1901.06523) by maximum likelihood.

    Args:
        radii: delta, positive, length I.
        successes: Weights out of the trials for which the low frequency comes first, length I.
        trials: Weights drawn at each radius, length I.

    Returns:
        The fit.

    Raises:
        ValueError: If the counts do not fit together, or fewer than two radii have failures.
    """
    radii, successes, trials = as_arrays(
        "(I,) (I,) (I,)", radii=radii, successes=successes, trials=trials
    )
    failures, are_whole = trials - successes, (successes % 1 == 0) & (trials % 1 == 0)
    if not ((radii > 0) & (failures >= 0) & (successes >= 0) & (trials >= 1) & are_whole).all():
        raise ValueError(
            f"successes {tell(successes)} of trials {tell(trials)} at radii {tell(radii)}: not "
            "possible"
        )
    seen = failures > 0
    if len(np.unique(radii[seen])) < 2:
        raise ValueError(
            f"{seen.sum()} of the radii have failures, trials that are no successes; a fit needs "
            "two different ones"
        )

    def miss(parameters: np.ndarray) -> float:
        log_prefactor, rate = parameters
        shares = np.exp(np.minimum(log_prefactor - rate / radii, np.log(NEAR_ONE)))
        return -(
            scipy.special.xlogy(failures, shares) + scipy.special.xlogy(successes, 1 - shares)
        ).sum()

    # A straight line through the log shares of failures starts the search.
    slope, height = np.polyfit(1 / radii[seen], np.log(failures[seen] / trials[seen]), 1)
    found = scipy.optimize.minimize(
        miss, [height, -slope], method="Nelder-Mead", options={"xatol": 1e-8, "fatol": 1e-8}
    )
    best = -(
        scipy.special.xlogy(failures, failures / trials)
        + scipy.special.xlogy(successes, successes / trials)
    ).sum()
    log_prefactor, rate = found.x
    return ApproachFit(
        prefactor=float(np.exp(log_prefactor)),
        rate=float(rate),
        deviance=float(2 * (found.fun - best)),
        degrees=len(radii) - 2,
    )


def _find_rate(activation: str) -> float:
    return DECAY_RATES[check_choice("activation", activation, DECAY_RATES)]


def _check_network(
    neurons: np.ndarray, frequencies: Sequence[float], activation: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, float]:
    """Return a, w, b of shape (..., 1, M), frequencies of shape (K, 1), and the decay rate."""
    rate = _find_rate(activation)
    neurons, k = as_arrays("(..., M, 3) (K,)", neurons=neurons, frequencies=frequencies)
    if (k == 0).any():
        raise ValueError(f"frequencies are {tell(frequencies)}; none of them may be 0")
    a, w, b = np.moveaxis(neurons[..., None, :, :], -1, 0)
    if (w == 0).any():
        raise ValueError("neurons hold a w of 0")
    return a, w, b, k[:, None], rate


def _compute_log_units(w: np.ndarray, b: np.ndarray, k: np.ndarray, rate: float) -> np.ndarray:
    """Return the logarithm of h^_j / a_j, shape (..., K, M)."""
    x = rate * k / w
    log_sinh = np.abs(x) + np.log(-np.expm1(-2 * np.abs(x)) / 2)
    # -i / sinh(x) has the phase -pi / 2 for positive x and pi / 2 for negative.
    return np.log(np.pi / np.abs(w)) - log_sinh + 1j * (k * b / w - np.sign(x) * np.pi / 2)


def _take_log(values: np.ndarray) -> np.ndarray:
    """Return complex logarithms; that of 0 is minus infinity, without a warning."""
    with np.errstate(divide="ignore"):
        return np.log(np.asarray(values, dtype=complex))


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
