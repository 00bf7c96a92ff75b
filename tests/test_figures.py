import base64
import copy
import hashlib
import html
import json
import pickle
import platform
import re
import subprocess
import sys
import time
import warnings
from pathlib import Path
from types import SimpleNamespace

import matplotlib as mpl
import matplotlib.pyplot as plt
import nbconvert
import nbformat
import numpy as np
import papermill
import pytest
import torch

import fprin_utils as fp
from fprin_utils import figures, provenance

mpl.use("agg")
GRID = fp.make_grid(24)
TARGET = fp.make_sinusoids(GRID, [1, 4])
NOTEBOOK = "01_one_dimensional_peaks"
PARAMETERS = {
    "profile": None,
    "output_dir": "output",
    "seed": 3,
    "num_seeds": {"smoke": 2, "quick": 4, "paper": 8},
    "num_steps": dict.fromkeys(figures.PROFILES, 10),
    "device": "cpu",
}


def configure(**parameters):
    return fp.configure(parameters.pop("notebook", NOTEBOOK), PARAMETERS | parameters)


@pytest.fixture
def figure():
    figure, ax = plt.subplots()
    ax.plot([0, 1])
    yield figure
    plt.close(figure)


def test_a_parameter_holds_for_all_profiles_or_depends_on_the_profile():
    settings = configure(num_steps=7)
    assert settings.num_steps == 7
    assert settings.num_seeds == 4
    assert list(settings.seeds) == [3, 4, 5, 6]
    assert configure(profile="paper").num_seeds == 8
    amplitudes = {"low": 1.0, "high": 0.5}
    assert configure(amplitudes=amplitudes).amplitudes == amplitudes
    assert configure(amplitudes={"quick": amplitudes}).amplitudes == amplitudes


# What IPython keeps of a notebook: its cells, a command among them, and the variables they made.
CELLS = [
    "",
    "import fprin_utils as fp\n%matplotlib inline",
    "profile = None  # None: FPRIN_PROFILE, else quick\nseed = 3\nnum_seeds = {...}\n"
    "num_steps = {...}\ndevice = 'cpu'\noutput_dir = 'output'",
    "# Parameters\nprofile = 'paper'\nseed = 5\n",
    "grid = fp.make_grid(8); seed_of_noise = 1\ndef profile_of(x):\n    return x",
    "settings = fp.configure('01_one_dimensional_peaks', vars())",
]


def take_variables(cells=CELLS, **parameters):
    others = {"fp": fp, "grid": GRID, "seed_of_noise": 1, "profile_of": len, "Out": {}}
    return {"__name__": "__main__", "In": list(cells), **others, **PARAMETERS, **parameters}


def test_of_the_variables_of_a_notebook_those_of_its_parameters_cell_count():
    settings = fp.configure(NOTEBOOK, take_variables(CELLS[:3] + CELLS[4:]))
    assert (settings.profile, settings.output_dir) == ("quick", Path("output"))
    assert settings.values == {"seed": 3, "num_seeds": 4, "num_steps": 10, "device": "cpu"}


def test_what_papermill_injects_counts():
    injected = {"profile": "paper", "seed": 5, "stepz": 7}
    settings = fp.configure(NOTEBOOK, take_variables(**injected))
    assert settings.profile == "paper"
    assert settings.values == {"seed": 5, "num_seeds": 8, "num_steps": 10, "device": "cpu"}
    # A parameter of its own that stands in the cell that papermill injects.
    cells = [cell.replace("seed = 5", "seed = 5\nstepz = 7") for cell in CELLS]
    assert fp.configure(NOTEBOOK, take_variables(cells, **injected)).stepz == 7


