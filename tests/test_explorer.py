"""Tests of the explorer's side in the kernel: what it is asked for, and what it sends."""

import asyncio
import dataclasses
import itertools
import json
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

import fprin_utils as fp
from fprin_utils import play
from fprin_utils.files import ROOT
from fprin_utils.play.experiments import CONTROLS, LIMITS, NUM_IN_SIGHT, TYPED, list_controls
from fprin_utils.play.explorer import make_papermill_line

TINY = play.Experiment(
    target=((1, 1.0), (3, 1.0)),
    widths=(12,),
    init_std=0.5,
    learning_rate=0.02,
    num_steps=900,
    num_seeds=2,
)


class Recorded(play.Explorer):
    """An explorer that keeps what it sends."""

    def __init__(self, *arguments):
        self.sent = []
        super().__init__(*arguments)

    def send(self, content, buffers=None):
        assert buffers is None
        json.dumps(content, allow_nan=False)
        self.sent.append(content)

    def told(self):
        return [answer["text"] for answer in self.sent if answer["kind"] == "tell"]

    def ask(self, wanted, **rest):
        """Ask as a browser does, and wait until it is done."""

        async def use():
            self._answer({"do": wanted, **rest})
            if self.task is not None:
                await self.task

        asyncio.run(use())

    def train_it(self, **changes):
        self.ask("train", settings=TINY.to_controls() | changes)


@pytest.fixture(scope="module")
def run():
    return TINY.train(progress=False)


@pytest.fixture
def explorer(run, tmp_path):
    common = {"profile": "quick", "output_dir": tmp_path, "device": "cpu"}
    settings = fp.configure("12_explorer", common | dataclasses.asdict(TINY))
    experiment = play.Experiment.from_settings(settings)
    assert experiment == TINY
    return Recorded(experiment, run, settings)


def test_a_view_starts_with_the_last_run(explorer):
    start = explorer.start
    assert start["lastStep"] == start["run"]["steps"][-1] == 900
    assert start["run"]["labels"] == ["1", "3"]
    assert "Trained for 900 steps" in start["text"]
    explorer.train_it(num_steps=300, frequencies=[2, 3])
    assert explorer.start["run"]["labels"] == ["2", "3"]
    assert explorer.start["settings"]["num_steps"] == explorer.start["lastStep"] == 300
    assert explorer.start["controls"] == start["controls"]


def test_a_reader_without_a_kernel_sees_that_run_play(explorer):
    data, _ = explorer._repr_mimebundle_()
    assert "playStored" in data["text/html"]
    assert "application/vnd.jupyter.widget-view+json" in data


def test_five_controls_are_in_sight_and_each_has_a_name_and_its_values():
    controls = list_controls()
    assert [each["name"] for each in controls] == list(CONTROLS)
    assert sum(not each["isMore"] for each in controls) == NUM_IN_SIGHT == 5
    assert {each["name"] for each in controls if "values" not in each} == set(TYPED)
    for each in controls:
        assert each["label"]
        if each["name"] in LIMITS and "values" in each:
            least, most = LIMITS[each["name"]]
            assert each["values"] == sorted(set(each["values"]))
            assert (each["values"][0], each["values"][-1]) == pytest.approx((least, most))


@pytest.mark.parametrize("experiment", [*play.PRESETS.values(), TINY])
def test_controls_say_the_whole_experiment(experiment):
    values = json.loads(json.dumps(experiment.to_controls()))
    assert set(values) == set(CONTROLS)
    assert play.Experiment.from_controls(values) == experiment


def test_a_training_sends_its_records_and_no_pictures(explorer):
    explorer.train_it(num_steps=3000, widths=[100])
    kinds = [answer["kind"] for answer in explorer.sent]
    assert kinds.count("begin") == 1
    assert kinds.count("records") >= 2
    steps = list(
        itertools.chain.from_iterable(
            answer["run"]["steps"] if answer["kind"] == "begin" else answer["steps"]
            for answer in explorer.sent
            if answer["kind"] != "tell"
        )
    )
    np.testing.assert_array_equal(steps, explorer.run.steps)
    assert steps[-1] == 3000
    assert len(json.dumps(explorer.sent)) < 1e6
    assert explorer.told()[-1].startswith("Done after")
    assert [answer["isBusy"] for answer in explorer.sent if "isBusy" in answer][-1] is False


@pytest.mark.parametrize("name", play.PRESETS)
def test_a_preset_sends_less_than_a_megabyte(name):
    """Of 300 records; what is drawn at last is as much as what is drawn at first."""
    preset = play.PRESETS[name]
    run = dataclasses.replace(preset, num_steps=20).train(progress=False)
    packed = preset.view.pack(run.steps, run.outputs, preset.take_curves(run))
    assert len(json.dumps(packed)) / len(run.steps) * 300 < 1e6


