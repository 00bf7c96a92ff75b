"""What is told of notebooks while they run, and when they have ended."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

import fprin_utils as fp

SECONDS_BETWEEN_LINES = 60


@dataclass(frozen=True)
class Result:
    """How the run of one notebook ended.

    Attributes:
        notebook: Name of the notebook.
        seconds: Wall-clock seconds, start of the kernel included.
        record: What was stored beside the figure; None if the notebook failed.
        failure: Traceback of a notebook that failed, else the empty string.
    """

    notebook: str
    seconds: float
    record: Mapping[str, Any] | None
    failure: str = ""


class ProgressLines:
    """A line for each notebook; where no one watches, a line is printed now and then."""

    def __init__(self, notebooks: Sequence[str]) -> None:
        """Show a line for each of the notebooks."""
        self._lock = threading.Lock()
        self._watched = sys.stderr.isatty()
        self._started: dict[str, float] = {}
        self._printed: dict[str, float] = {}
        self._ended: set[str] = set()
        self._bars = {
            name: tqdm(bar_format="{desc}", desc=f"{name}  waiting", disable=not self._watched)
            for name in notebooks
        }

    def hear(self, event: tuple[float, Sequence[str]]) -> None:
        """Show what a notebook has reported: its time, and the notebook and a text."""
        _, (notebook, text) = event
        with self._lock:
            # A report may come after the end of its notebook; the end has the last word.
            if notebook in self._ended:
                return
            now = time.monotonic()
            self._started.setdefault(notebook, now)
            self._bars[notebook].set_description_str(f"{notebook}  {text}")
            is_due = now - self._printed.setdefault(notebook, now) > SECONDS_BETWEEN_LINES
            if is_due and not self._watched:
                self._printed[notebook] = now
                print(f"{notebook}  {text}", flush=True)

    def end(self, notebook: str, *, has_failed: bool) -> float:
        """Show that a notebook has ended; return the seconds since its first report."""
        with self._lock:
            now = time.monotonic()
            seconds = now - self._started.get(notebook, now)
            text = f"{notebook}  {'failed' if has_failed else 'done'} in {seconds:.0f} s"
            self._ended.add(notebook)
            self._bars[notebook].set_description_str(text)
            if not self._watched:
                print(text, flush=True)
        return seconds

    def close(self) -> None:
        """Leave the lines as they are and let others write below them."""
        for bar in self._bars.values():
            bar.close()


def format_table(results: Sequence[Result], output_dir: Path) -> str:
    """Return a plain table: notebook, seconds, peak MB, verdicts, figure."""
    rows = [("notebook", "seconds", "peak MB", "verdicts", "figure")]
    for result in results:
        if result.record is None:
            rows.append((result.notebook, f"{result.seconds:.0f}", "-", "FAILED", "-"))
            continue
        claims, words = result.record["claims"], fp.claims.VERDICTS
        verdicts = ", ".join(f"{claim['id']} {words[claim['verdict']]}" for claim in claims)
        if result.record["profile"] == "smoke":
            verdicts = "-"  # Of a few seeds after a few steps it would mean nothing.
        picture = output_dir / f"{result.notebook}.png"
        peak = str(result.record["peak_memory_mb"])
        rows.append((result.notebook, f"{result.seconds:.0f}", peak, verdicts, str(picture)))
    return align_columns(rows)


def align_columns(rows: Sequence[Sequence[str]]) -> str:
    """Return rows of equal length, the first of them the header, as a plain table."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])
