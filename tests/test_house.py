"""Tests of the layout: what the rooms of the package import of each other, and what it exports."""

import ast
import re
from pathlib import Path

import pytest

import fprin_utils as fp
from fprin_utils.files import ROOT

PACKAGE = Path(fp.__file__).parent
# Where every room may look, and the front rooms in their order: each sees those before it.
COMMON = ("checks", "files", "artists", "provenance", "cluster")
FRONT = (
    *("targets", "datasets", "networks", "training", "sweeps", "spectra", "convergence"),
    *("oscillations", "theory", "kernels", "claims", "verdicts", "plotting", "charts", "figures"),
)
BACK = ("engine", "play", "build")
MOST_NAMES, MOST_LINES = 45, 350


def list_imports(path):
    """Return the modules of the package that a module imports, such as engine.groups."""
    imported = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relative to itself"
            # from fprin_utils import engine; from fprin_utils.engine import groups
            in_module = {f"{node.module}.{alias.name}" for alias in node.names}
            imported |= {node.module} | {name for name in in_module if is_module(name)}
    return {name.partition(".")[2] for name in imported if name.startswith("fprin_utils.")}


def is_module(name):
    place = PACKAGE.parent.joinpath(*name.split("."))
    return place.is_dir() or place.with_suffix(".py").is_file()


def test_imports_are_found():
    found = list_imports(PACKAGE / "engine" / "groups.py")
    assert {"engine.backpropagation", "engine.optimizers", "networks"} <= found
    assert "engine" in list_imports(PACKAGE / "engine" / "optimizers.py")
    assert "build.readmes" in list_imports(PACKAGE / "build" / "record.py")


def test_every_module_has_its_place():
    rooms = {path.stem for path in PACKAGE.glob("*.py")} - {"__init__"}
    assert rooms == {*COMMON, *FRONT}
    assert {path.parent.name for path in PACKAGE.glob("*/*.py")} == set(BACK)


def test_the_rooms_are_told_in_their_order():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    table = [line for line in text.splitlines() if line.startswith("| [")]
    told = re.findall(r"^\| \[(\w+)\]\(fprin_utils/\1\.py\)", "\n".join(table), re.MULTILINE)
    assert tuple(told) == FRONT
    assert re.findall(r"^- `(\w+)/`: ", text, re.MULTILINE) == list(BACK)
    for name in COMMON:
        assert f"[{name}.py](fprin_utils/{name}.py)" in text


@pytest.mark.parametrize("room", [*COMMON, *FRONT])
def test_a_front_room_can_be_read_at_a_sitting(room):
    text = (PACKAGE / f"{room}.py").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= MOST_LINES


@pytest.mark.parametrize("room", [*COMMON, *FRONT])
def test_a_front_room_imports_what_stands_before_it(room):
    imported = list_imports(PACKAGE / f"{room}.py")
    if room == "training":
        imported = {name for name in imported if name.split(".")[0] != "engine"}
    before = set(FRONT[: FRONT.index(room)]) if room in FRONT else set()
    assert imported <= {*COMMON, *before} - {room}


def test_the_engine_knows_targets_and_networks_alone():
    for path in (PACKAGE / "engine").glob("*.py"):
        in_front = {name for name in list_imports(path) if name.split(".")[0] != "engine"}
        assert in_front <= {*COMMON, "targets", "networks"}, path.name


@pytest.mark.parametrize("room", ["play", "build"])
def test_other_back_rooms_leave_the_engine_and_each_other_alone(room):
    allowed = {*COMMON, *FRONT, room}
    for path in (PACKAGE / room).glob("*.py"):
        assert {name.split(".")[0] for name in list_imports(path)} <= allowed, path.name


def test_the_exported_names_are_few_sorted_and_there():
    assert len(fp.__all__) <= MOST_NAMES
    assert fp.__all__ == sorted(set(fp.__all__))
    for name in fp.__all__:
        assert getattr(fp, name) is not None
    named = {}
    exec("from fprin_utils import *", named)
    assert set(fp.__all__) <= named.keys()
