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


def test_nonuniform_spectrum_is_the_sum_and_the_uniform_one_on_a_grid():
    grid = fp.make_grid(32)
    values = np.stack([np.cos(2 * grid), fp.make_random(32, seed=0)])
    spectrum = fp.compute_nonuniform_spectrum(grid - grid[0], values, np.arange(17))
    np.testing.assert_allclose(spectrum, fp.compute_spectrum(values), atol=1e-12)
    points, weights = np.array([0.1, 0.7, 2.0]), np.array([1.0, -2.0, 0.5])
    single = fp.compute_nonuniform_spectrum(points, weights, [3.0])
    expected = sum(w * np.exp(-3j * x) for x, w in zip(points, weights, strict=True)) / 3
    np.testing.assert_allclose(single, [expected], atol=1e-15)


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


def test_convergence_steps_of_a_touch_a_stay_and_a_never():
    steps = np.array([0, 10, 20, 30, 40, 50])
    errors = np.array(
        [[1, 0.1, 1, 0.1, 0.1, 0.1], [1, 1, 1, 1, 0.1, 0.1], [1, 1, 1, 1, 1, 1]], dtype=float
    ).T
    np.testing.assert_array_equal(fp.find_first_step_below(steps, errors, 0.2), [10, 40, np.inf])
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
    # What was fast at first and slow later is continued as it is late.
    assert fp.estimate_steps_needed(STEPS, np.minimum(decays[:, 0], 0.5 * decays[:, 0]), 0.01) in (
        *range(3900, 4100),
    )


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


def test_values_are_taken_at_a_step_of_each_network():
    steps = np.array([0, 5, 9])
    values = np.arange(3 * 2 * 2, dtype=float).reshape(3, 2, 2)
    taken = fp.take_at_steps(steps, values, np.array([9.0, np.inf]))
    np.testing.assert_array_equal(taken, [[8, 9], [np.nan, np.nan]])


def test_relapse_is_the_largest_rise_after_convergence():
    steps = np.array([0, 1, 2, 3, 4])
    errors = np.array([[1.0, 0.1, 0.4, 0.05, 0.3], [0.0, 0.9, 0.5, 0.4, 0.2], [1, 1, 1, 1, 1]]).T
    relapse = fp.compute_relapse(steps, errors, np.array([1, 3, np.inf]))
    np.testing.assert_allclose(relapse, [0.3, 0.0, np.inf])


def test_excursions_ignore_jitter_and_keep_the_largest_of_each():
    values = np.array([-1.0, -0.4, 0.03, -0.02, 0.3, 0.5, 0.2, -0.05, 0.2, -0.3, 0.01, 0.04])
    np.testing.assert_array_equal(fp.find_excursions(values, 0.1), [-1.0, 0.5, -0.3])
    np.testing.assert_array_equal(fp.find_excursions(values, 0.4), [-1.0, 0.5])
    assert fp.find_excursions(np.zeros(4), 0.1).size == 0


def test_radial_bands_take_a_wave_to_its_ring():
    vertical, horizontal = np.meshgrid(fp.make_grid(16), fp.make_grid(16), indexing="ij")
    image = np.sin(3 * horizontal) + 2 * np.cos(3 * horizontal + 4 * vertical)
    rings = fp.compute_radial_bands(image, [2, 4, 6])
    np.testing.assert_allclose(np.sum(np.abs(rings) ** 2, axis=(1, 2)), [0.5, 2.0], atol=1e-12)
    on_edges = fp.compute_radial_bands(image, [3, 5, 6])
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
    spectrum = np.abs(fp.compute_spectrum(fp.taper(5 + np.sin(6 * grid))))
    np.testing.assert_allclose(spectrum[[5, 6, 7]], [0.25, 0.5, 0.25], atol=1e-12)
    np.testing.assert_allclose(np.delete(spectrum, [5, 6, 7]), 0, atol=1e-12)
    assert fp.compute_energy_above(grid, 20) > 0.02
    assert fp.compute_energy_above(fp.taper(grid), 20) < 1e-5


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: fp.compute_spectrum([]), r"values has shape \(0,\); .* not empty"),
        (
            lambda: fp.compute_nonuniform_spectrum([0, 1], [1, 2, 3], [1]),
            r"values has shape \(3,\); .* N = 2 as in inputs",
        ),
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
        (lambda: fp.check_bins(np.ones((2, 3)), [1]), r"target_spectrum has shape \(2, 3\)"),
        (lambda: fp.compute_signed_deviation(np.ones(5), np.eye(5)[1], [2]), "no peak at bin 2"),
        (
            lambda: fp.find_first_step_below([0, 1], np.ones(3), 0.1),
            r"errors has shape \(3,\); .* R = 2 as in steps",
        ),
        (lambda: fp.find_convergence_step([0], np.ones(1), 0.1, num_records=0), "at least 1"),
        (
            lambda: fp.find_convergence_step([0], np.ones((1, 2)), 0.1, stopped=np.array([True])),
            r"stopped has shape \(1,\)",
        ),
        (lambda: fp.take_at_steps([0, 2], np.ones((2, 1)), np.array([1.0])), "recorded"),
        (lambda: fp.compute_radial_bands(np.ones((3, 4)), [0, 1]), r"images has shape \(3, 4\)"),
        (lambda: fp.compute_radial_bands(np.ones((4, 4)), [50, 60]), "ring without frequencies"),
        (lambda: fp.compute_band_errors(np.ones((4, 4)), np.zeros((4, 4)), [1, 3]), "empty ring"),
        (lambda: fp.compute_energy_above(np.arange(8), 5), "cut is 5; it must be from 0 to 4"),
        (lambda: fp.compute_energy_above(np.full(41, 0.1), 2), "constant"),
        (lambda: fp.compute_band_errors(np.ones((7, 7)), np.full((7, 7), 0.1), [1, 3]), "empty"),
        (lambda: fp.compute_learnt_shares(np.ones(8), np.arange(8), [1, 7]), "end at 5 at most"),
        (lambda: fp.compute_learnt_shares(np.ones(8), np.arange(8), [3, 3]), "increase strictly"),
        (lambda: fp.compute_learnt_shares(np.ones(8), np.ones(8), [1, 3]), "nothing in a band"),
        (lambda: fp.find_excursions(np.zeros((2, 2)), 0.1), r"shape \(2, 2\)"),
        (lambda: fp.find_excursions(np.zeros(2), 0.0), "dead_band is 0.0"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


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
    np.testing.assert_allclose(fp.find_flip(positions, np.array(values)), expected)
    shaped = fp.find_flip(positions, np.reshape(values[:6], (2, 3, 4)))
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
        fp.find_flip(positions, values)
