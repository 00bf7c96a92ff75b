import dataclasses

import numpy as np
import pytest

import fprin_utils as fp
from fprin_utils import play
from fprin_utils.play.experiments import CURVES, LIMITS

SMALL = {"widths": [6, 5], "num_steps": 30, "num_seeds": 2}


def test_lists_and_floats_become_what_they_mean():
    experiment = play.Experiment(target=[[1.0, 1], [3, 2]], widths=[8.0])
    assert experiment.target == ((1, 1.0), (3, 2.0))
    assert experiment.widths == (8,)
    assert hash(experiment) == hash(dataclasses.replace(experiment))


def test_the_target_is_the_sum_of_its_sinusoids_and_noise():
    experiment = play.Experiment(target=((2, 1.5), (5, 0.0)), noise_std=0.3)
    grid = fp.make_grid(61)
    np.testing.assert_allclose(experiment.clean_targets, 1.5 * np.sin(2 * grid), atol=1e-12)
    noise = experiment.targets - experiment.clean_targets
    assert 0.2 < noise.std() < 0.4
    assert experiment.view.about["labels"] == ["2"]
    other = dataclasses.replace(experiment, seed=1)
    assert not np.allclose(noise, other.targets - other.clean_targets)


def test_random_data_are_not_their_own_noise():
    experiment = play.Experiment(target="random data", noise_std=1.0)
    noise = experiment.targets - experiment.clean_targets
    assert abs(np.corrcoef(noise, experiment.clean_targets)[0, 1]) < 0.5
    assert experiment.view.about["labels"] == [str(k) for k in range(1, 31)]


def test_a_training_is_that_of_train():
    experiment = play.Experiment(**SMALL, init_std=0.4, learning_rate=1e-2, optimizer="momentum")
    run = experiment.train(progress=False)
    networks = fp.Ensemble([6, 5], seeds=[0, 1], init_std=0.4)
    again = fp.train(
        networks,
        *(experiment.inputs, experiment.targets),
        num_steps=30,
        learning_rate=1e-2,
        optimizer="momentum",
        record_at=experiment.steps,
        progress=False,
    )
    np.testing.assert_array_equal(run.outputs, again.outputs)
    assert run.further_outputs[CURVES].shape[2] == len(experiment.view.curve_inputs)


def test_the_picture_trains_too():
    run = play.Experiment(target="picture", **SMALL).train(progress=False)
    assert run.outputs.shape[1:] == (2, 32 * 32)


@pytest.mark.parametrize("name", play.PRESETS)
def test_presets_can_be_trained_and_seen(name):
    experiment = dataclasses.replace(play.PRESETS[name], num_steps=10)
    run = experiment.train(progress=False)
    errors = experiment.view.compute_errors(run.outputs)
    assert errors.shape == (*run.losses.shape, len(experiment.view.about["labels"]))
    assert np.isfinite(errors).all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"target": "import os"}, "target 'import os' is not one of random data, picture"),
        ({"activation": "gelu"}, "activation 'gelu' is not one of tanh"),
        ({"activation": ["tanh"]}, r"activation \['tanh'\] is not one of tanh"),
        ({"target": ((31, 1),)}, "frequency is 31; it must be a whole number from 1 to 30"),
        ({"target": ((1.5, 1),)}, "frequency is 1.5; it must be a whole number from 1 to 30"),
        ({"target": ((1, 1),) * 5}, "it must list 1 to 4 entries"),
        ({"target": ((1,), (2, 1.0))}, r"target lists \(1,\); it must be a frequency and an ampl"),
        ({"target": 3}, "target is 3; it must list 1 to 4 entries"),
        ({"target": ((1, 0.0), (2, 0.0))}, "one amplitude must be above 0"),
        ({"target": ((1, float("nan")), (2, 1.0))}, "amplitude is nan"),
        ({"widths": ()}, r"widths is \(\); it must list 1 to 5 entries"),
        ({"widths": (401,)}, "widths is 401; it must be a whole number from 1 to 400"),
        ({"num_points": 16, "target": ((8, 1), (1, 1))}, "a frequency of 8 wants more than 16"),
        ({"num_steps": 10**6}, "num_steps is 1000000; it must be .* from 10 to 20,000"),
        ({"learning_rate": 0}, "learning_rate is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"seed": True}, "seed is True"),
        ({"noise_std": True}, "noise_std is True; it must be from 0 to 1"),
        ({"num_seeds": "8"}, "num_seeds is '8'"),
    ],
)
def test_what_is_out_of_bounds_is_named(settings, message):
    with pytest.raises(ValueError, match=message):
        play.Experiment(**settings)


def test_a_sinusoid_that_is_left_out_needs_no_samples():
    assert play.Experiment(target=((1, 1.0), (10, 0.0)), num_points=20).view.about["labels"] == [
        "1"
    ]


def test_a_sinusoid_too_small_to_follow_is_refused_before_the_training():
    with pytest.raises(ValueError, match="no peak at bin 4"):
        play.Experiment(target=((1, 1.0), (4, 1e-12))).train()


def test_every_number_has_limits():
    numbers = {
        field.name
        for field in dataclasses.fields(play.Experiment)
        if not isinstance(field.default, str)
    }
    assert numbers - {"target"} | {"num_layers", "frequency", "amplitude"} == set(LIMITS)
