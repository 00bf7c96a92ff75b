"""Tests of the repository itself: what it says in several places must be the same everywhere."""

import ast
import gzip
import html
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import nbformat
import papermill
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.version import Version

import fprin_utils as fp
from fprin_utils.build import readmes
from fprin_utils.build.agreement import pool
from fprin_utils.build.record import FIRST_SEEDS
from fprin_utils.claims import CONTROL_VERDICTS, VERDICTS, describe_tally
from fprin_utils.figures import COMMON_PARAMETERS, list_notebooks, read_metadata
from fprin_utils.files import NOTEBOOKS, ROOT
from fprin_utils.play.pages import format_player, read_player
from fprin_utils.verdicts import describe_effect, read_reference

NAMES = list_notebooks()
METADATA = {"article_figure", "shows", "shows_zh", "claims", "alt", "alt_zh"}
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
MOST_LINES = 150  # of code in a notebook, blank ones included
CONDA_NAMES = {
    "torch": "pytorch-cpu",
    "matplotlib": "matplotlib-base",
    "dask": "dask-core",
    "lazy-loader": "lazy_loader",
}
BINDER = ROOT / "binder"
OTHERS = (
    "xuzhiqin1990/F-Principle",
    "xuzhiqin1990/dnn_simple_experiments",
    "nasimrahaman/SpectralBias",
)


REFERENCE = read_reference()


def read_table(code_cells):
    """Return the stored table of claims of a notebook, a list of cells for each row."""
    tables = [
        output.data["text/markdown"]
        for cell in code_cells
        for output in cell.outputs
        if output.get("data", {}).get("text/markdown", "").startswith("| claim |")
    ]
    assert len(tables) <= 1
    return [row[2:-2].split(" | ") for table in tables for row in table.splitlines()[2:]]


def list_tracked(folder):
    command = ["git", "ls-files", folder]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if ended.returncode != 0:
        # Such as "detected dubious ownership", in a clone that somebody else owns.
        reason = next(iter(ended.stderr.splitlines()), f"exit code {ended.returncode}")
        pytest.fail(f"git does not list the files of {ROOT}: {reason}", pytrace=False)
    return ended.stdout.split()


