"""Kernels against double loops of torch.autograd, sampled means, and plain gradient descent."""

import numpy as np
import pytest
import scipy.interpolate
import torch

import fprin_utils as fp
from fprin_utils import kernels

ANGLES = fp.make_grid(16)
CIRCLE = np.stack([np.cos(ANGLES), np.sin(ANGLES)], axis=1)
MEAN = {"width": 1, "weight_std": 0.7, "bias_std": 0.4, "outer_std": 1.3}


def loop_over_gradients(evaluate, parameters, inputs, other_inputs):
    def take_gradient(point):
        gradients = torch.autograd.grad(evaluate(point[None]).sum(), parameters)
        return torch.cat([each.flatten() for each in gradients])

    return np.array(
        [[float(take_gradient(x) @ take_gradient(other)) for other in other_inputs] for x in inputs]
    )


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_the_kernels_of_an_ensemble_are_those_of_a_double_loop(activation):
    networks = fp.Ensemble(
        [6, 5], seeds=[3, 8], activation=activation, init_std=0.6, num_inputs=2, dtype=torch.float64
    )
    found = kernels.compute_tangent_kernel(networks, CIRCLE[:5], CIRCLE[4:])
    assert found.shape == (2, 5, 12)
    inputs = torch.tensor(CIRCLE)
    for place in range(2):
        member = networks.take([place])
        expected = loop_over_gradients(member, list(member.parameters()), inputs[:5], inputs[4:])
        np.testing.assert_allclose(found[place], expected, rtol=1e-6, atol=1e-12)
    same = kernels.compute_tangent_kernel(networks, CIRCLE)
    np.testing.assert_allclose(same, np.swapaxes(same, 1, 2), rtol=1e-12)
    single = kernels.compute_tangent_kernel(fp.Ensemble([6], seeds=[3]), ANGLES)
    assert single.dtype == np.float64


def test_the_kernel_of_a_module_counts_what_is_trained_alone():
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Linear(1, 7), torch.nn.GELU(), torch.nn.Linear(7, 1))
    module = module.double()
    module[0].bias.requires_grad_(False)
    parameters = [each for each in module.parameters() if each.requires_grad]
    points = torch.linspace(-1, 1, 4, dtype=torch.float64)
    expected = loop_over_gradients(module, parameters, points[:, None], points[:, None])
    found = kernels.compute_tangent_kernel(module, points.numpy())
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    for parameter in module.parameters():
        parameter.requires_grad_(False)
    with pytest.raises(ValueError, match="no parameters to train"):
        kernels.compute_tangent_kernel(module, points.numpy())


def test_networks_of_two_outputs_are_refused():
    networks = fp.Ensemble([3], seeds=[0], num_outputs=2)
    with pytest.raises(ValueError, match="outputs of shape"):
        kernels.compute_tangent_kernel(networks, ANGLES)


@pytest.mark.parametrize("part", kernels.PARTS)
def test_the_closed_form_is_the_mean_over_many_neurons(part):
    rng, num_neurons = np.random.default_rng(0), 400_000
    w = MEAN["weight_std"] * rng.normal(size=(2, num_neurons))
    b = MEAN["bias_std"] * rng.normal(size=num_neurons)
    a = MEAN["outer_std"] * rng.normal(size=num_neurons)
    x, other = np.array([[0.5, -1.0], [2.0, 0.3]]), np.array([[0.4, 0.9], [1.0, 1.0], [0.0, 0.0]])
    z, other_z = x @ w + b, other @ w + b
    gated = ((a * (z > 0)) @ (a * (other_z > 0)).T) / num_neurons
    sampled = {
        "weights": gated * (x @ other.T),
        "biases": gated,
        "outer_weights": np.maximum(z, 0) @ np.maximum(other_z, 0).T / num_neurons,
        "outer_bias": np.ones((2, 3)),
    }[part]
    found = kernels.compute_relu_kernel(x, other, **MEAN, trained=[part])
    np.testing.assert_allclose(found, sampled, atol=0.01)
    wider = kernels.compute_relu_kernel(x, other, **MEAN | {"width": 5}, trained=[part])
    np.testing.assert_allclose(wider, found * (1 if part == "outer_bias" else 5))


def test_the_closed_form_is_finite_on_its_diagonal_and_where_nothing_is_seen():
    points = np.random.default_rng(0).normal(size=(100, 3))
    points[0] = 0
    kernel = kernels.compute_relu_kernel(points, **MEAN | {"bias_std": 0})
    # At an angle of 0: half of the neurons are active.
    squares = (points**2).sum(axis=1)
    expected = (MEAN["outer_std"] ** 2 * (squares + 1) + MEAN["weight_std"] ** 2 * squares) / 2 + 1
    np.testing.assert_allclose(np.diag(kernel), expected, rtol=1e-6)


