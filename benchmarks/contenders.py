"""Who is timed: the engine, and what one would otherwise write; each in a process of its own.

`python -m benchmarks.contenders CONTENDER WORKLOAD [--steps N]` prints one line of JSON: the
seconds of a training, started anew from the initial weights after a warm-up, and its losses.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch

import fprin_utils as fp
from benchmarks.workloads import WORKLOADS, Workload, make_workload
from fprin_utils.engine.groups import open_workers, share_out

NUM_RECORDS = 200
Run = Callable[[], np.ndarray | None]


def make_engine(workload: Workload) -> tuple[Run, Run]:
    """Return a warm-up and the training, by `fprin_utils.train`."""
    networks = workload.make_ensemble()

    def run(networks: fp.Ensemble = networks, num_steps: int = workload.num_steps) -> np.ndarray:
        trained = fp.train(
            networks,
            workload.inputs,
            workload.targets,
            num_steps=num_steps,
            learning_rate=workload.learning_rate,
            record_at=fp.make_steps(num_steps, NUM_RECORDS),
            progress=False,
        )
        return trained.losses

    return lambda: run(workload.make_ensemble(), 3), run


def make_autograd(workload: Workload) -> tuple[Run, Run]:
    """Return a warm-up and the training, by torch.autograd and torch.optim.Adam(fused=True).

    The networks are an ensemble in the same groups as the engine's, with the same threads, so that
    what remains is the written-out backward pass.
    """
    inputs = torch.tensor(workload.inputs, dtype=torch.float32)
    targets = torch.tensor(workload.targets, dtype=torch.float32)[:, None]
    ensemble = workload.make_ensemble()
    places = [np.arange(workload.num_seeds)[g] for g in share_out(ensemble, len(inputs))]

    def train(networks: fp.Ensemble, num_steps: int) -> np.ndarray:
        optimizer = torch.optim.Adam(networks.parameters(), lr=workload.learning_rate, fused=True)
        steps = set(fp.make_steps(num_steps, NUM_RECORDS).tolist())
        losses = np.empty((len(steps), len(networks.seeds)))
        outputs = np.empty((*losses.shape, len(inputs)), np.float32)
        record = 0
        for step in range(num_steps + 1):
            predictions = networks(inputs)
            each = (predictions - targets).square().mean(dim=(1, 2))
            if step in steps:
                losses[record] = each.detach()
                outputs[record] = predictions.detach()[..., 0]
                record += 1
            if step < num_steps:
                optimizer.zero_grad()
                each.sum().backward()
                optimizer.step()
        return losses

    def run(num_steps: int = workload.num_steps) -> np.ndarray:
        # Copies, so that a warm-up leaves the ensemble as it was.
        groups = [ensemble.take(members) for members in places]
        with open_workers(len(groups)) as at_once:
            return np.hstack(at_once(lambda group: train(group, num_steps), groups))

    return lambda: run(3), run


def make_plain_loop(workload: Workload, *, compiled: bool = False) -> tuple[Run, Run]:
    """Return a warm-up and the training, as a loop over torch.nn.Sequential and torch.optim.Adam.

    One seed is trained after another. Compiled, the forward and backward pass and the update go
    through torch.compile; the network is the same object for all seeds, so that this is done once.
    """
    layers = workload.make_initial_layers()
    activation = {"tanh": torch.nn.Tanh, "relu": torch.nn.ReLU}[workload.activation]
    modules = []
    for weight, _ in layers:
        modules += [torch.nn.Linear(*weight.shape[1:]), activation()]
    network = torch.nn.Sequential(*modules[:-1])
    inputs = torch.tensor(workload.inputs, dtype=torch.float32)
    targets = torch.tensor(workload.targets, dtype=torch.float32)[:, None]
    optimizer = torch.optim.Adam(network.parameters(), lr=workload.learning_rate)
    evaluate = torch.compile(network) if compiled else network
    update = torch.compile(optimizer.step) if compiled else optimizer.step

    def run(num_steps: int = workload.num_steps, num_seeds: int = workload.num_seeds) -> np.ndarray:
        steps = set(fp.make_steps(num_steps, NUM_RECORDS).tolist())
        losses = np.empty((len(steps), num_seeds))
        outputs = np.empty((len(steps), num_seeds, len(inputs)), np.float32)
        for seed in range(num_seeds):
            _start_anew(network, optimizer, layers, seed)
            record = 0
            for step in range(num_steps + 1):
                prediction = evaluate(inputs)
                loss = torch.nn.functional.mse_loss(prediction, targets)
                if step in steps:
                    losses[record, seed] = loss.item()
                    outputs[record, seed] = prediction.detach()[:, 0]
                    record += 1
                if step < num_steps:
                    optimizer.zero_grad()
                    loss.backward()
                    update()
        return losses

    return lambda: run(3, 1), run


def _start_anew(
    network: torch.nn.Sequential,
    optimizer: torch.optim.Optimizer,
    layers: list[tuple[np.ndarray, np.ndarray]],
    seed: int,
) -> None:
    linear = [module for module in network if isinstance(module, torch.nn.Linear)]
    with torch.no_grad():
        for module, (weight, bias) in zip(linear, layers, strict=True):
            module.weight.copy_(torch.tensor(weight[seed].T))
            module.bias.copy_(torch.tensor(bias[seed, 0]))
        for state in optimizer.state.values():
            for value in state.values():
                value.zero_()


def make_compiled_loop(workload: Workload) -> tuple[Run, Run]:
    """As `make_plain_loop`, through torch.compile."""
    return make_plain_loop(workload, compiled=True)


def make_jax(workload: Workload) -> tuple[Run, Run]:
    """Return a warm-up and the training in JAX: jit of vmap over the seeds of scan over records."""
    import jax
    from jax import numpy as jnp

    activation = {"tanh": jnp.tanh, "relu": jax.nn.relu}[workload.activation]
    inputs, targets = jnp.array(workload.inputs), jnp.array(workload.targets)[:, None]
    layers = [(jnp.array(w), jnp.array(b)) for w, b in workload.make_initial_layers()]
    rate, decay_mean, decay_square = workload.learning_rate, 0.9, 0.999

    def evaluate(layers: list) -> tuple:
        hidden = inputs
        for weight, bias in layers[:-1]:
            hidden = activation(hidden @ weight + bias)
        outputs = hidden @ layers[-1][0] + layers[-1][1]
        return jnp.square(outputs - targets).mean(), outputs

    def update(_: int, state: tuple) -> tuple:
        layers, means, squares, count = state
        gradients = jax.grad(evaluate, has_aux=True)(layers)[0]
        count += 1
        means = jax.tree.map(lambda m, g: decay_mean * m + (1 - decay_mean) * g, means, gradients)
        squares = jax.tree.map(
            lambda v, g: decay_square * v + (1 - decay_square) * g * g, squares, gradients
        )
        step = rate / (1 - decay_mean**count)
        scale = 1 / jnp.sqrt(1 - decay_square**count)
        layers = jax.tree.map(
            lambda p, m, v: p - step * m / (jnp.sqrt(v) * scale + 1e-8), layers, means, squares
        )
        return layers, means, squares, count

    def train_one(layers: list, spans: jax.Array) -> tuple:
        zeros = jax.tree.map(jnp.zeros_like, layers)

        def reach_next_record(state: tuple, span: jax.Array) -> tuple:
            state = jax.lax.fori_loop(0, span, update, state)
            return state, evaluate(state[0])

        return jax.lax.scan(reach_next_record, (layers, zeros, zeros, 0.0), spans)[1]

    train_all = jax.jit(jax.vmap(train_one, in_axes=(0, None)))
    spans = np.diff(fp.make_steps(workload.num_steps, NUM_RECORDS), prepend=0)

    def run(spans: np.ndarray = spans) -> np.ndarray:
        losses, outputs = train_all(layers, jnp.array(spans))
        np.asarray(outputs)
        return np.asarray(losses).T

    return lambda: run(np.zeros_like(spans)), run


def make_products(workload: Workload) -> tuple[Run, Run]:
    """Return a warm-up and the matrix products of the training alone, as a bound.

    They have the same shapes and are shared out among the cores in the same way.
    """
    ensemble, num_points = workload.make_ensemble(), len(workload.inputs)
    groups = [_Products(ensemble.take(g), num_points) for g in share_out(ensemble, num_points)]

    def run(num_steps: int = workload.num_steps) -> None:
        with open_workers(len(groups)) as at_once:
            at_once(lambda group: group.run(num_steps), groups)

    return lambda: run(3), run


class _Products:
    def __init__(self, ensemble: fp.Ensemble, num_points: int) -> None:
        self.weights = [weight.detach() for weight in ensemble.weights]
        self.gradients = [torch.empty_like(weight) for weight in self.weights]
        sizes = [ensemble.num_inputs, *(weight.shape[2] for weight in self.weights)]
        self.values = [torch.rand(len(ensemble.seeds), num_points, size) for size in sizes]
        self.flowing = [torch.empty_like(values) for values in self.values]

    def run(self, num_steps: int) -> None:
        for _ in range(num_steps):
            for layer, weight in enumerate(self.weights):
                torch.bmm(self.values[layer], weight, out=self.flowing[layer + 1])
            for layer, weight in reversed(list(enumerate(self.weights))):
                below, delta = self.values[layer], self.values[layer + 1]
                torch.bmm(below.mT, delta, out=self.gradients[layer])
                if layer:
                    torch.bmm(delta, weight.mT, out=self.flowing[layer])


CONTENDERS = {
    "engine": make_engine,
    "autograd": make_autograd,
    "plain loop": make_plain_loop,
    "torch.compile": make_compiled_loop,
    "JAX": make_jax,
    "products alone": make_products,
}


def main() -> None:
    """Time one training and print what came out."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.contenders")
    parser.add_argument("contender", choices=CONTENDERS)
    parser.add_argument("workload", choices=WORKLOADS)
    parser.add_argument("--steps", type=int)
    options = parser.parse_args()
    workload = make_workload(options.workload)
    if options.steps is not None:
        workload = replace(workload, num_steps=options.steps)
    warm_up, run = CONTENDERS[options.contender](workload)
    warm_up()
    started = time.perf_counter()
    losses = run()
    seconds = time.perf_counter() - started
    print(json.dumps({"seconds": seconds, "losses": None if losses is None else losses.tolist()}))


if __name__ == "__main__":
    main()
