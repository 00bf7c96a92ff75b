import numpy as np
import pytest
import torch

import fprin_utils as fp


def test_convergence_steps_of_a_touch_a_stay_and_a_never():
    steps = np.array([0, 10, 20, 30, 40, 50])
    errors = np.array(
        [[1, 0.1, 1, 0.1, 0.1, 0.1], [1, 1, 1, 1, 0.1, 0.1], [1, 1, 1, 1, 1, 1]], dtype=float
    ).T
    np.testing.assert_array_equal(
        fp.find_convergence_step(steps, errors, 0.2, num_records=1), [10, 40, np.inf]
    )
    stays = fp.find_convergence_step(steps, errors, 0.2, num_records=3)
    np.testing.assert_array_equal(stays, [30, np.inf, np.inf])
    too_short = fp.find_convergence_step(steps, errors, 0.2, num_records=7)
    np.testing.assert_array_equal(too_short, [np.inf, np.inf, np.inf])


def test_a_network_that_has_stopped_stays_below_for_good():
    steps = np.array([0, 10, 20])
    errors = np.array([[1, 1, 0.1], [1, 0.1, 0.1], [1, 0.1, 1], [1, 1, 0.1]]).T[..., None]
    stopped = np.array([True, True, True, False])
    found = fp.find_convergence_step(steps, errors, 0.2, stopped=stopped)
    np.testing.assert_array_equal(found[:, 0], [20, 10, np.inf, np.inf])


STEPS = np.array([0, 200, 400, 600, 800, 1000])


def test_the_steps_needed_continue_an_exponential():
    # exp(-t / 1000) is 0.01 at step 4605, exp(-t / 500) at step 2303; the slowest counts.
    decays = np.exp(-STEPS[:, None] / np.array([1000.0, 500.0]))
    assert fp.estimate_steps_needed(STEPS, decays, 0.01) == 4700
    assert fp.estimate_steps_needed(STEPS, decays[:, 1:], 0.01) == 2400
    assert fp.estimate_steps_needed(STEPS, decays[:, 0], 0.01) == 4700
    # What was fast at first and is slow now goes on slowly.
    errors = np.exp([0.0, -1.5, -2.0, -2.2, -2.4, -2.6])
    assert fp.estimate_steps_needed(STEPS, errors, 0.01) == 3100


def test_what_is_suggested_is_in_the_steps_of_the_notebook():
    target = fp.make_sinusoids(fp.make_grid(16), [1, 3])
    outputs = (1 - np.exp(-STEPS / 1000))[:, None] * target
    measured = fp.measure_convergence(STEPS, outputs, target, threshold=0.01)
    assert measured.suggest_steps(1000) == "num_steps=4700 may do"
    assert measured.suggest_steps(500) == "num_steps=2350 may do"
    with pytest.raises(ValueError, match="num_steps is -1"):
        measured.suggest_steps(-1)


def test_the_steps_needed_are_twice_to_twenty_times_those_made():
    nearly, hardly = np.exp(-STEPS / 210), np.exp(-STEPS / 1e6)
    assert fp.estimate_steps_needed(STEPS, nearly, 0.008) == 2000
    assert fp.estimate_steps_needed(STEPS, hardly, 0.01) == 20_000
    for no_fall in (np.ones(6), np.linspace(1, 2, 6)):
        errors = np.stack([np.exp(-STEPS / 500), no_fall], axis=1)
        assert fp.estimate_steps_needed(STEPS, errors, 0.01) == 20_000


def test_no_more_steps_are_needed_where_all_was_reached():
    errors = np.exp(-STEPS[:, None, None] / np.full((2, 3), 100.0))
    assert fp.estimate_steps_needed(STEPS, errors, 0.01) == 1000
    # Once below is enough, as for the first step below.
    errors[-1] = 1.0
    assert fp.estimate_steps_needed(STEPS, errors, 0.01) == 1000


def test_an_order_is_strict_and_complete():
    rows = [[1, 2, 3], [1, 1, 3], [3, 2, 1], [1, 2, np.inf], [np.inf] * 3]
    np.testing.assert_array_equal(
        fp.convergence.is_increasing(rows), [True, False, False, False, False]
    )


