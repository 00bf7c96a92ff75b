"""Build the site: `python site/build.py FOLDER` writes FOLDER/pages, and from these FOLDER/html.

Nothing is written twice: cards, tables and instructions come from the notebooks' metadata, the
reference and the README, notebooks and pictures from where they stand, the package's pages from its
docstrings.
"""

from __future__ import annotations

import ast
import copy
import json
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import nbformat
from sphinx.cmd.build import build_main

from fprin_utils.build import readmes
from fprin_utils.build.regenerate import FIGURES_DIR
from fprin_utils.claims import VERDICTS
from fprin_utils.figures import list_notebooks, read_metadata
from fprin_utils.files import NOTEBOOKS, ROOT
from fprin_utils.play.pages import read_source
from fprin_utils.verdicts import read_reference

HERE = Path(__file__).resolve().parent
# The badge is a picture from another host; a page must not ask for one.
BADGE = "![Launch on Binder](https://mybinder.org/badge_logo.svg)"
# The rooms of the package that have a page, in the order in which data flows.
ROOMS = (
    *("targets", "datasets", "networks", "training", "sweeps", "spectra", "convergence"),
    *("oscillations", "theory", "kernels", "claims", "verdicts", "plotting", "charts", "figures"),
    "play",
)
# The controls of the networks in the page: what each is called, its values if it is not typed, and
# where it starts. The first five are in sight.
RATES = [float(f"{part}e{power}") for power in (-4, -3, -2) for part in (1, 1.5, 2, 3, 5, 8)]
LIVE = {
    "frequencies": ("frequencies", None, [1, 3, 5]),
    "amplitudes": ("amplitudes", None, [1, 1, 1]),
    "small": ("scale, left", [0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 1], 0.1),
    "large": ("scale, right", [0.1, 0.2, 0.3, 0.5, 0.8, 1, 1.5, 2], 2),
    "width": ("width", [8, 16, 32, 48, 64, 80, 100], 64),
    "depth": ("hidden layers", [1, 2, 3], 2),
    "learningRate": ("learning rate", RATES, 2e-3),
    "noise": ("noise", [0, 0.1, 0.2, 0.3, 0.5], 0),
    "activation": ("activation", ["tanh", "relu", "sin"], "tanh"),
    "optimizer": ("optimiser", ["adam", "gradient_descent"], "adam"),
    "numSeeds": ("seeds", [1, 2, 3, 4], 1),
    "steps": ("steps", [500, 1000, 2000, 4000, 10000], 4000),
}
NUM_IN_SIGHT = 5


def format_live() -> str:
    """Return the lanes in which networks learn in the page, as HTML."""
    controls = [
        {"name": name, "label": label, "values": values, "isMore": place >= NUM_IN_SIGHT}
        for place, (name, (label, values, _)) in enumerate(LIVE.items())
    ]
    about = {
        "style": read_source("player.css"),
        "trainer": read_source("trainer.js"),
        "controls": controls,
        "settings": {name: start for name, (_, _, start) in LIVE.items()},
        "binder": readmes.make_binder_link("12_explorer"),
    }
    told = json.dumps(about).replace("</", "<\\/")
    modules = read_source("player.js", "explorer.js", "trainer.js")
    live = (HERE / "live.js").read_text(encoding="utf-8")
    call = f'playLive(document.getElementById("live"), {told});'
    script = f'<script type="module" async>\n{modules}\n{live}\n{call}\n</script>'
    return f'```{{raw}} html\n<div id="live"></div>\n{script}\n```\n'


def format_gallery(
    say: readmes.Say = str, folder: str = "notebooks", ending: str = ".ipynb"
) -> str:
    """Return the cards of a front page: picture, title and verdicts of each figure.

    Args:
        say: Puts an English text into the language of the page.
        folder: Where the pages of the figures are.
        ending: How their names end.
    """
    cards, reference = [":::::{container} gallery"], read_reference()
    up = "../" if folder == "." else ""
    for notebook in list_notebooks():
        said, page = read_metadata(notebook), f"{folder}/{notebook}{ending}"
        verdicts = " ".join(
            f"[{name} {say(VERDICTS[test['verdict']])}]{{.{test['verdict'].replace(' ', '-')}}}"
            for name, test in reference[notebook]["tests"].items()
        )
        is_play = said["article_figure"] == "play"
        cards += [
            f"::::{{container}} card{' play' if is_play else ''}",
            f"[![{say(said['alt'])}]({up}figures/{notebook}.png)]({page})\n",
            f"[{say(said['shows'])}]({page})\n",
            verdicts or say(said["article_figure"]),
            "::::",
        ]
    return "\n".join([*cards, ":::::"]) + "\n"


