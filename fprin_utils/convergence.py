"""Convergence: relative errors, convergence steps, the order of frequencies, oscillations."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy

from fprin_utils.checks import (
    as_array,
    as_arrays,
    as_flags,
    as_records,
    check_number,
    check_whole,
    tell,
)
from fprin_utils.spectra import (
    ROUNDING,
    compute_relative_error,
    compute_spectrum,
    filter_low_high,
    find_peaks,
)

# Records in a row below the threshold that make a convergence step.
RECORDS_BELOW = 10


@dataclass(frozen=True)
class Convergence:
    """How fast and in which order frequencies converged, over R records of S networks.

    Attributes:
        steps: Recorded steps, shape (R,).
        outputs: Outputs of the networks, shape (R, S, N).
        targets: The target, shape (N,), or one for each network, shape (S, N).
        bins: Frequency indices that are followed, shape (P,).
        threshold: Relative error below which a frequency counts as converged.
        errors: Relative errors Delta_F(k) = |h^_k - f^_k| / |f^_k|, shape (R, S, P).
        convergence_steps: First steps from which the errors stay below the threshold for ten
            records (for all of fewer), shape (S, P); infinite where they do not.
        first_steps_below: First steps at which the errors are below it, shape (S, P).
    """

    steps: np.ndarray
    outputs: np.ndarray
    targets: np.ndarray
    bins: np.ndarray
    threshold: float
    errors: np.ndarray
    convergence_steps: np.ndarray
    first_steps_below: np.ndarray

    @property
    def reached(self) -> np.ndarray:
        """Whether a frequency has converged, shape (S, P)."""
        return np.isfinite(self.convergence_steps)

    @property
    def in_order(self) -> np.ndarray:
        """Whether the convergence steps increase with the frequency, shape (S,)."""
        return judge_order(self.convergence_steps)[0]

    @property
    def decided(self) -> np.ndarray:
        """Whether that is decided by the last record, as `judge_order` says, shape (S,)."""
        return judge_order(self.convergence_steps)[1]

    @cached_property
    def tau(self) -> np.ndarray:
        """Kendall's tau between frequency and convergence step, shape (S,)."""
        return compute_kendall_tau(self.convergence_steps)

    def suggest_steps(self, num_steps: int) -> str:
        """Return what may bring all errors below the threshold, the remedy of a `Claim`.

        Args:
            num_steps: That of the notebook. If these networks trained for another number of steps,
                more of it means more of theirs in proportion.
        """
        check_whole("num_steps", num_steps)
        needed = estimate_steps_needed(self.steps, self.errors, self.threshold)
        return f"num_steps={math.ceil(needed * num_steps / max(self.steps[-1], 1))} may do"


def measure_convergence(
    steps: np.ndarray,
    outputs: np.ndarray,
    target: np.ndarray,
    *,
    bins: Sequence[int] | None = None,
    threshold: float = 0.2,
    stopped: Sequence[bool] | None = None,
) -> Convergence:
    """Measure how fast and in which order the frequencies of a target are learnt.

    The outputs may come from `train` or from any training loop.

    Args:
        steps: Recorded steps, shape (R,).
        outputs: Outputs on a periodic grid at each of them, of one network, shape (R, N), or of
            several, shape (R, S, N); arrays or tensors. A last axis of length 1 is left out.
        target: The target on that grid, shape (N,), or one for each network, shape (S, N).
        bins: Frequency indices to follow, length P; the peaks of the (first) target if left out.
        threshold: Relative error below which a frequency counts as converged.
        stopped: Whether a network stopped before the last record, as for `find_convergence_step`.

    Returns:
        Errors, convergence steps and order.

    Raises:
        ValueError: If shapes do not fit, or the target has nothing at a frequency.
    """
    outputs = _as_values("outputs", outputs, num_axes=2)
    targets = _as_values("target", target, num_axes=1)
    outputs = outputs[:, None] if outputs.ndim == 2 else outputs
    known = {"N": (targets.shape[-1], "target")}
    steps = _to_numpy(steps)
    steps, outputs = as_records(steps, f"(R, S, {targets.shape[-1]})", outputs=outputs)
    if targets.ndim == 2:
        as_array("target", targets, "(S, N)", known=known | {"S": (outputs.shape[1], "outputs")})
    target_spectra = compute_spectrum(targets)
    if bins is None:
        bins = find_peaks(np.atleast_2d(target_spectra)[0])
    errors = compute_relative_error(compute_spectrum(outputs), target_spectra, bins)
    num_records = min(RECORDS_BELOW, len(steps))
    return Convergence(
        steps=steps,
        outputs=outputs,
        targets=targets,
        bins=np.array(bins, dtype=int),
        threshold=threshold,
        errors=errors,
        convergence_steps=find_convergence_step(
            steps, errors, threshold, num_records=num_records, stopped=stopped
        ),
        first_steps_below=find_convergence_step(steps, errors, threshold, num_records=1),
    )


