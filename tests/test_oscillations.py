import numpy as np
import pytest

import fprin_utils as fp


def test_values_are_taken_at_a_step_of_each_network():
    steps = np.array([0, 5, 9])
    values = np.arange(3 * 2 * 2, dtype=float).reshape(3, 2, 2)
    taken = fp.take_at_steps(steps, values, np.array([9.0, np.inf]))
    np.testing.assert_array_equal(taken, [[8, 9], [np.nan, np.nan]])


def test_an_error_rebound_is_the_largest_rise_after_convergence():
    steps = np.array([0, 1, 2, 3, 4])
    errors = np.array([[1.0, 0.1, 0.4, 0.05, 0.3], [0.0, 0.9, 0.5, 0.4, 0.2], [1, 1, 1, 1, 1]]).T
    rebounds = fp.compute_error_rebound(steps, errors, np.array([1, 3, np.inf]))
    np.testing.assert_allclose(rebounds, [0.3, 0.0, np.inf])


def test_oscillations_ignore_jitter_and_keep_the_largest_of_each():
    values = np.array([-1.0, -0.4, 0.03, -0.02, 0.3, 0.5, 0.2, -0.05, 0.2, -0.3, 0.01, 0.04])
    np.testing.assert_array_equal(fp.find_oscillations(values, 0.1), [-1.0, 0.5, -0.3])
    np.testing.assert_array_equal(fp.find_oscillations(values, 0.4), [-1.0, 0.5])
    assert fp.find_oscillations(np.zeros(4), 0.1).size == 0


def test_a_flip_is_where_a_line_becomes_negative_for_good():
    positions = np.array([0.0, 1.0, 3.0, 4.0])
    values = [
        [3, 1, -3, -1],  # a line from (1, 1) to (3, -3)
        [1, -1, 1, -1],  # twice: the last one counts
        [1, np.nan, -2, -9],  # as if the second value were not there
        [2, 1, 0, -1],  # zero is not negative yet
        [-1, -2, -1, -3],
        [-1, -1, -1, 0],
        [np.inf, np.inf, -1, -1],  # an infinite value draws the zero to its neighbour
        [1, 1, -np.inf, -1],
        [np.nan] * 4,
    ]
    expected = [1.5, 3.5, 1.0, 3.0, -np.inf, np.inf, 3.0, 1.0, np.nan]
    np.testing.assert_allclose(fp.oscillations.find_flip(positions, np.array(values)), expected)
    shaped = fp.oscillations.find_flip(positions, np.reshape(values[:6], (2, 3, 4)))
    np.testing.assert_allclose(shaped, np.reshape(expected[:6], (2, 3)))


@pytest.mark.parametrize(
    ("positions", "values", "message"),
    [
        ([0, 1], np.ones((2, 3)), "shape"),
        ([0, 1, 1], np.ones(3), "increase strictly"),
        ([], np.ones(0), "not empty"),
    ],
)
def test_a_flip_needs_a_position_for_each_value(positions, values, message):
    with pytest.raises(ValueError, match=message):
        fp.oscillations.find_flip(positions, values)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: fp.take_at_steps([0, 2], np.ones((2, 1)), np.array([1.0])), "recorded"),
        (lambda: fp.find_oscillations(np.zeros((2, 2)), 0.1), r"shape \(2, 2\)"),
        (lambda: fp.find_oscillations(np.zeros(2), 0.0), "dead_band is 0.0"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
