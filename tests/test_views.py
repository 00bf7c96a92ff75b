import numpy as np
import pytest

import fprin_utils as fp
from fprin_utils.play.views import view_curve, view_image

GRID = fp.make_grid(32)
TARGET = fp.make_sinusoids(GRID, [1, 5], [1.0, 0.5])


def test_a_curve_is_seen_by_its_spectrum_and_its_peaks():
    view = view_curve(GRID, TARGET)
    assert view.about["labels"] == ["1", "5"]
    outputs = np.stack([np.zeros(32), fp.make_sinusoids(GRID, [1, 5], [1.0, 0.25]), TARGET])
    np.testing.assert_allclose(
        view.compute_errors(outputs[:, None])[:, 0], [[1, 1], [0, 0.5], [0, 0]], atol=1e-12
    )
    amplitudes = view.compute_amplitudes(outputs)
    np.testing.assert_allclose(amplitudes[1, [0, 1, 5]], [0, 0.5, 0.125], atol=1e-12)
    assert amplitudes.shape == (3, len(view.about["frequencies"]))


def test_a_curve_may_be_drawn_at_further_points():
    fine = fp.make_grid(100)
    view = view_curve(GRID, TARGET, bins=[5], curve_inputs=fine)
    assert view.about["labels"] == ["5"]
    np.testing.assert_array_equal(view.curve_inputs, fine)


def test_an_image_is_seen_by_rings():
    x = 2 * np.pi * np.arange(16) / 16
    image = np.sin(x) + np.sin(3 * x)[:, None] + np.sin(6 * x) + 1.0
    view = view_image(image)
    assert view.about["labels"] == ["1 to 2", "2 to 4", "4 to 8"]
    np.testing.assert_allclose(view.about["frequencies"], range(1, 8))
    amplitudes = view.compute_amplitudes(image.reshape(1, -1))[0]
    # A unit sine has two coefficients of one half.
    np.testing.assert_allclose(amplitudes, [0.5**0.5, 0, 0.5**0.5, 0, 0, 0.5**0.5, 0], atol=1e-12)
    errors = view.compute_errors((image - np.sin(3 * x)[:, None]).reshape(1, -1))
    np.testing.assert_allclose(errors, [[0, 1, 0]], atol=1e-12)


def test_rings_above_nyquist_are_left_out():
    x = 2 * np.pi * np.arange(16) / 16
    view = view_image(np.sin(x) + np.sin(3 * x)[:, None], band_edges=[1, 2, 4, 16], threshold=0.3)
    assert (view.about["labels"], view.about["threshold"]) == (["1 to 2", "2 to 4"], 0.3)


def test_frequencies_without_a_target_are_refused_at_once():
    with pytest.raises(ValueError, match="no peak at bin 3"):
        view_curve(GRID, TARGET, bins=[1, 3])
