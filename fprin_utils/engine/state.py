"""How far a training has come, and how it goes on from there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from fprin_utils.engine.checkpoints import Checkpoint
from fprin_utils.engine.groups import Group, Measurement, Work, share_out
from fprin_utils.engine.modules import SingleNetwork
from fprin_utils.engine.records import Records
from fprin_utils.engine.requests import Request

# Times the first loss, or the mean square of the targets: no training comes back from there.
DIVERGED = 1e6


@dataclass
class State:
    """How far a training has come.

    Attributes:
        request: What it is.
        records: What has been recorded.
        groups: The networks that go on.
        step: Updates so far.
        seconds: Wall-clock time so far.
        saved: Where it is saved; None if it is not.
        limit: The loss at which it counts as diverged; None until a loss is known.
    """

    request: Request
    records: Records
    groups: list[Group]
    step: int = 0
    seconds: float = 0.0
    saved: Checkpoint | None = None
    limit: float | None = None

    @property
    def is_over(self) -> bool:
        """Whether all updates have been made, or all networks have stopped."""
        return self.step == self.request.num_steps or not self.groups

    def record(self, at_once: Work) -> None:
        """Record the networks as they are, and stop those that have arrived."""
        measure = partial(Group.measure, with_norms=self.records.wants_norms)
        measurements = at_once(measure, self.groups)
        self._check_losses(np.hstack([measured.losses for measured in measurements]))
        self.records.record(measurements)
        if self.request.loss_tolerance is not None:
            self.groups = self._stop(measurements)

    def advance(self, num_steps: int, at_once: Work) -> np.ndarray:
        """Make updates; return the losses after the last one, a number for each network."""
        losses = np.hstack(at_once(partial(Group.advance, num_steps=num_steps), self.groups))
        self.step += num_steps
        self._check_losses(losses)
        return losses[-1]

    def save(self, is_over: bool) -> None:
        """Save the training where that is wanted and due."""
        if self.saved and (is_over or self.saved.is_due()):
            self.saved.save(self.pack())

    def pack(self) -> dict[str, np.ndarray]:
        """Return all that it takes to go on later, as arrays by name."""
        packed = {"step": np.array(self.step), "seconds": np.array(self.seconds)}
        packed |= {f"run/{name}": values for name, values in self.records.pack().items()}
        for number, group in enumerate(self.groups):
            group.give_back()
            packed |= {f"group/{number}/{name}": values for name, values in group.pack().items()}
        for place, parameter in enumerate(self.request.networks.parameters()):
            packed[f"weights/{place}"] = parameter.detach().cpu().numpy()
        return packed

    def unpack(self, packed: Mapping[str, np.ndarray]) -> None:
        """Go on from what `pack` returned."""
        networks = self.request.networks
        self.records.unpack(_choose(packed, "run/"))
        with torch.no_grad():
            for place, parameter in enumerate(networks.parameters()):
                parameter.copy_(torch.as_tensor(packed[f"weights/{place}"]))
        self.step, self.seconds, self.groups = packed["step"].item(), packed["seconds"].item(), []
        while group := _choose(packed, f"group/{len(self.groups)}/"):
            self.groups.append(Group.unpack(self.request.task, networks, group, self.step))

    def _stop(self, measurements: Sequence[Measurement]) -> list[Group]:
        """Stop the networks that have arrived, and return the groups of those that go on."""
        going_on = []
        for group, measured in zip(self.groups, measurements, strict=True):
            arrived = measured.losses <= self.request.loss_tolerance
            if arrived.any():
                networks = group.networks.take(np.flatnonzero(arrived))
                self.records.repeat(group.members[arrived], networks)
            going_on += group.without(arrived)
        return going_on

    def _check_losses(self, losses: np.ndarray) -> None:
        """Raise an error unless the losses up to the present step are finite and not too large.

        They have a row for each step, if there are several, and a column for each network that
        goes on.
        """
        losses = np.atleast_2d(losses)
        if self.limit is None:
            at_first = np.nan_to_num(losses[0], nan=0.0, posinf=0.0).max()
            limit = DIVERGED * max(
                float(at_first), self.request.task.targets.square().mean().item()
            )
            self.limit = limit or np.inf
        diverged = ~np.isfinite(losses)
        if not diverged.any():
            diverged = losses > self.limit
        if not diverged.any():
            return
        row = diverged.any(axis=1).argmax()
        step = self.step - (len(diverged) - 1 - row)
        seeds = [seed for group in self.groups for seed in group.networks.seeds]
        place = diverged[row].argmax()
        loss = f"the loss of seed {seeds[place]}"
        if step == 0:
            raise FloatingPointError(f"{loss} is not finite before the first step")
        has_grown = f"has grown to {losses[row, place]:.3g}"
        how = has_grown if np.isfinite(losses[row, place]) else "is no longer finite"
        raise FloatingPointError(
            f"{loss} {how} at step {step} with learning_rate "
            f"{self.request.task.learning_rate:g}; try a smaller one"
        )


@contextmanager
def open_state(
    request: Request, checkpoint: str | Path | None, checkpoint_seconds: float
) -> Iterator[State]:
    """Begin a training, or go on with it where it was saved.

    However it ends, the weights are in the ensemble afterwards.

    Args:
        request: The training.
        checkpoint: File in which it is saved; None if it is not.
        checkpoint_seconds: Least time between two saves.

    Yields:
        Its state.
    """
    saved = None
    if checkpoint is not None:
        if isinstance(request.networks, SingleNetwork):
            request.networks.check_repeatable(request.task.inputs)
        saved = Checkpoint(checkpoint, request.description, checkpoint_seconds)
    with saved or nullcontext() as packed:
        state = State(request, Records(request), [], saved=saved)
        if packed is None:
            task, networks = request.task, request.networks
            places = share_out(networks, task.batch_size or len(task.inputs))
            state.groups = [Group(task, networks, members) for members in places]
        else:
            state.unpack(packed)
        try:
            yield state
        finally:
            for group in state.groups:
                group.give_back()


def _choose(packed: Mapping[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    """Return the arrays whose names begin with a prefix, by the rest of their names."""
    return {
        name.removeprefix(prefix): values
        for name, values in packed.items()
        if name.startswith(prefix)
    }
