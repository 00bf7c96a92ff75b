"""Tests of what is told in prose and in notebooks, where a copy could go wrong unseen."""

import ast
import inspect
import json
import re
import tomllib

import nbformat
import numpy as np
import pytest

import fprin_utils as fp
from fprin_utils import publish, record, verdicts
from fprin_utils.regenerate import NOTEBOOKS, ROOT, Result

NAMES = [entry.notebook for entry in fp.FIGURES]
LINKS = re.compile(r"!\[[^\]]*\]\([^)]*\)|(?<=\])\([^)]*\)|\[arXiv:[^\]]*\]|`[^`\n]+`")
NUMBER = re.compile(r"(?<![\w./])(?:\d+(?:\.\d+)?|\.\d+)(?![\w:])")
LEAK = np.abs(fp.compute_spectrum(fp.make_sinusoids(fp.make_grid(201, endpoint=True), [1, 3, 5])))[
    [1, 3, 5]
]
CONFIDENCE = inspect.signature(fp.compute_share_interval).parameters["confidence"].default
PYTHON = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
# Every number in the prose of a README, by where it comes from: who changes one, or writes a new
# one, looks there first.
TOLD = {
    "years of the article, the papers and the public code": [
        *["2018"] * 4,
        *("2019", "2021", "2021", "2019", "2021"),
    ],
    "figures, papers and notebooks by their numbers": [
        *("1", "2", "2", "01", "4", "01", "04", "06", "09", "2", "02", "1", "2", "3", "2"),
    ],
    "Kendall's tau of an order and of none, step 0": ["1", "0", "0"],
    "compute_share_interval": [f"{CONFIDENCE:.0%}".removesuffix("%")],
    "pyproject.toml": [PYTHON.removeprefix(">=")],
    "the size of what pip installs, GB": ["2"],
    "notebook 07, least rise, %": ["1"],
    "notebook 11, the frequency of a flip": ["3"],
    "notebook 04, Glorot's initialisation in the profile paper": ["3", "0", "16"],
    "spectrum of sin x + sin 3x + sin 5x on 201 points": [
        *("3", "5", "201", ".5"),
        *(f"{amplitude:.3f}".removeprefix("0") for amplitude in LEAK),
    ],
    "notebook 10, one matrix by the published code and by its SVD": ["18.1", "1.14"],
}


def read_prose(readme):
    text = (ROOT / readme).read_text(encoding="utf-8")
    for table in re.findall("<!-- end of (.*?) -->", text):
        place = publish.find_table(text, table)
        text = text[: place.start()] + text[place.end() :]
    return LINKS.sub("", re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE))


@pytest.mark.parametrize("readme", publish.READMES)
def test_every_number_in_prose_has_a_source(readme):
    told = sorted(number for numbers in TOLD.values() for number in numbers)
    assert sorted(NUMBER.findall(read_prose(readme))) == told


@pytest.mark.parametrize(
    ("readme", "pattern", "words"),
    [
        (
            "README.md",
            r"`make figures` takes about ([\w-]+) minutes on two cores",
            [
                "two",
                "three",
                "four",
                "five",
                "six",
                "seven",
                "eight",
                "nine",
                "ten",
                "eleven",
                "twelve",
            ],
        ),
        (
            "README.zh-CN.md",
            r"`make figures` 在两个核上约需(\w+?)分钟",
            ["两", "三", "四", "五", "六", "七", "八", "九", "十", "十一", "十二"],
        ),
    ],
)
def test_the_minutes_of_all_figures_are_about_those_that_are_stored(readme, pattern, words):
    (told,) = re.findall(pattern, (ROOT / readme).read_text(encoding="utf-8"))
    seconds = sum(entry["cpu_seconds"] for entry in verdicts.read_reference().values())
    assert 2 + words.index(told) == pytest.approx(seconds / 2 / 60, rel=0.35)


@pytest.mark.parametrize("name", NAMES)
def test_a_control_has_outcomes_of_its_own(name):
    """In the code of a notebook, no claim has the outcomes of another of the same number."""
    notebook = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
    code = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
    written = []
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "fp.Claim":
            given = dict(zip(("id", "statement", "outcomes"), node.args, strict=False))
            given |= {keyword.arg: keyword.value for keyword in node.keywords}
            written.append((ast.unparse(given["id"]), ast.unparse(given["outcomes"])))
    # In a function the outcomes have one name for all that call it.
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
