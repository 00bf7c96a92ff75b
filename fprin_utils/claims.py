"""A claim: its outcomes seed by seed, an interval, a verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from math import comb
from typing import Any

import numpy as np
import scipy

from fprin_utils.checks import (
    as_flags,
    check_kind,
    check_mapping,
    check_number,
    check_plain,
    check_texts,
    check_whole,
    to_plain,
)

# What a reader is told: of a claim, and of a control, which should not succeed.
VERDICTS = {
    "holds": "supported",
    "fails": "not supported",
    "mixed": "open",
    "not reached": "not reached",
}
CONTROL_VERDICTS = {
    "holds": "succeeds too",
    "fails": "as it should be",
    "mixed": "as it should be",
    "not reached": "not reached",
}
# Outcomes disagree where Fisher's exact test finds them this unlikely to have one share. At a first
# look, with few seeds, this much is enough for a second one.
SIGNIFICANCE, SUSPICION = 1e-4, 0.01


def compute_share_interval(successes: int, trials: int) -> tuple[float, float]:
    """Return the exact 95 % (Clopper-Pearson) interval of a share.

    Args:
        successes: Number of successes, from 0 to `trials`.
        trials: Number of trials; without any, the interval is 0 to 1.

    Returns:
        Lower and upper end.

    Raises:
        ValueError: If the numbers do not fit together.
    """
    successes, trials = check_whole("successes", successes), check_whole("trials", trials)
    if successes > trials:
        raise ValueError(f"{successes} successes of {trials} trials are not possible")
    return _find_interval(successes, trials) if trials else (0.0, 1.0)


@cache
def _find_interval(successes: int, trials: int) -> tuple[float, float]:
    # Quantiles of the beta distribution; scipy.stats.binomtest would search for them, slowly.
    misses = trials - successes
    low = scipy.special.betaincinv(successes, misses + 1, 0.025) if successes else 0.0
    high = scipy.special.betaincinv(successes + 1, misses, 0.975) if misses else 1.0
    return float(low), float(high)


# What is counted of a test, as it stands beside a figure and in the reference.
TALLY_FIELDS = ("successes", "trials", "seeds")


@dataclass(frozen=True)
class Tally:
    """The outcomes of a test, counted over seeds.

    Attributes:
        successes: Seeds for which it held.
        trials: Seeds for which what it is about was reached: the others neither held nor failed.
        seeds: All seeds.
    """

    successes: int
    trials: int
    seeds: int

    def __post_init__(self) -> None:
        for name in TALLY_FIELDS:
            object.__setattr__(self, name, check_whole(name, getattr(self, name)))
        if not self.successes <= self.trials <= self.seeds or self.seeds < 1:
            raise ValueError(
                f"{self.successes} successes of {self.trials} trials of {self.seeds} seeds are not "
                "possible"
            )

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.successes + other.successes, self.trials + other.trials, self.seeds + other.seeds
        )

    @property
    def interval(self) -> tuple[float, float]:
        """95 % Clopper-Pearson interval of the share of trials that held."""
        return compute_share_interval(self.successes, self.trials)

    @property
    def verdict(self) -> str:
        """`holds` if the interval lies above one half, `fails` if below, else `mixed`.

        `not reached` if fewer than half of the seeds are trials.
        """
        if 2 * self.trials < self.seeds:
            return "not reached"
        low, high = self.interval
        return "holds" if low > 0.5 else "fails" if high < 0.5 else "mixed"

    def is_settled(self, words: Mapping[str, str] = VERDICTS) -> bool:
        """Tell whether two outcomes more or fewer would leave the words for the verdict alone."""
        moved = [
            Tally(successes, self.trials, self.seeds).verdict
            for successes in range(self.successes - 2, self.successes + 3)
            if 0 <= successes <= self.trials
        ]
        moved += [
            Tally(min(self.successes, trials), trials, self.seeds).verdict
            for trials in (self.trials - 2, self.trials + 2)
            if 0 <= trials <= self.seeds
        ]
        return len({words[verdict] for verdict in moved}) == 1

    @property
    def firm_verdict(self) -> str:
        """The verdict, or `mixed` where two outcomes more or fewer would change it."""
        return self.verdict if self.is_settled() else "mixed"

    def agrees_with(self, reference: Tally, significance: float = SIGNIFICANCE) -> bool:
        """Tell whether these outcomes may have the same shares as others that were stored.

        They do not where a verdict is turned into its opposite, or where Fisher's exact test
        tells apart the shares that held, or the shares that were reached.

        Args:
            reference: The stored outcomes.
            significance: Value of p below which the test tells shares apart.
        """
        return _agree(self, reference, significance)


@cache
def _agree(today: Tally, reference: Tally, significance: float) -> bool:
    if {today.verdict, reference.verdict} == {"holds", "fails"}:
        return False
    held = (today.successes, today.trials), (reference.successes, reference.trials)
    reached = (today.trials, today.seeds), (reference.trials, reference.seeds)
    return all(_compare_shares(*shares) >= significance for shares in (held, reached))


@cache
def _compare_shares(one: tuple[int, int], other: tuple[int, int]) -> float:
    """Return p of Fisher's exact test, two-sided, of two shares: hits, and of how many trials."""
    # To import scipy.stats for it would take each kernel more than a second.
    (hits, trials), (other_hits, other_trials) = one, other
    total = hits + other_hits
    ways = [comb(trials, n) * comb(other_trials, total - n) for n in range(total + 1)]
    return sum(number for number in ways if number <= ways[hits]) / sum(ways)


