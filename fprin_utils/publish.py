"""What is told outside: the tables of both READMEs and the public address, kept in step."""

from __future__ import annotations

import argparse
import json
import re
import sys
import tomllib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from fprin_utils.claims import (
    SENTENCES,
    describe_effect,
    format_row,
    start_table,
    summarise_verdicts,
)
from fprin_utils.figures import FIGURES
from fprin_utils.regenerate import FIGURES_DIR, NOTEBOOKS, ROOT
from fprin_utils.storage import write_whole

RESULTS = ROOT / "benchmarks" / "results.json"
# The README in each language, and what holds its words: each English text and its translation.
READMES = {"README.md": None, "README.zh-CN.md": Path(__file__).with_name("zh_cn.json")}
# What a table may say after the next run, if it does not say it now.
POSSIBLE_WORDS = ("holds", "holds in part", "mixed", "fails", "never")
Say = Callable[[str], str]
ADDRESS_PATTERN = re.compile(r"https://github\.com/([\w.-]+/[\w.-]+?)(?:\.git)?/?")


def read_address() -> str:
    """Return the public address of the repository, as it stands in pyproject.toml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return project["project"]["urls"]["Repository"]


def make_binder_link(notebook: str) -> str:
    """Return the address at which Binder opens a notebook in JupyterLab."""
    slug = ADDRESS_PATTERN.fullmatch(read_address())[1]
    return f"https://mybinder.org/v2/gh/{slug}/HEAD?labpath=notebooks%2F{notebook}.ipynb"


def make_app_link(notebook: str) -> str:
    """Return the address at which Binder opens a notebook by Voila, as a page without code."""
    slug = ADDRESS_PATTERN.fullmatch(read_address())[1]
    page = f"voila%2Frender%2Fnotebooks%2F{notebook}.ipynb"
    return f"https://mybinder.org/v2/gh/{slug}/HEAD?urlpath={page}"


def read_records() -> dict[str, dict[str, Any]]:
    """Return what is stored beside each figure, by notebook, in the order of the registry."""
    return {
        entry.notebook: json.loads(
            (FIGURES_DIR / f"{entry.notebook}.json").read_text(encoding="utf-8")
        )
        for entry in FIGURES
    }


def make_say(readme: str) -> Say:
    """Return what puts an English text into the language of a README.

    Args:
        readme: One of `READMES`.

    Returns:
        A function that raises ValueError for a text without a translation.
    """
    path = READMES[readme]
    if path is None:
        return str
    words = json.loads(path.read_text(encoding="utf-8"))

    def say(text: str) -> str:
        if text not in words:
            raise ValueError(f"{path.name} has no translation of {text!r}")
        return words[text]

    return say


def collect_texts() -> list[str]:
    """Return all that needs a translation: what the tables say, and what describes a picture."""
    texts = [*POSSIBLE_WORDS, *(entry.alt for entry in FIGURES)]

    def note(text: str) -> str:
        texts.append(text)
        return text

    for format_table in TABLES.values():
        format_table(note)
    return list(dict.fromkeys(texts))


def format_figures_table(say: Say = str) -> str:
    """Return a README's table of figures, from the registry and the stored records.

    Args:
        say: Puts an English text into the language of the table, from `make_say`.
    """
    header = ("Article figure", "Notebook", "Shows", "Claims", "CPU time", "Launch on Binder")
    rows = start_table([*map(say, header)])
    records = read_records()
    for entry in FIGURES:
        cells = (
            say(entry.article_figure),
            f"[{entry.notebook}](notebooks/{entry.notebook}.ipynb)",
            say(entry.shows),
            ", ".join(entry.claims) or say("none"),
            f"{records[entry.notebook]['cpu_seconds']:.0f} s",
            f"[{say('launch')}]({make_binder_link(entry.notebook)})",
        )
        rows.append(format_row(cells))
    return "\n".join(rows) + "\n"


def format_claims_table(say: Say = str) -> str:
    """Return a README's table of claims: each sentence, then its tests, from the records.

    Args:
        say: Puts an English text into the language of the table, from `make_say`.
    """
    tests = "Sentence of the article, and how it was tested"
    # On a telephone the first columns alone are in sight.
    header = ("Claim", "Verdict", tests, "Notebook", "Seeds", "Effect")
    rows = start_table([*map(say, header)])
    tested = [
        (claim, notebook)
        for notebook, record in read_records().items()
        for claim in record["claims"]
    ]
    for number, sentence in SENTENCES.items():
        parts = sorted(
            ((c, n) for c, n in tested if re.match(r"C\d+", c["id"])[0] == number),
            key=lambda part: part[0]["id"],
        )
        overall = summarise_verdicts([claim["verdict"] for claim, _ in parts])
        cells = [f"**{number}**", f"**{say(overall)}**", f"*{say(sentence)}*", "", "", ""]
        rows.append(format_row(cells))
        rows.extend(_format_part(claim, notebook, say) for claim, notebook in parts)
    return "\n".join(rows) + "\n"


def _format_part(claim: dict[str, Any], notebook: str, say: Say) -> str:
    low, high = claim["interval"]
    verdicts = {"verdict": say(claim["verdict"]), "control": say(claim["control"]["verdict"])}
    share = say("{successes} of {trials}, {low:.2f} to {high:.2f}")
    cells = (
        claim["id"],
        say("{verdict}; control {control}").format(**verdicts),
        say(claim["statement"]),
        f"[{notebook.split('_')[0]}](notebooks/{notebook}.ipynb)",
        share.format(**claim, low=low, high=high),
        describe_effect(claim["effect"], say),
    )
    return format_row(cells)


def format_speed_table(say: Say = str) -> str:
    """Return a README's table of speed, from the stored results of the benchmark.

    Args:
        say: Puts an English text into the language of the table, from `make_say`.
    """
    results = json.loads(RESULTS.read_text(encoding="utf-8"))
    header = ("Training", "Seeds", "Plain loop", "torch.compile", "JAX", "Share of the bound")
    rows = start_table([*map(say, header)])
    for workload in results["workloads"].values():
        ratios = {name: ratio["median"] for name, ratio in workload["ratios"].items()}
        cells = [say(workload["title"]), str(workload["num_seeds"])]
        cells += [f"{ratios[name]:.3g}" for name in ("plain loop", "torch.compile", "JAX")]
        cells.append(f"{ratios['products alone']:.0%}")
        rows.append(format_row(cells))
    return "\n".join(rows) + "\n"


# What stands in a README between `<!-- NAME -->` and `<!-- end of NAME -->`.
TABLES = {
    "figures": format_figures_table,
    "claims": format_claims_table,
    "speed": format_speed_table,
}


def find_table(text: str, name: str) -> re.Match[str]:
    """Return where a table stands in a text, between two marks as above.

    Args:
        text: For example a README.
        name: The name that its marks tell.

    Raises:
        ValueError: If the text has no place for that table, or more than one.
    """
    pattern = rf"(?<=<!-- {name} -->\n).*?(?=<!-- end of {name} -->)"
    places = list(re.finditer(pattern, text, re.DOTALL))
    if len(places) != 1:
        raise ValueError(f"the text has {len(places)} places for the table {name!r}, not one")
    return places[0]


def fill_tables(text: str, tables: Mapping[str, Callable[[], str]]) -> str:
    """Return a text with each table in its place.

    Args:
        text: For example a README.
        tables: For each name, as it stands in the marks, what returns the table.

    Raises:
        ValueError: If the text has no place for one of them, or more than one.
    """
    for name, format_table in tables.items():
        place = find_table(text, name)
        text = text[: place.start()] + format_table() + text[place.end() :]
    return text


def update_readmes() -> None:
    """Write the tables into the README of each language."""
    for readme in READMES:
        say, path = make_say(readme), ROOT / readme
        tables = {name: partial(format_table, say) for name, format_table in TABLES.items()}
        write_whole(path, fill_tables(path.read_text(encoding="utf-8"), tables))


def set_address(address: str) -> None:
    """Set the public address in pyproject.toml and everywhere that it is repeated.

    Args:
        address: Address of the repository, https://github.com/OWNER/NAME.

    Raises:
        ValueError: If the address is not of that form.
    """
    match = ADDRESS_PATTERN.fullmatch(address)
    if not match:
        raise ValueError(f"{address!r} is not of the form https://github.com/OWNER/NAME")
    old = ADDRESS_PATTERN.fullmatch(read_address())[1]
    pages = [ROOT / name for name in (*READMES, "CITATION.cff")]
    # pyproject.toml tells the old address, so it comes last: a broken run can be repeated.
    for path in [*pages, *sorted(NOTEBOOKS.glob("*.ipynb")), ROOT / "pyproject.toml"]:
        text = path.read_text(encoding="utf-8")
        for host in ("https://github.com", "https://mybinder.org/v2/gh"):
            text = text.replace(f"{host}/{old}", f"{host}/{match[1]}")
        write_whole(path, text)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m fprin_utils.publish",
        description="Bring the tables of the READMEs into step with the figures.",
    )
    parser.add_argument("--repository", metavar="URL", help="first set the public address")
    options = parser.parse_args(arguments)
    try:
        if options.repository:
            set_address(options.repository)
        update_readmes()
    except (OSError, ValueError) as error:
        print(f"publish: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