def test_on_the_circle_the_eigenvalues_are_those_of_basri():
    angles = fp.make_grid(4096)
    points = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    start = {"width": 8, "weight_std": 1.0, "bias_std": 0.0, "outer_std": 8**-0.5}
    with_biases, without = (
        np.fft.rfft(
            kernels.compute_relu_kernel(points[:1], points, **start, trained=trained)[0]
        ).real
        / 4096
        for trained in (["weights", "biases"], ["weights"])
    )
    k, pi = np.arange(1, 9), np.pi
    even = (k**2 + 1.0) / (pi**2 * np.maximum(k**2 - 1, 1) ** 2)
    printed = np.where(k == 1, 1 / pi**2 + 1 / 8, np.where(k % 2 == 0, even, 1 / (pi * k) ** 2))
    np.testing.assert_allclose(with_biases[1:9], printed, rtol=1e-4)
    np.testing.assert_allclose(with_biases[0], 2 * (1 / (2 * pi**2) + 1 / 8), rtol=1e-4)
    printed = np.where(k == 1, 1 / 4, np.where(k % 2 == 0, 2 * even, 0)) / 2
    # Without biases the printed numbers are twice as large: they are not halved.
    np.testing.assert_allclose(without[1:9], printed, rtol=1e-3, atol=1e-7)


def test_the_kernel_of_a_wide_network_is_near_its_mean():
    width = 4096
    networks = fp.Ensemble(
        [width], seeds=[0, 1], activation="relu", init_std=width**-0.25, num_inputs=2
    )
    stds = dict.fromkeys(("weight_std", "bias_std", "outer_std"), width**-0.25)
    mean = kernels.compute_relu_kernel(CIRCLE, width=width, **stds)
    for found in kernels.compute_tangent_kernel(networks, CIRCLE):
        assert np.abs(found - mean).max() < 0.15 * mean.max()


def train_linear_model(num_steps, learning_rate):
    """Gradient descent on f(x) = theta . phi(x) by hand, for two networks."""
    rng = np.random.default_rng(1)
    features, other = rng.normal(size=(2, 5, 7)), rng.normal(size=(2, 3, 7))
    theta, targets = rng.normal(size=(2, 7)), rng.normal(size=(2, 5))
    tell = [np.einsum("snp,sp->sn", each, theta) for each in (features, other)]
    for _ in range(num_steps):
        errors = np.einsum("snp,sp->sn", features, theta) - targets
        theta -= learning_rate * 2 / 5 * np.einsum("snp,sn->sp", features, errors)
    after = [np.einsum("snp,sp->sn", each, theta) for each in (features, other)]
    kernel, across = features @ features.swapaxes(1, 2), other @ features.swapaxes(1, 2)
    return targets, tell, after, kernel, across


@pytest.mark.parametrize("num_steps", [0, 1, 30])
def test_the_prediction_is_exact_for_a_linear_model(num_steps):
    targets, before, after, kernel, across = train_linear_model(num_steps, 0.05)
    known = {"steps": [0, num_steps], "learning_rate": 0.05}
    found = kernels.predict_training(kernel, targets, before[0], **known)
    np.testing.assert_allclose(found, [before[0], after[0]], rtol=1e-9)
    others = {"other_kernel": across, "other_initial": before[1]}
    found = kernels.predict_training(kernel, targets, before[0], **known, **others)
    np.testing.assert_allclose(found, [before[1], after[1]], rtol=1e-9)
    one = kernels.predict_training(kernel[0], targets[0], before[0][0], **known)
    np.testing.assert_allclose(one, [before[0][0], after[0][0]], rtol=1e-9)


def test_directions_without_eigenvalue_move_linearly_at_other_points():
    found = kernels.predict_training(
        np.diag([1.0, 0.0]),
        [1.0, 1.0],
        [0.0, 0.0],
        [3],
        learning_rate=0.5,
        other_kernel=[[0.0, 1.0]],
        other_initial=[0.0],
    )
    np.testing.assert_allclose(found, [[1.5]])


def test_an_eigenvalue_that_rounding_made_negative_does_not_grow():
    kernel, known = np.diag([1.0, -1e-6]), {"targets": np.ones(2), "initial": np.zeros(2)}
    (outputs,) = kernels.predict_training(kernel, **known, steps=[10**7], learning_rate=0.5)
    np.testing.assert_allclose(outputs, [1, 0], atol=1e-12)


