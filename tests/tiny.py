"""Notebooks and trainings that take no time, for tests of what runs them."""

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import numpy as np

import fprin_utils as fp

FIRST, FOURTH = "01_one_dimensional_peaks", "04_high_frequency_oscillation"
# The command line, over the notebooks of a folder.
COMMAND = [
    sys.executable,
    "-c",
    "import sys; from pathlib import Path\n"
    "from fprin_utils import figures, files; from fprin_utils.build import regenerate\n"
    "files.NOTEBOOKS = Path(sys.argv[1]); sys.exit(regenerate.main(sys.argv[2:]))",
]
PARAMETERS = """\
profile = None  # profile
seed = 0  # seed
num_seeds = {"quick": 1, "paper": 2}  # seeds
device = "cpu"  # device
learning_rate = 0.01  # rate
output_dir = "output"  # folder
"""
# What fp.save_figure leaves, without what it takes to import it.
SAVE = """\
import json, os, pathlib
for ending in ("png", "pdf"):
    pathlib.Path(output_dir, f"{notebook}.{ending}").write_text(f"{notebook} {seed}")
record = {"profile": profile, "parameters": {"seed": seed}, "claims": [], "peak_memory_mb": 1}
pathlib.Path(output_dir, f"{notebook}.json").write_text(json.dumps(record))
"""


# Two trainings of some seconds, each with a checkpoint.
TRAIN = """\
import fprin_utils as fp
settings = fp.configure(notebook, vars())
grid = fp.make_grid(24)
for name in ("target", "control"):
    fp.train(
        fp.Ensemble([20], seeds=settings.seeds), grid, fp.make_sinusoids(grid, [1, 3]),
        num_steps=3000, learning_rate=settings.learning_rate,
        checkpoint=settings.checkpoint(name), checkpoint_seconds=0.1,
    )
"""


def write_notebook(folder: Path, name: str, *cells: str) -> None:
    """Write a notebook whose cells follow a cell of parameters."""
    folder.mkdir(parents=True, exist_ok=True)
    first = nbformat.v4.new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]})
    texts = (f"notebook = {name!r}", *cells)
    book = nbformat.v4.new_notebook(cells=[first, *map(nbformat.v4.new_code_cell, texts)])
    book.metadata["kernelspec"] = {
        "name": "python3",
        "language": "python",
        "display_name": "Python 3",
    }
    nbformat.write(book, folder / f"{name}.ipynb")


def read_seeds(folder: Path, name: str) -> set[int]:
    """Return the seeds of which the files of a figure are; one if they are of one run."""
    seeds = {int((folder / f"{name}.{end}").read_text().split()[-1]) for end in ("png", "pdf")}
    record = json.loads((folder / f"{name}.json").read_text())
    return seeds | {record["parameters"]["seed"]}


def call_and_note(folder: str, number: int, seconds: float = 0.0) -> tuple[int, np.ndarray]:
    """Train a tiny network; note in a file that this was called, and by whom."""
    with Path(folder, str(number)).open("a") as file:
        file.write(f"{os.getpid()}\n")
    time.sleep(seconds)
    grid = fp.make_grid(16)
    networks, target = fp.Ensemble([8], seeds=[number]), fp.make_sinusoids(grid, [1])
    run = fp.train(networks, grid, target, num_steps=20, learning_rate=0.01, progress=False)
    return number, run.outputs


def read_notes(folder: Path) -> dict[int, list[int]]:
    """Return the processes that called `call_and_note`, by number."""
    return {int(path.name): [int(n) for n in path.read_text().split()] for path in folder.iterdir()}


def double(number: int, *, fails: bool = False) -> int:
    """Return twice a number, or fail."""
    if fails:
        raise ValueError(f"number is {number}")
    return 2 * number


def tell_process(**_: object) -> int:
    """Return the process in which this is called, whatever the setting."""
    return os.getpid()


def wait_for(condition: Callable[[], Any], seconds: float = 120) -> Any:
    """Wait until a condition is met; return what it gives then."""
    deadline = time.monotonic() + seconds
    while not (met := condition()):
        assert time.monotonic() < deadline, condition
        time.sleep(0.02)
    return met
