"""Tests of what is told in prose and in notebooks, where a copy could go wrong unseen."""

import ast
import inspect
import json
import re
import tomllib

import numpy as np
import pytest

import fprin_utils as fp
from fprin_utils import publish, record, verdicts
from fprin_utils.regenerate import NOTEBOOKS, ROOT, Result

NAMES = [entry.notebook for entry in fp.FIGURES]
LINKS = re.compile(r"!\[[^\]]*\]\([^)]*\)|(?<=\])\([^)]*\)|\[arXiv:[^\]]*\]|`[^`\n]+`")
NUMBER = re.compile(r"(?<![\w./])(?:\d+(?:\.\d+)?|\.\d+)(?![\w:])")
REFERENCE = re.compile(
    r"\b20[12]\d\b|^\d\. |(?:Figures?|papers?|notebooks?|[Nn]otebooks|图|文献) ?\d+(?: and \d+)?",
    re.MULTILINE,
)
LEAK = np.abs(fp.compute_spectrum(fp.make_sinusoids(fp.make_grid(201, endpoint=True), [1, 3, 5])))[
    [1, 3, 5]
]
CONFIDENCE = inspect.signature(fp.compute_share_interval).parameters["confidence"].default
PYTHON = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
# Every number in the prose of a README but years and those of figures, papers and notebooks, by
# where it comes from: who changes one, or writes a new one, looks there first.
TOLD = {
    "Kendall's tau of an order and of none, step 0": ["1", "0", "0"],
    "compute_share_interval": [f"{CONFIDENCE:.0%}".removesuffix("%")],
    "pyproject.toml": [PYTHON.removeprefix(">=")],
    "the size of what pip installs, GB": ["2"],
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
    text = re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
    return REFERENCE.sub("", LINKS.sub("", text))


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
            ["five", "six", "seven", "eight", "nine", "ten"],
        ),
        (
            "README.zh-CN.md",
            r"`make figures` 在两个核上约需(\w+?)分钟",
            ["五", "六", "七", "八", "九", "十"],
        ),
    ],
)
def test_the_minutes_of_all_figures_are_about_those_that_are_stored(readme, pattern, words):
    (told,) = re.findall(pattern, (ROOT / readme).read_text(encoding="utf-8"))
    seconds = sum(entry["cpu_seconds"] for entry in verdicts.read_reference().values())
    assert 5 + words.index(told) == pytest.approx(seconds / 2 / 60, rel=0.45)


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
                given = [*given, named["outcomes"]] if "outcomes" in named else given
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