def test_an_order_is_held_broken_or_not_yet_decided():
    never = np.inf
    rows = [[1, 2, 3], [1, 1, 3], [1, 2, never], [never, 2, 3], [1, never, 3], [never] * 3]
    held, reached = fp.judge_order(rows)
    np.testing.assert_array_equal(held, [True, False, False, False, False, False])
    np.testing.assert_array_equal(reached, [True, True, False, True, True, False])


def test_kendall_tau_of_an_order_its_reverse_and_of_none():
    rows = [[1, 2, 3, np.inf], [4, 3, 2, 1], [np.inf] * 4, [2, 1, 4, 3]]
    np.testing.assert_allclose(fp.compute_kendall_tau(rows), [1, -1, 0, 1 / 3])


GRID = fp.make_grid(32)
WAVES = np.stack([np.sin(GRID), 0.5 * np.sin(3 * GRID)])
TARGET = WAVES.sum(axis=0)
RECORDS = 10 * np.arange(20)
# The error of a peak is exp(-step / time), below 0.2 from 1.61 times this time on.
TIMES = np.array([[10.0, 30.0], [30.0, 10.0]])
ERRORS = np.exp(-RECORDS[:, None, None] / TIMES)
OUTPUTS = (1 - ERRORS) @ WAVES


def check_convergence(found, networks=(0, 1)):
    networks = list(networks)
    np.testing.assert_array_equal(found.bins, [1, 3])
    np.testing.assert_allclose(found.errors, ERRORS[:, networks], atol=1e-6)
    steps = np.array([[20, 50], [50, 20]])[networks]
    np.testing.assert_array_equal(found.convergence_steps, steps)
    np.testing.assert_array_equal(found.first_steps_below, steps)
    assert found.reached.all()
    assert found.decided.all()
    np.testing.assert_array_equal(found.in_order, np.array([True, False])[networks])
    np.testing.assert_allclose(found.tau, np.array([1, -1])[networks])


@pytest.mark.parametrize(
    ("outputs", "networks"),
    [
        (OUTPUTS, (0, 1)),
        (OUTPUTS[..., None], (0, 1)),
        (OUTPUTS[:, 1], (1,)),
        (OUTPUTS[:, 0, :, None], (0,)),
        (OUTPUTS.tolist(), (0, 1)),
        (torch.tensor(OUTPUTS, dtype=torch.float32, requires_grad=True), (0, 1)),
        ([torch.tensor(row, requires_grad=True) for row in OUTPUTS], (0, 1)),
        (tuple(torch.tensor(row)[:, None] for row in OUTPUTS[:, 1]), (1,)),
    ],
    ids=["RSN", "RSN1", "RN", "RN1", "lists", "a tensor", "tensors", "tensors N1"],
)
def test_convergence_is_measured_on_outputs_of_any_loop(outputs, networks):
    check_convergence(fp.measure_convergence(RECORDS, outputs, TARGET), networks)
    steps, target = torch.tensor(RECORDS), torch.tensor(TARGET)[:, None]
    check_convergence(fp.measure_convergence(steps, outputs, target, bins=[1, 3]), networks)


@pytest.mark.parametrize("add_axis", [False, True])
def test_convergence_is_measured_by_a_target_of_each_network(add_axis):
    factors = np.array([1.0, -3.0])
    outputs, targets = OUTPUTS * factors[:, None], TARGET * factors[:, None]
    if add_axis:
        outputs, targets = outputs[..., None], torch.tensor(targets)[..., None]
    found = fp.measure_convergence(RECORDS, outputs, targets)
    check_convergence(found)
    assert found.targets.shape == (2, 32)
    shared = fp.measure_convergence(RECORDS, outputs, TARGET)
    np.testing.assert_allclose(shared.errors[:, 1], 1 + 3 * (1 - ERRORS[:, 1]))


def test_a_touch_is_no_convergence_and_a_short_run_converges_only_if_it_stopped():
    outputs = OUTPUTS.copy()
    outputs[6] = 0
    found = fp.measure_convergence(RECORDS, outputs, TARGET, bins=[1])
    np.testing.assert_array_equal(found.first_steps_below, [[20], [50]])
    np.testing.assert_array_equal(found.convergence_steps, [[70], [70]])
    short = (RECORDS[:6], OUTPUTS[:6], TARGET)
    assert not fp.measure_convergence(*short).reached.any()
    stopped = fp.measure_convergence(*short, stopped=[True, False])
    np.testing.assert_array_equal(stopped.convergence_steps, [[20, 50], [np.inf] * 2])
    np.testing.assert_array_equal(stopped.decided, [True, False])