def test_bad_variables_of_a_notebook_are_named():
    with pytest.raises(ValueError, match="profile 'fast' is not one of smoke, quick, paper"):
        fp.configure(NOTEBOOK, take_variables(profile="fast"))
    without = [cell.replace("device = 'cpu'\n", "") for cell in CELLS]
    with pytest.raises(ValueError, match="parameters lack device"):
        fp.configure(NOTEBOOK, take_variables(without))
    with pytest.raises(ValueError, match="parameters lack profile, seed, num_seeds, device, outp"):
        fp.configure(NOTEBOOK, {"In": CELLS[:2], "fp": fp})


def test_without_a_history_the_stored_notebook_tells_its_parameters():
    variables = take_variables([""], widths=[20, 20])
    settings = fp.configure(NOTEBOOK, variables)
    assert settings.widths == [20, 20]
    assert settings.num_steps == 10
    assert set(settings.values) == {"seed", "num_seeds", "num_steps", "device", "widths"}


def test_the_profile_comes_from_the_environment_unless_it_is_given(monkeypatch):
    monkeypatch.delenv("FPRIN_PROFILE", raising=False)
    assert configure().profile == "quick"
    monkeypatch.setenv("FPRIN_PROFILE", "smoke")
    assert configure().profile == "smoke"
    assert configure(profile="paper").profile == "paper"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"notebook": "99_none"}, "notebook '99_none' is not one of 01_one_dimensional_peaks"),
        ({"profile": "fast"}, "profile 'fast' is not one of smoke, quick, paper"),
        ({"learning_rate": {"smoke": 1.0}}, "learning_rate has no value for the profile 'quick'"),
        ({"num_seeds": {"quick": 0}}, "num_seeds is 0; it must be a whole number of at least 1"),
        ({"seed": {"quick": None}}, "seed is None; it must be a whole number"),
        ({"seed": -1}, "seed is -1; it must be a whole number of at least 0"),
        ({"num_seeds": 0}, "num_seeds is 0; it must be a whole number of at least 1"),
        ({"num_seeds": 1.5}, "num_seeds is 1.5"),
        ({"num_seeds": True}, "num_seeds is True; it must be a whole number of at least 1"),
        ({"output_dir": 2024}, "output_dir is 2024; it must be a folder's name"),
        ({"device": "tpu"}, "device 'tpu' is not one of cpu, cuda"),
    ],
)
def test_bad_settings_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        configure(**settings)


@pytest.mark.parametrize(
    "value",
    [
        *(np.float64(0.1), np.int64(3), np.bool_(True), np.str_("x"), np.ones(2), np.array(1.0)),
        *(np.nan, np.inf, -np.inf, 3j, {1, 2}, {1: 2}, object(), b"x", len, Path("x")),
    ],
    ids=lambda value: re.sub(" at 0x.*", "", repr(value)),
)
@pytest.mark.parametrize("wrap", [lambda v: v, lambda v: [v], lambda v: [1, {"a": (2, v)}]])
def test_what_json_cannot_hold_is_refused_by_the_name_of_its_parameter(value, wrap):
    with pytest.raises(
        ValueError, match=r"^learning_rate is .*; it must be a finite number"
    ) as told:
        configure(learning_rate=wrap(value))
    assert "\n" not in str(told.value)


def test_what_json_can_hold_is_kept_as_json_holds_it():
    values = {"a": (1, 2.5), "b": range(3), "c": {"d": [None, True, "x"]}, "e": 10**400}
    plain = {"a": [1, 2.5], "b": [0, 1, 2], "c": {"d": [None, True, "x"]}, "e": 10**400}
    assert {name: configure(**values).values[name] for name in values} == plain


@pytest.mark.parametrize("threshold", [-1, 0, 1, 2, np.nan, np.inf, "0.2", True, [0.2], 1e300])
def test_a_threshold_outside_0_and_1_is_refused(threshold):
    with pytest.raises(ValueError, match=r"^threshold is .*; it must be "):
        configure(threshold=threshold)


def test_an_unknown_setting_is_named():
    with pytest.raises(AttributeError, match=r"no setting 'num_stepz'; there are \['seed'"):
        _ = configure().num_stepz


