import contextlib
import copy
import ctypes
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import fprin_utils as fp
from fprin_utils.engine.groups import Group, Task, open_workers
from fprin_utils.networks import Activation
from fprin_utils.training import OPTIMIZERS

PLAIN_OPTIMIZERS = {
    "adam": lambda parameters: torch.optim.Adam(parameters, lr=1e-2),
    "gradient_descent": lambda parameters: torch.optim.SGD(parameters, lr=1e-2),
    "momentum": lambda parameters: torch.optim.SGD(parameters, lr=1e-2, momentum=0.9),
}
FACTORIES = {
    "SGD": torch.optim.SGD,
    "RMSprop": torch.optim.RMSprop,
    "Adagrad": torch.optim.Adagrad,
    "NAdam": torch.optim.NAdam,
    "Nesterov": partial(torch.optim.SGD, momentum=0.9, nesterov=True),
}
GRID = fp.make_grid(24)
TARGET = fp.make_sinusoids(GRID, [1, 3])


def make_ensemble(seeds=(0, 1, 2), widths=(9, 7), **settings):
    settings = {"init_std": 0.5, "dtype": torch.float64} | settings
    return fp.Ensemble(list(widths), seeds=list(seeds), **settings)


def train(ensemble, inputs=GRID, targets=TARGET, **settings):
    settings = {"num_steps": 30, "learning_rate": 1e-2, "progress": False} | settings
    return fp.train(ensemble, inputs, targets, **settings)


def make_plain_network(ensemble, network):
    """One network of an ensemble, as one would write it with torch.nn."""
    modules = {
        "tanh": torch.nn.Tanh,
        "relu": torch.nn.ReLU,
        "sigmoid": torch.nn.Sigmoid,
        "softplus": torch.nn.Softplus,
    }
    layers = []
    for weight, bias in zip(ensemble.weights, ensemble.biases, strict=True):
        layer = torch.nn.Linear(*weight.shape[1:], dtype=weight.dtype)
        layer.weight.data, layer.bias.data = weight[network].T.clone(), bias[network, 0].clone()
        layers += [layer, modules[ensemble.activation]()]
    return torch.nn.Sequential(*layers[:-1])


@pytest.mark.parametrize("activation", ["tanh", "relu", "sigmoid"])
@pytest.mark.parametrize("optimizer", PLAIN_OPTIMIZERS)
def test_trajectory_is_that_of_a_plain_loop(activation, optimizer):
    ensemble = make_ensemble(activation=activation)
    plain_networks = [make_plain_network(ensemble, network) for network in range(3)]
    run = train(ensemble, optimizer=optimizer, record_at=range(31))
    inputs, targets = torch.tensor(GRID)[:, None], torch.tensor(TARGET)[:, None]
    for network, plain in enumerate(plain_networks):
        plain_optimizer = PLAIN_OPTIMIZERS[optimizer](plain.parameters())
        for step in range(31):
            outputs = plain(inputs)
            loss = torch.nn.functional.mse_loss(outputs, targets)
            assert run.losses[step, network] == pytest.approx(loss.item(), rel=1e-10)
            np.testing.assert_allclose(
                run.outputs[step, network], outputs[:, 0].detach(), rtol=1e-9, atol=1e-11
            )
            plain_optimizer.zero_grad()
            loss.backward()
            plain_optimizer.step()


@pytest.mark.parametrize("name", FACTORIES)
def test_an_optimizer_of_torch_trains_as_in_a_plain_loop(name):
    ensemble, factory = make_ensemble(), FACTORIES[name]
    check_against_plain_loops(ensemble, partial(factory, lr=1e-2), optimizer=factory)


def check_against_plain_loops(ensemble, make_optimizer, **settings):
    plain_networks = [make_plain_network(ensemble, network) for network in range(3)]
    run = train(ensemble, record_at=range(31), **settings)
    inputs, targets = torch.tensor(GRID)[:, None], torch.tensor(TARGET)[:, None]
    for network, plain in enumerate(plain_networks):
        losses = train_plainly(plain, make_optimizer, inputs, targets, 30)
        assert losses[-1] < losses[0]
        np.testing.assert_allclose(run.losses[:, network], losses, rtol=1e-8)
        trained = make_plain_network(ensemble, network)
        for one, other in zip(trained.parameters(), plain.parameters(), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-7, atol=1e-9)


