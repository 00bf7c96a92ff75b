"""Build the site: `python site/build.py FOLDER` writes FOLDER/pages, and from these FOLDER/html.

Nothing is written twice: cards, tables and instructions come from the registry, the stored records
and the README, notebooks and pictures from where they stand, the package's pages from docstrings.
"""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

import nbformat
from sphinx.cmd.build import build_main

from fprin_utils import publish
from fprin_utils.claims import VERDICTS
from fprin_utils.figures import FIGURES, FigureEntry
from fprin_utils.regenerate import FIGURES_DIR, NOTEBOOKS, ROOT
from fprin_utils.verdicts import read_reference

HERE = Path(__file__).resolve().parent
# The badge is a picture from another host; a page must not ask for one.
BADGE = "![Launch on Binder](https://mybinder.org/badge_logo.svg)"


def format_gallery() -> str:
    """Return the cards of the front page: picture, title and verdicts of each figure."""
    cards = [":::::{container} gallery"]
    reference = read_reference()
    for entry in FIGURES:
        page = f"notebooks/{entry.notebook}.ipynb"
        claims = [(name, t["verdict"]) for name, t in reference[entry.notebook]["tests"].items()]
        verdicts = " ".join(
            f"[{name} {VERDICTS[verdict]}]{{.{verdict.replace(' ', '-')}}}"
            for name, verdict in claims
        )
        about = f"Article, {entry.article_figure}: {verdicts}" if claims else "To play with"
        cards += [
            f"::::{{container}} card{'' if claims else ' play'}",
            f"[![{entry.alt}](figures/{entry.notebook}.png)]({page})\n",
            f"[{entry.shows}]({page})\n",
            about,
            "::::",
        ]
    return "\n".join([*cards, ":::::"]) + "\n"


def quote_readme(start: str, end: str) -> str:
    """Return what stands in the README between two marks; its links lead to the repository.

    Args:
        start: A text in the README.
        end: The first text after that at which the quotation ends.

    Raises:
        ValueError: If there is no such text.
    """
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    first = readme.index(start) + len(start)
    quotation = readme[first : readme.index(end, first)]
    return re.sub(r"\]\((?!https:|#)", "](repository:", quotation)


# What stands in index.md between `<!-- NAME -->` and `<!-- end of NAME -->`.
PLACES = {
    "gallery": format_gallery,
    "claims": publish.format_claims_table,
    "notes": lambda: quote_readme("<!-- end of claims -->\n", "| | |"),
    "commands": lambda: quote_readme("## Two commands\n", "## What a figure leaves behind"),
    "differences": lambda: quote_readme("## What differs from the papers\n", "## Traps"),
    "papers": lambda: quote_readme("## How to cite\n", "Where this page and the notebooks"),
}


def adapt_notebook(entry: FigureEntry) -> nbformat.NotebookNode:
    """Return a notebook as a page shows it, and where to run it."""
    notebook = nbformat.read(NOTEBOOKS / f"{entry.notebook}.ipynb", as_version=4)
    notebook.cells[0].source = notebook.cells[0].source.replace(BADGE, "Launch on Binder")
    scheme = "binder" if entry.claims else "app"
    invitation = f"*Nothing runs on this page; [play on Binder]({scheme}:{entry.notebook}).*"
    if not entry.claims:
        # A figure that only moves is not stored in its notebook.
        invitation = f"![{entry.alt}](../figures/{entry.notebook}.png)\n\n{invitation}"
    notebook.cells.append(nbformat.v4.new_markdown_cell(invitation))
    return notebook


def write_package(folder: Path) -> None:
    """Write a page for each module of the package, and the README's table of them.

    Args:
        folder: Folder of these pages.
    """
    modules = quote_readme("## The modules\n", "Beside the package")
    link = re.compile(r"\[fprin_utils/(\w+)\.py\]\([^)]*\)")
    names = link.findall(modules)
    for name in names:
        page = f"{name}\n{'=' * len(name)}\n\n.. automodule:: fprin_utils.{name}\n"
        (folder / f"{name}.rst").write_text(page, encoding="utf-8")
    table = link.sub(r"[\1](\1.rst)", modules)
    contents = "\n".join(["```{toctree}", ":hidden:", "", *names, "```"])
    (folder / "index.md").write_text(f"# The package\n{table}\n{contents}\n", encoding="utf-8")


def write_pages(pages: Path) -> None:
    """Write what Sphinx reads, in the layout of the repository.

    Args:
        pages: The folder, new.
    """
    for folder in ("figures", "notebooks", "api"):
        (pages / folder).mkdir(parents=True)
    index = publish.fill_tables((HERE / "index.md").read_text(encoding="utf-8"), PLACES)
    (pages / "index.md").write_text(index, encoding="utf-8")
    for entry in FIGURES:
        shutil.copy(FIGURES_DIR / f"{entry.notebook}.png", pages / "figures")
        nbformat.write(adapt_notebook(entry), pages / "notebooks" / f"{entry.notebook}.ipynb")
    write_package(pages / "api")


def main(folder: Path) -> int:
    """Build the site in a folder that has nothing of it yet; return Sphinx's exit status."""
    write_pages(folder / "pages")
    # A warning, as of a link that leads nowhere, is an error.
    options = ["-q", "-W", "--keep-going", "-c", str(HERE), "-d", str(folder / "doctrees")]
    return build_main([*options, str(folder / "pages"), str(folder / "html")])


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
