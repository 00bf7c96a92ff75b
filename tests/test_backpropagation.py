import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import fprin_utils as fp
from fprin_utils import engine
from fprin_utils.engine.backpropagation import (
    AutomaticDifferentiation,
    Backpropagation,
    differentiate,
)
from fprin_utils.engine.modules import SingleNetwork
from fprin_utils.networks import Activation

TOLERANCES = {torch.float32: 1e-6, torch.float64: 1e-12}


def differentiate_automatically(ensemble, inputs, targets):
    loss = (ensemble(inputs) - targets).square().mean(dim=(1, 2)).sum()
    return torch.autograd.grad(loss, list(ensemble.parameters()))


def differentiate_explicitly(ensemble, inputs, targets):
    passes = Backpropagation(ensemble)
    outputs = passes.forward(inputs)
    passes.backward(2 * (outputs - targets) / outputs[0].numel())
    return [parameter.grad for parameter in passes.parameters]


@settings(deadline=None, derandomize=True, max_examples=60)
@given(
    activation=st.sampled_from(list(fp.ACTIVATIONS)),
    dtype=st.sampled_from(list(TOLERANCES)),
    widths=st.lists(st.integers(1, 40), min_size=1, max_size=5),
    num_networks=st.integers(1, 5),
    num_points=st.integers(1, 50),
    sizes=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    initialization=st.sampled_from(["pytorch", "glorot", "fan_in"]),
    seed=st.integers(0, 1000),
)
def test_gradients_are_those_of_autograd(
    activation, dtype, widths, num_networks, num_points, sizes, initialization, seed
):
    ensemble = fp.Ensemble(
        widths,
        seeds=range(seed, seed + num_networks),
        activation=activation,
        initialization=initialization,
        num_inputs=sizes[0],
        num_outputs=sizes[1],
        dtype=dtype,
    )
    generator = torch.Generator().manual_seed(seed)
    inputs, targets = (
        torch.randn(num_networks, num_points, size, generator=generator, dtype=dtype)
        for size in sizes
    )
    # The explicit gradients are held against those of float64, and may be off as far as float32
    # itself is: by its rounding, or as far as autograd is where sums of many terms cancel.
    found = differentiate_explicitly(ensemble, inputs, targets)
    automatic = differentiate_automatically(ensemble, inputs, targets)
    exact = differentiate_automatically(ensemble.double(), inputs.double(), targets.double())
    for one, other, true in zip(found, automatic, exact, strict=True):
        largest = max((other - true).norm().item(), TOLERANCES[dtype] * true.norm().item())
        assert (one - true).norm().item() <= 3 * largest + 1e-30


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("activation", fp.ACTIVATIONS)
@pytest.mark.parametrize("start", [{"initialization": "pytorch"}, {"init_std": 0.08}])
def test_gradients_of_the_public_network_agree_with_autograd(activation, start, dtype):
    widths = [200, 200, 200, 100]
    ensemble = fp.Ensemble(widths, seeds=[0, 1], activation=activation, dtype=dtype, **start)
    inputs = torch.linspace(-3, 3, 61, dtype=dtype)[:, None].expand(2, 61, 1)
    targets = torch.sin(inputs + 1) + torch.sin(4 * inputs)
    found = differentiate_explicitly(ensemble, inputs, targets)
    expected = differentiate_automatically(ensemble, inputs, targets)
    for one, other in zip(found, expected, strict=True):
        assert (one - other).norm() < TOLERANCES[dtype] * other.norm()


@pytest.mark.parametrize("scale", [1e-6, 1e-3, 0.1, 1, 30])
def test_tanh_is_exact_at_every_size(scale):
    ensemble = fp.Ensemble([3000], seeds=[0], init_std=scale)
    inputs = torch.ones(1, 1, 1)
    passes = Backpropagation(ensemble)
    passes.forward(inputs)
    argument = ensemble.weights[0].double() + ensemble.biases[0].double()
    expected = torch.tanh(argument.float().double())[0]
    np.testing.assert_allclose(passes.used.hidden[0][0], expected.detach(), rtol=3e-7)


def test_memory_is_taken_once_for_each_number_of_points():
    passes = Backpropagation(fp.Ensemble([5, 4], seeds=[0, 1]))
    for num_points in (7, 3, 7):
        outputs = passes.forward(torch.ones(2, num_points, 1))
        passes.backward(outputs)
        assert outputs.shape == (2, num_points, 1)
        assert outputs.data_ptr() == passes.buffers[num_points].hidden[-1].data_ptr()
    assert list(passes.buffers) == [7, 3]


def test_a_module_is_differentiated_automatically():
    module = torch.nn.Sequential(torch.nn.Linear(1, 4), torch.nn.GELU(), torch.nn.Linear(4, 2))
    module[0].bias.requires_grad = False
    passes = AutomaticDifferentiation(module.parameters(), lambda x: module(x[0])[None])
    assert len(passes.parameters) == 3
    inputs, delta = torch.randn(1, 6, 1), torch.randn(1, 6, 2)
    for _ in range(2):  # gradients are replaced, not added up
        assert torch.equal(passes.forward(inputs)[0], module(inputs[0]))
        passes.backward(delta)
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    expected = torch.autograd.grad((module(inputs[0]) * delta[0]).sum(), trained)
    for parameter, gradient in zip(passes.parameters, expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient)


def test_gradients_are_written_out_where_that_is_known_to_be_right(monkeypatch):
    assert engine.CALLS_KERNELS, "what is locked is to be what was tried: see TRIED_TORCH"
    monkeypatch.setitem(fp.ACTIVATIONS, "softplus", Activation(torch.nn.functional.softplus))
    for activation in fp.ACTIVATIONS:
        passes = differentiate(fp.Ensemble([3], seeds=[0], activation=activation))
        is_written_out = activation != "softplus"
        assert type(passes) is (Backpropagation if is_written_out else AutomaticDifferentiation)
    module = SingleNetwork(torch.nn.Linear(1, 1))
    assert type(differentiate(module)) is AutomaticDifferentiation
    monkeypatch.setattr(engine, "CALLS_KERNELS", False)
    assert type(differentiate(fp.Ensemble([3], seeds=[0]))) is AutomaticDifferentiation
