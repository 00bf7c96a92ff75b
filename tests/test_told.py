"""Tests of what is told in prose and in notebooks, where a copy could go wrong unseen."""

import ast
import json
import re
import tomllib

import numpy as np
import pytest
from statsmodels.stats.proportion import proportion_confint

import fprin_utils as fp
from fprin_utils import verdicts
from fprin_utils.build import readmes, record
from fprin_utils.build.progress import Result
from fprin_utils.figures import list_notebooks
from fprin_utils.files import NOTEBOOKS, ROOT

NAMES = list_notebooks()
FRONT = [page for page in readmes.PAGES if page.startswith("README")]
LINKS = re.compile(r"!\[[^\]]*\]\([^)]*\)|(?<=\])\([^)]*\)|\[arXiv:[^\]]*\]|`[^`\n]+`")
NUMBER = re.compile(r"(?<![\w./])(?:\d+(?:\.\d+)?|\.\d+)(?![\w:])")
REFERENCE = re.compile(
    r"\b20[12]\d\b|^\d\. |\[\d\d\]|"
    r"(?:Figures?|papers?|notebooks?|[Nn]otebooks|图|文献) ?\d+(?: and \d+)?",
    re.MULTILINE,
)
LEAK = np.abs(fp.compute_spectrum(fp.make_sinusoids(fp.make_grid(201, endpoint=True), [1, 3, 5])))[
    [1, 3, 5]
]
PYTHON = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
MEMORY, MINUTES = "1", ("10", "15")
# Every number in the prose of a front page but years and those of figures, papers and notebooks, by
# where it comes from: who changes one, or writes a new one, looks there first.
TOLD = {
    "the memory and the minutes of make figures, from the reference": [MEMORY, *MINUTES],
    "the minutes of make test": ["15", "25"],
    "the confidence of the intervals of claims": ["95"],
    "pyproject.toml": [PYTHON.removeprefix(">=")],
    "the Pythons that make looks for": ["3.12", "3.13"],
    "the size of what pip installs, GB": ["2"],
}


def read_prose(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    for table in re.findall("<!-- end of (.*?) -->", text):
        place = readmes.find_table(text, table)
        text = text[: place.start()] + text[place.end() :]
    text = re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
    return REFERENCE.sub("", LINKS.sub("", text))


@pytest.mark.parametrize("page", FRONT)
def test_every_number_in_prose_has_a_source(page):
    told = sorted(number for numbers in TOLD.values() for number in numbers)
    assert sorted(NUMBER.findall(read_prose(page))) == told


@pytest.mark.parametrize("page", FRONT)
def test_time_and_memory_of_all_figures_are_about_those_that_are_stored(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    (row,) = [line for line in text.splitlines() if line.startswith("| `make figures` |")]
    assert NUMBER.findall(row)[:3] == [MEMORY, *MINUTES]
    stored = verdicts.read_reference().values()
    seconds = sum(entry["cpu_seconds"] for entry in stored)
    least, most = map(float, MINUTES)
    assert 0.9 * least <= seconds / 2 / 60 <= most
    assert max(entry["peak_memory_mb"] for entry in stored) < 1000 * float(MEMORY)


GALLERIES = ["figures/README.md", "figures/README.zh-CN.md"]


@pytest.mark.parametrize("page", GALLERIES)
def test_the_confidence_of_intervals_is_told_as_it_is(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    (told,) = re.findall(r"(\d+) ?%.{,3} Clopper-Pearson", text)
    interval = proportion_confint(7, 9, alpha=1 - int(told) / 100, method="beta")
    assert fp.claims.compute_share_interval(7, 9) == pytest.approx(interval, abs=1e-9)


@pytest.mark.parametrize("page", GALLERIES)
def test_the_leak_of_a_grid_with_both_ends_is_told_as_it_is(page):
    told = [f"{amplitude:.3f}".removeprefix("0") for amplitude in LEAK]
    (line,) = re.findall(r".*\b201\b.*", (ROOT / page).read_text(encoding="utf-8"))
    assert re.findall(r"(?<!\d)\.\d+", line) == [*told, ".5"]


@pytest.mark.parametrize("name", NAMES)
def test_a_control_has_outcomes_of_its_own(name):
    """In the code of a notebook, no claim has the outcomes of another of the same number."""
    cells = json.loads((NOTEBOOKS / f"{name}.ipynb").read_text(encoding="utf-8"))["cells"]
    code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    written = []
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Call):
            named = {keyword.arg: keyword.value for keyword in node.keywords}
            number = ast.unparse(node.args[0] if node.args else named.get("id", ast.Tuple([])))
            # What a notebook's own functions judge comes after number and statement, too.
            is_claim = ast.unparse(node.func) == "fp.Claim"
            if is_claim or re.fullmatch(r"'C\d+[a-z]?'", number):
                given = node.args[2:3] if is_claim else node.args[2:4]
                # Outcomes have a name, or come as **tests[...].
                given = [*given, *(named[key] for key in ("outcomes", None) if key in named)]
                written.append((number, *map(ast.unparse, given)))
    # Within a function the outcomes have one name for all that call it.
    literal = [each for each in written if each[0].startswith("'")]
    assert len(set(literal)) == len(literal), sorted(literal)


def test_what_is_recorded_of_a_control_is_its_own(tmp_path, monkeypatch):
    control = fp.Claim("C1a", "the control", np.arange(16) < 3, {"tau": 0.25})
    claim = fp.Claim("C1a", "a test", np.arange(16) < 1, {"tau": 0.5}, control)
    assert claim.verdict == control.verdict == "fails"
    stored = {"profile": "quick", "parameters": {}, "cpu_seconds": 1.0, "peak_memory_mb": 1}
    result = Result(NAMES[0], 1.0, stored | {"claims": [claim.to_dict()]})
    monkeypatch.setattr(record, "REFERENCE", tmp_path / "verdicts.json")
    monkeypatch.setattr(verdicts, "REFERENCE", tmp_path / "verdicts.json")
    record._note(0, [result])
    test = json.loads((tmp_path / "verdicts.json").read_text())[NAMES[0]]["tests"]["C1a"]
    assert (test["runs"], test["control"]["runs"]) == ({"0": [1, 16, 16]}, {"0": [3, 16, 16]})
    assert (test["effect"], test["control"]["effect"]) == ({"tau": 0.5}, {"tau": 0.25})
    reference = verdicts.Reference({"C1a": test})
    rows = fp.describe_claims([claim], reference).data.splitlines()[2:]
    assert rows[0].endswith("1 of 16: not supported |")
    assert rows[1].endswith("3 of 16: as it should be |")
