import numpy as np
import pytest
import scipy.integrate
import torch

from fprin_utils import theory

ACTIVATIONS = sorted(theory.DECAY_RATES)


def draw_neurons(*shape, seed=0):
    rng = np.random.default_rng(seed)
    w = rng.uniform(0.7, 2, shape) * rng.choice([-1, 1], shape)
    return np.stack([rng.normal(size=shape), w, rng.normal(size=shape)], axis=-1)


def integrate_transform(a, w, b, k, activation):
    """h^ from the integral of h', which vanishes at the ends: h^ = (h')^ / (i k)."""

    def slope(x):
        u = w * x + b
        return a * w * ((np.cosh(u / 2) * 2) ** -2 if activation == "sigmoid" else np.cosh(u) ** -2)

    ends = -60 / abs(w) - b / w, 60 / abs(w) - b / w
    real, imaginary = (
        scipy.integrate.quad(slope, *ends, weight=wave, wvar=k, epsabs=1e-13, limit=400)[0]
        for wave in ("cos", "sin")
    )
    return (real - 1j * imaginary) / (1j * k)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("k", [-2.5, 0.5, 1.0, 3.0])
@pytest.mark.parametrize("w", [-1.3, 0.9])
def test_the_transform_of_a_neuron_is_its_integral(activation, k, w):
    a, b = -0.7, 0.4
    expected = integrate_transform(a, w, b, k, activation)
    logs = theory.compute_log_transforms([[a, w, b]], [k], activation)
    np.testing.assert_allclose(np.exp(logs), [[expected]], rtol=1e-7)


def test_the_transform_of_a_network_is_the_sum_and_agrees_with_published_numbers():
    neurons = np.array([[0.7, 1.3, 0.4], [0.2, -2.0, 0.1]])
    parts = np.exp(theory.compute_log_transforms(neurons, [1.0, 2.0]))
    np.testing.assert_allclose(theory.compute_transform(neurons, [1.0, 2.0]), parts.sum(axis=1))
    # The printed form: 2 pi i a / |w| exp(i b k / w) / (exp(-pi k / 2 w) - exp(pi k / 2 w)).
    a, w, b = neurons.T
    x = np.pi / (2 * w)
    printed = 2j * np.pi * a / np.abs(w) * np.exp(1j * b / w) / (np.exp(-x) - np.exp(x))
    np.testing.assert_allclose(parts[0], printed)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_the_transform_decays_at_its_rate_even_where_floats_underflow(activation):
    neurons, k = [[1.0, 1e-3, 0.0]], np.array([1.0, 2.0, 5.0])
    logs = theory.compute_log_transforms(neurons, k, activation)[:, 0]
    rate = theory.DECAY_RATES[activation]
    np.testing.assert_allclose(np.diff(logs.real), -rate * 1000 * np.diff(k), rtol=1e-12)
    assert (np.exp(logs) == 0).all()


def test_negative_frequencies_give_the_conjugate():
    neurons = draw_neurons(2, 3)
    forth, back = (
        theory.compute_transform(neurons, [0.5, 2]),
        theory.compute_transform(neurons, [-0.5, -2]),
    )
    np.testing.assert_allclose(back, forth.conj(), rtol=1e-12)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_gradients_are_those_of_the_loss_at_each_frequency(activation):
    neurons, k = draw_neurons(2, 3), np.array([-1.0, 0.5, 2.0])
    target = np.array([1 + 1j, -0.5, 0.2j])
    signs, sizes = theory.compute_log_gradients(neurons, k, target, activation)

    def compute_losses(moved):
        return np.abs(theory.compute_transform(moved, k, activation) - target) ** 2 / 2

    step = 1e-5
    for index in np.ndindex(3, 3):
        move = np.zeros((3, 3))
        move[index] = step
        slopes = (compute_losses(neurons + move) - compute_losses(neurons - move)) / (2 * step)
        gradients = (signs * np.exp(sizes))[:, :, index[0], index[1]]
        np.testing.assert_allclose(gradients, slopes, rtol=1e-6, atol=1e-9)


