import io

import numpy as np
import PIL.Image
import pytest

import fprin_utils as fp
from fprin_utils import play
from fprin_utils.play.views import view_curve, view_image


@pytest.fixture(scope="module")
def run():
    experiment = play.Experiment(widths=(20, 20), init_std=0.4, num_steps=100, num_seeds=3)
    return experiment, experiment.train(progress=False)


def read(png):
    return np.asarray(PIL.Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


def test_a_moment_looks_the_same_however_it_is_reached(run):
    experiment, run = run
    one, other = (play.MovingPicture(experiment.view, run.steps) for _ in range(2))
    last = len(run.steps) - 1
    for record in (last, 0, 5):
        reached = one.draw(run, record)
    assert (read(reached) == read(other.draw(run, 5))).all()
    assert (read(reached) != read(other.draw(run, last))).any()


def test_it_grows_with_the_run(run):
    experiment, run = run
    half = run.steps[: len(run.steps) // 2]
    early = fp.TrainingRun(
        seeds=run.seeds,
        steps=half,
        losses=run.losses[: len(half)],
        outputs=run.outputs[: len(half)],
        further_outputs={n: values[: len(half)] for n, values in run.further_outputs.items()},
        spectral_norm_steps=run.spectral_norm_steps,
        spectral_norms=run.spectral_norms,
        seconds=0.0,
    )
    picture = play.MovingPicture(experiment.view, run.steps)
    before = read(picture.draw(early, 5))
    assert picture.errors.shape == (len(half), 3, 2)
    after = read(picture.draw(run, 5))
    assert picture.errors.shape == (len(run.steps), 3, 2)
    np.testing.assert_allclose(picture.errors, experiment.view.compute_errors(run.outputs))
    # What is to come is grey in the heat map alone, the last of the three panels.
    changed = np.flatnonzero((before != after).any(axis=(0, 2)))
    assert changed.size
    assert changed.min() > before.shape[1] / 2


def test_a_frozen_picture_holds_all_and_moves_on_again(run):
    experiment, run = run
    picture = play.MovingPicture(experiment.view, run.steps)
    drawn = read(picture.draw(run, 5))
    saved = io.BytesIO()
    picture.freeze().savefig(saved, format="png", dpi=picture.figure.dpi)
    assert np.abs(read(saved.getvalue()) - drawn).mean() < 1
    assert (read(picture.draw(run, 5)) == drawn).all()


def test_an_image_is_shown_beside_its_target():
    image = fp.load_image("camera", size=16)
    outputs = np.stack([np.zeros(256), image.ravel()])[:, None]
    run = fp.TrainingRun(
        seeds=np.array([0]),
        steps=np.array([0, 1]),
        losses=np.zeros((2, 1)),
        outputs=outputs,
        further_outputs={},
        spectral_norm_steps=np.array([]),
        spectral_norms=np.zeros((0, 1, 1)),
        seconds=0.0,
    )
    picture = play.MovingPicture(view_image(image), run.steps)
    dark, bright = (read(picture.draw(run, record)) for record in (0, 1))
    left = dark.shape[1] // 6
    assert dark[:, :left].mean() < bright[:, :left].mean()
    np.testing.assert_allclose(picture.errors[:, 0], [[1, 1, 1], [0, 0, 0]], atol=1e-12)


@pytest.mark.parametrize("num_steps", [1, 50])
def test_a_single_frequency_and_a_single_step_have_their_colour(num_steps):
    grid = fp.make_grid(16)
    run = fp.train(
        fp.Ensemble([4], seeds=[0]), grid, np.sin(grid), num_steps=num_steps, learning_rate=1e-3,
        progress=False,
    )  # fmt: skip
    drawn = read(play.MovingPicture(view_curve(grid, np.sin(grid)), run.steps).draw(run, 1))
    heat_map = drawn[100:200, int(0.75 * drawn.shape[1]) : int(0.9 * drawn.shape[1])]
    # Blue, since nothing is learnt; white would mean that there is no cell.
    assert (heat_map[..., 2] > heat_map[..., 0] + 30).mean() > 0.9


def test_outputs_with_one_component_will_do():
    grid = fp.make_grid(16)
    targets = np.stack([np.sin(grid), np.sin(2 * grid)])
    networks = fp.Ensemble([4], seeds=[0, 1])
    run = fp.train(
        networks, grid, targets[..., None], num_steps=3, learning_rate=1e-2, progress=False
    )
    picture = play.MovingPicture(view_curve(grid, targets[1]), run.steps)
    assert picture.draw(run.take([1]), 2).startswith(b"\x89PNG")
    assert picture.errors.shape == (len(run.steps), 1, 1)