def test_a_step_that_diverges_is_refused():
    known = {"targets": np.ones(4), "initial": np.zeros(4), "steps": [1]}
    kernels.predict_training(np.eye(4), **known, learning_rate=4.0)
    with pytest.raises(ValueError, match="diverges above 4"):
        kernels.predict_training(np.eye(4), **known, learning_rate=4.1)
    skewed = np.zeros((4, 4))
    skewed[0, 1], skewed[1, 0] = 0.1, 0.101
    with pytest.raises(ValueError, match="not symmetric"):
        kernels.predict_training(np.eye(4) + skewed, **known, learning_rate=0.1)


def test_training_follows_the_prediction_of_its_own_kernel_at_first():
    networks = fp.Ensemble(
        [64], seeds=[0, 1], activation="relu", init_std=0.3, num_inputs=2, dtype=torch.float64
    )
    target = fp.make_sinusoids(ANGLES, [1, 3])
    kernel = kernels.compute_tangent_kernel(networks, CIRCLE)
    steps = {"num_steps": 2, "learning_rate": 1e-5, "record_at": [0, 2], "progress": False}
    run = fp.train(networks, CIRCLE, target, optimizer="gradient_descent", **steps)
    predicted = kernels.predict_training(
        kernel, target, run.outputs[0], run.steps, learning_rate=1e-5
    )
    moved = run.outputs[1] - run.outputs[0]
    assert np.abs(predicted[1] - run.outputs[1]).max() < 1e-3 * np.abs(moved).max()


POINTS, VALUES = np.array([-0.8, -0.6, -0.3, -0.06, 0.1]), np.array([0.25, -0.25, -0.07, 0.15, 0.3])
BETWEEN = np.linspace(-0.8, 0.1, 50)


def test_the_lfp_model_has_both_splines_as_limits():
    cubic = kernels.interpolate_by_lfp(POINTS, VALUES, BETWEEN, cubic=3.0, linear=0.0)
    natural = scipy.interpolate.CubicSpline(POINTS, VALUES, bc_type="natural")
    np.testing.assert_allclose(cubic, natural(BETWEEN), atol=1e-12)
    linear = kernels.interpolate_by_lfp(POINTS, VALUES, BETWEEN, cubic=0.0, linear=0.2)
    np.testing.assert_allclose(linear, np.interp(BETWEEN, POINTS, VALUES), atol=1e-12)


def test_the_lfp_model_minimises_its_norm_among_interpolants():
    """Against sinusoids of a long period, weighted, with next to no ridge."""
    cubic, linear, period = 6.75, 0.5, 40.0
    xi = np.arange(1, 40_001) / period
    weights = cubic / (16 * np.pi**4 * xi**4) + linear / (4 * np.pi**2 * xi**2)

    def correlate(places):
        # The mean is free, and sinusoids of this period leave next to nothing of the slope.
        waves = np.cos(2 * np.pi * xi * (places[:, None, None] - POINTS[:, None]))
        return 2 / period * waves @ weights + 1e4

    expected = correlate(BETWEEN) @ np.linalg.solve(correlate(POINTS), VALUES)
    found = kernels.interpolate_by_lfp(POINTS, VALUES, BETWEEN, cubic=cubic, linear=linear)
    np.testing.assert_allclose(found, expected, atol=2e-3)


def test_the_lfp_model_is_linear_and_keeps_its_units():
    known = {"cubic": 6.75, "linear": 0.5}
    found = kernels.interpolate_by_lfp(POINTS, VALUES, BETWEEN, **known)
    twice = kernels.interpolate_by_lfp(POINTS, 2 * VALUES + 1, BETWEEN, **known)
    np.testing.assert_allclose(twice, 2 * found + 1, rtol=1e-9)
    # In other units of x the weights are divided by their powers of x.
    known = {"cubic": 6.75 / 10**3, "linear": 0.5 / 10}
    again = kernels.interpolate_by_lfp(10 * POINTS + 3, VALUES, 10 * BETWEEN + 3, **known)
    np.testing.assert_allclose(again, found, rtol=1e-9)


def test_the_lfp_model_refuses_what_cannot_be():
    for points in ([0.0], [0.0, 0.0, 1.0]):
        with pytest.raises(ValueError, match="all different"):
            kernels.interpolate_by_lfp(points, points, [0.5], cubic=1.0, linear=0.0)
    with pytest.raises(ValueError, match="both 0"):
        kernels.interpolate_by_lfp([0.0, 1.0], [0.0, 1.0], [0.5], cubic=0.0, linear=0.0)