def test_stop_ends_a_training_where_it_is(explorer, monkeypatch):
    recorded, steps_when_asked = [], []
    train = fp.train

    def note_steps(*arguments, on_progress, **options):
        def note(step, run):
            recorded.append(step)
            return on_progress(step, run)

        return train(*arguments, on_progress=note, **options)

    monkeypatch.setattr("fprin_utils.play.experiments.train", note_steps)

    async def use():
        values = TINY.to_controls() | {"num_steps": 20_000, "widths": [400]}
        explorer._answer({"do": "train", "settings": values})
        while len(recorded) < 20:
            await asyncio.sleep(0.01)
        explorer._answer({"do": "stop"})
        steps_when_asked.extend(recorded)
        await explorer.task

    asyncio.run(use())
    # Not in seconds, which depend on the machine: the next time that it asks, it ends.
    assert len(recorded) <= len(steps_when_asked) + 1
    assert "Stopped after" in explorer.told()[-1]
    assert explorer.run.steps[-1] == recorded[-1] < 20_000
    explorer.ask("save", record=3)
    assert "re-creates the whole run" in explorer.sent[-2]["html"]


def test_a_second_click_begins_nothing(explorer):
    async def use():
        explorer._answer({"do": "train", "settings": TINY.to_controls() | {"num_steps": 3000}})
        first = explorer.task
        explorer._answer({"do": "train", "settings": TINY.to_controls()})
        explorer._answer({"do": "save", "record": 0})
        assert explorer.task is first
        await first

    asyncio.run(use())
    assert explorer.run.steps[-1] == 3000


@pytest.mark.parametrize("place", ["file", "link", "file/below", "link/below"])
def test_a_save_that_fails_is_told(explorer, tmp_path, place, monkeypatch):
    tries, mkdir = itertools.count(), Path.mkdir

    def make_folder(self, *arguments, **settings):
        assert next(tries) < 100, "it tries for ever"
        mkdir(self, *arguments, **settings)

    monkeypatch.setattr(Path, "mkdir", make_folder)
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    explorer.settings = dataclasses.replace(explorer.settings, output_dir=tmp_path / place)
    explorer.ask("save", record=0)
    assert str(tmp_path) in explorer.told()[-1]
    assert not explorer.sent[-1]["isBusy"]


def test_a_link_that_leads_nowhere_is_no_free_folder(explorer, tmp_path):
    (tmp_path / "12_explorer_1").symlink_to(tmp_path / "nowhere")
    explorer.ask("save", record=0)
    assert (tmp_path / "12_explorer_2" / "12_explorer.png").is_file()


def test_an_error_in_the_training_is_told_and_leaves_what_was_shown(explorer, monkeypatch):
    def fail(*_, **__):
        raise MemoryError("no more")

    monkeypatch.setattr("fprin_utils.play.experiments.train", fail)
    explorer.train_it(num_seeds=3)
    assert explorer.told()[-1] == "This failed: MemoryError no more."
    assert explorer.experiment == TINY
    assert {answer["kind"] for answer in explorer.sent} == {"tell"}
    assert not explorer.sent[-1]["isBusy"]


def test_an_error_in_what_is_sent_ends_the_training(explorer, monkeypatch):
    def fail(*_):
        raise RuntimeError("no records")

    monkeypatch.setattr("fprin_utils.play.views.View.pack", fail)
    explorer.train_it(num_steps=20_000)
    assert "no records" in explorer.told()[-1]
    assert explorer.is_stopping


def test_a_divergence_is_told(explorer):
    explorer.train_it(optimizer="gradient_descent", learning_rate=1.0, amplitudes=[3.0, 1.0])
    assert "The training diverged" in explorer.told()[-1]
    assert "try a smaller one" in explorer.told()[-1]


@pytest.mark.parametrize(
    ("changes", "control", "text"),
    [
        ({"frequencies": [1, 40]}, "frequencies", "frequencies: 40; it must be a whole number fr"),
        ({"frequencies": [1]}, "amplitudes", "amplitudes: there must be one for each frequency"),
        ({"frequencies": [None, 2]}, "frequencies", "frequencies: numbers with commas between"),
        ({"amplitudes": [0, 0]}, "frequencies", "one amplitude must be above 0"),
        ({"amplitudes": [9, 1]}, "amplitudes", "amplitudes: 9; it must be from 0 to 3"),
        ({"widths": [0.5]}, "widths", "neurons of each layer: 0.5; it must be a whole number"),
        ({"num_steps": 1}, "num_steps", "steps: 1; it must be a whole number from 10 to 20,000"),
        ({"num_points": 16, "frequencies": [1, 8]}, "num_points", "samples: 16; a frequency of 8"),
    ],
)
def test_errors_name_the_control(explorer, changes, control, text):
    explorer.train_it(**changes)
    assert text in explorer.told()[-1]
    assert explorer.sent[-1]["control"] == control
    assert explorer.experiment == TINY


