"""What is concluded: a claim, its outcome for each seed, an interval and a verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import scipy.stats
from IPython.display import Markdown


def compute_wilson_interval(
    successes: int, trials: int, *, confidence: float = 0.95
) -> tuple[float, float]:
    """Return the Wilson score interval of a share.

    Args:
        successes: Number of successes, from 0 to `trials`.
        trials: Number of trials, at least 1.
        confidence: Coverage of the interval, between 0 and 1.

    Returns:
        Lower and upper end.

    Raises:
        ValueError: If the numbers do not fit together.
    """
    if not 0 <= successes <= trials or trials < 1:
        raise ValueError(f"{successes} successes of {trials} trials are not possible")
    result = scipy.stats.binomtest(successes, trials)
    interval = result.proportion_ci(confidence_level=confidence, method="wilson")
    return float(interval.low), float(interval.high)


@dataclass(frozen=True)
class Claim:
    """A sentence of the article and how it fared, seed by seed.

    Attributes:
        id: Number of the claim, as C1; a letter marks one part of a claim, as C14a.
        statement: The sentence that was tested, with its test.
        outcomes: Whether it held, for each seed.
        effect: Sizes of the effect by name, plain numbers or lists.
        control: The same test in a setting in which it must not hold.
    """

    id: str
    statement: str
    outcomes: Sequence[bool]
    effect: Mapping[str, Any] = field(default_factory=dict)
    control: Claim | None = None

    def __post_init__(self) -> None:
        if len(self.outcomes) == 0:
            raise ValueError(f"claim {self.id} has no outcomes; at least one seed is needed")

    @property
    def successes(self) -> int:
        """Number of seeds for which the claim held."""
        return int(np.count_nonzero(self.outcomes))

    @property
    def trials(self) -> int:
        """Number of seeds."""
        return len(self.outcomes)

    @property
    def interval(self) -> tuple[float, float]:
        """95 % Wilson interval of the share of seeds."""
        return compute_wilson_interval(self.successes, self.trials)

    @property
    def verdict(self) -> str:
        """`holds` if the interval lies above one half, `fails` if below, else `mixed`."""
        low, high = self.interval
        return "holds" if low > 0.5 else "fails" if high < 0.5 else "mixed"

    def to_dict(self) -> dict[str, Any]:
        """Return the claim as it is stored beside its figure."""
        stored = {
            "id": self.id,
            "statement": self.statement,
            "verdict": self.verdict,
            "successes": self.successes,
            "trials": self.trials,
            "interval": [round(end, 4) for end in self.interval],
            "effect": _to_plain(self.effect),
        }
        if self.control is not None:
            stored["control"] = self.control.to_dict()
        return stored


def _describe(value: Any) -> str:
    """Write a plain effect for a reader; a step that never came is null in JSON."""
    if isinstance(value, Mapping):
        return "; ".join(f"{name}: {_describe(entry)}" for name, entry in value.items())
    if isinstance(value, list):
        return f"({', '.join(_describe(entry) for entry in value)})"
    return "never" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _to_plain(value: Any) -> Any:
    """Turn numpy values into what JSON knows, to 4 significant digits; infinity into null."""
    if isinstance(value, Mapping):
        return {key: _to_plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [_to_plain(entry) for entry in value]
    if isinstance(value, (float, np.floating)):
        return float(f"{value:.4g}") if np.isfinite(value) else None
    if isinstance(value, np.generic):
        return value.item()
    return value


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


def _as_rows(values: np.ndarray) -> np.ndarray:
    values = np.asarray(values, dtype=float)
    if values.ndim != 2 or values.shape[1] < 2:
        raise ValueError(f"values have shape {values.shape}; an order needs (S, K), K at least 2")
    return values


def describe_claims(claims: Sequence[Claim]) -> Markdown:
    """Return a table of claims and their controls for a notebook to show.

    Args:
        claims: The claims that were tested.

    Returns:
        A Markdown display object: claim, verdict, seeds, interval, effect.
    """
    rows = ["| claim | verdict | seeds | 95 % interval | effect |", "|---|---|---|---|---|"]
    for claim in claims:
        for label, tested in ((f"**{claim.id}**", claim), ("control", claim.control)):
            if tested is None:
                continue
            low, high = tested.interval
            effect = _describe(_to_plain(tested.effect))
            if tested is claim.control and effect == _describe(_to_plain(claim.effect)):
                effect = "as above"
            rows.append(
                f"| {label}: {tested.statement} | **{tested.verdict}** | "
                f"{tested.successes} of {tested.trials} | {low:.2f} to {high:.2f} | {effect} |"
            )
    return Markdown("\n".join(rows))