def test_settings_can_be_copied():
    for again in (copy.copy(configure()), pickle.loads(pickle.dumps(configure()))):
        assert again.num_steps == 10


def train(target=TARGET, **network):
    networks = fp.Ensemble([4], seeds=[0, 1], **network)
    return fp.train(networks, GRID, target, num_steps=2, learning_rate=1e-2, progress=False)


def read_record(picture):
    return json.loads(picture.with_suffix(".json").read_text(encoding="utf-8"))


def test_a_figure_leaves_pictures_and_a_record(figure, tmp_path):
    claim = fp.Claim("C1", "a test", [True] * 6, control=fp.Claim("C1", "control", [False] * 6))
    settings = configure(output_dir=tmp_path / "new")
    until = time.process_time() + 0.2
    while time.process_time() < until:
        pass
    picture = fp.save_figure(figure, settings, [claim], {"narrow": train()})
    assert sorted(path.name for path in picture.parent.iterdir()) == [
        f"{NOTEBOOK}.json",
        f"{NOTEBOOK}.pdf",
        f"{NOTEBOOK}.png",
    ]
    record = read_record(picture)
    assert record["notebook"] == NOTEBOOK
    assert record["parameters"] == {"seed": 3, "num_seeds": 4, "num_steps": 10, "device": "cpu"}
    assert {"python", "torch", "numpy"} <= set(record["versions"])
    assert 50 < record["peak_memory_mb"] < 20_000
    assert 0.2 <= record["seconds"] < 10
    assert 0.2 <= record["cpu_seconds"] < 10
    assert record["claims"][0]["verdict"] == "holds"
    assert record["claims"][0]["control"]["verdict"] == "fails"
    assert list(record["trainings"]) == ["narrow"]
    assert record["code"] == provenance.read_commit() | {"digest": None}
    assert record["processor"].endswith(torch.backends.cpu.get_cpu_capability())
    info = Path("/proc/cpuinfo")
    models = re.findall(r"^model name\s*: (.*)$", info.read_text() if info.is_file() else "", re.M)
    named = models[:1] or [platform.processor() or platform.machine()]
    assert record["processor"].startswith(named[0])


def test_the_record_tells_networks_and_targets_as_they_were_trained(figure, tmp_path):
    runs = {"sinusoids": train(), "square": train(np.sign(np.sin(GRID + 0.1)), activation="relu")}
    record = read_record(fp.save_figure(figure, configure(output_dir=tmp_path), [], runs))
    sinusoids, square = record["trainings"]["sinusoids"], record["trainings"]["square"]
    assert "network: tanh 1-4-1 torch.float32" in sinusoids
    assert "network: relu 1-4-1 torch.float32" in square
    for text, peaks in ((sinusoids, [1, 4]), (square, [1, 3, 5, 7, 9])):
        assert f"'frequency indices of the highest amplitudes of the first': {peaks}" in text
    assert "learning_rate: 0.01" in square
    assert "seeds: [0, 1]" in square


class TestCommit:
    @pytest.fixture
    def root(self, tmp_path, monkeypatch):
        (tmp_path / "fprin_utils").mkdir()
        (tmp_path / "fprin_utils" / "figures.py").write_text("a = 1\n")
        monkeypatch.setattr(provenance, "ROOT", tmp_path)
        for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
        return tmp_path

    def commit(self, root):
        who = ("-c", "user.name=a", "-c", "user.email=a@example.org")
        for command in (["init", "-q"], ["add", "."], [*who, "commit", "-q", "-m", "a"]):
            subprocess.run(["git", *command], cwd=root, check=True)
        told = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True
        )
        return told.stdout.strip()

    def test_is_that_of_the_checkout(self, root):
        commit = self.commit(root)
        assert re.fullmatch("[0-9a-f]{40}", commit)
        assert provenance.read_commit() == {"commit": commit, "differs_from_commit": False}

    @pytest.mark.parametrize(
        ("name", "differs"),
        [("fprin_utils/figures.py", True), ("notebooks/new.ipynb", True), ("README.md", False)],
    )
    def test_tells_whether_the_code_differs(self, root, name, differs):
        commit = self.commit(root)
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text("a = 2\n")
        assert provenance.read_commit() == {"commit": commit, "differs_from_commit": differs}

    def test_is_unknown_without_a_checkout_or_without_git(self, root, monkeypatch):
        unknown = {"commit": None, "differs_from_commit": None}
        assert provenance.read_commit() == unknown
        self.commit(root)
        monkeypatch.setenv("PATH", str(root))
        assert provenance.read_commit() == unknown


