"""What is told outside: the README's table and the public address, kept in step with the rest."""

from __future__ import annotations

import argparse
import json
import re
import sys
import tomllib
from collections.abc import Sequence
from typing import Any

from fprin_utils.figures import FIGURES, write_whole
from fprin_utils.regenerate import FIGURES_DIR, NOTEBOOKS, ROOT

TABLE_PATTERN = re.compile(r"(?<=<!-- table -->\n).*?(?=<!-- end of table -->)", re.DOTALL)
ADDRESS_PATTERN = re.compile(r"https://github\.com/([\w.-]+/[\w.-]+?)(?:\.git)?/?")


def read_address() -> str:
    """Return the public address of the repository, as it stands in pyproject.toml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return project["project"]["urls"]["Repository"]


def make_binder_link(notebook: str) -> str:
    """Return the address at which Binder opens a notebook in JupyterLab."""
    slug = ADDRESS_PATTERN.fullmatch(read_address())[1]
    return f"https://mybinder.org/v2/gh/{slug}/HEAD?labpath=notebooks%2F{notebook}.ipynb"


def format_readme_table() -> str:
    """Return the README's table of figures, from the registry and the stored records."""
    rows = [
        "| Article figure | Notebook | Shows | Verdict | CPU time | Launch on Binder |",
        "|---|---|---|---|---|---|",
    ]
    for entry in FIGURES:
        record = json.loads((FIGURES_DIR / f"{entry.notebook}.json").read_text(encoding="utf-8"))
        verdicts = "<br>".join(_format_verdict(claim) for claim in record["claims"])
        cells = (
            entry.article_figure,
            f"[{entry.notebook}](notebooks/{entry.notebook}.ipynb)",
            entry.shows,
            verdicts,
            f"{record['cpu_seconds']:.0f} s",
            f"[launch]({make_binder_link(entry.notebook)})",
        )
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows) + "\n"


def _format_verdict(claim: dict[str, Any]) -> str:
    low, high = claim["interval"]
    share = f"{claim['successes']} of {claim['trials']} seeds, {low:.2f} to {high:.2f}"
    verdict = f"**{claim['verdict']}** ({share}); control {claim['control']['verdict']}"
    return f"{claim['id']}, {claim['statement']}: {verdict}"


def update_readme() -> None:
    """Write the table of figures into the README."""
    readme = ROOT / "README.md"
    text = readme.read_text(encoding="utf-8")
    write_whole(readme, TABLE_PATTERN.sub(lambda _: format_readme_table(), text))


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
    repeating = [ROOT / "README.md", ROOT / "CITATION.cff", *sorted(NOTEBOOKS.glob("*.ipynb"))]
    # pyproject.toml tells the old address, so it comes last: a broken run can be repeated.
    for path in [*repeating, ROOT / "pyproject.toml"]:
        text = path.read_text(encoding="utf-8")
        for host in ("https://github.com", "https://mybinder.org/v2/gh"):
            text = text.replace(f"{host}/{old}", f"{host}/{match[1]}")
        write_whole(path, text)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m fprin_utils.publish",
        description="Bring the README's table into step with the figures.",
    )
    parser.add_argument("--repository", metavar="URL", help="first set the public address")
    options = parser.parse_args(arguments)
    try:
        if options.repository:
            set_address(options.repository)
        update_readme()
    except (OSError, ValueError) as error:
        print(f"publish: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