def test_a_git_that_refuses_is_one_line(tmp_path, monkeypatch):
    (tmp_path / "git").write_text("#!/bin/sh\necho 'fatal: dubious\nmore' >&2; exit 128\n")
    (tmp_path / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(pytest.fail.Exception, match=r"^git does not list .*: fatal: dubious$"):
        list_tracked("figures")


def test_notebooks_figures_and_reference_are_the_same():
    tracked = [name for name in list_tracked("figures") if "/paper/" not in name]
    made = [f"figures/{name}.{ending}" for name in NAMES for ending in ("json", "png")]
    assert sorted(tracked) == sorted([*made, "figures/README.md", "figures/README.zh-CN.md"])
    assert list(REFERENCE) == NAMES


def test_every_sentence_of_the_article_is_tested_somewhere():
    ids = [claim for name in NAMES for claim in read_metadata(name)["claims"]]
    assert len(set(ids)) == len(ids)
    numbers = {re.fullmatch(r"(C\d+)[a-z]?", claim)[1] for claim in ids}
    assert numbers == set(readmes.SENTENCES) == {f"C{number}" for number in range(1, 23)}


def test_the_public_address_is_the_same_everywhere():
    slug = readmes.ADDRESS_PATTERN.fullmatch(readmes.read_address())[1]
    pages = [ROOT / name for name in (*readmes.PAGES, "CITATION.cff")]
    for path in [*pages, *NOTEBOOKS.glob("*.ipynb")]:
        text = path.read_text(encoding="utf-8")
        found = re.findall(r"https://(?:github\.com|mybinder\.org/v2/gh)/([\w.-]+/[\w.-]+)", text)
        # Not every other page links to its own repository.
        is_front = path.parent == ROOT and path.name != "CONTRIBUTING.md"
        expected = {slug} if is_front or path.suffix == ".ipynb" else set(found) & {slug}
        assert set(found) - {"OWNER/NAME", "ACCOUNT/NAME", *OTHERS} == expected, path


def test_one_command_sets_the_address_everywhere(tmp_path, monkeypatch):
    for name in ("pyproject.toml", *readmes.PAGES, "CITATION.cff"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    for path in NOTEBOOKS.glob("*.ipynb"):
        (tmp_path / "notebooks" / path.name).write_bytes(path.read_bytes())
    monkeypatch.setattr(readmes, "ROOT", tmp_path)
    monkeypatch.setattr(readmes, "NOTEBOOKS", tmp_path / "notebooks")
    old = readmes.ADDRESS_PATTERN.fullmatch(readmes.read_address())[1]
    citation = (tmp_path / "CITATION.cff").read_bytes()
    (tmp_path / "CITATION.cff").unlink()
    assert readmes.main(["--repository", "https://github.com/some-one/a.name.git"]) == 2
    (tmp_path / "CITATION.cff").write_bytes(citation)
    assert readmes.main(["--repository", "https://github.com/some-one/a.name.git"]) == 0
    assert readmes.make_binder_link("01").startswith("https://mybinder.org/v2/gh/some-one/a.name/")
    for path in tmp_path.rglob("*.*"):
        assert f"/{old}" not in path.read_text(encoding="utf-8"), path.name
    assert readmes.main(["--repository", "https://example.org/x"]) == 2


@pytest.mark.parametrize("name", NAMES)
class TestNotebook:
    @pytest.fixture
    def notebook(self, name):
        return nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)

    @pytest.fixture
    def code_cells(self, notebook):
        return [cell for cell in notebook.cells if cell.cell_type == "code"]

    def test_has_one_parameters_cell_of_literals_with_the_common_names(self, name, code_cells):
        tagged = [c for c in code_cells if "parameters" in c.metadata.get("tags", [])]
        assert len(tagged) == 1
        inspected = papermill.inspect_notebook(str(NOTEBOOKS / f"{name}.ipynb"))
        assert set(inspected) >= set(COMMON_PARAMETERS)
        for line in tagged[0].source.splitlines():
            assert re.fullmatch(r"\w+ = [^()]+  # .+", line), line
        for parameter, entry in inspected.items():
            assert entry["help"], parameter

    def test_has_short_cells_and_small_functions(self, code_cells):
        lines = [line for cell in code_cells for line in cell.source.splitlines()]
        assert len(lines) <= MOST_LINES
        for cell in code_cells:
            assert len(cell.source.splitlines()) <= 25
            for each in ast.walk(ast.parse(cell.source)):
                assert not isinstance(each, ast.ClassDef)
                if isinstance(each, ast.FunctionDef):
                    assert each.end_lineno - each.lineno < 17, each.name
                    assert ast.get_docstring(each), each.name

    def test_ends_in_a_cell_to_play_with(self, code_cells):
        last = ast.unparse(ast.parse(code_cells[-1].source).body[-1])
        assert re.match(r"play\.explore_\w+\(|explorer$", last)

    def test_stores_a_player_with_the_program_of_today(self, code_cells):
        (output,) = code_cells[-1].outputs
        player = output.data["text/html"]
        assert len(json.loads(read_player(player))["runs"]) >= 1
        assert format_player(read_player(player)) == player
        assert len(gzip.compress(player.encode())) <= 200_000

    def test_checks_its_verdicts(self, name, code_cells):
        checked = [c for c in code_cells if "nbval-check-output" in c.metadata.get("tags", [])]
        tests = REFERENCE[name]["tests"]
        assert len(checked) == (1 if tests else 0)
        said = "".join(output.text for cell in checked for output in cell.outputs).splitlines()
        assert said == [self.say(claim, test) for claim, test in tests.items()]

    def say(self, claim, test):
        """Return the line of the checked cell when all agrees with the reference."""
        parts = [f"{claim} agrees: {self.judge(test, VERDICTS)}"]
        if "control" in test:
            parts.append(f"control agrees: {self.judge(test['control'], CONTROL_VERDICTS)}")
        return "; ".join(parts)

    def judge(self, part, words):
        if "runs" in part and not pool(part).is_settled(words):
            return "near a border"
        return words[part["verdict"]]

    def test_can_fail_each_of_its_tests(self, name):
        """A control that succeeds too is a finding; another of the same sentence must not."""
        controls = {}
        for claim, test in REFERENCE[name]["tests"].items():
            number = re.match(r"C\d+", claim)[0]
            controls.setdefault(number, []).append(test["control"]["verdict"])
        for number, verdicts in controls.items():
            assert {"fails", "mixed"} & set(verdicts), number

    def test_shows_the_claims_as_they_are_in_the_reference(self, name, code_cells):
        rows = iter(read_table(code_cells))
        for claim, test in REFERENCE[name]["tests"].items():
            self.check_row(next(rows), f"**{claim}**", test, VERDICTS)
            if "control" in test:
                self.check_row(next(rows), "control", test["control"], CONTROL_VERDICTS)
        assert list(rows) == []

    def check_row(self, row, label, part, words):
        statement, _, outcomes, _, effect, stored = row
        assert statement == f"{label}: {part['statement']}".replace("|", "&#124;")
        if effect != "as above":
            assert effect == describe_effect(part["effect"]).replace("|", "&#124;")
        if "runs" not in part:
            assert outcomes.startswith(f"error {part['error']:.2g}")
            return
        assert outcomes.split("; num_steps")[0] == describe_tally(
            fp.claims.Tally(*part["runs"]["0"])
        )
        assert stored == f"{describe_tally(pool(part))}: {words[part['verdict']]}"

    def test_holds_its_results_and_nothing_of_the_machine(self, notebook, code_cells, name):
        assert set(notebook.metadata) == {"kernelspec", "language_info", "fprin"}
        assert set(notebook.metadata.fprin) == METADATA
        assert notebook.metadata.kernelspec.name == "python3"
        for cell in notebook.cells:
            assert set(cell.metadata) <= {"tags"}
        for cell in code_cells:
            assert cell.execution_count is not None
        kinds = [kind for c in code_cells for o in c.outputs for kind in o.get("data", {})]
        assert "application/vnd.jupyter.widget-view+json" not in kinds
        assert not any(o.get("name") == "stderr" for c in code_cells for o in c.outputs)
        text = (NOTEBOOKS / f"{name}.ipynb").read_text(encoding="utf-8")
        assert not re.search(r"(?<![\w.])/(?:home|root|tmp|Users|work)/", text)
        assert len(text) < 700_000

    def test_shows_outputs_that_are_meant_for_readers(self, code_cells):
        shown = [o.data for c in code_cells for o in c.outputs if "data" in o]
        for data in shown:
            # Such as <Axes: ...> and Text(...), the values of calls that draw.
            plain = data.get("text/plain", "")
            assert set(data) - {"text/plain"} or not re.match(r"[A-Z<\[]", plain), plain
            table = [row for row in data.get("text/markdown", "").splitlines() if "|" in row]
            assert len({row.count("|") for row in table}) <= 1, table

    def test_shows_its_figure_with_its_alternative_text(self, name, code_cells):
        shown = [data["text/html"] for c in code_cells for o in c.outputs
                 if "<img " in (data := o.get("data", {})).get("text/html", "")]  # fmt: skip
        said = read_metadata(name)
        # The explorer's picture moves, and is not stored.
        assert len(shown) == (0 if said["article_figure"] == "play" else 1)
        assert all(f'alt="{html.escape(said["alt"])}"' in text for text in shown)
        pictures = [o for c in code_cells for o in c.outputs if "image/png" in o.get("data", {})]
        assert len(pictures) == len(shown), "a half-drawn figure is shown, too"

    def test_links_to_itself_on_binder(self, name, notebook):
        assert readmes.make_binder_link(name) in notebook.cells[0].source

    def test_has_a_reference_of_the_default_profile_with_its_claims(self, name):
        stored = REFERENCE[name]
        assert stored["profile"] == "quick"
        assert list(stored["tests"]) == read_metadata(name)["claims"]
        assert stored["peak_memory_mb"] < 1000
        for test in stored["tests"].values():
            for part in (test, test["control"]):
                if "runs" not in part:
                    is_within = part["error"] <= part["tolerance"]
                    assert part["verdict"] == ("holds" if is_within else "fails")
                    continue
                assert list(part["runs"]) == [str(seed) for seed in FIRST_SEEDS]
                assert part["verdict"] == pool(part).firm_verdict
                assert pool(part).seeds >= 24


def test_both_conda_environments_are_the_same_file():
    assert (BINDER / "environment.yml").read_bytes() == (ROOT / "environment.yml").read_bytes()


def test_pyproject_environment_and_lock_agree():
    locked = {}
    for line in (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines():
        name, version = line.split("==")
        locked[name.lower().replace("_", "-")] = Version(version)
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    conda = environment["dependencies"]
    assert "python=3.11" in conda
    project = PYPROJECT["project"]
    runtime = [Requirement(text) for text in project["dependencies"]]
    extras = project["optional-dependencies"]
    further = [Requirement(text) for extra in ("test", "site") for text in extras[extra]]
    for requirement in runtime + further:
        assert locked[requirement.name.lower()] in requirement.specifier, requirement
    expected = [f"{CONDA_NAMES.get(r.name, r.name)}{r.specifier}" for r in runtime]
    assert sorted(expected) == sorted(set(conda) - {"python=3.11", "pip"})
    assert locked["torch"] == Version("2.13.0")


def test_the_citation_is_valid():
    ended = subprocess.run(
        [str(Path(sys.executable).with_name("cffconvert")), "--validate"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == PYPROJECT["project"]["version"]
    assert citation["license"] == PYPROJECT["project"]["license"]


def test_binder_builds_the_environment_and_installs_the_package(tmp_path):
    ended = subprocess.run(
        [
            *(sys.executable, "-m", "repo2docker", "--no-build", "--debug"),
            *("--user-id", "1000", "--user-name", "reader", str(ROOT)),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    dockerfile = ended.stdout + ended.stderr
    assert ended.returncode == 0, dockerfile[-2000:]
    assert re.search(r'env update .* --file "binder/environment\.yml"', dockerfile)
    assert re.search(r"RUN \./binder/postBuild", dockerfile)
    assert "Building conda environment for python=3.11" in dockerfile
    post_build = BINDER / "postBuild"
    assert post_build.stat().st_mode & 0o111
    lines = post_build.read_text(encoding="utf-8").splitlines()
    assert lines[0] == "#!/bin/bash"
    assert "set -e" in lines
    assert "python -m pip install --no-deps -e ." in lines


def test_what_training_does_not_need_is_imported_later():
    heavy = ["ipywidgets", "scipy.stats", "sklearn", "statsmodels", "nbclient", "papermill"]
    code = f"import sys, fprin_utils; print([name for name in {heavy} if name in sys.modules])"
    asked = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert asked.stdout.strip() == "[]"
