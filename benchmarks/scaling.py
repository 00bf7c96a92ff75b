"""How the engine scales: time of a step, and memory, against the sizes of a training.

`python -m benchmarks.scaling steps` prints seconds a step for each size as a line of JSON;
`python -m benchmarks.scaling memory SEEDS RECORDS` prints the memory that one training takes.
"""

from __future__ import annotations

import json
import sys

import numpy as np

import fprin_utils as fp
from fprin_utils.provenance import measure_peak_memory

BASE = {"seeds": 8, "points": 64, "width": 128, "depth": 3}
SIZES = {
    "seeds": [8, 16, 32, 64, 128],
    "points": [64, 128, 256, 512, 1024],
    "width": [64, 128, 256, 512],
    "depth": [2, 3, 5, 9, 17],
}
MEMORY_BASE = {"seeds": 16, "records": 100}
MEMORY_SIZES = {"seeds": [16, 32, 64, 128], "records": [100, 200, 400, 800]}
MEMORY_POINTS = 1000


def measure_step(*, seeds: int, points: int, width: int, depth: int, rounds: int = 3) -> float:
    """Return the seconds that a step of a tanh network takes, the median of some rounds."""
    grid = fp.make_grid(points)
    num_steps = int(np.clip(2e10 / (seeds * points * width**2 * depth), 5, 500))
    seconds = []
    for _ in range(rounds):
        networks = fp.Ensemble([width] * depth, seeds=range(seeds), initialization="pytorch")
        run = fp.train(
            networks,
            grid,
            np.sin(grid),
            num_steps=num_steps,
            learning_rate=1e-4,
            record_at=[0, num_steps],
            progress=False,
        )
        seconds.append(run.seconds / num_steps)
    return float(np.median(seconds))


def measure_steps() -> dict[str, list[float]]:
    """Return the seconds of a step for each size, by its name; the others are as in `BASE`."""
    return {
        name: [measure_step(**(BASE | {name: size})) for size in sizes]
        for name, sizes in SIZES.items()
    }


def measure_memory(*, seeds: int, records: int) -> int:
    """Return the MB by which one training raises the peak of this process."""
    grid, before = fp.make_grid(MEMORY_POINTS), measure_peak_memory()
    networks = fp.Ensemble([100, 100, 100], seeds=range(seeds), initialization="pytorch")
    fp.train(
        networks,
        grid,
        np.sin(grid),
        num_steps=records - 1,
        learning_rate=1e-4,
        record_at=range(records),
        progress=False,
    )
    return measure_peak_memory() - before


def fit_exponent(sizes: list[float], values: list[float]) -> float:
    """Return the slope of a straight line through logarithms: values grow as sizes to this."""
    return float(np.polyfit(np.log(sizes), np.log(values), 1)[0])


if __name__ == "__main__":
    if sys.argv[1] == "steps":
        print(json.dumps(measure_steps()))
    else:
        seeds, records = map(int, sys.argv[2:])
        print(json.dumps(measure_memory(seeds=seeds, records=records)))