def format_claims() -> str:
    """Return the table of claims, whose links lead from the front page; a sentence has a page."""
    table = readmes.format_claims_table().replace("](../notebooks/", "](notebooks/")
    return re.sub(r"^\| \*\*(C\d+)\*\*", r"| **[\1](claims/\1.md)**", table, flags=re.MULTILINE)


def format_sentences() -> str:
    """Return the Chinese table of the article's sentences, whose links lead from its front page."""
    table = readmes.format_sentences_table(readmes.make_say("zh"))
    return table.replace("](notebooks/", "](").replace(".ipynb)", ".md)")


def quote_readme(readme: str, start: str, end: str | None) -> str:
    """Return what stands in a README between two marks; its links lead to the repository.

    Args:
        readme: Name of the README.
        start: A text in it.
        end: The first text after that at which the quotation ends; None for its end.

    Raises:
        ValueError: If there is no such text.
    """
    text = (ROOT / readme).read_text(encoding="utf-8")
    first = text.index(start) + len(start)
    quotation = text[first : text.index(end, first) if end else None]
    return re.sub(r"\]\((?!https:|#)", "](repository:", quotation)


# What stands between `<!-- NAME -->` and `<!-- end of NAME -->` in the front pages and on the page
# with the networks of one's own.
Places = dict[str, Callable[[], str]]
PAGES: dict[str, Places] = {
    "index.md": {
        "live": format_live,
        "gallery": format_gallery,
        "claims": format_claims,
        "commands": lambda: quote_readme("README.md", "## Two commands\n", "## The article's fig"),
        "papers": lambda: quote_readme("README.md", "## Cite\n", None),
    },
    "live.md": {"live": format_live},
    "zh/index.md": {
        "live": format_live,
        "gallery": lambda: format_gallery(readmes.make_say("zh"), ".", ".md"),
        "sentences": format_sentences,
        "commands": lambda: quote_readme("README.zh-CN.md", "## 两条命令\n", "## 文章的图"),
        "papers": lambda: quote_readme("README.zh-CN.md", "## 引用\n", None),
    },
}


def find_cell(notebook: nbformat.NotebookNode, kind: str, mark: str = "") -> nbformat.NotebookNode:
    """Return the first cell with an output of a kind (a MIME type) that begins with a mark."""
    for cell in notebook.cells:
        shown = [output.get("data", {}) for output in cell.get("outputs", ())]
        if any(kind in data and data[kind].startswith(mark) for data in shown):
            return cell
    raise ValueError(f"no cell has an output of {kind} that begins with {mark!r}")


