"""What the measurements say: ratios, a table, a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from benchmarks.scaling import MEMORY_SIZES, SIZES, fit_exponent
from benchmarks.workloads import WORKLOADS, make_workload
from fprin_utils.build.progress import align_columns

# The engine is to be so many times as fast as these, and to reach this share of the bound.
GOALS = {
    "public": {"autograd": 1.15, "plain loop": 3, "JAX": 1.4, "products alone": 0.6},
    "sinusoids": {"autograd": 1.15, "plain loop": 2, "JAX": 1.0, "products alone": 0.85},
    "small": {"autograd": 1.15, "plain loop": 25, "JAX": 1.0},
    "wide": {"autograd": 1.15, "plain loop": 1.3, "JAX": 1.0, "products alone": 0.75},
    "image": {"autograd": 1.15, "plain loop": 1.2, "JAX": 1.0, "products alone": 0.8},
}


def compute_ratios(rounds: Mapping[str, Sequence[float]]) -> dict[str, dict[str, float]]:
    """Return how many times as long each other contender takes as the engine.

    Args:
        rounds: Seconds of each round, by contender.

    Returns:
        By contender, the median, least and largest of the ratios within a round.
    """
    engine = np.array(rounds["engine"])
    ratios = {name: np.array(s) / engine for name, s in rounds.items() if name != "engine"}
    return {
        name: {"median": np.median(r).item(), "least": r.min().item(), "largest": r.max().item()}
        for name, r in ratios.items()
    }


def format_table(results: Mapping[str, Any]) -> str:
    """Return a plain table: a line for each workload and contender."""
    rows = [("workload", "contender", "us a seed and step", "least to largest", "x engine", "goal")]
    for name, measured in results["workloads"].items():
        for contender, numbers in measured["microseconds"].items():
            ratio = measured["ratios"].get(contender)
            goal = GOALS[name].get(contender)
            verdict = ""
            if goal is not None:
                reached = ratio["median"] >= goal
                verdict = f"{goal:g} {'reached' if reached else 'NOT reached'}"
            rows.append(
                (
                    measured["title"],
                    contender,
                    f"{np.median(numbers):,.1f}",
                    f"{min(numbers):,.1f} to {max(numbers):,.1f}",
                    "" if ratio is None else f"{ratio['median']:.2f}",
                    verdict,
                )
            )
    return align_columns(rows)


def plot_results(results: Mapping[str, Any]) -> Figure:
    """Return the picture: ratios by workload, and how the engine scales."""
    figure, axes = plt.subplot_mosaic("aa;bc", figsize=(7.2, 6.2), height_ratios=[1, 1.1])
    _plot_ratios(results["workloads"], axes["a"])
    for name, seconds in results["scaling"]["steps"].items():
        sizes = np.array(SIZES[name])
        label = f"{name}: {fit_exponent(sizes, seconds):.2f}"
        axes["b"].loglog(sizes / sizes[0], 1e3 * np.array(seconds), "o-", label=label)
    axes["b"].set(
        title="b  time of a step", xlabel="size / smallest size", ylabel="milliseconds a step"
    )
    axes["b"].legend(title="exponents")
    for name, megabytes in results["scaling"]["memory"].items():
        sizes = np.array(MEMORY_SIZES[name])
        slope = np.polyfit(sizes, megabytes, 1)[0]
        label = f"{name}: {slope:.2g} MB each"
        axes["c"].plot(sizes / sizes[0], megabytes, "o-", label=label)
    axes["c"].set(title="c  memory", xlabel="size / smallest size", ylabel="MB", ylim=(0, None))
    axes["c"].legend()
    return figure


def _plot_ratios(workloads: Mapping[str, Any], ax: plt.Axes) -> None:
    names = [name for name in WORKLOADS if name in workloads]
    contenders = list(next(iter(workloads.values()))["ratios"])
    for place, contender in enumerate(contenders):
        at = np.arange(len(names)) + 0.8 * (place + 0.5) / len(contenders) - 0.4
        numbers = [workloads[name]["ratios"][contender] for name in names]
        medians = np.array([number["median"] for number in numbers])
        spread = [
            [number["median"] - number["least"] for number in numbers],
            [number["largest"] - number["median"] for number in numbers],
        ]
        ax.bar(at, medians, 0.8 / len(contenders), yerr=spread, label=contender, bottom=0)
        for x, number in zip(at, numbers, strict=True):
            above = (x, number["largest"])
            shift = {"xytext": (0, 3), "textcoords": "offset points"}
            ax.annotate(f"{number['median']:.2g}", above, ha="center", fontsize=7, **shift)
    ax.axhline(1, color="0.4", linewidth=0.8, linestyle=":")
    titles = [make_workload(name).title.replace(", ", ",\n") for name in names]
    ax.set_xticks(range(len(names)), titles, fontsize=7)
    ax.set(yscale="log", ylabel="time / time of the engine", title="a  beside the engine (= 1)")
    ax.legend(ncols=len(contenders), loc="upper center", fontsize=7)
    ax.set_ylim(0.3, 4 * ax.get_ylim()[1])
