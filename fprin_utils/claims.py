"""What is concluded: a claim, its outcome for each seed, an interval and a verdict."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import scipy.stats
from IPython.display import Markdown

# The article's sentences in our translation; a letter after the number marks one part of the test.
SENTENCES = {
    "C1": "A network fits its target from low to high frequency: the higher the frequency of a "
    "peak, the later it converges.",
    "C2": "A network that memorises an image learns the outline first and the details later.",
    "C3": "Through few samples, a polynomial of high degree (above their number) goes through "
    "them all but oscillates wildly; a network, whatever its size, learns a fairly flat curve.",
    "C4": "From a small initialisation, high frequencies decay fast, so that the learnt function "
    "reaches no further than the highest frequency of the data.",
    "C5": "Where low frequencies dominate the target, noise covers the small high ones; stopping "
    "early then improves generalisation.",
    "C6": "If the target is random data, without dominant low frequencies, the principle fails.",
    "C7": "If the initial parameters are large, the principle fails, and generalisation gets "
    "worse.",
    "C8": "In a small network the norms of the weights often grow with training, which lets it "
    "fit the high frequencies of the target.",
    "C9": "In a network of enough layers and neurons the spectral norms of the weights hardly "
    "change, and yet the peaks converge from low to high frequency.",
    "C10": "For one hidden layer of sigmoids, the derivative of the loss at one frequency k by "
    "any parameter is the amplitude A(k) of what is still to be learnt, times an exponential "
    "factor exp(-|πk/2w|) for a neuron of weight w, times a factor G of frequency and parameters.",
    "C11": "The priority depends not on the frequency alone, but also on the amplitude of what is "
    "still to be learnt.",
    "C12": "If the parameters are small numbers, low frequencies come first.",
    "C13": "Where low frequencies dominate, the high ones stay small while the low ones converge, "
    "and the low ones are hardly disturbed while the high ones are fitted.",
    "C14": "Where high frequencies dominate, the low ones converge while oscillating; each "
    "oscillation is smaller than the one before, and the lower the frequency, the more there are.",
    "C15": "Large initial weights raise the high frequencies of the activation itself, and those "
    "that the data cannot see keep a large amplitude after training.",
}


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
        id: Number of one of `SENTENCES`, as C2; a letter marks one part of its test, as C14a.
        statement: The sentence that was tested, with its test.
        outcomes: Whether it held, for each seed.
        effect: Sizes of the effect by name, plain numbers or lists; the first is what is told
            where there is room for one only.
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
            "interval": [round(end, 6) for end in self.interval],
            "effect": _to_plain(self.effect),
        }
        if self.control is not None:
            stored["control"] = self.control.to_dict()
        return stored


def _describe(value: Any, say: Callable[[str], str] = str) -> str:
    """Write a plain effect for a reader; a step that never came is null in JSON."""
    if isinstance(value, Mapping):
        pair = say("{name}: {value}")
        return "; ".join(
            pair.format(name=say(name), value=_describe(entry, say))
            for name, entry in value.items()
        )
    if isinstance(value, list):
        return f"({', '.join(_describe(entry, say) for entry in value)})"
    if value is None:
        return say("never")
    return f"{value:g}" if isinstance(value, float) else str(value)


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


def summarise_verdicts(verdicts: Sequence[str]) -> str:
    """Return what the verdicts of a sentence's parts say of the sentence.

    Args:
        verdicts: Verdict of each part, at least one.

    Returns:
        The verdict that all parts share; else "holds in part" if one holds, and "mixed" if none.
    """
    if len(set(verdicts)) == 1:
        return verdicts[0]
    return "holds in part" if "holds" in verdicts else "mixed"


def describe_effect(effect: Mapping[str, Any], say: Callable[[str], str] = str) -> str:
    """Return the first entry of an effect as one line, as in "median tau: 0.71".

    Args:
        effect: Sizes of the effect by name, as in `Claim`.
        say: Puts an English text into the language of the reader.
    """
    name = next(iter(effect), None)
    return "" if name is None else _describe({name: _to_plain(effect[name])}, say)


def describe_claims(claims: Sequence[Claim]) -> Markdown:
    """Return a table of claims and their controls for a notebook to show.

    Args:
        claims: The claims that were tested.

    Returns:
        A Markdown display object with claim, verdict, seeds, interval and effect.
    """
    rows = start_table(["claim", "verdict", "seeds", "95 % interval", "effect"])
    for claim in claims:
        for label, tested in ((f"**{claim.id}**", claim), ("control", claim.control)):
            if tested is None:
                continue
            low, high = tested.interval
            effect = _describe(_to_plain(tested.effect))
            if tested is claim.control and effect == _describe(_to_plain(claim.effect)):
                effect = "as above"
            cells = [
                f"{label}: {tested.statement}",
                f"**{tested.verdict}**",
                f"{tested.successes} of {tested.trials}",
                f"{low:.2f} to {high:.2f}",
                effect,
            ]
            rows.append(format_row(cells))
    return Markdown("\n".join(rows))


def start_table(header: Sequence[str]) -> list[str]:
    """Return the first two lines of a Markdown table."""
    return [format_row(header), "|" + "---|" * len(header)]


def format_row(cells: Sequence[str]) -> str:
    """Return a line of a Markdown table."""
    # A bar, as in |w|, would end the cell.
    return f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |"