@dataclass(frozen=True)
class Claim:
    """A sentence of the article and how it fared, seed by seed.

    Attributes:
        id: Number of one of the article's sentences, as C2; a letter marks one part of its test,
            as C14a.
        statement: The sentence that was tested, with its test.
        outcomes: Whether it held, for each seed: booleans, shape (S,).
        effect: Sizes of the effect by name, plain numbers or lists; the first is what is told
            where there is room for one only.
        control: The same test in a setting in which it must not hold.
        reached: Whether what the claim is about happened at all, for each seed; all if left out. A
            seed for which it did not has neither held nor failed.
        remedy: What would let more seeds reach it, such as a number of steps.
    """

    id: str
    statement: str
    outcomes: Sequence[bool]
    effect: Mapping[str, Any] = field(default_factory=dict)
    control: Claim | Identity | None = None
    reached: Sequence[bool] | None = None
    remedy: str = ""

    def __post_init__(self) -> None:
        _check_words(self)
        check_texts(remedy=self.remedy)
        held = as_flags(f"claim {self.id}: outcomes", self.outcomes)
        reached = np.ones_like(held)
        if self.reached is not None:
            reached = as_flags(f"claim {self.id}: reached", self.reached)
        if held.shape != reached.shape:
            raise ValueError(f"claim {self.id} has {held.size} outcomes and {reached.size} reached")
        object.__setattr__(self, "outcomes", held & reached)
        object.__setattr__(self, "reached", reached)

    @property
    def tally(self) -> Tally:
        """The outcomes, counted."""
        counts = self.outcomes.sum(), self.reached.sum(), self.outcomes.size
        return Tally(*map(int, counts))

    @property
    def verdict(self) -> str:
        """That of the tally."""
        return self.tally.verdict

    def to_dict(self) -> dict[str, Any]:
        """Return the claim as it is stored beside its figure."""
        tally = self.tally
        stored = {
            "id": self.id,
            "statement": self.statement,
            "verdict": tally.verdict,
            "successes": tally.successes,
            "trials": tally.trials,
            "seeds": tally.seeds,
            "interval": [round(end, 6) for end in tally.interval],
            "effect": to_plain(self.effect),
        }
        return stored | ({"control": self.control.to_dict()} if self.control else {})

    def describe_outcomes(self) -> tuple[str, str]:
        """Return how many seeds held, and the interval of their share, for a reader."""
        text = describe_tally(self.tally)
        if self.verdict == "not reached" and self.remedy:
            text += f"; {self.remedy}"
        return text, "{:.2f} to {:.2f}".format(*self.tally.interval)


@dataclass(frozen=True)
class Identity:
    """A claim that two formulas agree: no share of seeds, but an error.

    Attributes:
        id: As for `Claim`.
        statement: What should agree.
        error: The largest relative error between the two.
        tolerance: The error up to which they count as the same.
        effect: As for `Claim`.
        control: The same for formulas that must not agree.
    """

    id: str
    statement: str
    error: float
    tolerance: float
    effect: Mapping[str, Any] = field(default_factory=dict)
    control: Claim | Identity | None = None

    def __post_init__(self) -> None:
        _check_words(self)
        # Where the formulas have nothing in common the error may be infinite.
        error = 0 if isinstance(self.error, float) and self.error == np.inf else self.error
        check_number("error", error, "a number of 0 or more", lambda error: error >= 0)
        check_number("tolerance", self.tolerance, "a number of 0 or more", lambda most: most >= 0)

    @property
    def verdict(self) -> str:
        """`holds` if the error is at most the tolerance, else `fails`."""
        return "holds" if self.error <= self.tolerance else "fails"

    def to_dict(self) -> dict[str, Any]:
        """Return the claim as it is stored beside its figure."""
        stored = {
            "id": self.id,
            "statement": self.statement,
            "verdict": self.verdict,
            "error": to_plain(self.error),
            "tolerance": self.tolerance,
            "effect": to_plain(self.effect),
        }
        return stored | ({"control": self.control.to_dict()} if self.control else {})

    def describe_outcomes(self) -> tuple[str, str]:
        """Return the error, and that there is no interval, for a reader."""
        return f"error {self.error:.2g}, at most {self.tolerance:g}", "an identity"


def _check_words(claim: Claim | Identity) -> None:
    check_texts(id=claim.id, statement=claim.statement)
    check_mapping("effect", claim.effect, "names to sizes", least=0)
    check_plain("effect", to_plain(claim.effect))
    check_kind("control", claim.control, (Claim, Identity, type(None)), "a Claim or an Identity")


def describe_tally(tally: Tally) -> str:
    """Return a tally for a reader, as in "12 of 14; 2 not reached"."""
    text = f"{tally.successes} of {tally.trials}"
    missing = tally.seeds - tally.trials
    return f"{text}; {missing} not reached" if missing else text


def describe_outcomes(outcomes: Sequence[bool], reached: Sequence[bool] | None = None) -> str:
    """Return how outcomes would be judged, for the effect of a claim with another criterion.

    Args:
        outcomes: Whether the test held by that criterion, for each seed, shape (S,).
        reached: As for `Claim`.

    Returns:
        Count and verdict, as in "12 of 14; 2 not reached: supported".
    """
    tally = Claim("", "", outcomes, reached=reached).tally
    return f"{describe_tally(tally)}: {VERDICTS[tally.verdict]}"