@pytest.fixture
def softplus(monkeypatch):
    """The name of an activation whose derivative nobody wrote down."""
    monkeypatch.setitem(fp.ACTIVATIONS, "softplus", Activation(torch.nn.functional.softplus))
    return "softplus"


@pytest.mark.parametrize("optimizer", PLAIN_OPTIMIZERS)
def test_an_activation_without_derivative_trains_as_in_a_plain_loop(softplus, optimizer):
    ensemble = make_ensemble(activation=softplus)
    check_against_plain_loops(ensemble, PLAIN_OPTIMIZERS[optimizer], optimizer=optimizer)


@pytest.mark.parametrize("batch_size", [None, 7])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_another_release_of_torch_gives_the_same_training(optimizer, batch_size, monkeypatch):
    settings = {"optimizer": optimizer, "momentum": 0.7, "batch_size": batch_size}
    known, other = make_ensemble(), make_ensemble()
    by_kernels = train(known, **settings)
    monkeypatch.setattr("fprin_utils.engine.CALLS_KERNELS", False)
    monkeypatch.setattr("torch._fused_adam_", None)
    monkeypatch.setattr("fprin_utils.engine.backpropagation.Backpropagation", None)
    by_autograd = train(other, **settings)
    np.testing.assert_allclose(by_autograd.losses, by_kernels.losses, rtol=1e-8)
    for one, same in zip(other.parameters(), known.parameters(), strict=True):
        torch.testing.assert_close(one, same, rtol=1e-7, atol=1e-9)


def test_gradients_are_those_of_plain_networks():
    ensemble = make_ensemble()
    inputs, targets = torch.tensor(GRID)[:, None], torch.tensor(TARGET)[:, None]
    (ensemble(inputs) - targets).square().mean(dim=(1, 2)).sum().backward()
    for network in range(3):
        plain = make_plain_network(ensemble, network)
        torch.nn.functional.mse_loss(plain(inputs), targets).backward()
        layers = [module for module in plain if isinstance(module, torch.nn.Linear)]
        for layer, weight, bias in zip(layers, ensemble.weights, ensemble.biases, strict=True):
            torch.testing.assert_close(weight.grad[network].T, layer.weight.grad)
            torch.testing.assert_close(bias.grad[network, 0], layer.bias.grad)


