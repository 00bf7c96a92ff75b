import copy
import json
import pickle
import time
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest

import fprin_utils as fp

mpl.use("agg")
NOTEBOOK = "01_one_dimensional_peaks"
PROFILES = {name: {"num_seeds": 4, "num_steps": 10} for name in fp.PROFILES}


def configure(**settings):
    settings = {
        "notebook": NOTEBOOK,
        "profile": None,
        "profiles": PROFILES,
        "output_dir": "output",
        "seed": 3,
        "num_seeds": None,
        "num_steps": None,
        "device": "cpu",
    } | settings
    return fp.configure(settings.pop("notebook"), **settings)


@pytest.fixture
def figure():
    figure, ax = plt.subplots()
    ax.plot([0, 1])
    yield figure
    plt.close(figure)


def test_a_parameter_wins_over_the_profile_and_none_does_not():
    settings = configure(num_steps=7)
    assert settings.num_steps == 7
    assert settings.num_seeds == 4
    assert list(settings.seeds) == [3, 4, 5, 6]


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
        ({"learning_rate": None}, "learning_rate is None, and profile 'quick' does not set it"),
        ({"profiles": {"quick": {"stepz": 1, "num_seeds": 1, "num_steps": 1}}}, "sets 'stepz'"),
        ({"profiles": {}}, "profile 'quick' has no settings"),
        ({"seed": -1}, "seed is -1; it must be a whole number of at least 0"),
        ({"num_seeds": 0}, "num_seeds is 0; it must be a whole number of at least 1"),
        ({"num_seeds": 1.5}, "num_seeds is 1.5"),
        ({"num_seeds": True}, "num_seeds is True; it must be a whole number of at least 1"),
        ({"output_dir": 2024}, "output_dir is 2024; it must be the name of a folder"),
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
    ids=repr,
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


def test_a_figure_leaves_pictures_and_a_record(figure, tmp_path):
    claim = fp.Claim("C1", "a test", [True] * 4, control=fp.Claim("C1", "control", [False] * 4))
    settings = configure(output_dir=tmp_path / "new")
    until = time.process_time() + 0.2
    while time.process_time() < until:
        pass
    picture = fp.save_figure(figure, settings, [claim])
    assert sorted(path.name for path in picture.parent.iterdir()) == [
        f"{NOTEBOOK}.json",
        f"{NOTEBOOK}.pdf",
        f"{NOTEBOOK}.png",
    ]
    record = json.loads(picture.with_suffix(".json").read_text())
    assert record["notebook"] == NOTEBOOK
    assert record["parameters"] == {"seed": 3, "num_seeds": 4, "num_steps": 10, "device": "cpu"}
    assert {"python", "torch", "numpy"} <= set(record["versions"])
    assert 50 < record["peak_memory_mb"] < 20_000
    assert 0.2 <= record["seconds"] < 10
    assert 0.2 <= record["cpu_seconds"] < 10
    assert record["claims"][0]["verdict"] == "holds"
    assert record["claims"][0]["control"]["verdict"] == "fails"


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

    monkeypatch.setattr("fprin_utils.storage.os.fsync", fail)
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
