"""The comparison with the reference: its false alarms, its power, the seeds it needs."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import scipy

from fprin_utils.claims import Tally
from fprin_utils.verdicts import sum_tallies

# How often a check must notice that a share of 0.9 or more has fallen to one half.
POWER = 0.8
FEWEST_SEEDS, MOST_SEEDS = 8, 64
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


def count_check_seeds(entry: Mapping[str, Any]) -> int | None:
    """Return how many seeds a check of a notebook needs for all that is stored of it.

    So many that each test is powerful enough; a few more where that makes its false alarms rare.
    Both rise and fall with the number, as outcomes are whole.
    """
    tallies = list_tallies(entry)
    if not tallies:
        return None
    least = max(map(count_seeds_needed, tallies))
    alarms = {}
    for seeds in range(least, least + SPARE_SEEDS + 1):
        if any(compute_power(tally, seeds) < POWER for tally in filter(is_extreme, tallies)):
            continue
        alarms[seeds] = sum(compute_false_alarm(tally, seeds) for tally in tallies)
        if alarms[seeds] < RARE:
            return seeds
    return min(alarms, key=alarms.get, default=least)


@cache
def count_seeds_needed(reference: Tally) -> int:
    """Return how many seeds a check needs.

    So many that a share that was 0.9 or more and has fallen to one half (or was 0.1 or less and
    has risen to it) disagrees with the reference in four of five runs.

    Args:
        reference: The stored outcomes.

    Returns:
        Number of seeds, from `FEWEST_SEEDS`, which do where the share lies between, to
        `MOST_SEEDS`.
    """
    if not is_extreme(reference):
        return FEWEST_SEEDS
    for seeds in range(FEWEST_SEEDS, MOST_SEEDS):
        if compute_power(reference, seeds) >= POWER:
            return seeds
    return MOST_SEEDS


def list_outcomes(reference: Tally, seeds: int) -> list[Tally]:
    """Return all outcomes that so many seeds may have, from none to all, if as many are reached."""
    trials = seeds * reference.trials // reference.seeds
    return [Tally(held, trials, seeds) for held in range(trials + 1)]


def compute_power(reference: Tally, seeds: int, share: float = 0.5) -> float:
    """Return how probable it is that outcomes with another share disagree with a reference.

    Args:
        reference: The stored outcomes.
        seeds: Seeds of the outcomes that are compared; as large a share of them is reached.
        share: The share with which the trials hold.

    Returns:
        Probability, from the binomial distribution.
    """
    outcomes = list_outcomes(reference, seeds)
    disagrees = [not today.agrees_with(reference) for today in outcomes]
    return float(scipy.stats.binom.pmf(range(len(outcomes)), len(outcomes) - 1, share) @ disagrees)


def compute_false_alarm(reference: Tally, seeds: int) -> float:
    """Return how probable it is that outcomes disagree with a reference of the same shares.

    The shares, of seeds that are reached and of those that hold among them, are drawn from what the
    reference leaves possible: Beta(hits + 1/2, misses + 1/2). Both comparisons are counted, so that
    the number is an upper bound.

    Args:
        reference: The stored outcomes.
        seeds: Seeds of the outcomes that are compared.

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
            total += 0.0 if tally.agrees_with(reference) else probability
    return float(total)
