import asyncio
import dataclasses
import itertools
import json
import shlex
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import yaml
from widget_tools import take_picture, walk

import fprin_utils as fp
from fprin_utils import play
from fprin_utils.files import ROOT
from fprin_utils.play.explorer import OWN, make_papermill_line

TINY = play.Experiment(
    target=((1, 1.0), (3, 1.0)),
    widths=(12,),
    init_std=0.5,
    learning_rate=0.02,
    num_steps=900,
    num_seeds=2,
)


@pytest.fixture
def explorer(tmp_path):
    common = {"profile": "quick", "output_dir": tmp_path, "device": "cpu"}
    settings = fp.configure("12_explorer", common | dataclasses.asdict(TINY))
    experiment = play.Experiment.from_settings(settings)
    assert experiment == TINY
    return play.Explorer(experiment, experiment.train(progress=False), settings)


def control(explorer, description, place=0):
    found = [
        each
        for each in walk(explorer.controls.widget)
        if getattr(each, "description", None) == description
    ]
    return found[place]


def test_it_starts_with_the_run_that_was_made(explorer):
    assert explorer.controls.read() == TINY
    assert "Trained for 900 steps" in explorer.status.value
    assert "Low before high in 2 of 2 seeds" in explorer.sentence.value
    assert 'role="status"' in explorer.sentence.value
    assert explorer.stop_button.disabled


def test_presets_set_the_controls_and_a_change_is_ones_own(explorer):
    preset = control(explorer, "preset")
    assert preset.value == OWN
    for name, experiment in play.PRESETS.items():
        preset.value = name
        assert explorer.controls.read() == experiment
        assert preset.value == name
    preset.value = "Figure 1: two peaks"
    control(explorer, "seeds").value = 7
    assert preset.value == OWN
    control(explorer, "seeds").value = 4
    assert preset.value == "Figure 1: two peaks"


def test_controls_without_a_say_are_hidden(explorer):
    def is_shown(description):
        return control(explorer, description).layout.display != "none"

    control(explorer, "preset").value = "Figure 2: the picture of a cameraman"
    assert not is_shown("samples")
    assert explorer.controls.sinusoids.layout.display == "none"
    control(explorer, "target").value = "sinusoids"
    assert is_shown("samples")
    assert explorer.controls.sinusoids.layout.display != "none"
    control(explorer, "hidden layers").value = 2
    assert is_shown("neurons, layer 2")
    assert not is_shown("neurons, layer 3")
    control(explorer, "initial weights").value = "glorot"
    assert not is_shown("their std")


def test_every_control_has_a_name_and_takes_numbers_and_lists_alone(explorer):
    allowed = {
        *("Dropdown", "FloatSlider", "IntSlider", "SelectionSlider", "IntProgress", "Play"),
        *("Button", "HTML", "Label", "HBox", "VBox"),
    }
    kinds = {type(each).__name__ for each in walk(explorer.widget)}
    assert kinds <= allowed
    for each in walk(explorer.widget):
        if type(each).__name__ in {"Dropdown", "FloatSlider", "IntSlider", "SelectionSlider"}:
            assert each.description


def test_training_moves_the_picture_and_leaves_the_controls_free(explorer):
    control(explorer, "steps").value = 2000
    control(explorer, "neurons, layer 1").value = 100
    pictures, gaps = set(), []

    async def use():
        training = asyncio.create_task(explorer.train())
        last = time.perf_counter()
        while not training.done():
            await asyncio.sleep(0.01)
            pictures.add(take_picture(explorer.widget))
            gaps.append(time.perf_counter() - last)
            last = time.perf_counter()
        await training

    asyncio.run(use())
    assert len(pictures) >= 3
    assert max(gaps) < 0.5
    assert explorer.run.steps[-1] == 2000
    assert "Done after" in explorer.status.value
    assert explorer.progress.value == explorer.progress.max == 2000
    assert not explorer.train_button.disabled


def test_stop_ends_a_training_where_it_is(explorer, monkeypatch):
    control(explorer, "steps").value = 20_000
    control(explorer, "neurons, layer 1").value = 400
    recorded, steps_when_asked = [], []
    train = fp.train

    def note_steps(*arguments, on_progress, **options):
        def note(step, run):
            recorded.append(step)
            return on_progress(step, run)

        return train(*arguments, on_progress=note, **options)

    monkeypatch.setattr("fprin_utils.play.experiments.train", note_steps)

    async def use():
        training = asyncio.create_task(explorer.train())
        while len(recorded) < 20 or explorer.stop_button.disabled:
            await asyncio.sleep(0.01)
        explorer.stop_button.click()
        steps_when_asked.extend(recorded)
        await training

    asyncio.run(use())
    # Not in seconds, which depend on the machine: the next time that it asks, it ends.
    assert len(recorded) <= len(steps_when_asked) + 1
    assert "Stopped after" in explorer.status.value
    assert explorer.run.steps[-1] == recorded[-1] < 20_000
    asyncio.run(explorer.save())
    assert "re-creates the whole run" in explorer.saved.value


def test_a_second_click_begins_nothing(explorer):
    control(explorer, "steps").value = 3000

    async def use():
        explorer.train_button.click()
        first = explorer.task
        explorer.train_button.click()
        explorer.save_button.click()
        assert explorer.task is first
        await first

    asyncio.run(use())
    assert explorer.run.steps[-1] == 3000


