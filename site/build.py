"""Build the site: `python site/build.py FOLDER` writes FOLDER/pages, and from these FOLDER/html.

Nothing is written twice: cards, tables and instructions come from the notebooks' metadata, the
reference and the README, notebooks and pictures from where they stand, the package's pages from its
docstrings.
"""

from __future__ import annotations

import ast
import re
import shutil
import sys
from pathlib import Path

import nbformat
from sphinx.cmd.build import build_main

from fprin_utils.build import readmes
from fprin_utils.build.regenerate import FIGURES_DIR
from fprin_utils.claims import VERDICTS
from fprin_utils.figures import list_notebooks, read_metadata
from fprin_utils.files import NOTEBOOKS, ROOT
from fprin_utils.verdicts import read_reference

HERE = Path(__file__).resolve().parent
# The badge is a picture from another host; a page must not ask for one.
BADGE = "![Launch on Binder](https://mybinder.org/badge_logo.svg)"
# The rooms of the package that have a page, in the order in which data flows.
ROOMS = (
    *("targets", "networks", "training", "spectra", "convergence", "oscillations", "theory"),
    *("claims", "verdicts", "plotting", "charts", "figures", "play"),
)


def format_gallery() -> str:
    """Return the cards of the front page: picture, title and verdicts of each figure."""
    cards = [":::::{container} gallery"]
    reference = read_reference()
    for notebook in list_notebooks():
        said, page = read_metadata(notebook), f"notebooks/{notebook}.ipynb"
        verdicts = " ".join(
            f"[{name} {VERDICTS[test['verdict']]}]{{.{test['verdict'].replace(' ', '-')}}}"
            for name, test in reference[notebook]["tests"].items()
        )
        is_play = said["article_figure"] == "play"
        about = f"Article, {said['article_figure']}: {verdicts or 'no claim'}"
        cards += [
            f"::::{{container}} card{' play' if is_play else ''}",
            f"[![{said['alt']}](figures/{notebook}.png)]({page})\n",
            f"[{said['shows']}]({page})\n",
            "To play with" if is_play else about,
            "::::",
        ]
    return "\n".join([*cards, ":::::"]) + "\n"


def format_claims() -> str:
    """Return the table of claims, whose links lead from the front page."""
    return readmes.format_claims_table().replace("](../notebooks/", "](notebooks/")


def quote_readme(start: str, end: str | None) -> str:
    """Return what stands in the README between two marks; its links lead to the repository.

    Args:
        start: A text in the README.
        end: The first text after that at which the quotation ends; None for its end.

    Raises:
        ValueError: If there is no such text.
    """
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    first = readme.index(start) + len(start)
    quotation = readme[first : readme.index(end, first) if end else None]
    return re.sub(r"\]\((?!https:|#)", "](repository:", quotation)


# What stands in index.md between `<!-- NAME -->` and `<!-- end of NAME -->`.
PLACES = {
    "gallery": format_gallery,
    "claims": format_claims,
    "commands": lambda: quote_readme("## Two commands\n", "## The article's figures"),
    "papers": lambda: quote_readme("## Cite\n", None),
}


def adapt_notebook(name: str) -> nbformat.NotebookNode:
    """Return a notebook as a page shows it, and where to run it."""
    notebook = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
    notebook.cells[0].source = notebook.cells[0].source.replace(BADGE, "Launch on Binder")
    said = read_metadata(name)
    is_play = said["article_figure"] == "play"
    scheme = "app" if is_play else "binder"
    invitation = f"*Nothing runs on this page; [play on Binder]({scheme}:{name}).*"
    if is_play:
        # A figure that only moves is not stored in its notebook.
        invitation = f"![{said['alt']}](../figures/{name}.png)\n\n{invitation}"
    notebook.cells.append(nbformat.v4.new_markdown_cell(invitation))
    return notebook


def describe_room(room: str) -> str:
    """Return the first line of what a room of the package says of itself."""
    path = ROOT / "fprin_utils" / room
    source = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    text = ast.get_docstring(ast.parse(source.read_text(encoding="utf-8")))
    return text.splitlines()[0]


def write_package(folder: Path) -> None:
    """Write a page for each room of the package, and a table of them.

    Args:
        folder: Folder of these pages.
    """
    rows = ["| Room | What it holds |", "|---|---|"]
    for room in ROOMS:
        page = f"{room}\n{'=' * len(room)}\n\n.. automodule:: fprin_utils.{room}\n"
        (folder / f"{room}.rst").write_text(page, encoding="utf-8")
        rows.append(f"| [{room}]({room}.rst) | {describe_room(room)} |")
    contents = "\n".join(["```{toctree}", ":hidden:", "", *ROOMS, "```"])
    table = "\n".join(rows)
    (folder / "index.md").write_text(f"# The package\n\n{table}\n\n{contents}\n", encoding="utf-8")


def write_pages(pages: Path) -> None:
    """Write what Sphinx reads, in the layout of the repository.

    Args:
        pages: The folder, new.
    """
    for folder in ("figures", "notebooks", "api"):
        (pages / folder).mkdir(parents=True)
    index = (HERE / "index.md").read_text(encoding="utf-8")
    for name, format_place in PLACES.items():
        place = readmes.find_table(index, name)
        index = index[: place.start()] + format_place() + index[place.end() :]
    (pages / "index.md").write_text(index, encoding="utf-8")
    for name in list_notebooks():
        shutil.copy(FIGURES_DIR / f"{name}.png", pages / "figures")
        nbformat.write(adapt_notebook(name), pages / "notebooks" / f"{name}.ipynb")
    write_package(pages / "api")


def main(folder: Path) -> int:
    """Build the site in a folder that has nothing of it yet; return Sphinx's exit status."""
    write_pages(folder / "pages")
    # A warning, as of a link that leads nowhere, is an error.
    options = ["-q", "-W", "--keep-going", "-c", str(HERE), "-d", str(folder / "doctrees")]
    return build_main([*options, str(folder / "pages"), str(folder / "html")])


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