def test_the_threshold_and_the_frequencies_are_those_asked_for():
    found = fp.measure_convergence(RECORDS, OUTPUTS, TARGET, bins=[3], threshold=0.05)
    assert found.threshold == 0.05
    np.testing.assert_array_equal(found.bins, [3])
    np.testing.assert_array_equal(found.convergence_steps, [[90], [30]])


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"outputs": TARGET}, r"outputs has shape \(32,\); it must be \(R, N\) or \(R, S, N\)"),
        ({"outputs": OUTPUTS[None, None]}, r"\(1, 1, 20, 2, 32\); it must be \(R, N\) or"),
        ({"outputs": OUTPUTS[..., 1:]}, r"outputs has shape \(20, 2, 31\); .* \(R, S, 32\)"),
        ({"outputs": OUTPUTS[1:]}, r"outputs has shape \(19, 2, 32\); .* R = 20 as in steps"),
        ({"target": 1.0}, r"target has shape \(\); it must be \(N,\) or \(S, N\)"),
        ({"target": OUTPUTS}, r"target has shape \(20, 2, 32\); it must be \(N,\) or \(S, N\)"),
        ({"target": OUTPUTS[:3, 0]}, r"target has shape \(3, 32\); .* S = 2 as in outputs"),
        ({"steps": RECORDS[::-1]}, "steps is .*; it must increase strictly"),
        ({"outputs": OUTPUTS * np.nan}, "outputs holds values that are not finite"),
        ({"outputs": "many"}, "outputs is no array of real numbers"),
        ({"bins": [2]}, "no peak at bin 2"),
        ({"bins": [17]}, "bin 17 is not in the spectrum"),
        ({"bins": []}, r"bins is \[\]; it must list frequency indices"),
        ({"threshold": 0}, "threshold is 0; it must be a positive number"),
        ({"stopped": [True]}, r"stopped has shape \(1,\) for errors of"),
    ],
)
def test_what_cannot_be_measured_is_named(changed, message):
    with pytest.raises(ValueError, match=message):
        fp.measure_convergence(
            **({"steps": RECORDS, "outputs": OUTPUTS, "target": TARGET} | changed)
        )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: fp.find_convergence_step([0, 1], np.ones(3), 0.1, num_records=1),
            r"errors has shape \(3,\); .* R = 2 as in steps",
        ),
        (lambda: fp.find_convergence_step([0], np.ones(1), 0.1, num_records=0), "at least 1"),
        (
            lambda: fp.find_convergence_step([0], np.ones((1, 2)), 0.1, stopped=np.array([True])),
            r"stopped has shape \(1,\)",
        ),
        (lambda: fp.convergence.is_increasing([1, 2]), r"values has shape \(2,\)"),
        (lambda: fp.compute_kendall_tau([[1], [2]]), r"values has shape \(2, 1\)"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_filter_errors_are_those_of_both_parts():
    rng = np.random.default_rng(6)
    inputs, target, outputs = rng.normal(size=(8, 3)), rng.normal(size=(8, 2)), np.zeros((3, 8, 2))
    low, high = fp.spectra.filter_low_high(inputs, target, 0.7)
    # Nothing learnt; the low part learnt; both overshot by a half.
    for place, learnt in enumerate((0 * low, target - high, 1.5 * target)):
        outputs[place] = learnt
    errors = fp.convergence.compute_filter_errors(inputs, outputs, target, 0.7)
    assert errors.shape == (3, 2)
    np.testing.assert_allclose(errors[[0, 2]], [[1, 1], [0.5, 0.5]])
    for part, error in enumerate(errors[1]):
        split = fp.spectra.filter_low_high(inputs, low, 0.7)[part]
        wanted = (low, high)[part]
        total, size = 0.0, 0.0
        for i in range(8):
            for j in range(2):
                total += (split[i, j] - wanted[i, j]) ** 2
                size += wanted[i, j] ** 2
        assert error == pytest.approx(np.sqrt(total / size))
    with pytest.raises(ValueError, match="an empty part with delta = 1e-09"):
        fp.convergence.compute_filter_errors(inputs, outputs, target, 1e-9)
