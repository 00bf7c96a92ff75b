"""The comparison with the reference: its false alarms, its power, the seeds it needs.

A check takes a first look at a notebook with few seeds and, only where something is suspicious
then (Fisher's exact test at `SUSPICION`), a second one with more, which include the first ones.
Something disagrees if it does so in both, in the second at `SIGNIFICANCE`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
import scipy

from fprin_utils.claims import SIGNIFICANCE, SUSPICION, Tally
from fprin_utils.verdicts import sum_tallies

# How often a check must notice that a share of 0.9 or more has fallen to one half, and how often
# its second look must, were it always taken.
POWER, SECOND_POWER = 0.8, 0.95
FEWEST_SEEDS, MOST_SEEDS = 6, 64
# False alarms of a notebook that are rare enough, and how many more seeds they are worth.
RARE, SPARE_SEEDS = 1e-3, 5


def pool(test: Mapping[str, Any]) -> Tally:
    """Return the outcomes of a stored test, or control, over all of its runs."""
    return sum_tallies([Tally(*counts) for counts in test["runs"].values()])


def list_tallies(entry: Mapping[str, Any]) -> list[Tally]:
    """Return the pooled outcomes of the claims and controls that are stored of a notebook."""
    stored = [part for test in entry["tests"].values() for part in (test, test.get("control", {}))]
    return [pool(part) for part in stored if "runs" in part]


def is_extreme(reference: Tally) -> bool:
    """Tell whether a share is 0.9 or more, or 0.1 or less."""
    return reference.trials > 0 and not 0.1 < reference.successes / reference.trials < 0.9


def count_check_seeds(entry: Mapping[str, Any]) -> tuple[int, int] | None:
    """Return how many seeds the two looks at a notebook need for all that is stored of it.

    In the second so many that each test is powerful enough; a few more where that makes its false
    alarms rare. Both rise and fall with the number, as outcomes are whole. In the first as few as
    leave the two together powerful enough.
    """
    tallies = list_tallies(entry)
    if not tallies:
        return None
    extreme = list(filter(is_extreme, tallies))
    least = max(map(count_seeds_needed, tallies))
    alarms = {}
    for seeds in range(least, least + SPARE_SEEDS + 1):
        if all(compute_power(tally, seeds, seeds) >= SECOND_POWER for tally in extreme):
            alarms[seeds] = sum(compute_false_alarm(tally, seeds) for tally in tallies)
            if alarms[seeds] < RARE:
                break
    second = min(alarms, key=alarms.get, default=least)
    first = FEWEST_SEEDS
    while first < second and any(compute_power(t, first, second) < POWER for t in extreme):
        first += 1
    return first, second


@cache
def count_seeds_needed(reference: Tally) -> int:
    """Return how many seeds a second look at one claim or control needs.

    So many that a share that was 0.9 or more and has fallen to one half (or was 0.1 or less and
    has risen to it) disagrees with the reference as often as `SECOND_POWER`.

    Args:
        reference: The stored outcomes.

    Returns:
        Number of seeds, from `FEWEST_SEEDS`, which do where the share lies between, to
        `MOST_SEEDS`.
    """
    if not is_extreme(reference):
        return FEWEST_SEEDS
    for seeds in range(FEWEST_SEEDS, MOST_SEEDS):
        if compute_power(reference, seeds, seeds) >= SECOND_POWER:
            return seeds
    return MOST_SEEDS


def list_outcomes(reference: Tally, seeds: int) -> list[Tally]:
    """Return all outcomes that so many seeds may have, from none to all, if as many are reached."""
    trials = seeds * reference.trials // reference.seeds
    return [Tally(held, trials, seeds) for held in range(trials + 1)]


@cache
def compute_power(reference: Tally, first: int, second: int, share: float = 0.5) -> float:
    """Return how probable it is that outcomes with another share disagree with a reference.

    Args:
        reference: The stored outcomes.
        first: Seeds of the first look; as large a share of them is reached as in the reference.
        second: Seeds of the second, the first ones among them.
        share: The share with which the trials hold.

    Returns:
        Probability that they are suspicious at the first look and disagree at the second, from the
        binomial distribution.
    """
    few, all_of_them = list_outcomes(reference, first), list_outcomes(reference, second)
    is_suspicious = np.array([not today.agrees_with(reference, SUSPICION) for today in few])
    disagrees = np.array([not today.agrees_with(reference) for today in all_of_them])
    further = np.arange(len(all_of_them) - len(few) + 1)
    held = np.arange(len(few))
    of_those = scipy.stats.binom.pmf(further, further[-1], share)
    later = disagrees[held[:, None] + further] @ of_those
    return float(scipy.stats.binom.pmf(held, held[-1], share) * is_suspicious @ later)


@cache
def compute_false_alarm(reference: Tally, seeds: int, significance: float = SIGNIFICANCE) -> float:
    """Return how probable it is that outcomes disagree with a reference of the same shares.

    The shares, of seeds that are reached and of those that hold among them, are drawn from what the
    reference leaves possible: Beta(hits + 1/2, misses + 1/2). Both comparisons are counted, and the
    first look is taken to be suspicious always, so that the number is an upper bound.

    Args:
        reference: The stored outcomes.
        seeds: Seeds of the second look, or of the first, which alarms at `SUSPICION`.
        significance: Value of p below which outcomes disagree.

    Returns:
        Probability.
    """
    held = list_outcomes(reference, seeds)
    share = reference.successes / max(reference.trials, 1)
    reached = [Tally(round(hits * share), hits, seeds) for hits in range(seeds + 1)]
    total = 0.0
    for tallies, hits, of in (
        (held, reference.successes, reference.trials),
        (reached, reference.trials, reference.seeds),
    ):
        posterior = scipy.stats.betabinom(len(tallies) - 1, hits + 0.5, of - hits + 0.5)
        probabilities = posterior.pmf(range(len(tallies)))
        for tally, probability in zip(tallies, probabilities, strict=True):
            total += 0.0 if tally.agrees_with(reference, significance) else probability
    return float(total)
