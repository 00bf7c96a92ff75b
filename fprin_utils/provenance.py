"""How a figure was made: code, versions, processor, time and memory."""

from __future__ import annotations

import hashlib
import platform
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil
import torch
from IPython import get_ipython

from fprin_utils.files import ROOT

try:
    import resource
except ImportError:  # There is none on Windows.
    resource = None

RECORDED_PACKAGES = ("torch", "numpy", "scipy", "matplotlib", "scikit-image", "fprin_utils")


def describe_run(started: tuple[float, float]) -> dict[str, Any]:
    """Return how this process works, as it stands in the JSON beside a figure.

    Args:
        started: Wall-clock and processor seconds at which the run began, by `time.perf_counter` and
            `time.process_time`.
    """
    wall_started, cpu_started = started
    return {
        "versions": {"python": platform.python_version()}
        | {package: version(package) for package in RECORDED_PACKAGES},
        "processor": read_processor(),
        "threads": torch.get_num_threads(),
        "code": read_commit() | {"digest": digest_code()},
        "seconds": round(time.perf_counter() - wall_started, 1),
        "cpu_seconds": round(time.process_time() - cpu_started, 1),
        "peak_memory_mb": measure_peak_memory(),
    }


def read_processor() -> str:
    """Return the name of the processor and the instructions for which PyTorch has kernels."""
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        lines = info.read_text(encoding="utf-8", errors="replace").splitlines()
        models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
        name = next(iter(models), name)
    return f"{name}, {torch.backends.cpu.get_cpu_capability()}"


def read_commit() -> dict[str, Any]:
    """Return the commit of the checkout and whether its code differs from it; None for unknown."""

    def ask(*arguments: str) -> str | None:
        command = ["git", "-C", str(ROOT), *arguments]
        try:
            ended = subprocess.run(command, capture_output=True, text=True, check=False)
        except OSError:
            return None
        return ended.stdout.strip() if ended.returncode == 0 else None

    changes = ask("status", "--porcelain", "--", "fprin_utils", "notebooks")
    is_dirty = None if changes is None else bool(changes)
    return {"commit": ask("rev-parse", "HEAD"), "differs_from_commit": is_dirty}


def digest_code() -> str | None:
    """Return a digest of the cells that this notebook has executed; None outside of one.

    The cell in which papermill injects parameters is left out: they are recorded by themselves.
    """
    shell = get_ipython()
    if shell is None:
        return None
    cells = [cell.strip() for cell in shell.user_ns.get("In", [])]
    code = "\n\n".join(cell for cell in cells if cell and not cell.startswith("# Parameters"))
    return f"sha256:{hashlib.sha256(code.encode('utf-8')).hexdigest()}"


def measure_peak_memory() -> int:
    """Return the largest resident memory of this process so far, in MB."""
    if resource is None:
        return round(psutil.Process().memory_info().peak_wset / 2**20)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (2**20 if sys.platform == "darwin" else 2**10))
