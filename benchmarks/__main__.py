"""The benchmark: contenders in turn, several rounds, each training in a process of its own."""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import io
import json
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

import fprin_utils as fp
from benchmarks.contenders import CONTENDERS
from benchmarks.report import compute_ratios, format_table, plot_results
from benchmarks.scaling import MEMORY_BASE, MEMORY_SIZES
from benchmarks.workloads import WORKLOADS, make_workload
from fprin_utils.files import write_whole

HERE = Path(__file__).resolve().parent
STEPS_OF_THE_CHECK = 20
# In float32 and from the same weights, losses may differ by this share of their size, and by ten
# times this share of their fall, whichever is less: losses that hardly fall are alike anyway.
TOLERANCE = 1e-3
SHARE_OF_FALL = 10


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit status."""
    options = _parse_arguments(arguments)
    contenders = [name for name in CONTENDERS if name != "JAX" or importlib.util.find_spec("jax")]
    if "JAX" not in contenders:
        print("JAX is not installed (pip install 'fprin_utils[benchmark]'); going on without it")
    results: dict[str, Any] = {"machine": _describe_machine(), "workloads": {}}
    for name in options.workloads:
        try:
            check_losses(name, contenders)
        except (RuntimeError, ValueError) as error:
            print(f"benchmark: {error}", file=sys.stderr)
            return 1
        results["workloads"][name] = measure_workload(name, contenders, options)
        print(format_table(results | {"workloads": {name: results["workloads"][name]}}), flush=True)
    if options.scaling:
        print("scaling: time of a step, then memory", flush=True)
        results["scaling"] = measure_scaling()
    table = format_table(results)
    print(f"\n{table}")
    if options.scaling:
        options.output.mkdir(parents=True, exist_ok=True)
        fp.use_style()
        picture = io.BytesIO()
        plot_results(results).savefig(picture, format="png")
        write_whole(options.output / "results.png", picture.getvalue())
        write_whole(options.output / "results.json", json.dumps(results, indent=1) + "\n")
        write_whole(options.output / "results.txt", table + "\n")
    return 0


def check_losses(workload: str, contenders: Sequence[str]) -> None:
    """Raise a ValueError unless the losses of all contenders fall alike from the same weights."""
    losses = {}
    for contender in contenders:
        reached = run_contender(contender, workload, STEPS_OF_THE_CHECK)["losses"]
        if reached is not None:
            losses[contender] = np.array(reached)
    engine = losses["engine"]
    fall = np.abs(engine - engine[0]).max(axis=0)
    scale = np.minimum(engine, SHARE_OF_FALL * fall)
    for contender, reached in losses.items():
        difference = (np.abs(reached - engine) / scale).max()
        if not difference < TOLERANCE:
            raise ValueError(
                f"{workload}: the losses of {contender} and of the engine differ by "
                f"{difference:.1e} of their size or fall; at most {TOLERANCE:g} is allowed"
            )


def measure_workload(
    workload: str, contenders: Sequence[str], options: argparse.Namespace
) -> dict[str, Any]:
    """Return the microseconds a seed and step of each round, and the ratios to the engine."""
    described = make_workload(workload)
    num_steps = options.steps or described.num_steps
    seconds: dict[str, list[float]] = {contender: [] for contender in contenders}
    for number in range(options.rounds):
        for contender in contenders:
            print(f"{workload}: round {number + 1} of {options.rounds}, {contender}", flush=True)
            seconds[contender].append(run_contender(contender, workload, num_steps)["seconds"])
    scale = 1e6 / num_steps / described.num_seeds
    return {
        "title": described.title,
        "num_seeds": described.num_seeds,
        "num_steps": num_steps,
        "microseconds": {
            name: [round(scale * value, 2) for value in values] for name, values in seconds.items()
        },
        "ratios": compute_ratios(seconds),
    }


def measure_scaling() -> dict[str, Any]:
    """Return seconds a step by size, and MB by size, each in a process of its own."""
    memory = {
        name: [
            _run("benchmarks.scaling", "memory", *map(str, (MEMORY_BASE | {name: size}).values()))
            for size in sizes
        ]
        for name, sizes in MEMORY_SIZES.items()
    }
    return {"steps": _run("benchmarks.scaling", "steps"), "memory": memory}


def run_contender(contender: str, workload: str, num_steps: int) -> dict[str, Any]:
    """Return seconds and losses of one training, done in a process of its own."""
    return _run("benchmarks.contenders", contender, workload, "--steps", str(num_steps))


def _run(module: str, *arguments: str) -> Any:
    command = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(command, cwd=HERE.parent, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command[1:])} failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def _describe_machine() -> dict[str, Any]:
    names = [line for line in _read_cpu_info() if line.startswith("model name")]
    versions = {
        name: importlib.metadata.version(name)
        for name in ("torch", "numpy", "jax")
        if importlib.util.find_spec(name)
    }
    return {
        "processor": names[0].split(":")[1].strip() if names else platform.processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "versions": versions,
    }


def _read_cpu_info() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def _parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--workloads", nargs="+", choices=WORKLOADS, default=list(WORKLOADS))
    parser.add_argument("--rounds", type=int, default=5, help="rounds of all contenders in turn")
    parser.add_argument("--steps", type=int, help="updates; as each workload says if left out")
    parser.add_argument(
        "--no-scaling",
        dest="scaling",
        action="store_false",
        help="leave out how the engine scales; nothing is written then",
    )
    parser.add_argument("--output", type=Path, default=HERE, help="folder for what is written")
    options = parser.parse_args(arguments)
    if options.rounds < 1 or (options.steps is not None and options.steps < 1):
        parser.error(f"rounds ({options.rounds}) and steps ({options.steps}) must be 1 or more")
    return options


if __name__ == "__main__":
    sys.exit(main())
