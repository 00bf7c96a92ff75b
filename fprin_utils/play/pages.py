"""What a browser takes of this room: modules, styles, and the players made of them."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat

from fprin_utils.figures import list_notebooks
from fprin_utils.files import NOTEBOOKS, write_whole

HERE = Path(__file__).parent


def read_source(*names: str) -> str:
    """Return what a browser takes of this room: modules, one after the other, or styles."""
    return "\n".join((HERE / name).read_text(encoding="utf-8") for name in names)


@dataclass(frozen=True)
class MovingFigure:
    """A training that plays in the output of a cell, in JupyterLab, in Voila, and on a page.

    Attributes:
        runs: The runs as `player.js` takes them.
        legend: What differs between them.
    """

    runs: Sequence[Mapping[str, Any]]
    legend: str = ""

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        told = json.dumps({"runs": self.runs, "legend": self.legend}, separators=(",", ":"))
        return {"text/html": format_player(told), "text/plain": "A training that plays."}


def format_player(told: str) -> str:
    """Return an element and the script that plays in it.

    Args:
        told: Runs and legend, as JSON.
    """
    name = f"fprin-{zlib.crc32(told.encode()):08x}"
    # What ends a script is no matter how it came there.
    told, style = told.replace("</", "<\\/"), json.dumps(read_source("player.css"))
    return (
        f'<div id="{name}"><em>A training that plays where scripts may run.</em></div>\n'
        f'<script type="module" async>\n{read_source("player.js")}\n'
        f"const told =\n{told}\n;\n"
        f'for (const host of document.querySelectorAll("#{name}")) '
        f"playStored(host, {{ ...told, style: {style} }});\n</script>"
    )


def read_player(text: str) -> str | None:
    """Return the runs and the legend that `format_player` has put into a text, as JSON."""
    found = re.search(r"^const told =\n(.*)\n;$", text, re.MULTILINE)
    return found and found[1].replace("<\\/", "</")


def update_players() -> None:
    """Give the players that are stored in the notebooks the program that plays them now."""
    for name in list_notebooks():
        path = NOTEBOOKS / f"{name}.ipynb"
        notebook = nbformat.read(path, as_version=4)
        for cell in notebook.cells:
            for output in cell.get("outputs", ()):
                player = output.get("data", {}).get("text/html", "")
                if told := read_player(player):
                    output["data"]["text/html"] = format_player(told)
        write_whole(path, nbformat.writes(notebook) + "\n")