def test_a_save_is_not_disturbed_by_the_slider(explorer, tmp_path):
    async def use(moves):
        explorer.player.slider.value = 5
        saving = asyncio.create_task(explorer.save())
        while not saving.done():
            await asyncio.sleep(0.01)
            if moves:
                explorer.player.slider.value = 5 + (explorer.player.slider.value + 1) % 50
        await saving

    for moves in (False, True):
        asyncio.run(use(moves))
    still, moved = (
        (tmp_path / f"12_explorer_{number}" / "12_explorer.png").read_bytes() for number in (1, 2)
    )
    assert still == moved


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
    asyncio.run(explorer.save())
    assert "Not saved: " in explorer.saved.value
    assert str(tmp_path) in explorer.saved.value
    assert not explorer.save_button.disabled


def test_a_link_that_leads_nowhere_is_no_free_folder(explorer, tmp_path):
    (tmp_path / "12_explorer_1").symlink_to(tmp_path / "nowhere")
    asyncio.run(explorer.save())
    assert (tmp_path / "12_explorer_2" / "12_explorer.png").is_file()


def test_an_error_in_the_training_is_told_and_leaves_what_was_shown(explorer, monkeypatch):
    def fail(*_, **__):
        raise MemoryError("no more")

    monkeypatch.setattr("fprin_utils.play.experiments.train", fail)
    before = take_picture(explorer.widget)
    control(explorer, "seeds").value = 3
    asyncio.run(explorer.train())
    assert "The training failed: MemoryError no more" in explorer.status.value
    assert explorer.experiment == TINY
    assert take_picture(explorer.widget) == before
    assert not explorer.train_button.disabled
    assert explorer.stop_button.disabled


def test_an_error_in_the_picture_ends_the_training(explorer, monkeypatch):
    steps = []
    control(explorer, "steps").value = 20_000

    def fail(_, at, __):
        steps.append(at[-1])
        raise RuntimeError("no sentence")

    monkeypatch.setattr("fprin_utils.play.explorer.describe_order", fail)
    asyncio.run(explorer.train())
    assert "no sentence" in explorer.status.value
    assert explorer.run.steps[-1] < 20_000
    assert len(steps) == 1


def test_what_went_wrong_is_told(explorer):
    control(explorer, "optimiser").value = "gradient_descent"
    control(explorer, "learning rate").value = 1.0
    control(explorer, "amplitude", 0).value = 3.0
    asyncio.run(explorer.train())
    assert "diverged" in explorer.status.value
    assert "try a smaller one" in explorer.status.value
    asyncio.run(explorer.save())
    assert "repeats the training, which ends in the same error" in explorer.saved.value
    for place in range(4):
        control(explorer, "amplitude", place).value = 0.0
    asyncio.run(explorer.train())
    assert "all amplitudes are 0; raise one." in explorer.status.value
    assert not explorer.train_button.disabled


def test_a_saved_figure_says_how_it_is_made_again(explorer, tmp_path):
    for _ in range(2):
        asyncio.run(explorer.save())
    folders = sorted(path.name for path in tmp_path.iterdir())
    assert folders == ["12_explorer_1", "12_explorer_2"]
    folder = tmp_path / "12_explorer_1"
    record = json.loads((folder / "12_explorer.json").read_text(encoding="utf-8"))
    assert play.Experiment(**{n: record["parameters"][n] for n in dataclasses.asdict(TINY)}) == TINY
    assert record["parameters"]["last_step"] == record["parameters"]["shown_step"] == 900
    assert record["seconds"] == pytest.approx(explorer.run.seconds, abs=0.2)
    assert (folder / "12_explorer.png").read_bytes().startswith(b"\x89PNG")
    assert 'download="12_explorer.png"' in explorer.saved.value
    assert 'download="12_explorer.json"' in explorer.saved.value
    assert "papermill notebooks/12_explorer.ipynb" in explorer.saved.value
    assert "this line re-creates the run:" in explorer.saved.value


def test_explorers_that_share_a_folder_save_side_by_side(explorer, tmp_path):
    other = play.Explorer(TINY, explorer.run, explorer.settings)

    async def use():
        await asyncio.gather(explorer.save(), other.save())

    asyncio.run(use())
    pictures = sorted(path.parent.name for path in tmp_path.glob("*/12_explorer.png"))
    assert pictures == ["12_explorer_1", "12_explorer_2"]


def test_trainings_in_one_process_take_turns(explorer, monkeypatch):
    other = play.Explorer(TINY, explorer.run, explorer.settings)
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
        await asyncio.gather(explorer.train(), other.train())

    asyncio.run(use())
    assert most == [1, 1]
    assert all("Done after" in each.status.value for each in (explorer, other))


def test_values_between_the_steps_of_a_slider_are_kept(explorer):
    experiment = dataclasses.replace(
        TINY, target=((1, 0.33), (4, 1.0)), noise_std=0.123, num_steps=123, learning_rate=1.7e-3
    )
    run = experiment.train(progress=False)
    controls = play.Explorer(experiment, run, explorer.settings)
    for name in ("steps", "noise, std", "amplitude"):
        slider = control(controls, name)
        assert slider.value / slider.step == pytest.approx(round(slider.value / slider.step))
    assert control(controls, "amplitude", 1).step == control(explorer, "amplitude").step == 0.05
    assert control(explorer, "steps").step == 10


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
