import numpy as np
import pytest
import skimage

import fprin_utils as fp
from fprin_utils.targets import SAMPLE_IMAGES


def test_periodic_grid_leaves_the_endpoint_out():
    grid = fp.make_grid(8, start=0.0, stop=8.0)
    np.testing.assert_array_equal(grid, np.arange(8))
    assert fp.make_grid(9, start=0.0, stop=8.0, endpoint=True)[-1] == 8.0


def test_sinusoids_are_the_sum_that_the_docstring_states():
    grid = np.array([0.0, 0.3, 2.0])
    values = fp.make_sinusoids(grid, [1, 4], [2.0, 0.5], [0.0, 1.0])
    np.testing.assert_allclose(values, 2 * np.sin(grid) + 0.5 * np.sin(4 * grid + 1), atol=1e-15)


def test_a_frequency_above_nyquist_is_refused_and_one_below_is_not():
    grid = fp.make_grid(61, start=-10, stop=10, endpoint=True)  # Nyquist frequency 3 pi
    for frequencies in ([30.0], [1.0, -9.5]):
        with pytest.raises(ValueError, match=r"frequencies are .* at most 9\.425, its Nyquist"):
            fp.make_sinusoids(grid, frequencies)
    np.testing.assert_array_equal(fp.make_sinusoids(grid, [9.4]), np.sin(9.4 * grid))
    periodic = fp.make_grid(64)
    np.testing.assert_allclose(fp.make_sinusoids(periodic, [32], None, [np.pi / 2])[:2], [1, -1])


def test_discretise_rounds_to_multiples_and_zero_changes_nothing():
    values = np.array([-2.9, -0.4, 0.9, 1.1, 3.2])
    np.testing.assert_array_equal(fp.discretise(values, 2.0), [-2.0, 0.0, 0.0, 2.0, 4.0])
    np.testing.assert_array_equal(fp.discretise(values, 0.0), values)


def test_random_values_depend_on_the_seed_alone():
    first = fp.make_random(1000, std=3.0, seed=5)
    np.testing.assert_array_equal(first, fp.make_random(1000, std=3.0, seed=5))
    assert not np.array_equal(first, fp.make_random(1000, std=3.0, seed=6))
    assert abs(first.std() - 3.0) < 0.3


def test_shipped_image_is_grey_square_and_in_range():
    image = fp.load_image("camera", size=24)
    assert image.shape == (24, 24)
    assert 0 <= image.min() < 0.2
    assert 0.7 < image.max() <= 1


@pytest.mark.parametrize("name", SAMPLE_IMAGES)
def test_each_sample_has_light_and_dark(name):
    image = fp.load_image(name, size=24)
    assert image.shape == (24, 24)
    assert 0 <= image.min() < image.max() <= 1


def test_own_colour_image_is_cut_to_its_central_square(tmp_path):
    path = tmp_path / "own.png"
    pixels = np.zeros((20, 40, 3), dtype=np.uint8)
    pixels[:, 10:30] = 255
    skimage.io.imsave(path, pixels, check_contrast=False)
    np.testing.assert_allclose(fp.load_image(path, size=20), np.ones((20, 20)), atol=1e-6)


def test_image_coordinates_run_row_by_row():
    coordinates = fp.make_image_coordinates(4)
    assert coordinates.shape == (16, 2)
    np.testing.assert_allclose(coordinates[1] - coordinates[0], [np.pi / 2, 0])
    np.testing.assert_allclose(coordinates[4] - coordinates[0], [0, np.pi / 2])


def test_shuffling_keeps_the_grey_values():
    image = fp.load_image(size=16)
    shuffled = fp.shuffle_pixels(image, seed=0)
    assert not np.array_equal(shuffled, image)
    np.testing.assert_array_equal(np.sort(shuffled.ravel()), np.sort(image.ravel()))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: fp.make_grid(1), "num_points is 1; it must be a whole number of at least 2"),
        (lambda: fp.make_grid(4, start=1.0, stop=1.0), r"interval \[1.0, 1.0\] is empty"),
        (lambda: fp.make_sinusoids(np.array([]), [1]), r"grid has shape \(0,\)"),
        (lambda: fp.make_sinusoids(np.zeros(3), []), "frequencies has shape .* not empty"),
        (
            lambda: fp.make_sinusoids(np.zeros(3), [1, 2], [1]),
            r"amplitudes has shape \(1,\); .* P = 2 as in frequencies",
        ),
        (
            lambda: fp.make_sinusoids(np.zeros(3), [1], None, [1, 2]),
            r"phases has shape \(2,\); it must be \(P,\), with P = 1",
        ),
        (lambda: fp.discretise(np.zeros(3), -1.0), "step_height is -1.0"),
        (lambda: fp.make_random(3, std=-1.0, seed=0), "std is -1.0"),
        (lambda: fp.load_image("nobody"), "source 'nobody' is neither a file nor one of camera"),
        (lambda: fp.load_image(size=1), "size is 1"),
        (lambda: fp.load_image(size=2.5), "size is 2.5"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