def test_gradients_are_those_of_torch_on_a_measured_transform():
    neurons, k, target = draw_neurons(4), np.array([1.0, 3.0]), np.array([0.3, 1j])
    grid = np.arange(-400, 401) * 0.1
    kernel = torch.as_tensor(theory.make_transform_kernel(grid, k))
    a, w, b = (torch.tensor(column, requires_grad=True) for column in neurons.T)
    outputs = torch.sigmoid(torch.as_tensor(grid)[:, None] * w + b) @ a
    losses = (kernel @ outputs.to(torch.complex128) - torch.as_tensor(target)).abs() ** 2 / 2
    signs, sizes = theory.compute_log_gradients(neurons, k, target, "sigmoid")
    for index, loss in enumerate(losses):
        expected = torch.stack(torch.autograd.grad(loss, (a, w, b), retain_graph=True), dim=-1)
        np.testing.assert_allclose(signs[index] * np.exp(sizes[index]), expected, rtol=1e-6)


def test_gradients_that_underflow_are_still_compared():
    neurons = np.array([[0.7, 1e-4, 3e-4], [1e-3, -2e-3, 1e-3]])
    _, sizes = theory.compute_log_gradients(neurons, [1, 2], np.array([1, 1e6j]))
    assert np.isfinite(sizes).all()
    assert (sizes < -700).all()
    assert theory.is_low_first(neurons, [1, 2], np.array([1, 1e6j]))
    assert not theory.is_low_first(neurons, [2, 1], np.array([1, 1e6j]))
    assert theory.is_low_first(np.stack([neurons, neurons]), [1, 2], np.array([1, 1j])).shape == (
        2,
    )


def test_one_parameter_is_enough_to_end_the_priority():
    calm, steep = [0.1, 0.5, 0.2], [0.1, 50.0, 0.2]
    target = np.array([1, 20j])
    assert theory.is_low_first([calm], [1, 4], target)
    assert not theory.is_low_first([calm, steep], [1, 4], target)


def test_an_amplitude_of_zero_and_an_error_of_zero_have_no_gradient():
    neurons = np.array([[0.0, 1.0, 0.5]])
    _, sizes = theory.compute_log_gradients(neurons, [1], np.array([1.0]))
    np.testing.assert_array_equal(np.isneginf(sizes), [[[False, True, True]]])
    _, sizes = theory.compute_log_gradients(neurons, [1], np.array([0.0]))
    assert np.isneginf(sizes).all()


def test_the_border_is_where_the_exponential_factors_are_equal():
    ratios = np.array([0.5, 1.0, 2.0, 100.0])
    borders = theory.compute_priority_border([1, 4], ratios)
    np.testing.assert_array_equal(borders[:2], np.inf)
    at_low, at_high = (np.exp(-np.pi * k / (2 * borders[2:])) for k in (1, 4))
    np.testing.assert_allclose(at_low, ratios[2:] * at_high)
    sigmoid = theory.compute_priority_border([1, 4], ratios, "sigmoid")
    np.testing.assert_allclose(sigmoid, 2 * borders)


def test_the_ball_is_filled_uniformly():
    weights = theory.sample_ball(20_000, 2, 3.0, seed=1)
    assert weights.shape == (20_000, 2, 3)
    distances = np.linalg.norm(weights, axis=(1, 2))
    assert distances.max() <= 3
    # In six dimensions half of the volume lies within 2^(-1/6) of the radius.
    assert np.mean(distances < 3 * 0.5 ** (1 / 6)) == pytest.approx(0.5, abs=0.015)
    # A coordinate of a uniform ball has the variance radius^2 / (dimension + 2).
    np.testing.assert_allclose(weights.var(axis=0), 9 / 8, rtol=0.05)
    np.testing.assert_allclose(weights.mean(axis=0), 0, atol=0.04)
    np.testing.assert_array_equal(theory.sample_ball(3, 2, 3.0, seed=[1, 2]).shape, (3, 2, 3))
    assert (theory.sample_ball(3, 2, 1, seed=0) != theory.sample_ball(3, 2, 1, seed=1)).all()


def test_the_fit_finds_the_law_that_made_the_counts():
    radii = np.linspace(0.4, 2, 9)
    trials = np.full(9, 200_000)
    failures = np.random.default_rng(0).binomial(trials, 0.8 * np.exp(-1.7 / radii))
    fit = theory.fit_approach(radii, trials - failures, trials)
    assert fit.prefactor == pytest.approx(0.8, rel=0.03)
    assert fit.rate == pytest.approx(1.7, rel=0.03)
    assert fit.degrees == 7
    assert fit.deviance < 20
    np.testing.assert_allclose(fit(radii), 1 - 0.8 * np.exp(-1.7 / radii), atol=0.01)