def digest(*cells):
    code = "\n\n".join(cells).encode()
    return f"sha256:{hashlib.sha256(code).hexdigest()}"


def test_the_digest_of_the_code_is_that_of_its_cells(monkeypatch):
    def compute(*cells):
        shell = SimpleNamespace(user_ns={"In": ["", *cells]})
        monkeypatch.setattr(provenance, "get_ipython", lambda: shell)
        return provenance.digest_code()

    assert compute("a = 1\n", "b = 2") == digest("a = 1", "b = 2")
    injected = "# Parameters\nseed = 3\n"
    assert compute("a = 1", injected, "b = 2", "") == digest("a = 1", "b = 2")
    assert compute("a = 1", "b = 3") != digest("a = 1", "b = 2")
    monkeypatch.undo()
    assert provenance.digest_code() is None


def test_the_digest_can_be_computed_from_the_file_of_a_notebook(tmp_path):
    """With parameters of papermill, which are recorded by themselves."""
    cells = [
        nbformat.v4.new_markdown_cell("A title"),
        nbformat.v4.new_code_cell("seed = 0  # a seed\n", metadata={"tags": ["parameters"]}),
        nbformat.v4.new_code_cell("from fprin_utils.provenance import digest_code\n\n"),
        nbformat.v4.new_code_cell("print(seed, digest_code())"),
        nbformat.v4.new_code_cell("seed = 5"),
    ]
    spec = {"kernelspec": {"name": "python3", "language": "python", "display_name": "Python 3"}}
    book = nbformat.v4.new_notebook(cells=cells, metadata=spec)
    nbformat.write(book, tmp_path / "a.ipynb")
    paths = (str(tmp_path / "a.ipynb"), str(tmp_path / "b.ipynb"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = papermill.execute_notebook(*paths, {"seed": 7}, progress_bar=False)
    said = [output.text for cell in made.cells for output in cell.get("outputs", [])]
    read = nbformat.read(tmp_path / "a.ipynb", as_version=4).cells
    code = [cell.source.strip() for cell in read if cell.cell_type == "code"]
    assert said == [f"7 {digest(*code[:3])}\n"]


def test_notebooks_tell_of_themselves_in_their_metadata(tmp_path, monkeypatch):
    monkeypatch.setattr(figures, "NOTEBOOKS", tmp_path)
    assert figures.list_notebooks() == []
    assert figures.read_metadata("02_b") == {}
    for name in ("02_b", "01_a"):
        book = nbformat.v4.new_notebook(metadata={"fprin": {"alt": name}})
        nbformat.write(book, tmp_path / f"{name}.ipynb")
    assert figures.list_notebooks() == ["01_a", "02_b"]
    assert figures.read_metadata("02_b") == {"alt": "02_b"}


def test_a_shown_figure_is_a_picture_with_its_text_and_once(figure, tmp_path, monkeypatch):
    alt = "Two lines, of which one is high & the other < 1"
    book = nbformat.v4.new_notebook(metadata={"fprin": {"alt": alt}})
    nbformat.write(book, tmp_path / f"{NOTEBOOK}.ipynb")
    monkeypatch.setattr(figures, "NOTEBOOKS", tmp_path)
    shown = fp.show_figure(figure, configure())
    bundle = shown._repr_mimebundle_()
    assert bundle["text/plain"] == alt
    png = base64.b64decode(bundle["image/png"])
    assert png.startswith(b"\x89PNG")
    assert bundle["image/png"] in bundle["text/html"]
    output = nbformat.v4.new_output("execute_result", bundle, execution_count=1)
    cell = nbformat.v4.new_code_cell("fp.show_figure()", outputs=[output])
    page, _ = nbconvert.HTMLExporter().from_notebook_node(nbformat.v4.new_notebook(cells=[cell]))
    (picture,) = re.findall(r"<img[^>]*>", page)
    assert f'alt="{alt}"' in html.unescape(picture)
    assert f'alt="{html.escape(alt)}"' in bundle["text/html"]
    assert page.count(bundle["image/png"]) == 1


@pytest.mark.parametrize("layout", ["constrained", "none"])
def test_what_is_added_to_a_shown_figure_has_its_place_when_it_is_saved(tmp_path, layout):
    figure = plt.figure(layout=layout)
    ax = figure.subplots()
    settings = configure(output_dir=str(tmp_path))
    fp.show_figure(figure, settings)
    before = ax.get_position().x0
    ax.set_ylabel("a label\nof three\nlines", fontsize=20)
    fp.save_figure(figure, settings, [])
    assert (ax.get_position().x0 > before) == (layout == "constrained")


WINDOWS = """
import sys
import distributed, psutil  # which need them themselves where they are
for name in ("resource", "fcntl", "pwd", "grp", "termios"):
    sys.modules[name] = None
import importlib, pkgutil
import fprin_utils
for module in pkgutil.walk_packages(fprin_utils.__path__, "fprin_utils."):
    importlib.import_module(module.name)
from fprin_utils import provenance
class Process:
    def memory_info(self):
        return type("Info", (), {"peak_wset": 345 * 2**20 + 7, "rss": 1})
psutil.Process = Process
print(provenance.resource, provenance.measure_peak_memory())
"""


def test_the_package_does_without_what_windows_lacks():
    done = subprocess.run(
        [sys.executable, "-c", WINDOWS], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "None 345\n"), done.stderr


def test_the_same_figure_gives_the_same_bytes(figure, tmp_path):
    first = fp.save_figure(figure, configure(output_dir=tmp_path / "a"), [])
    second = fp.save_figure(figure, configure(output_dir=tmp_path / "b"), [])
    for ending in (".png", ".pdf"):
        assert first.with_suffix(ending).read_bytes() == second.with_suffix(ending).read_bytes()


def test_a_failure_while_saving_leaves_the_earlier_files_alone(figure, tmp_path, monkeypatch):
    fp.save_figure(figure, configure(output_dir=tmp_path), [])
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    figure.axes[0].plot([1, 0])

    def fail(_):
        raise OSError("no space left on device")

    monkeypatch.setattr("fprin_utils.files.os.fsync", fail)
    with pytest.raises(OSError, match="no space left"):
        fp.save_figure(figure, configure(output_dir=tmp_path), [])
    monkeypatch.undo()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_only_long_runs_have_checkpoints(monkeypatch, tmp_path):
    monkeypatch.delenv("FPRIN_CHECKPOINTS", raising=False)
    assert configure(profile="quick").checkpoint("wide") is None
    settings = configure(profile="paper", output_dir=tmp_path)
    expected = tmp_path / "checkpoints" / f"{NOTEBOOK}.small-0.4.npz"
    assert settings.checkpoint("small", 0.4) == expected
    monkeypatch.setenv("FPRIN_CHECKPOINTS", str(tmp_path / "elsewhere"))
    assert settings.checkpoint("wide") == tmp_path / "elsewhere" / f"{NOTEBOOK}.wide.npz"