def move_output(cell: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Take the outputs of a cell away; return a cell that shows nothing else."""
    shown = copy.deepcopy(cell)
    shown.id, shown.metadata.tags = f"{cell.id}-shown", ["remove-input"]
    cell.outputs = []
    return shown


def adapt_notebook(name: str) -> nbformat.NotebookNode:
    """Return a notebook as a page: figure, player, caption and verdicts, then text and code."""
    notebook = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
    said = read_metadata(name)
    is_play = said["article_figure"] == "play"
    title, *rest = notebook.cells
    # The Chinese page has the summary, and the invitation below says where to run it.
    left_out = ("**摘要", "[Launch on Binder", "*About", "*Some")
    parts = title.source.replace(BADGE, "Launch on Binder").split("\n\n")
    title.source = "\n\n".join(part for part in parts if not part.startswith(left_out))
    scheme, words = ("app", "play") if is_play else ("binder", "change the numbers")
    invitation = f"*The code is folded below; [{words} on Binder]({scheme}:{name})"
    invitation += "" if is_play else f" ([简体中文](../zh/{name}.md))"
    player = find_cell(notebook, "text/html", "<div id=")
    shown = [title, move_output(player)]
    if not is_play:
        figure = find_cell(notebook, "image/png")
        caption = next(cell for cell in rest if cell.source.startswith("**Figure "))
        rest.remove(caption)
        caption.source = caption.source.partition("\n\n**图")[0]
        shown = [title, move_output(figure), caption, shown[1]]
    if said["claims"]:
        shown.append(move_output(find_cell(notebook, "text/markdown", "| claim")))
    # Without an id of its own a cell gets a random one, and no two builds are the same.
    shown.append(nbformat.v4.new_markdown_cell(f"{invitation}.*", id="invitation"))
    for cell in rest:
        if cell.cell_type == "code":
            cell.metadata.tags = ["hide-input"]
    notebook.cells = [*shown, *rest]
    return notebook


def write_chinese(name: str, rows: list[str]) -> str:
    """Return the Chinese page of a notebook: the article's sentence, figure, player, verdicts.

    Args:
        name: The notebook.
        rows: The lines of the Chinese table of claims.
    """
    notebook, said = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4), read_metadata(name)
    player = find_cell(notebook, "text/html", "<div id=")
    texts = [part for cell in notebook.cells for part in cell.source.split("\n\n")]
    quoted = [part for part in texts if part.startswith("> ")]
    told = [part for part in texts if part.startswith(("**摘要", "**图"))]
    own = [row for row in rows if f"notebooks/{name}.ipynb)" in row]
    table = "\n".join([*rows[:2], *own])
    (html,) = [each.data["text/html"] for each in player.outputs if "text/html" in each.data]
    parts = [
        f"# {said['shows_zh']}",
        *quoted[:1],
        *told[:1],
        f"![{said['alt_zh']}](../figures/{name}.png)",
        *told[1:],
        f"```{{raw}} html\n{html}\n```",
        *([table] if own else []),
        f"[英文页](../notebooks/{name}.ipynb)",
    ]
    return "\n\n".join(parts) + "\n"


def write_claim(number: str, sentence: str, rows: list[str]) -> str:
    """Return the page of a sentence of the article: its tests, and the figures behind them.

    Args:
        number: Its number, such as C1.
        sentence: The sentence.
        rows: The lines of the table of claims.
    """
    own = [row for row in rows if re.match(rf"\| \**{number}[a-z]?\** \|", row)]
    notebooks = sorted(set(re.findall(r"notebooks/(\w+)\.ipynb", "\n".join(own))))
    parts = [f"# {number}: {read_verdict(own[0])}", f"> {sentence}", "\n".join([*rows[:2], *own])]
    for name in notebooks:
        said = read_metadata(name)
        parts.append(f"## [{said['shows']}](../notebooks/{name}.ipynb)")
        parts.append(f"![{said['alt']}](../figures/{name}.png)")
    return "\n\n".join(parts) + "\n"


def read_verdict(row: str) -> str:
    """Return the verdict of a sentence from its row of the table of claims."""
    return row.split(" | ")[1].strip("*")


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
    for folder in ("figures", "notebooks", "api", "claims", "zh"):
        (pages / folder).mkdir(parents=True)
    for page, places in PAGES.items():
        text = (HERE / page).read_text(encoding="utf-8")
        for name, format_place in places.items():
            place = readmes.find_table(text, name)
            text = text[: place.start()] + format_place() + text[place.end() :]
        (pages / page).write_text(text, encoding="utf-8")
    rows = readmes.format_claims_table().splitlines()
    chinese_rows = readmes.format_claims_table(readmes.make_say("zh")).splitlines()
    for name in list_notebooks():
        shutil.copy(FIGURES_DIR / f"{name}.png", pages / "figures")
        nbformat.write(adapt_notebook(name), pages / "notebooks" / f"{name}.ipynb")
        (pages / "zh" / f"{name}.md").write_text(
            write_chinese(name, chinese_rows), encoding="utf-8"
        )
    for number, sentence in readmes.SENTENCES.items():
        text = write_claim(number, sentence, rows)
        (pages / "claims" / f"{number}.md").write_text(text, encoding="utf-8")
    contents = "\n".join(["```{toctree}", "", *readmes.SENTENCES, "```"])
    text = f"# The article's sentences\n\n{contents}\n"
    (pages / "claims" / "index.md").write_text(text, encoding="utf-8")
    write_package(pages / "api")


def main(folder: Path) -> int:
    """Build the site in a folder that has nothing of it yet; return Sphinx's exit status."""
    write_pages(folder / "pages")
    # A warning, as of a link that leads nowhere, is an error.
    options = ["-q", "-W", "--keep-going", "-c", str(HERE), "-d", str(folder / "doctrees")]
    return build_main([*options, str(folder / "pages"), str(folder / "html")])


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
