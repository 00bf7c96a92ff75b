"""What happens on the way to convergence: oscillations, error rebounds, changes of sign."""

from __future__ import annotations

import numpy as np

from fprin_utils.checks import as_array, as_records, check_increasing, check_number, tell


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


def find_oscillations(values: np.ndarray, dead_band: float) -> np.ndarray:
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


def compute_error_rebound(steps: np.ndarray, errors: np.ndarray, since: np.ndarray) -> np.ndarray:
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
