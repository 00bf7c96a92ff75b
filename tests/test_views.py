import numpy as np
import pytest

import fprin_utils as fp
from fprin_utils.play.views import describe_order, view_curve, view_image

GRID = fp.make_grid(32)
TARGET = fp.make_sinusoids(GRID, [1, 5], [1.0, 0.5])


def test_a_curve_is_seen_by_its_spectrum_and_its_peaks():
    view = view_curve(GRID, TARGET)
    assert view.labels == ["1", "5"]
    outputs = np.stack([np.zeros(32), fp.make_sinusoids(GRID, [1, 5], [1.0, 0.25]), TARGET])
    np.testing.assert_allclose(view.compute_errors(outputs), [[1, 1], [0, 0.5], [0, 0]], atol=1e-12)
    amplitudes = view.compute_amplitudes(outputs)
    np.testing.assert_allclose(amplitudes[1, [0, 1, 5]], [0, 0.5, 0.125], atol=1e-12)
    assert amplitudes.shape == (3, len(view.frequencies))


def test_a_curve_may_be_drawn_at_further_points():
    fine = fp.make_grid(100)
    view = view_curve(GRID, TARGET, bins=[5], curves={"fine": fine})
    assert (view.curves, view.labels) == ("fine", ["5"])
    assert view.curve_inputs is fine


def test_an_image_is_seen_by_rings():
    x = 2 * np.pi * np.arange(16) / 16
    image = np.sin(x) + np.sin(3 * x)[:, None] + np.sin(6 * x) + 1.0
    view = view_image(image)
    assert view.labels == ["1 to 2", "2 to 4", "4 to 8"]
    np.testing.assert_allclose(view.frequencies, range(1, 8))
    amplitudes = view.compute_amplitudes(image.reshape(1, -1))[0]
    # A unit sine has two coefficients of one half.
    np.testing.assert_allclose(amplitudes, [0.5**0.5, 0, 0.5**0.5, 0, 0, 0.5**0.5, 0], atol=1e-12)
    errors = view.compute_errors((image - np.sin(3 * x)[:, None]).reshape(1, -1))
    np.testing.assert_allclose(errors, [[0, 1, 0]], atol=1e-12)


@pytest.mark.parametrize(
    ("errors", "told"),
    [
        (
            [[[1, 1], [1, 1]], [[0.1, 1], [0.1, 1]], [[0.1, 0.1], [0.1, 0.1]]],
            "Low before high in 2 of 2 seeds; frequencies 1, 5 are learnt at steps 10, 100",
        ),
        (
            [[[1, 1], [1, 1]], [[0.1, 1], [1, 0.1]], [[0.1, 0.1], [0.1, 0.1]]],
            "Low before high in 1 of 2 seeds",
        ),
        (
            [[[1, 1], [1, 1]], [[0.1, 1], [0.1, 1]], [[0.1, 1], [0.1, 0.1]]],
            "Learnt in all seeds: 1. Not yet learnt in all seeds: 5.",
        ),
        ([[[1, 1]]] * 3, "Not yet learnt in all seeds: 1, 5."),
    ],
)
def test_the_order_is_told_in_a_sentence(errors, told):
    view = view_curve(GRID, TARGET)
    assert describe_order(view, np.array([0, 10, 100]), np.array(errors)).startswith(told)


def test_the_order_of_one_frequency_is_when_it_is_learnt():
    view = view_curve(GRID, TARGET, bins=[1])
    steps, errors = np.array([0, 10]), np.array([[[1.0]], [[0.1]]])
    one = "Frequency 1 is learnt in 1 of 1 seeds, at step 10 (median)."
    assert describe_order(view, steps, errors) == one
    assert describe_order(view, steps, errors + 1) == "Frequency 1 is not learnt yet."
    late = np.concatenate([errors, errors, errors, np.ones_like(errors)], axis=1)
    assert describe_order(view, steps, late).startswith("Frequency 1 is learnt in 3 of 4 seeds")
    lost = np.concatenate([errors, errors[:1]])
    told = describe_order(view, np.array([0, 10, 20]), lost)
    assert told == f"{one} Above the threshold again: 1."


