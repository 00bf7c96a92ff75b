import numpy as np
import pytest

import fprin_utils as fp


@pytest.mark.parametrize("num_points", [64, 65])
@pytest.mark.parametrize("k", [1, 5, 20])
def test_spectrum_of_a_sine_is_one_half_in_its_bin(num_points, k):
    grid = fp.make_grid(num_points)
    spectrum = fp.compute_spectrum(3 * np.sin(k * grid) + 2)
    expected = np.zeros(num_points // 2 + 1, dtype=complex)
    # The grid starts at -pi, which turns the phase of bin k by (-1)^k.
    expected[0], expected[k] = 2, -1.5j * (-1) ** k
    np.testing.assert_allclose(spectrum, expected, atol=1e-12)


def test_an_endpoint_in_the_grid_leaks_as_in_the_published_scripts():
    grid = fp.make_grid(201, endpoint=True)
    spectrum = fp.compute_spectrum(fp.make_sinusoids(grid, [1, 3, 5]))
    np.testing.assert_allclose(np.abs(spectrum[[1, 3, 5]]), [0.502, 0.501, 0.492], atol=1e-3)


def test_peaks_of_the_public_setting():
    grid = fp.make_grid(61, start=-10.0, stop=10.0, endpoint=True)
    spectrum = fp.compute_spectrum(fp.make_sinusoids(grid, [1, 4]))
    np.testing.assert_array_equal(fp.find_peaks(spectrum), [3, 13])
    np.testing.assert_array_equal(fp.find_peaks(spectrum, num_peaks=1), [13])


def test_a_large_mean_hides_no_peak_and_the_last_bin_can_be_one():
    grid = fp.make_grid(16)
    values = 5 + np.sin(grid) + np.cos(8 * grid)
    np.testing.assert_array_equal(fp.find_peaks(fp.compute_spectrum(values)), [1, 8])


def test_each_network_may_have_a_target_of_its_own():
    rng = np.random.default_rng(0)
    learnt, targets = rng.normal(size=(4, 3, 9)), rng.normal(size=(3, 9))
    for compute in (fp.compute_relative_error, fp.compute_signed_deviation):
        found = compute(learnt, targets, [2, 5])
        for network in range(3):
            alone = compute(learnt[:, network], targets[network], [2, 5])
            np.testing.assert_array_equal(found[:, network], alone)
    targets[1, 5] = 0
    with pytest.raises(ValueError, match="no peak at bin 5"):
        fp.compute_relative_error(learnt, targets, [2, 5])


def test_relative_error_sees_a_wrong_phase_unless_told_not_to():
    grid = fp.make_grid(40)
    target = fp.compute_spectrum(np.sin(3 * grid))
    shifted = fp.compute_spectrum(np.sin(3 * grid + np.pi))
    assert fp.compute_relative_error(shifted, target, [3]) == pytest.approx([2.0])
    assert fp.compute_relative_error(shifted, target, [3], phase=False) == pytest.approx([0.0])
    assert fp.compute_relative_error(0.75 * target, target, [3]) == pytest.approx([0.25])


def test_signed_deviation_is_the_part_in_phase():
    grid = fp.make_grid(40)
    target = fp.compute_spectrum(2 * np.sin(3 * grid))
    outputs = np.stack([0 * grid, 3 * np.sin(3 * grid), 2 * np.sin(3 * grid) + np.cos(3 * grid)])
    deviations = fp.compute_signed_deviation(fp.compute_spectrum(outputs), target, [3])
    np.testing.assert_allclose(deviations[:, 0], [-1.0, 0.5, 0.0], atol=1e-12)


def test_radial_bands_take_a_wave_to_its_ring():
    vertical, horizontal = np.meshgrid(fp.make_grid(16), fp.make_grid(16), indexing="ij")
    image = np.sin(3 * horizontal) + 2 * np.cos(3 * horizontal + 4 * vertical)
    rings = fp.spectra.compute_radial_bands(image, [2, 4, 6])
    np.testing.assert_allclose(np.sum(np.abs(rings) ** 2, axis=(1, 2)), [0.5, 2.0], atol=1e-12)
    on_edges = fp.spectra.compute_radial_bands(image, [3, 5, 6])
    np.testing.assert_allclose(np.sum(np.abs(on_edges) ** 2, axis=(1, 2)), [0.5, 2], atol=1e-12)


def test_band_errors_are_relative_and_separate():
    vertical, horizontal = np.meshgrid(fp.make_grid(16), fp.make_grid(16), indexing="ij")
    low, high = np.sin(horizontal), np.sin(5 * vertical)
    learnt = np.stack([0 * low, low, low + 0.5 * high])
    errors = fp.compute_band_errors(learnt, low + high, [1, 3, 7])
    np.testing.assert_allclose(errors, [[1, 1], [0, 1], [0, 0.5]], atol=1e-12)
    targets = np.stack([low + high, low + high, 2 * low + high])
    own = fp.compute_band_errors(np.stack([learnt, learnt]), targets, [1, 3, 7])
    np.testing.assert_allclose(own[1], [[1, 1], [0, 1], [0.5, 0.5]], atol=1e-12)


@pytest.mark.parametrize("num_points", [30, 31])
def test_energy_shares_agree_with_parseval(num_points):
    values = fp.make_random(num_points, seed=1)
    centred = values - values.mean()
    spectrum = np.fft.fft(centred)
    frequencies = np.abs(np.fft.fftfreq(num_points, 1 / num_points))
    for cut in (0, 4, num_points // 2):
        kept = np.fft.ifft(np.where(frequencies > cut, spectrum, 0))
        expected = np.square(np.abs(kept)).sum() / np.square(centred).sum()
        assert fp.compute_energy_above(values, cut) == pytest.approx(expected, abs=1e-12)


def test_learnt_shares_tell_how_much_of_a_component_is_there():
    grid = fp.make_grid(24)
    low, high = np.sin(2 * grid + 0.3), np.cos(7 * grid)
    values = np.stack([low + high, 0.5 * low, -high, np.cos(2 * grid + 0.3)])
    shares = fp.compute_learnt_shares(values, low + high, [1, 4, 8])
    np.testing.assert_allclose(shares, [[1, 1], [0.5, 0], [0, -1], [0, 0]], atol=1e-12)
    each = fp.compute_learnt_shares(values, np.stack([low + high, low + 2 * high] * 2), [1, 4, 8])
    np.testing.assert_allclose(each, [[1, 1], [0.5, 0], [0, -1], [0, 0]], atol=1e-12)


def test_a_band_of_learnt_shares_goes_up_to_but_without_its_upper_edge():
    grid = fp.make_grid(24)
    waves = {k: np.cos(k * grid) for k in (1, 2, 3, 4, 7, 8)}
    component = sum(waves.values())
    shares = {k: fp.compute_learnt_shares(waves[k], component, [1, 4, 8]) for k in waves}
    third = pytest.approx([1 / 3, 0], abs=1e-12)
    half = pytest.approx([0, 1 / 2], abs=1e-12)
    none = pytest.approx([0, 0], abs=1e-12)
    assert shares == {1: third, 2: third, 3: third, 4: half, 7: half, 8: none}


def test_taper_keeps_an_amplitude_and_removes_the_leak_of_a_jump():
    grid = fp.make_grid(128)
    spectrum = np.abs(fp.compute_spectrum(fp.spectra.taper(5 + np.sin(6 * grid))))
    np.testing.assert_allclose(spectrum[[5, 6, 7]], [0.25, 0.5, 0.25], atol=1e-12)
    np.testing.assert_allclose(np.delete(spectrum, [5, 6, 7]), 0, atol=1e-12)
    assert fp.compute_energy_above(grid, 20) > 0.02
    assert fp.compute_energy_above(fp.spectra.taper(grid), 20) < 1e-5


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: fp.compute_spectrum([]), r"values has shape \(0,\); .* not empty"),
        (lambda: fp.find_peaks(np.zeros(10)), "0 local maxima"),
        (
            lambda: fp.find_peaks(np.array([0, 1, 0, 1, 0]), num_peaks=3),
            "num_peaks is 3, but the spectrum has 2",
        ),
        (lambda: fp.find_peaks(np.zeros((3, 3))), r"spectrum has shape \(3, 3\)"),
        (lambda: fp.compute_relative_error(np.ones(5), np.ones(5), [5]), "bin 5 is not in the"),
        (lambda: fp.compute_relative_error(np.ones(5), np.eye(5)[1], [2]), "no peak at bin 2"),
        (
            lambda: fp.compute_relative_error(np.ones(4), np.ones(5), [1]),
            r"spectrum has shape \(4,\); .* K = 5 as in target_spectrum",
        ),
        (lambda: fp.compute_relative_error(np.ones(5), np.ones(5), [1.9]), "a bin is 1.9"),
        (lambda: fp.compute_relative_error(np.ones(5), np.ones(5), [-1]), "a bin is -1"),
        (
            lambda: fp.spectra.check_bins(np.ones((2, 3)), [1]),
            r"target_spectrum has shape \(2, 3\)",
        ),
        (lambda: fp.compute_signed_deviation(np.ones(5), np.eye(5)[1], [2]), "no peak at bin 2"),
        (
            lambda: fp.spectra.compute_radial_bands(np.ones((3, 4)), [0, 1]),
            r"images has shape \(3, 4\)",
        ),
        (
            lambda: fp.spectra.compute_radial_bands(np.ones((4, 4)), [50, 60]),
            "ring without frequencies",
        ),
        (lambda: fp.compute_band_errors(np.ones((4, 4)), np.zeros((4, 4)), [1, 3]), "empty ring"),
        (lambda: fp.compute_energy_above(np.arange(8), 5), "cut is 5; it must be from 0 to 4"),
        (lambda: fp.compute_energy_above(np.full(41, 0.1), 2), "constant"),
        (lambda: fp.compute_band_errors(np.ones((7, 7)), np.full((7, 7), 0.1), [1, 3]), "empty"),
        (lambda: fp.compute_learnt_shares(np.ones(8), np.arange(8), [1, 7]), "end at 5 at most"),
        (lambda: fp.compute_learnt_shares(np.ones(8), np.arange(8), [3, 3]), "increase strictly"),
        (lambda: fp.compute_learnt_shares(np.ones(8), np.ones(8), [1, 3]), "nothing in a band"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def filter_in_loops(inputs, values, delta):
    """Return the low part point by point, in the words of arXiv 1901.06523."""
    low = np.zeros_like(values)
    for i, here in enumerate(inputs):
        total = 0.0
        for j, there in enumerate(inputs):
            weight = np.exp(-np.sum((here - there) ** 2) / (2 * delta))
            total += weight
            low[i] += weight * values[j]
        low[i] /= total
    return low


@pytest.mark.parametrize("delta", [0.1, 1.0, 30.0])
def test_the_filter_is_a_gaussian_mean_over_all_points(delta):
    rng = np.random.default_rng(3)
    inputs, values = rng.normal(size=(7, 4)), rng.normal(size=(2, 7, 3))
    low, high = fp.spectra.filter_low_high(inputs, values, delta)
    for each, parts in zip(values, zip(low, high, strict=True), strict=True):
        expected = filter_in_loops(inputs, each, delta)
        np.testing.assert_allclose(parts[0], expected, rtol=1e-12)
        np.testing.assert_allclose(parts[1], each - expected, rtol=1e-10, atol=1e-12)


def test_the_filter_leaves_all_or_the_mean_at_its_ends():
    rng = np.random.default_rng(4)
    inputs, values = rng.normal(size=(9, 5)), rng.normal(size=(9, 2))
    np.testing.assert_allclose(fp.spectra.filter_low_high(inputs, values, 1e-300)[0], values)
    low = fp.spectra.filter_low_high(inputs, values, 1e12)[0]
    np.testing.assert_allclose(low, np.broadcast_to(values.mean(axis=0), low.shape), atol=1e-9)


def test_the_projection_is_the_transform_along_the_first_principal_component():
    rng = np.random.default_rng(5)
    inputs = rng.normal(size=(30, 3)) * [1, 5, 0.5] + [2, -1, 0]
    values, frequencies = rng.normal(size=(4, 30)), [0.0, 0.3, 1.7]
    covariance = np.cov(inputs.T)
    direction = np.linalg.eigh(covariance)[1][:, -1]
    expected = np.zeros((4, 3), dtype=complex)
    for place, k in enumerate(frequencies):
        for point, y in zip(inputs, values.T, strict=True):
            expected[:, place] += y * np.exp(-2j * np.pi * k * (direction @ point)) / 30
    found = fp.spectra.project(inputs, values, frequencies)
    # A direction has no sign; the other one conjugates the transform of real values.
    turned = expected if np.allclose(found, expected) else expected.conj()
    np.testing.assert_allclose(found, turned, rtol=1e-10)
    with pytest.raises(ValueError, match="all the same point"):
        fp.spectra.project(np.full((3, 2), 0.1), np.ones(3), [1.0])