@pytest.mark.parametrize("code", ["__import__('os')", {"a": 1}, ["x"], None, 1e400])
def test_what_is_typed_is_never_run(explorer, code):
    for name in TYPED:
        explorer.sent.clear()
        explorer.train_it(**{name: [code, code]})
        assert explorer.sent[-1]["control"] in TYPED
        assert explorer.experiment == TINY


def test_a_saved_figure_says_how_it_is_made_again(explorer, tmp_path):
    for _ in range(2):
        explorer.ask("save", record=10**9)
    folders = sorted(path.name for path in tmp_path.iterdir())
    assert folders == ["12_explorer_1", "12_explorer_2"]
    folder = tmp_path / "12_explorer_1"
    record = json.loads((folder / "12_explorer.json").read_text(encoding="utf-8"))
    assert play.Experiment(**{n: record["parameters"][n] for n in dataclasses.asdict(TINY)}) == TINY
    assert record["parameters"]["last_step"] == record["parameters"]["shown_step"] == 900
    assert record["seconds"] == pytest.approx(explorer.run.seconds, abs=0.2)
    assert (folder / "12_explorer.png").read_bytes().startswith(b"\x89PNG")
    saved = explorer.sent[-2]["html"]
    assert 'download="12_explorer.png"' in saved
    assert 'download="12_explorer.json"' in saved
    assert "papermill notebooks/12_explorer.ipynb" in saved
    assert "this line re-creates the run:" in saved
    assert str(tmp_path / "12_explorer_2") in explorer.told()[-1]


def test_explorers_that_share_a_folder_save_side_by_side(explorer, tmp_path):
    other = Recorded(TINY, explorer.run, explorer.settings)

    async def use():
        for each in (explorer, other):
            each._answer({"do": "save", "record": 0})
        await asyncio.gather(explorer.task, other.task)

    asyncio.run(use())
    pictures = sorted(path.parent.name for path in tmp_path.glob("*/12_explorer.png"))
    assert pictures == ["12_explorer_1", "12_explorer_2"]


def test_trainings_in_one_process_take_turns(explorer, monkeypatch):
    other = Recorded(TINY, explorer.run, explorer.settings)
    under_way, most = [], []
    train = play.Experiment.train

    def watch(self, **settings):
        under_way.append(self)
        most.append(len(under_way))
        try:
            return train(self, **settings)
        finally:
            under_way.remove(self)

    monkeypatch.setattr(play.Experiment, "train", watch)

    async def use():
        for each in (explorer, other):
            each._answer({"do": "train", "settings": TINY.to_controls()})
        await asyncio.gather(explorer.task, other.task)

    asyncio.run(use())
    assert most == [1, 1]
    assert all("Done after" in each.told()[-1] for each in (explorer, other))


RATES = [1e-6, 1.5e-6, 2e-6, 5e-5, 8e-5, 1e-4, 1.0]
EXPERIMENTS = [*play.PRESETS.values(), *(dataclasses.replace(TINY, learning_rate=r) for r in RATES)]


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_the_papermill_line_describes_the_experiment(experiment):
    values = shlex.split(make_papermill_line(experiment, "cpu"))[-1]
    described = yaml.safe_load(values)
    assert described.pop("device") == "cpu"
    assert play.Experiment(**described) == experiment


def test_the_papermill_line_makes_the_experiment_anew(tmp_path):
    program, notebook, output, flag, values = shlex.split(make_papermill_line(TINY, "cpu"))
    assert (program, flag) == ("papermill", "-y")
    described = yaml.safe_load(values) | {"num_steps": 10, "output_dir": str(tmp_path)}
    values = json.dumps(described)
    subprocess.run(
        [
            str(Path(sys.executable).with_name(program)),
            notebook,
            str(tmp_path / output),
            flag,
            values,
        ],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    record = json.loads((tmp_path / "12_explorer.json").read_text(encoding="utf-8"))
    assert record["parameters"]["target"] == [list(pair) for pair in TINY.target]
    assert record["parameters"]["num_steps"] == 10
    assert np.isfinite(record["seconds"])