def _to_numpy(values: object) -> object:
    """Return a tensor as an array, and anything else as it is."""
    if hasattr(values, "detach"):
        return values.detach().cpu().numpy()
    if isinstance(values, (list, tuple)):
        return [_to_numpy(each) for each in values]
    return values


def _as_values(name: str, values: object, num_axes: int) -> np.ndarray:
    """Return values on a grid, with so many axes or one more, without an axis of components."""
    array = as_array(name, _to_numpy(values))
    if array.ndim > num_axes and array.shape[-1] == 1:
        array = array[..., 0]
    if array.ndim not in (num_axes, num_axes + 1):
        axes = {1: "(N,) or (S, N)", 2: "(R, N) or (R, S, N)"}[num_axes]
        raise ValueError(f"{name} has shape {array.shape}; it must be {axes}")
    return array


def compute_filter_errors(
    inputs: np.ndarray, outputs: np.ndarray, target: np.ndarray, delta: float
) -> np.ndarray:
    """Return the relative errors of the low- and the high-frequency part at scattered points.

    With the parts of `filter_low_high`, e_low = |h_low - y_low| / |y_low|, and e_high likewise, the
    norms over all points and components (arXiv 1901.06523).

    Args:
        inputs: Points, shape (N, D).
        outputs: What networks give there, shape (..., N, O).
        target: What they should give, shape (N, O).
        delta: Variance of the filter.

    Returns:
        Relative errors, shape (..., 2).

    Raises:
        ValueError: If shapes do not fit, delta is not positive, or a part of the target is empty.
    """
    target, outputs = as_arrays("(N, O) (..., N, O)", target=target, outputs=outputs)
    norms = np.linalg.norm(filter_low_high(inputs, target, delta), axis=(-2, -1))
    if (norms <= ROUNDING * np.linalg.norm(target)).any():
        raise ValueError(f"the target has an empty part with delta = {delta:g}")
    missing = np.linalg.norm(filter_low_high(inputs, outputs - target, delta), axis=(-2, -1))
    return np.moveaxis(missing, 0, -1) / norms


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
    reached, last = find_convergence_step(steps, errors, threshold, num_records=1), int(steps[-1])
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


def is_increasing(values: np.ndarray) -> np.ndarray:
    """Tell for each row whether its values are finite and strictly increase.

    Args:
        values: For example convergence steps by frequency, shape (S, K).

    Returns:
        Outcomes, shape (S,).

    Raises:
        ValueError: If there are fewer than two columns to compare.
    """
    values = _as_rows(values)
    finite = np.isfinite(values).all(axis=1)
    return finite & (np.diff(np.where(finite[:, None], values, 0), axis=1) > 0).all(axis=1)


def judge_order(steps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Tell for each seed whether its convergence steps are in order, and whether that is decided.

    They are in order if all are finite and strictly increase. The order is broken as soon as a
    later column has a finite step that is not above an earlier one, be that infinite or not. Where
    neither is so, the run was too short to decide.

    Args:
        steps: Convergence steps by frequency, infinite where it never came, shape (S, K).

    Returns:
        Whether the order held, and whether it was decided, each of shape (S,): outcomes and
        `reached` of a `Claim`.

    Raises:
        ValueError: If there are fewer than two columns to compare.
    """
    steps = _as_rows(steps, "steps")
    if (steps < 0).any():
        raise ValueError(f"steps is {tell(steps)}; they must be 0 or more")
    held = is_increasing(steps)
    latest_before = np.maximum.accumulate(steps, axis=1)[:, :-1]
    is_broken = (np.isfinite(steps[:, 1:]) & (steps[:, 1:] <= latest_before)).any(axis=1)
    return held, held | is_broken


def compute_kendall_tau(values: np.ndarray) -> np.ndarray:
    """Return Kendall's tau-b between the position in a row and the value there.

    1 where every value exceeds those before it, -1 in the reverse order, near 0 without order;
    values that never came (infinity) tie for last.

    Args:
        values: For example convergence steps by frequency, shape (S, K).

    Returns:
        tau, shape (S,); 0 where all values tie.

    Raises:
        ValueError: If there are fewer than two columns to compare.
    """
    values = _as_rows(values)
    positions = np.arange(values.shape[1])
    taus = [scipy.stats.kendalltau(positions, row).statistic for row in values]
    # Where all values tie, tau is not defined; there is no order then.
    return np.nan_to_num(taus)


def _as_rows(values: np.ndarray, name: str = "values") -> np.ndarray:
    values = as_array(name, values, "(S, K)", is_finite=False)
    if values.shape[1] < 2:
        raise ValueError(f"{name} has shape {values.shape}; an order needs (S, K), K at least 2")
    if np.isnan(values).any():
        raise ValueError(f"{name} holds what is no number; a step that never came is infinite")
    return values
