"""Groups of networks, each evaluated and updated by one worker at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch

from fprin_utils.engine.backpropagation import differentiate
from fprin_utils.engine.modules import SingleNetwork
from fprin_utils.engine.optimizers import Factory, make_optimizer
from fprin_utils.networks import Ensemble

# Measured: with twice as much in a group, the steps of all but tiny networks take longer.
BYTES_OF_A_GROUP = 8 * 2**20


@dataclass(frozen=True)
class Task:
    """What S networks have to learn, and how.

    Attributes:
        inputs: Training inputs, shape (N, num_inputs).
        targets: Training targets, shape (1, N, num_outputs), or (S, N, num_outputs) if each
            network has its own.
        grids: Further inputs on which outputs are measured, by name.
        optimizer: One of `OPTIMIZERS`, or what makes an optimiser of torch.optim.
        learning_rate: Its step size.
        momentum: Its momentum coefficient, if it has one.
        batch_size: Points in a mini-batch; None for all.
    """

    inputs: torch.Tensor
    targets: torch.Tensor
    grids: Mapping[str, torch.Tensor]
    optimizer: str | Factory
    learning_rate: float
    momentum: float
    batch_size: int | None


@dataclass(frozen=True)
class Measurement:
    """What a record holds of G networks.

    Attributes:
        members: Places of the networks among all, shape (G,).
        losses: Mean squared error over the whole training set, shape (G,).
        outputs: Outputs on the training inputs, shape (G, N, num_outputs).
        further_outputs: The same on each grid, by its name.
        spectral_norms: Largest singular value of each layer, shape (G, L), or None.
    """

    members: np.ndarray
    losses: np.ndarray
    outputs: np.ndarray
    further_outputs: Mapping[str, np.ndarray]
    spectral_norms: np.ndarray | None


class Group:
    """A group of G of the S networks of a training.

    Attributes:
        members: Places of the group among all networks, shape (G,).
        networks: The networks of the group.
        optimizer: What updates them; it counts the updates.
    """

    def __init__(
        self, task: Task, networks: Ensemble | SingleNetwork, members: slice | np.ndarray
    ) -> None:
        """Take some of the networks, as they are.

        Args:
            task: What all networks have to learn.
            networks: All networks.
            members: Which of them are meant. A slice shares memory with all networks; places one
                by one are copied, and `give_back` copies them back.
        """
        self.task, self.all_networks = task, networks
        self.networks = networks.take(members)
        self.members = np.arange(len(networks.seeds))[members]
        self.shares_memory = isinstance(members, slice) or isinstance(networks, SingleNetwork)
        self.passes = differentiate(self.networks)
        self.optimizer = make_optimizer(
            task.optimizer, self.passes.parameters, task.learning_rate, task.momentum
        )
        self.inputs = task.inputs.expand(len(self.members), *task.inputs.shape)
        self.targets = task.targets.expand(len(networks.seeds), *task.targets.shape[1:])[members]
        self.outputs = self.residuals = self.orders = None

    def advance(self, num_steps: int) -> np.ndarray:
        """Make updates.

        Returns:
            The loss of each network after each update, on the points of the following one, shape
            (num_steps, G).
        """
        self._evaluate()
        losses = []
        for _ in range(num_steps):
            # The loss is the mean square of the residuals; this is its derivative by the outputs.
            self.passes.backward(self.residuals.mul_(2 / self.residuals[0].numel()))
            self.optimizer.update()
            self.residuals = None
            self._evaluate()
            losses.append(_compute_losses(self.residuals))
        return torch.stack(losses).cpu().numpy()

    @torch.no_grad()
    def measure(self, *, with_norms: bool) -> Measurement:
        """Measure the networks as they are, with or without their spectral norms."""
        self._evaluate()
        is_known = self.task.batch_size is None and isinstance(self.networks, Ensemble)
        outputs = self.outputs if is_known else self.networks(self.task.inputs)
        grids = self.task.grids.items()
        return Measurement(
            members=self.members,
            losses=_compute_losses(outputs - self.targets).cpu().numpy(),
            outputs=outputs.cpu().numpy(),
            further_outputs={name: self.networks(grid).cpu().numpy() for name, grid in grids},
            spectral_norms=self.networks.compute_spectral_norms() if with_norms else None,
        )

    def give_back(self) -> None:
        """Store the weights in the ensemble of all networks, where they are not in it anyway."""
        if not self.shares_memory:
            self.all_networks.put(self.members, self.networks)

    def without(self, stopped: np.ndarray) -> list[Group]:
        """Go on without some networks.

        Args:
            stopped: Mask of those that keep their present weights, shape (G,).

        Returns:
            The group that goes on with the others, or nothing if there is none.
        """
        if not stopped.any():
            return [self]
        self.give_back()
        if stopped.all():
            return []
        rest = Group(self.task, self.all_networks, self.members[~stopped])
        rows = torch.as_tensor(~stopped, device=self.inputs.device)
        moments = {
            # A number, such as Adam's count of steps, is that of all networks.
            name: [moment[rows] if moment.ndim else moment for moment in each]
            for name, each in self.optimizer.moments.items()
        }
        rest.optimizer.restore(self.optimizer.num_updates, moments)
        return [rest]

    def pack(self) -> dict[str, np.ndarray]:
        """Return what it takes to go on later, beside the weights of all networks."""
        packed = {"members": self.members, "shares_memory": np.array(self.shares_memory)}
        for name, moments in self.optimizer.moments.items():
            for place, moment in enumerate(moments):
                packed[f"moment/{place}/{name}"] = moment.cpu().numpy()
        return packed

    @classmethod
    def unpack(
        cls,
        task: Task,
        networks: Ensemble | SingleNetwork,
        packed: Mapping[str, np.ndarray],
        num_updates: int,
    ) -> Group:
        """Return the group that goes on after so many updates from what `pack` returned."""
        members = packed["members"]
        if packed["shares_memory"]:
            # The same sums may end in other bits where the numbers lie otherwise in memory.
            members = slice(int(members[0]), int(members[-1]) + 1)
        group = cls(task, networks, members)
        moments: dict[str, list[torch.Tensor]] = {}
        for key, values in packed.items():
            if key.startswith("moment/"):
                name = key.split("/", 2)[2]
                moment = torch.as_tensor(values, device=networks.device)
                moments.setdefault(name, []).append(moment)
        group.optimizer.restore(num_updates, moments)
        return group

    def _evaluate(self) -> None:
        """Compute outputs and residuals for the present step, unless they are known."""
        if self.residuals is None:
            inputs, targets = self.inputs, self.targets
            if self.task.batch_size:
                batch = self._draw_batch()
                inputs = inputs.take_along_dim(batch, dim=1)
                targets = targets.take_along_dim(batch, dim=1)
            self.outputs = self.passes.forward(inputs)
            self.residuals = self.outputs - targets

    def _draw_batch(self) -> torch.Tensor:
        """Return which points each network sees at the present step, shape (G, B, 1).

        An epoch has an order of its own for each network, which depends on the seed and the number
        of the epoch alone; the last batch of an epoch may be smaller.
        """
        num_points = len(self.task.inputs)
        batches_per_epoch = -(-num_points // self.task.batch_size)
        epoch, place = divmod(self.optimizer.num_updates, batches_per_epoch)
        if place == 0 or self.orders is None:
            generators = [np.random.default_rng([seed, epoch]) for seed in self.networks.seeds]
            orders = np.stack([generator.permutation(num_points) for generator in generators])
            self.orders = torch.as_tensor(orders, device=self.inputs.device)[..., None]
        start = place * self.task.batch_size
        return self.orders[:, start : start + self.task.batch_size]


def _compute_losses(residuals: torch.Tensor) -> torch.Tensor:
    """Mean squared error of each network, shape (G,), from residuals of shape (G, B, O)."""
    return residuals.square().mean(dim=(1, 2))


def share_out(networks: Ensemble | SingleNetwork, num_points: int) -> list[slice]:
    """Divide networks into groups of neighbours.

    A group is as large as fits into the caches, since large ones spend less time in Python, and
    small ones less on memory. On a GPU there is one group.

    Args:
        networks: All networks.
        num_points: Points that a network sees at a step.

    Returns:
        The groups, as slices of the places of the networks.
    """
    num_networks, num_workers = len(networks.seeds), torch.get_num_threads()
    if networks.device.type != "cpu" or num_networks == 1:
        return [slice(0, num_networks)]
    num_parameters = sum(parameter[0].numel() for parameter in networks.parameters())
    num_values = num_points * sum(weight.shape[2] for weight in networks.weights)
    # Weights, gradients and two moments; hidden values and the gradients by them.
    size = networks.dtype.itemsize * (4 * num_parameters + 2 * num_values)
    num_groups = -(-num_networks * size // BYTES_OF_A_GROUP)
    num_groups = min(-(-num_groups // num_workers) * num_workers, num_networks)
    edges = np.linspace(0, num_networks, num_groups + 1).round().astype(int).tolist()
    return [slice(start, stop) for start, stop in pairwise(edges)]


def _prepare_worker() -> None:
    # A new thread takes over the number of torch threads only when it is asked for it.
    torch.get_num_threads()
    torch.set_flush_denormal(True)


# Calls a function with each item of a list, several at a time, and returns the results.
Work = Callable[[Callable, Sequence], list]


@contextmanager
def open_workers(num_jobs: int) -> Iterator[Work]:
    """Open threads that share the cores.

    One torch thread a worker beats several at one task, as nothing has to be handed over. Numbers
    near the smallest that there are count as zero there: the squared gradients of small weights
    become that small, and a processor is slow with them.

    Args:
        num_jobs: Most jobs at a time.

    Yields:
        A function that calls another with each item of a list, and returns the results.
    """
    num_threads = torch.get_num_threads()
    num_workers = max(1, min(num_threads, num_jobs))
    torch.set_num_threads(num_threads // num_workers)
    pool = ThreadPoolExecutor(num_workers, initializer=_prepare_worker)
    try:
        yield lambda work, items: list(pool.map(work, items))
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(num_threads)
