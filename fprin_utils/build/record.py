"""Making the reference: notebooks/verdicts.json and the outputs stored in the notebooks."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fprin_utils.build import readmes
from fprin_utils.build.agreement import count_check_seeds, pool
from fprin_utils.build.progress import Result
from fprin_utils.build.regenerate import FIGURES_DIR, regenerate
from fprin_utils.build.requests import resolve_notebook
from fprin_utils.claims import TALLY_FIELDS
from fprin_utils.figures import list_notebooks, read_metadata
from fprin_utils.files import write_whole
from fprin_utils.verdicts import RECORDING, REFERENCE, read_reference, select_own

# The outcomes of these runs are pooled; the first is the one whose outputs the notebooks hold.
FIRST_SEEDS = (0, 1000, 2000, 3000, 4000, 5000)


def record(notebooks: Sequence[str]) -> None:
    """Run notebooks with each of the first seeds, and store what comes out.

    Args:
        notebooks: Their names, without ending.

    Raises:
        RuntimeError: If one failed; the reference is as it was.
    """
    before = REFERENCE.read_bytes() if REFERENCE.is_file() else None
    tested = [notebook for notebook in notebooks if read_metadata(notebook)["claims"]]
    try:
        _forget(notebooks)
        for seed in FIRST_SEEDS[1:]:
            with tempfile.TemporaryDirectory() as folder:
                _note(seed, run_all(tested, Path(folder), parameters={"seed": seed}))
        results = run_all(
            *(notebooks, FIGURES_DIR), environment={RECORDING: "1"}, write_notebooks=True
        )
        _note(FIRST_SEEDS[0], results)
    except BaseException:
        if before is not None:
            write_whole(REFERENCE, before)
        raise
    readmes.update_readmes()


def run_all(notebooks: Sequence[str], output_dir: Path, **options: Any) -> list[Result]:
    """Run notebooks as `regenerate` does, but raise a RuntimeError if one of them fails."""
    results = regenerate(notebooks, output_dir=output_dir, **options) if notebooks else []
    failures = [f"{result.notebook}:\n{result.failure}" for result in results if result.failure]
    if failures:
        raise RuntimeError("\n".join(failures))
    return results


def _forget(notebooks: Sequence[str]) -> None:
    """Drop what is stored of notebooks."""
    stored = read_reference()
    _store({name: entry for name, entry in stored.items() if name not in notebooks})


def _note(seed: int, results: Sequence[Result]) -> None:
    """Add the outcomes of runs with one first seed to the reference."""
    stored = read_reference()
    for result in results:
        made = result.record
        entry = stored.setdefault(result.notebook, {"tests": {}})
        entry["profile"] = made["profile"]
        entry["parameters"] = select_own(made["parameters"])
        entry["cpu_seconds"] = round(made["cpu_seconds"])
        entry["peak_memory_mb"] = made["peak_memory_mb"]
        for claim in made["claims"]:
            test = entry["tests"].setdefault(claim["id"], {})
            _add_run(test, seed, claim)
            if "control" in claim:
                _add_run(test.setdefault("control", {}), seed, claim["control"])
        entry["check_seeds"] = count_check_seeds(entry)
    _store(stored)


def _add_run(test: dict[str, Any], seed: int, claim: Mapping[str, Any]) -> None:
    test |= {"statement": claim["statement"], "effect": claim["effect"]}
    if "error" in claim:
        test |= {name: claim[name] for name in ("verdict", "error", "tolerance")}
        return
    runs = test.get("runs", {}) | {str(seed): [claim[n] for n in TALLY_FIELDS]}
    test["runs"] = dict(sorted(runs.items(), key=lambda run: int(run[0])))
    test["verdict"] = pool(test).firm_verdict


def _store(stored: Mapping[str, Any]) -> None:
    order = [notebook for notebook in list_notebooks() if notebook in stored]
    text = json.dumps({name: stored[name] for name in order}, indent=1, ensure_ascii=False)
    write_whole(REFERENCE, text + "\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m fprin_utils.build.record",
        description="For maintainers: run the notebooks, store verdicts and outputs.",
    )
    parser.add_argument("--notebooks", nargs="+", metavar="NN", help="all if left out")
    options = parser.parse_args(arguments)
    names = options.notebooks or list_notebooks()
    try:
        record([resolve_notebook(name) for name in names])
    except (OSError, ValueError, RuntimeError) as error:
        print(f"record: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