@pytest.mark.parametrize(
    ("order", "told"),
    [
        ([1, 2, 3, 4, 5, 6, 7], "1.00 (low before high)"),
        ([7, 6, 5, 4, 3, 2, 1], "-1.00 (high before low)"),
        ([4, 1, 6, 3, 7, 2, 5], "0.14 (hardly any order)"),
    ],
)
def test_the_order_of_many_frequencies_is_a_coefficient(order, told):
    target = fp.make_random(16, seed=0)
    view = view_curve(fp.make_grid(16), target, bins=range(1, 8))
    steps = np.arange(9)
    errors = np.where(steps[:, None, None] >= np.array(order), 0.1, 1.0)
    sentence = describe_order(view, steps, errors)
    assert sentence.startswith("100% of the frequencies are learnt.")
    assert told in sentence
    few = np.where(np.arange(7) < 3, errors, 1.0)
    told = "43% of the frequencies are learnt; too few to tell an order."
    assert describe_order(view, steps, few) == told


def test_what_is_lost_again_is_told():
    view = view_curve(GRID, TARGET)
    errors = np.array([[[1.0, 1.0]], [[0.1, 0.1]], [[0.1, 0.9]]])
    told = describe_order(view, np.array([0, 10, 100]), errors)
    assert told.endswith("(medians). Above the threshold again: 5.")
    errors = np.array([[[1.0, 1.0]], [[0.1, 1.0]], [[0.9, 1.0]]])
    told = describe_order(view, np.array([0, 10, 100]), errors)
    assert told.endswith("Not yet learnt in all seeds: 5. Above the threshold again: 1.")


def test_what_many_frequencies_lose_again_is_told():
    view = view_curve(fp.make_grid(16), fp.make_random(16, seed=0), bins=range(1, 8))
    errors = np.full((3, 1, 7), 0.1)
    errors[0] = 1
    errors[2, :, :2] = 1
    told = describe_order(view, np.array([0, 10, 20]), errors)
    now = "100% of the frequencies are learnt, of which some are above the threshold again: 71% are"
    assert told.startswith(f"{now} below it. Kendall's tau")


def test_the_order_is_told_by_medians_over_the_seeds():
    steps, shape = np.array([0, 10, 100, 1000]), (4, 3, 2)
    first = np.array([[10, 100], [10, 1000], [1000, 1000]])
    errors = np.where(steps[:, None, None] >= first, 0.1, 1.0)
    view = view_curve(GRID, TARGET)
    told = describe_order(view, steps, errors)
    assert "are learnt at steps 10, 1,000 (medians)." in told
    assert describe_order(view_curve(GRID, TARGET, bins=[1]), steps, errors[..., :1]) == (
        "Frequency 1 is learnt in 3 of 3 seeds, at step 10 (median)."
    )
    # At the end most seeds have lost the one, and the mean error alone the other.
    errors = np.full(shape, 0.1)
    errors[-1] = [[0.21, 0.1], [0.21, 0.1], [0.0, 5.0]]
    assert describe_order(view, steps, errors).endswith("(medians). Above the threshold again: 1.")


def test_the_order_of_many_frequencies_is_the_median_of_the_seeds():
    view = view_curve(fp.make_grid(16), fp.make_random(16, seed=0), bins=range(1, 8))
    order = np.arange(1, 8)
    steps = np.arange(9)
    errors = np.where(steps[:, None, None] >= np.stack([order, order, order[::-1]]), 0.1, 1.0)
    assert "median of the seeds: 1.00 (low before high)" in describe_order(view, steps, errors)


def test_rings_are_called_rings():
    x = 2 * np.pi * np.arange(16) / 16
    view = view_image(np.sin(x) + np.sin(3 * x)[:, None], band_edges=[1, 2, 4, 16], threshold=0.3)
    assert (view.labels, view.threshold) == (["1 to 2", "2 to 4"], 0.3)
    errors = np.array([[[1.0, 1.0]], [[0.1, 0.1]]])
    told = describe_order(view, np.array([0, 10]), errors)
    assert "rings 1 to 2, 2 to 4 are learnt at steps 10, 10" in told


def test_frequencies_without_a_target_are_refused_at_once():
    with pytest.raises(ValueError, match="no peak at bin 3"):
        view_curve(GRID, TARGET, bins=[1, 3])