@pytest.mark.parametrize("batch_size", [None, 7])
def test_a_seed_trains_the_same_alone_and_with_others(batch_size):
    together = train(make_ensemble(seeds=[4, 2, 9]), batch_size=batch_size)
    alone = train(make_ensemble(seeds=[2]), batch_size=batch_size)
    np.testing.assert_allclose(together.outputs[:, 1], alone.outputs[:, 0], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("batch_size", [None, 7])
def test_each_network_may_have_targets_of_its_own(batch_size):
    targets = np.stack([TARGET, -TARGET, TARGET**2])
    settings = {"batch_size": batch_size, "further_inputs": {"same": GRID}}
    together = train(make_ensemble(), targets=targets[..., None], **settings)
    assert together.outputs.shape[1:] == together.further_outputs["same"].shape[1:] == (3, 24)
    for network in range(3):
        alone = train(make_ensemble(seeds=[network]), targets=targets[network], **settings)
        learnt = together.outputs[:, network]
        np.testing.assert_allclose(learnt, alone.outputs[:, 0], rtol=1e-9, atol=1e-11)
        on_grid = together.further_outputs["same"][:, network]
        np.testing.assert_allclose(on_grid, learnt, rtol=1e-12, atol=1e-13)
    without_axis = train(make_ensemble(), targets=targets, **settings)
    np.testing.assert_array_equal(without_axis.outputs, together.outputs)
    np.testing.assert_array_equal(without_axis.losses, together.losses)
    shared = train(make_ensemble(), targets=np.stack([TARGET] * 3)[..., None], **settings)
    np.testing.assert_array_equal(shared.losses, train(make_ensemble(), **settings).losses)


def test_a_mini_batch_of_all_points_is_the_full_batch():
    full, mini = (train(make_ensemble(), batch_size=size) for size in (None, len(GRID)))
    np.testing.assert_allclose(full.losses, mini.losses, rtol=1e-10)


def test_mini_batches_go_through_all_points_before_they_repeat():
    task = make_task(batch_size=4, num_points=10)
    learner = Group(task, make_ensemble(seeds=[3, 5]), slice(0, 2))
    epochs = []
    for _ in range(2):
        batches = []
        for _ in range(3):
            batches.append(learner._draw_batch()[..., 0])
            learner.optimizer.num_updates += 1
        epochs.append(torch.cat(batches, dim=1))
    for epoch in epochs:
        np.testing.assert_array_equal(np.sort(epoch, axis=1), np.tile(np.arange(10), (2, 1)))
    assert not torch.equal(epochs[0], epochs[1])
    assert not torch.equal(epochs[0][0], epochs[0][1])


@pytest.mark.parametrize("batch_size", [5, 7, 24])
def test_mini_batches_give_the_same_however_a_training_is_watched(batch_size):
    runs = []
    for record_at in (range(31), [0, 30]):
        ensemble = make_ensemble()
        run = train(ensemble, batch_size=batch_size, record_at=record_at)
        runs.append((run, ensemble))
    (often, one), (seldom, other) = runs
    np.testing.assert_array_equal(often.losses[[0, -1]], seldom.losses)
    for mine, theirs in zip(one.parameters(), other.parameters(), strict=True):
        assert torch.equal(mine, theirs)


def test_mini_batches_take_the_mean_over_their_own_points():
    ensemble = make_ensemble(seeds=[3])
    plain = make_plain_network(ensemble, 0)
    train(ensemble, batch_size=7, num_steps=8)
    optimizer = PLAIN_OPTIMIZERS["adam"](plain.parameters())
    inputs, targets = torch.tensor(GRID)[:, None], torch.tensor(TARGET)[:, None]
    for epoch in range(2):
        order = torch.as_tensor(np.random.default_rng([3, epoch]).permutation(len(GRID)))
        for batch in order.split(7):
            optimizer.zero_grad()
            torch.nn.functional.mse_loss(plain(inputs[batch]), targets[batch]).backward()
            optimizer.step()
    trained = make_plain_network(ensemble, 0)
    for one, other in zip(trained.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


def make_task(batch_size, num_points):
    points = torch.linspace(0, 1, num_points, dtype=torch.float64)[:, None]
    return Task(
        inputs=points,
        targets=points[None],
        grids={},
        optimizer="adam",
        learning_rate=1e-2,
        momentum=0.9,
        batch_size=batch_size,
    )


@settings(deadline=None, derandomize=True, max_examples=40)
@given(
    widths=st.lists(st.integers(1, 30), min_size=1, max_size=4),
    num_networks=st.integers(1, 7),
    num_points=st.integers(1, 40),
    activation=st.sampled_from(["tanh", "relu", "sigmoid"]),
    optimizer=st.sampled_from(list(PLAIN_OPTIMIZERS)),
    num_threads=st.integers(1, 3),
    group=st.sampled_from([1, 10_000, 10**9]),
)
def test_any_training_is_that_of_a_plain_loop(
    widths, num_networks, num_points, activation, optimizer, num_threads, group
):
    ensemble = make_ensemble(
        seeds=range(num_networks), widths=widths, activation=activation, init_std=0.3
    )
    plain_networks = [make_plain_network(ensemble, network) for network in range(num_networks)]
    grid = np.linspace(-1, 1, num_points)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fprin_utils.engine.groups.BYTES_OF_A_GROUP", group)
        earlier = torch.get_num_threads()
        torch.set_num_threads(num_threads)
        run = train(ensemble, grid, np.sin(3 * grid), num_steps=8, optimizer=optimizer)
        assert torch.get_num_threads() == num_threads
        torch.set_num_threads(earlier)
    inputs = torch.tensor(grid)[:, None]
    for network, plain in enumerate(plain_networks):
        losses = train_plainly(plain, PLAIN_OPTIMIZERS[optimizer], inputs, torch.sin(3 * inputs), 8)
        np.testing.assert_allclose(run.losses[-1, network], losses[-1], rtol=1e-8, atol=1e-14)
        trained = make_plain_network(ensemble, network)
        for one, other in zip(trained.parameters(), plain.parameters(), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-7, atol=1e-9)


def train_plainly(network, make_optimizer, inputs, targets, num_steps):
    optimizer, losses = make_optimizer(network.parameters()), []
    for step in range(num_steps + 1):
        loss = torch.nn.functional.mse_loss(network(inputs), targets)
        losses.append(loss.item())
        if step < num_steps:
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return losses


@pytest.mark.parametrize("optimizer", ["adam", "gradient_descent", "momentum"])
def test_a_module_of_ones_own_trains_by_the_same_call(optimizer):
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Linear(1, 8), torch.nn.GELU(), torch.nn.Linear(8, 1))
    plain, inputs = copy.deepcopy(module), torch.tensor(GRID, dtype=torch.float32)[:, None]
    run = train(module, optimizer=optimizer, record_at=range(31), further_inputs={"fine": GRID / 2})
    targets = torch.tensor(TARGET, dtype=torch.float32)[:, None]
    losses = train_plainly(plain, PLAIN_OPTIMIZERS[optimizer], inputs, targets, 30)
    assert run.losses.shape == (31, 1)
    assert run.further_outputs["fine"].shape == (31, 1, 24)
    np.testing.assert_allclose(run.losses[:, 0], losses, rtol=1e-5)
    np.testing.assert_allclose(run.outputs[-1, 0], plain(inputs)[:, 0].detach(), atol=1e-5)
    stopped = train(copy.deepcopy(plain), loss_tolerance=1e3)
    assert len(stopped.steps) == 1


class Residual(torch.nn.Module):
    """A network that no stack of layers expresses."""

    def __init__(self):
        super().__init__()
        self.ensemble = make_ensemble(seeds=[0])

    def forward(self, inputs):
        return inputs + self.ensemble(inputs)[0]


def test_what_a_module_computes_is_what_is_trained():
    module = Residual()
    run = train(module, num_steps=200)
    outputs = module(torch.tensor(GRID)[:, None])[:, 0].detach()
    np.testing.assert_allclose(run.outputs[-1, 0], outputs, rtol=1e-12)
    assert run.losses[-1, 0] < 0.5 * run.losses[0, 0]


def test_a_subclass_of_ensemble_is_not_taken_for_one():
    class Doubled(fp.Ensemble):
        def forward(self, inputs):
            return 2 * super().forward(inputs)

    with pytest.raises(ValueError, match=r"outputs of shape \(1, 24, 1\) for targets"):
        train(Doubled([4], seeds=[0], dtype=torch.float64))


class Constant(torch.nn.Linear):
    def __init__(self):
        super().__init__(1, 1)

    def forward(self, inputs):
        return super().forward(inputs).detach()


class Gapped(torch.nn.Module):
    """Its weights are every other column of a larger tensor."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.weight = torch.nn.Parameter(torch.randn(1, 12)[:, ::2])

    def forward(self, inputs):
        return torch.tanh(inputs @ self.weight).sum(dim=1, keepdim=True)


def test_weights_with_gaps_in_memory_are_refused_where_they_would_train_wrongly():
    networks = make_ensemble(seeds=range(6))
    before = [parameter.detach().clone() for parameter in networks.parameters()]
    with pytest.raises(ValueError, match="does not lie in memory in one piece"):
        train(networks.take(slice(0, 6, 2)))
    for parameter, old in zip(networks.parameters(), before, strict=True):
        assert torch.equal(parameter, old)
    copied = train(networks.take([0, 2, 4]), optimizer="momentum")
    gapped = train(networks.take(slice(0, 6, 2)), optimizer="momentum")
    np.testing.assert_allclose(gapped.losses, copied.losses, rtol=1e-12)


def test_a_frozen_layer_of_an_ensemble_is_named():
    networks = make_ensemble()
    networks.weights[1].requires_grad_(False)
    with pytest.raises(ValueError, match=r"weights\.1 is frozen; an ensemble trains all"):
        train(networks)


def test_frozen_parameters_of_a_module_stay():
    module = torch.nn.Sequential(torch.nn.Linear(1, 4), torch.nn.Tanh(), torch.nn.Linear(4, 1))
    module[0].weight.requires_grad_(False)
    before = [parameter.detach().clone() for parameter in module.parameters()]
    train(module)
    same = [torch.equal(p, old) for p, old in zip(module.parameters(), before, strict=True)]
    assert same == [True, False, False, False]


def test_a_module_is_recorded_in_evaluation_mode_and_learns_in_its_own():
    torch.manual_seed(0)
    module = torch.nn.Sequential(
        torch.nn.Linear(1, 50), torch.nn.BatchNorm1d(50), torch.nn.Dropout(0.5),
        torch.nn.Linear(50, 1),
    )  # fmt: skip
    run = train(module, num_steps=12, record_at=range(13))
    assert module.training
    # One pass for each step, one for the loss of the last, none for the records.
    assert module[1].num_batches_tracked == 13
    module.eval()
    with torch.no_grad():
        outputs = module(torch.tensor(GRID, dtype=torch.float32)[:, None])[:, 0]
    np.testing.assert_allclose(run.outputs[-1, 0], outputs, atol=1e-6)


@pytest.mark.parametrize(
    ("module", "settings", "message"),
    [
        (torch.nn.Tanh(), {}, r"networks is Tanh\(\); it must be an Ensemble or a torch.nn.Module"),
        ("network", {}, "networks is 'network'"),
        (torch.nn.Linear(1, 1), {"spectral_norms_at": [0]}, "spectral_norms_at wants an Ensemble"),
        (torch.nn.Linear(1, 2), {}, r"outputs of shape \(24, 2\) for targets of shape \(24, 1\)"),
        (torch.nn.Sequential(torch.nn.Linear(1, 1), torch.nn.Flatten(0)), {}, r"shape \(24,\)"),
        (torch.nn.Linear(2, 1), {}, "the network does not take inputs of shape"),
        (torch.nn.LSTM(1, 1), {}, "it gives a tuple and not a tensor"),
        (torch.nn.Linear(1, 1, dtype=torch.bfloat16), {}, "dtype torch.bfloat16 is not one of"),
        (Constant(), {}, "the outputs of the network do not depend on its parameters"),
        (Gapped(), {}, r"a parameter of shape \(1, 6\) does not lie in memory in one piece"),
    ],
)
def test_a_module_that_does_not_fit_is_named(module, settings, message):
    with pytest.raises(ValueError, match=message):
        train(module, **settings)


def test_records_have_the_stated_shapes_and_steps():
    fine_grid = fp.make_grid(50)
    ensemble = make_ensemble(dtype=torch.float32)
    run = train(
        ensemble,
        record_at=[0, 5, 30],
        further_inputs={"fine": fine_grid},
        spectral_norms_at=[0, 30],
    )
    np.testing.assert_array_equal(run.steps, [0, 5, 30])
    assert run.losses.shape == (3, 3)
    assert run.outputs.shape == (3, 3, 24)
    assert run.outputs.dtype == np.float32
    assert run.further_outputs["fine"].shape == (3, 3, 50)
    assert run.spectral_norms.shape == (2, 3, 3)
    np.testing.assert_allclose(run.spectral_norms[-1], ensemble.compute_spectral_norms())
    with torch.no_grad():
        now = ensemble(torch.tensor(fine_grid, dtype=torch.float32)[:, None])[..., 0]
    np.testing.assert_allclose(run.further_outputs["fine"][-1], now, atol=1e-6)


def test_training_goes_on_after_the_last_record():
    ensemble, other = make_ensemble(), make_ensemble()
    train(ensemble, record_at=[0, 10])
    train(other)
    assert torch.equal(ensemble.weights[0], other.weights[0])


def test_several_inputs_and_outputs():
    inputs = fp.make_image_coordinates(4)
    targets = np.stack([inputs.sum(axis=1), inputs[:, 0]], axis=1)
    run = train(make_ensemble(num_inputs=2, num_outputs=2), inputs, targets, num_steps=200)
    assert run.outputs.shape[1:] == (3, 16, 2)
    assert (run.losses[-1] < 0.1 * run.losses[0]).all()


def test_a_network_that_reaches_the_tolerance_stops_at_its_own_step():
    settings = {"num_steps": 400, "record_at": range(401), "spectral_norms_at": range(401)}
    free = train(make_ensemble(), **settings)
    tolerance = 0.2
    stops = (free.losses <= tolerance).argmax(axis=0)
    assert len(set(stops)) == 3, "the seeds are meant to stop at different steps"
    ensemble = make_ensemble()
    run = train(ensemble, loss_tolerance=tolerance, **settings)
    assert run.steps[-1] == stops.max()
    for network, stop in enumerate(stops):
        for kept, moving in (
            (run.losses, free.losses),
            (run.outputs, free.outputs),
            (run.spectral_norms, free.spectral_norms),
        ):
            np.testing.assert_allclose(kept[: stop + 1, network], moving[: stop + 1, network])
            np.testing.assert_allclose(
                kept[stop:, network],
                np.broadcast_to(kept[stop, network], kept[stop:, network].shape),
            )
    np.testing.assert_allclose(ensemble.compute_spectral_norms(), run.spectral_norms[-1])


def check_that_networks_stop_one_by_one(**network_and_settings):
    network = {"activation": network_and_settings.pop("activation", "tanh")}
    settings = {"num_steps": 80, "record_at": range(81)} | network_and_settings
    free = train(make_ensemble(**network), **settings)
    tolerance = free.losses[50].max()
    stops = (free.losses <= tolerance).argmax(axis=0)
    assert len(set(stops)) == 3, "the seeds are meant to stop at different steps"
    ensemble = make_ensemble(**network)
    run = train(ensemble, loss_tolerance=tolerance, **settings)
    assert run.steps[-1] == stops.max() == 50
    for member, stop in enumerate(stops):
        expected = np.concatenate([free.outputs[: stop + 1, member]] + [
            free.outputs[stop : stop + 1, member]] * (50 - stop))  # fmt: skip
        np.testing.assert_allclose(run.outputs[:, member], expected, rtol=1e-7, atol=1e-10)
    with torch.no_grad():
        now = ensemble(torch.tensor(GRID)[:, None])[..., 0]
    np.testing.assert_allclose(run.outputs[-1], now, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("name", FACTORIES)
def test_networks_with_an_optimizer_of_torch_stop_one_by_one(name):
    check_that_networks_stop_one_by_one(optimizer=FACTORIES[name])


def test_networks_with_an_activation_without_derivative_stop_one_by_one(softplus):
    check_that_networks_stop_one_by_one(activation=softplus)


@pytest.mark.parametrize(
    "optimizer",
    [
        torch.optim.LBFGS,
        torch.optim.SGD([torch.zeros(1)], lr=0.1),
        partial(torch.optim.SGD, momentum=-1),
        lambda parameters: torch.optim.SGD(parameters, lr=0.1),
        lambda *_, **__: None,
        lambda *_, lr: {}[lr],
        torch.nn.Linear,
        torch.zeros,
        torch.optim.SparseAdam,
        torch.optim.Optimizer,
        len,
        dict,
    ],
    ids=lambda optimizer: getattr(optimizer, "__name__", type(optimizer).__name__),
)
def test_what_makes_no_optimizer_is_named_in_one_line(optimizer):
    with pytest.raises(ValueError, match=r"^optimizer ") as told:
        train(make_ensemble(), optimizer=optimizer)
    assert "\n" not in str(told.value)
    assert len(str(told.value)) < 500


def test_schedules_start_at_0_and_end_at_the_last_step():
    log_steps = fp.make_steps(10_000, 50)
    assert log_steps[0] == 0
    assert log_steps[-1] == 10_000
    assert len(log_steps) <= 50
    assert (np.diff(log_steps) > 0).all()
    np.testing.assert_array_equal(fp.make_steps(10, 6, spacing="linear"), [0, 2, 4, 6, 8, 10])
    np.testing.assert_array_equal(fp.make_steps(2, 100, spacing="linear"), [0, 1, 2])
    np.testing.assert_array_equal(fp.make_steps(0), [0])


@pytest.mark.parametrize(
    ("bias", "how"), [(1e150, "is no longer finite"), (1e5, r"has grown to \d\S*e\+\d+")]
)
def test_divergence_names_step_seed_and_learning_rate(bias, how):
    ensemble = make_ensemble(seeds=[4, 6, 8])
    # The first step is this large for one of the networks.
    ensemble.biases[-1].data[1] = bias
    message = rf"^the loss of seed 6 {how} at step 1 with learning_rate 100000; try a smaller one$"
    with pytest.raises(FloatingPointError, match=message):
        train(ensemble, optimizer="gradient_descent", learning_rate=1e5)


@pytest.mark.parametrize("batch_size", [None, 8])
def test_a_loss_that_grows_a_million_times_is_no_training(batch_size):
    with pytest.raises(FloatingPointError, match=r"with learning_rate 1000; try a smaller one"):
        train(make_ensemble(), learning_rate=1e3, batch_size=batch_size)


@pytest.mark.parametrize(("learning_rate", "least"), [(1.0, 10), (30.0, 1000)])
def test_a_loss_that_shoots_up_and_comes_back_is_a_training(learning_rate, least):
    ensemble = make_ensemble(widths=(50, 50))
    run = train(ensemble, num_steps=600, learning_rate=learning_rate, record_at=range(601))
    assert (run.losses.max(axis=0) > least * run.losses[0]).all()
    assert (run.losses[-1] < run.losses[0]).all()


def test_numbers_too_large_for_the_networks_are_named():
    networks = make_ensemble(dtype=torch.float32)
    for too_large in ({"targets": TARGET * 1e39}, {"further_inputs": {"far": GRID * 1e39}}):
        with pytest.raises(ValueError, match="values that are not finite, or too large"):
            train(networks, **too_large)
    with pytest.raises(FloatingPointError, match="seed 0 is not finite before the first step"):
        train(networks, targets=TARGET * 1e25, num_steps=0)


def test_workers_compute_with_one_thread_each():
    # The library that torch brings: scikit-learn, once imported, has another of its own.
    openmp = sorted(Path(torch.__file__).parent.glob("lib/lib[gi]omp*"))
    if not openmp:
        pytest.skip("torch brings no OpenMP library")
    count_threads = ctypes.CDLL(openmp[0]).omp_get_max_threads
    with open_workers(torch.get_num_threads()) as at_once:
        assert at_once(lambda _: count_threads(), range(2)) == [1, 1]


def test_a_whole_number_of_steps_may_be_a_float():
    assert train(make_ensemble(), num_steps=3e1, batch_size=8.0).steps[-1] == 30


def test_a_progress_bar_shows_step_loss_and_rate(capsys):
    train(make_ensemble(), progress=True)
    shown = capsys.readouterr().err
    assert "30/30" in shown
    assert "loss=" in shown
    assert "step/s" in shown


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"inputs": np.zeros((24, 2))}, r"inputs has shape \(24, 2\); it must be \(N, 1\) or \(N,"),
        ({"inputs": np.array([]), "targets": np.array([])}, r"inputs has shape \(0,\)"),
        ({"inputs": np.full(24, np.nan)}, "inputs holds values that are not finite"),
        ({"targets": TARGET * 1j}, "targets is no array of real numbers: its numbers are complex"),
        ({"targets": torch.ones(24, requires_grad=True)}, "targets is no array of real numbers"),
        ({"further_inputs": [GRID]}, "further_inputs is a list; it must map names to inputs"),
        ({"targets": np.zeros(23)}, "24 inputs for 23 targets"),
        ({"targets": np.zeros((24, 2))}, r"targets has shape \(24, 2\)"),
        ({"targets": np.zeros((2, 24, 1))}, "2 sets of targets for 3 networks"),
        ({"targets": np.zeros((2, 24))}, "2 sets of targets for 3 networks"),
        ({"targets": np.zeros((3, 23))}, r"targets has shape \(3, 23\)"),
        ({"targets": np.zeros((3, 23, 1))}, "24 inputs for 23 targets"),
        ({"targets": np.zeros((3, 24, 2))}, r"targets\[0\] has shape \(24, 2\)"),
        ({"further_inputs": {"fine": np.zeros((3, 4))}}, r"further_inputs\['fine'\] has shape"),
        ({"num_steps": -1}, "num_steps is -1"),
        ({"num_steps": -1, "record_at": [0]}, "num_steps is -1"),
        ({"learning_rate": 0.0}, "learning_rate is 0.0"),
        ({"learning_rate": float("inf")}, "learning_rate is inf"),
        ({"momentum": 1.0}, "momentum is 1.0"),
        ({"optimizer": "lion"}, "optimizer 'lion' is not one of adam, gradient_descent, momentum"),
        ({"num_steps": 1.5}, "num_steps is 1.5"),
        ({"batch_size": 25}, "batch_size is 25; there are only 24 points"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"batch_size": 2.5}, "batch_size is 2.5"),
        ({"loss_tolerance": 0.0}, "loss_tolerance is 0.0"),
        ({"record_at": []}, "record_at is empty"),
        ({"record_at": [0.5]}, "a step of record_at is 0.5"),
        ({"record_at": [-1, 5]}, "a step of record_at is -1"),
        ({"record_at": [0, 31]}, "record_at must increase strictly and end at step 30 at most"),
        ({"record_at": [5, 5]}, "record_at must increase strictly"),
        ({"spectral_norms_at": [3], "record_at": [0, 30]}, "has steps that record_at has not"),
        ({"spectral_norms_at": [0, 0, 30]}, "spectral_norms_at must increase strictly"),
        ({"spectral_norms_at": [0.7]}, "a step of spectral_norms_at is 0.7"),
    ],
)
def test_bad_input_is_named(settings, message):
    with pytest.raises(ValueError, match=message):
        train(make_ensemble(), **settings)


ODD_NUMBERS = st.one_of(
    st.none(),
    st.integers(-2, 40),
    st.floats(allow_nan=True, allow_infinity=True, width=32),
    st.sampled_from(["", "many", 10**400, 1e308, -0.0, True, [], np.nan]),
)
ODD_ARRAYS = st.one_of(
    st.sampled_from(
        [GRID, GRID[:, None], GRID[None], GRID[:0], GRID + np.inf, np.zeros((3, 24, 1))]
    ),
    st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=3),
    st.sampled_from(["points", None, 3.0, [[1.0], [1.0, 2.0]], object(), np.zeros((2, 2, 2, 2))]),
)


@settings(deadline=None, derandomize=True, max_examples=300)
@given(
    inputs=st.one_of(st.just(GRID), ODD_ARRAYS),
    targets=st.one_of(st.just(TARGET), ODD_ARRAYS),
    further=st.one_of(st.none(), ODD_ARRAYS.map(lambda values: {"fine": values})),
    numbers=st.dictionaries(
        st.sampled_from(["num_steps", "learning_rate", "momentum", "batch_size", "loss_tolerance"]),
        ODD_NUMBERS,
        max_size=2,
    ),
    steps=st.dictionaries(
        st.sampled_from(["record_at", "spectral_norms_at"]),
        st.one_of(st.lists(ODD_NUMBERS, max_size=3), ODD_NUMBERS),
        max_size=1,
    ),
    optimizer=st.sampled_from(["adam", "momentum", "sgd", "", None, 3]),
)
def test_any_bad_input_is_a_clear_error(inputs, targets, further, numbers, steps, optimizer):
    chosen = {"inputs": inputs, "targets": targets, "further_inputs": further} | numbers | steps
    with contextlib.suppress(ValueError, FloatingPointError):
        train(make_ensemble(seeds=[0, 1]), optimizer=optimizer, **chosen)


def test_bad_schedules_are_named():
    for spacing in ("log", "linear"):
        with pytest.raises(ValueError, match="num_steps is -1"):
            fp.make_steps(-1, spacing=spacing)
        with pytest.raises(ValueError, match=r"num_records is 1; .* at least 2"):
            fp.make_steps(10, 1, spacing=spacing)
    with pytest.raises(ValueError, match="spacing 'cubic' is not one of log, linear"):
        fp.make_steps(10, spacing="cubic")


MEMORY_SCRIPT = """
import numpy as np
import fprin_utils as fp
from fprin_utils.provenance import measure_peak_memory
networks = fp.Ensemble([1000] * 3, seeds=range(8))
grid, before = fp.make_grid(15), measure_peak_memory()
run = fp.train(networks, grid, np.sin(grid), num_steps=8, learning_rate=1e-4, progress=False,
               record_at=range(9), further_inputs={"fine": fp.make_grid(512)})
print(measure_peak_memory() - before)
"""


def test_a_training_takes_no_more_memory_than_it_must():
    done = subprocess.run(
        [sys.executable, "-c", MEMORY_SCRIPT], capture_output=True, text=True, check=True
    )
    # Gradients and two moments, 4 bytes each; hidden values on the fine grid, of two groups.
    must = 8 * 2.0e6 * 3 * 4 / 2**20 + 2 * 4 * 512 * 1000 * 3 * 4 / 2**20
    assert int(done.stdout) < must + 60