def test_the_fit_uses_radii_without_failures_and_sees_a_wrong_law():
    radii, trials = np.array([0.1, 1.0, 2.0]), np.full(3, 10_000)
    fit = theory.fit_approach(radii, trials - [0, 1000, 3000], trials)
    assert fit.deviance < 1e-2
    assert fit.rate == pytest.approx(2 * np.log(3), rel=1e-3)
    wrong = theory.fit_approach(radii, trials - [900, 1000, 3000], trials)
    assert wrong.deviance > 100


def test_the_kernel_gives_the_transforms_of_known_functions():
    grid, k = np.arange(-300, 301) * 0.1, np.array([-3.0, 0.5, 2.0, 6.0])
    kernel = theory.make_transform_kernel(grid, k)
    gaussian = np.sqrt(2 * np.pi) * np.exp(-(k**2) / 2 - 1j * k)
    np.testing.assert_allclose(np.exp(-((grid - 1) ** 2) / 2) @ kernel.T, gaussian, atol=1e-12)
    step = -1j * np.pi / np.sinh(np.pi * k / 2)
    np.testing.assert_allclose(np.tanh(grid) @ kernel.T, step, atol=1e-12)
    # Through the differences: their transform is (exp(i k dx) - 1) h^(k).
    differences = np.diff(np.tanh(grid)) @ (0.1 * np.exp(-1j * np.outer(grid[:-1], k)))
    np.testing.assert_allclose(differences / (np.exp(0.1j * k) - 1), step, atol=1e-12)
    np.testing.assert_allclose(np.ones(601) @ kernel.T, 0, atol=1e-12)


NEURON, TARGET = [[1.0, 1.0, 1.0]], np.array([1.0, 1.0])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: theory.compute_log_transforms(NEURON, [1], "relu"), "'relu' is not one of tanh"),
        (lambda: theory.compute_log_transforms([1.0, 1.0, 1.0], [1]), r"neurons has shape \(3,\)"),
        (lambda: theory.compute_log_transforms([[1.0, 0.0, 1.0]], [1]), "a w of 0"),
        (lambda: theory.compute_log_transforms([[1.0, 1.0, np.nan]], [1]), "not finite"),
        (lambda: theory.compute_transform(NEURON, [0, 1]), "none of them may be 0"),
        (lambda: theory.compute_transform(NEURON, 1.0), r"frequencies has shape \(\)"),
        (
            lambda: theory.is_low_first(NEURON, [1], TARGET[:1]),
            r"frequencies has shape \(1,\); it must be \(2,\)",
        ),
        (lambda: theory.compute_priority_border([4, 1], 2.0), "0 < k1 < k2"),
        (lambda: theory.compute_priority_border([1, 4], [2.0, 0.0]), "must be positive"),
        (lambda: theory.compute_priority_border([1, 4], 2.0, "relu"), "'relu' is not one of"),
        (lambda: theory.sample_ball(0, 1, 1.0, seed=0), "num_samples is 0"),
        (lambda: theory.sample_ball(1, 0, 1.0, seed=0), "num_neurons is 0"),
        (lambda: theory.sample_ball(1, 1, 0.0, seed=0), "radius is 0.0"),
        (
            lambda: theory.fit_approach([1, 2], [1], [2, 2]),
            r"successes has shape \(1,\); .* I = 2 as in radii",
        ),
        (lambda: theory.fit_approach([1, 2], [1, 3], [2, 2]), "not possible"),
        (lambda: theory.fit_approach([0, 2], [1, 1], [2, 2]), "not possible"),
        (lambda: theory.fit_approach([1, 2], [1, 2], [2, 2]), "a fit needs two"),
        (lambda: theory.fit_approach([2, 2], [1, 1], [2, 2]), "a fit needs two"),
        (lambda: theory.make_transform_kernel([[0.0, 1.0]], [1]), "points has shape"),
        (lambda: theory.make_transform_kernel([0.0, 1.0, 3.0], [1]), "equally spaced"),
        (lambda: theory.make_transform_kernel([1.0, 0.0], [1]), "increasing"),
        (lambda: theory.make_transform_kernel([0.0, 1.0, 2.0], [0]), "differ from 0"),
        (lambda: theory.make_transform_kernel([0.0, 1.0, 2.0], [1, 4]), "stay below 3.14159"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
