import numpy as np
import pytest
import torch

import fprin_utils as fp
from fprin_utils import networks


@pytest.mark.parametrize("initialization", networks.INITIALIZATIONS)
def test_a_seed_draws_the_same_weights_alone_and_with_others(initialization):
    together = fp.Ensemble([5, 4], seeds=[7, 3, 11], initialization=initialization)
    alone = fp.Ensemble([5, 4], seeds=[3], initialization=initialization)
    for many, one in zip(together.parameters(), alone.parameters(), strict=True):
        assert torch.equal(many[1], one[0])
        assert not many.any() or not torch.equal(many[0], many[1])


def test_each_initialization_has_its_spread():
    def spread(layer, **settings):
        ensemble = fp.Ensemble([300, 400], seeds=range(4), dtype=torch.float64, **settings)
        return ensemble.weights[layer].std().item(), ensemble.biases[layer].std().item()

    assert spread(1, initialization="normal", init_std=0.3) == pytest.approx((0.3, 0.3), rel=0.05)
    uniform = 1 / np.sqrt(3 * 300)
    assert spread(1, initialization="pytorch") == pytest.approx((uniform, uniform), rel=0.05)
    glorot = np.sqrt(6 / 700) / np.sqrt(3)
    assert spread(1, initialization="glorot") == pytest.approx((glorot, 0), rel=0.02)
    scaled = 1.5 / np.sqrt(300)
    assert spread(1, initialization="fan_in", gain=1.5) == pytest.approx((scaled, 0), rel=0.02)


@pytest.mark.parametrize("activation", fp.ACTIVATIONS)
@pytest.mark.parametrize(("num_inputs", "num_outputs"), [(1, 1), (3, 2)])
def test_outputs_are_those_of_plain_layers(activation, num_inputs, num_outputs):
    ensemble = fp.Ensemble(
        [6, 5],
        seeds=[0, 1, 2],
        activation=activation,
        init_std=0.8,
        num_inputs=num_inputs,
        num_outputs=num_outputs,
        dtype=torch.float64,
    )
    inputs = torch.linspace(-2, 2, 7 * num_inputs, dtype=torch.float64).reshape(7, num_inputs)
    outputs = ensemble(inputs)
    assert outputs.shape == (3, 7, num_outputs)
    for network in range(3):
        hidden = inputs
        for layer, (weight, bias) in enumerate(zip(ensemble.weights, ensemble.biases, strict=True)):
            hidden = torch.nn.functional.linear(hidden, weight[network].T, bias[network, 0])
            hidden = fp.ACTIVATIONS[activation].function(hidden) if layer < 2 else hidden
        torch.testing.assert_close(outputs[network], hidden, rtol=0, atol=1e-14)


def test_the_hat_is_a_linear_spline_on_its_support():
    z = torch.linspace(-1, 3, 81, dtype=torch.float64)
    ramps = [torch.relu(z - knot) for knot in (0, 1, 2)]
    expected = ramps[0] - 2 * ramps[1] + ramps[2]
    torch.testing.assert_close(fp.ACTIVATIONS["hat"].function(z), expected, rtol=0, atol=1e-15)


def test_spectral_norms_are_those_of_numpy():
    ensemble = fp.Ensemble([9, 4], seeds=[0, 1], init_std=0.5, num_inputs=2, dtype=torch.float64)
    norms = ensemble.compute_spectral_norms()
    assert norms.shape == (2, 3)
    for network in range(2):
        expected = [np.linalg.norm(w[network].detach().numpy(), 2) for w in ensemble.weights]
        np.testing.assert_allclose(norms[network], expected, rtol=1e-12)


def test_whole_numbers_of_any_type_will_do():
    ensemble = fp.Ensemble([4.0, np.int64(3)], seeds=np.arange(2), num_inputs=1.0)
    assert ensemble.seeds == [0, 1]
    assert ensemble.weights[1].shape == (2, 4, 3)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"seeds": []}, r"seeds is \[\]; it must list seeds, at least one"),
        ({"seeds": [-1]}, "a seed is -1; it must be a whole number of at least 0"),
        ({"seeds": [0.5]}, "a seed is 0.5"),
        ({"seeds": 3}, "seeds is 3; it must list seeds, at least one"),
        ({"widths": []}, r"widths is \[\]; it must list at least one hidden layer"),
        ({"widths": 20}, "widths is 20; it must list"),
        ({"widths": [4, 0]}, "a width is 0; it must be a whole number of at least 1"),
        ({"widths": [4.5]}, "a width is 4.5"),
        ({"num_inputs": 0}, "num_inputs is 0"),
        ({"num_outputs": None}, "num_outputs is None"),
        ({"activation": "swish"}, "activation 'swish' is not one of tanh, relu, sigmoid, sin"),
        ({"initialization": "he"}, "initialization 'he' is not one of normal, pytorch"),
        ({"init_std": 0.0}, "init_std is 0.0"),
        ({"init_std": "small"}, "init_std is 'small'"),
        ({"gain": float("nan")}, "gain is nan"),
        ({"dtype": torch.float16}, "dtype torch.float16 is not one of"),
        ({"device": "tpu"}, "device 'tpu' is not one of cpu, cuda"),
        ({"device": "cpu:foo"}, "device 'cpu:foo' is not one of cpu, cuda"),
    ],
)
def test_bad_input_is_named(settings, message):
    with pytest.raises(ValueError, match=message):
        fp.Ensemble(**({"widths": [4], "seeds": [0]} | settings))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_missing_gpu_is_named():
    with pytest.raises(ValueError, match="device 'cuda' asked for, but torch finds no GPU"):
        fp.Ensemble([4], seeds=[0], device="cuda")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_trains_from_the_same_weights():
    grid = fp.make_grid(20)
    settings = {"num_steps": 20, "learning_rate": 1e-3, "progress": False}
    runs = [
        fp.train(
            fp.Ensemble([8, 8], seeds=[0, 1], dtype=torch.float64, device=device),
            *(grid, np.sin(grid)),
            **settings,
        )
        for device in ("cpu", "cuda")
    ]
    np.testing.assert_allclose(runs[0].outputs, runs[1].outputs, rtol=1e-8, atol=1e-10)
