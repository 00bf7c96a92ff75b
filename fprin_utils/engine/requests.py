"""What a training is asked to do, checked before the first step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch

from fprin_utils.checks import as_array, check_list, check_number, check_whole
from fprin_utils.engine.checkpoints import compute_digest
from fprin_utils.engine.groups import Task
from fprin_utils.engine.modules import SingleNetwork
from fprin_utils.engine.optimizers import Factory, check_optimizer, describe_optimizer
from fprin_utils.networks import Ensemble


@dataclass(frozen=True)
class Request:
    """A training that can begin.

    Attributes:
        networks: What is trained.
        task: What it has to learn, and how.
        num_steps: Updates.
        steps: Steps of the records, shape (R,).
        norm_steps: Those among them at which spectral norms are recorded, shape (Q,).
        loss_tolerance: The loss at which a network stops; None if none does.
    """

    networks: Ensemble | SingleNetwork
    task: Task
    num_steps: int
    steps: np.ndarray
    norm_steps: np.ndarray
    loss_tolerance: float | None

    @cached_property
    def description(self) -> dict[str, Any]:
        """Everything on which the training depends, arrays as digests, before it begins."""
        networks, task = self.networks, self.task
        weights = [parameter.detach().cpu().numpy() for parameter in networks.parameters()]
        grids = {name: compute_digest(grid.cpu().numpy()) for name, grid in task.grids.items()}
        return networks.describe() | {
            "seeds": list(map(int, networks.seeds)),
            "initial weights": compute_digest(*weights),
            "inputs": compute_digest(task.inputs.cpu().numpy()),
            "targets": _describe_targets(task.targets.cpu().numpy()),
            "further_inputs": grids,
            "num_steps": self.num_steps,
            "record_at": compute_digest(self.steps),
            "spectral_norms_at": compute_digest(self.norm_steps),
            "optimizer": describe_optimizer(task.optimizer),
            "learning_rate": task.learning_rate,
            "momentum": task.momentum,
            "batch_size": task.batch_size,
            "loss_tolerance": self.loss_tolerance,
        }


def check_request(
    networks: Ensemble | torch.nn.Module,
    inputs: np.ndarray,
    targets: np.ndarray,
    *,
    num_steps: int,
    learning_rate: float,
    optimizer: str | Factory,
    momentum: float,
    batch_size: int | None,
    record_at: Sequence[int],
    further_inputs: Mapping[str, np.ndarray] | None,
    spectral_norms_at: Sequence[int],
    loss_tolerance: float | None,
) -> Request:
    """Return the training that is asked for; arguments and errors are those of `train`."""
    # A subclass may compute something else than an ensemble does, so it is not taken for one.
    networks = networks if type(networks) is Ensemble else SingleNetwork(networks)
    learning_rate, momentum = check_optimizer(optimizer, learning_rate, momentum)
    if not isinstance(further_inputs, Mapping | None):
        kind = type(further_inputs).__name__
        raise ValueError(f"further_inputs is a {kind}; it must map names to inputs")
    points = _as_points("inputs", inputs, networks.num_inputs, networks)
    task = Task(
        inputs=points,
        targets=_as_targets(targets, len(points), networks),
        grids={
            name: _as_points(f"further_inputs[{name!r}]", values, networks.num_inputs, networks)
            for name, values in (further_inputs or {}).items()
        },
        optimizer=optimizer,
        learning_rate=learning_rate,
        momentum=momentum,
        batch_size=None if batch_size is None else check_whole("batch_size", batch_size, least=1),
    )
    if task.targets.shape[1] != len(points):
        raise ValueError(f"{len(points)} inputs for {task.targets.shape[1]} targets")
    if task.batch_size is not None and task.batch_size > len(points):
        raise ValueError(f"batch_size is {batch_size}; there are only {len(points)} points")
    if isinstance(networks, SingleNetwork):
        networks.check_fit(task.inputs, task.targets[0])
    else:
        _check_not_frozen(networks)
    if loss_tolerance is not None:
        loss_tolerance = check_number(
            "loss_tolerance", loss_tolerance, "positive, up to 1e30", lambda loss: 0 < loss <= 1e30
        )
    num_steps = check_whole("num_steps", num_steps)
    steps = _check_steps("record_at", record_at, num_steps)
    norm_steps = _check_steps("spectral_norms_at", spectral_norms_at, num_steps)
    if not steps.size:
        raise ValueError("record_at is empty; a run needs at least one record")
    if not np.isin(norm_steps, steps).all():
        raise ValueError(f"spectral_norms_at {norm_steps} has steps that record_at has not")
    if norm_steps.size and isinstance(networks, SingleNetwork):
        raise ValueError("spectral_norms_at wants an Ensemble; the layers of a module are unknown")
    return Request(networks, task, num_steps, steps, norm_steps, loss_tolerance)


def _check_not_frozen(networks: Ensemble) -> None:
    for name, parameter in networks.named_parameters():
        if not parameter.requires_grad:
            raise ValueError(f"{name} is frozen; an ensemble trains all its layers")


def _describe_targets(targets: np.ndarray) -> dict[str, Any]:
    """Return shape, range and digest of targets (S or 1, N, O), and what of the first is highest.

    The frequency indices are those of the order in which the points are given, which is that of a
    grid where there is one.
    """
    amplitudes = np.abs(np.fft.rfft(targets[0, :, 0], norm="forward"))[1:]
    highest = np.sort(np.argsort(amplitudes)[::-1][:5])
    # Where there are fewer, the rest is rounding.
    highest = highest[amplitudes[highest] > 1e-4 * amplitudes.max(initial=0)]
    return {
        "shape": list(targets.shape),
        "range": [float(targets.min()), float(targets.max())],
        "frequency indices of the highest amplitudes of the first": (highest + 1).tolist(),
        "digest": compute_digest(targets),
    }


def _as_targets(
    targets: np.ndarray, num_points: int, networks: Ensemble | SingleNetwork
) -> torch.Tensor:
    """Turn targets into a tensor of shape (S, N, num_outputs), or (1, ...) if they are shared."""
    targets = as_array("targets", targets)
    if networks.num_outputs == 1 and targets.ndim == 2 and targets.shape[1] == num_points > 1:
        targets = targets[..., None]
    if targets.ndim < 3:
        return _as_points("targets", targets, networks.num_outputs, networks)[None]
    if len(targets) != len(networks.seeds):
        raise ValueError(f"{len(targets)} sets of targets for {len(networks.seeds)} networks")
    sets = [
        _as_points(f"targets[{index}]", each, networks.num_outputs, networks)
        for index, each in enumerate(targets)
    ]
    return torch.stack(sets)


def _as_points(
    name: str, values: np.ndarray, num_components: int | None, networks: Ensemble | SingleNetwork
) -> torch.Tensor:
    """Turn (N,) or (N, num_components) values into a tensor like the networks' weights."""
    array = as_array(name, values)
    points = array[:, None] if array.ndim == 1 else array
    fits = points.ndim == 2 and points.size and num_components in (None, points.shape[1])
    if not fits:
        wanted = f"(N, {num_components or 'C'})" + (" or (N,)" if num_components == 1 else "")
        wanted += ", or one such set a network" if name == "targets" else ""
        raise ValueError(f"{name} has shape {array.shape}; it must be {wanted} with N of 1 or more")
    converted = torch.as_tensor(np.array(points, order="C")).to(networks.device, networks.dtype)
    if not converted.isfinite().all():
        raise ValueError(f"{name} holds values that are not finite, or too large")
    return converted


def _check_steps(name: str, steps: Sequence[int], num_steps: int) -> np.ndarray:
    steps = check_list(name, steps, object, "steps", least=0)
    checked = np.array([check_whole(f"a step of {name}", step) for step in steps], dtype=int)
    if (np.diff(checked) <= 0).any() or (checked > num_steps).any():
        raise ValueError(
            f"{name} must increase strictly and end at step {num_steps} at most (num_steps)"
        )
    return checked
