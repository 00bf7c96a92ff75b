"""How steady the verdicts are: `python -m benchmarks.steadiness` runs all notebooks in other ways.

Other kernels of PyTorch, NumPy and MKL stand for other processors, other numbers of threads for
other machines; the reference itself, made with one thread, holds runs with other first seeds. What
each run says of each claim goes to benchmarks/steadiness.json, from which figures/README.md is
filled.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from fprin_utils.build.readmes import STEADINESS, update_readmes
from fprin_utils.build.record import run_all
from fprin_utils.build.requests import resolve_notebook
from fprin_utils.claims import TALLY_FIELDS
from fprin_utils.figures import list_notebooks, read_metadata
from fprin_utils.files import write_whole
from fprin_utils.verdicts import CHECKING

# Kernels as on a processor without vector instructions beyond SSE, and as on one with AVX2 only.
WITHOUT_VECTORS = {
    "ATEN_CPU_CAPABILITY": "default",
    "NPY_DISABLE_CPU_FEATURES": "AVX512F AVX512CD AVX512_SKX AVX2 FMA3",
}
SETTINGS: Mapping[str, Mapping[str, str]] = {
    "kernels without vector instructions": WITHOUT_VECTORS,
    "MKL as on AVX2": {"MKL_CBWR": "AVX2"},
    "2 threads": {"OMP_NUM_THREADS": "2"},
    "3 threads": {"OMP_NUM_THREADS": "3"},
}


def run_setting(notebooks: Sequence[str], environment: Mapping[str, str]) -> dict[str, list[int]]:
    """Return what notebooks say of their claims and controls under a setting.

    They have as many seeds as a check has, and the reference's first seed.

    Args:
        notebooks: Their names, without ending.
        environment: Environment variables that make the setting.

    Returns:
        For each claim, and with " control" after its id for each control, successes, trials and
        seeds; of an identity, whether it holds.

    Raises:
        RuntimeError: If a notebook fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        results = run_all(notebooks, Path(folder), environment={**environment, CHECKING: "1"})
    said = {}
    for result in results:
        for claim in result.record["claims"]:
            said[claim["id"]] = _count(claim)
            if "control" in claim:
                said[f"{claim['id']} control"] = _count(claim["control"])
    return said


def _count(claim: Mapping) -> list[int]:
    if "error" in claim:
        return [int(claim["verdict"] == "holds"), 1, 1]
    return [claim[name] for name in TALLY_FIELDS]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.steadiness", description=__doc__)
    parser.add_argument("--notebooks", nargs="+", metavar="NN", help="all if left out")
    parser.add_argument("--settings", nargs="+", choices=list(SETTINGS), default=list(SETTINGS))
    options = parser.parse_args(arguments)
    tested = [name for name in list_notebooks() if read_metadata(name)["claims"]]
    notebooks = [resolve_notebook(name) for name in options.notebooks or tested]
    stored = json.loads(STEADINESS.read_text(encoding="utf-8")) if STEADINESS.is_file() else {}
    for name in options.settings:
        said = run_setting(notebooks, SETTINGS[name])
        stored[name] = dict(sorted((stored.get(name, {}) | said).items()))
        write_whole(STEADINESS, json.dumps(stored, indent=1) + "\n")
    update_readmes()
    return 0


if __name__ == "__main__":
    sys.exit(main())
