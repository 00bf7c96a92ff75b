"""How it learns: one training loop for an ensemble, and what it leaves behind."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from tqdm.auto import tqdm

from fprin_utils.checks import check_whole
from fprin_utils.networks import Ensemble

OPTIMIZERS = ("adam", "gradient_descent", "momentum")


@dataclass(frozen=True)
class TrainingRun:
    """What was recorded while an ensemble of S networks trained, as plain arrays.

    Attributes:
        seeds: Seed of each network, shape (S,).
        steps: Steps at which things were recorded, shape (R,); step t is the state after t updates.
        losses: Mean squared error over the whole training set, shape (R, S).
        outputs: Outputs on the training inputs, shape (R, S, N), or (R, S, N, O) where the targets
            have O components.
        further_outputs: The same on each further set of inputs, by its name.
        spectral_norm_steps: Steps at which spectral norms were recorded, shape (Q,).
        spectral_norms: Largest singular value of each of L layers, shape (Q, S, L).
        seconds: Wall-clock seconds of the training.
    """

    seeds: np.ndarray
    steps: np.ndarray
    losses: np.ndarray
    outputs: np.ndarray
    further_outputs: Mapping[str, np.ndarray]
    spectral_norm_steps: np.ndarray
    spectral_norms: np.ndarray
    seconds: float


def make_steps(num_steps: int, num_records: int = 200, *, spacing: str = "log") -> np.ndarray:
    """Return steps at which to record, from 0 to the last.

    Args:
        num_steps: Last step, 0 or more.
        num_records: Number of steps wanted, at least 2; equal ones are given once.
        spacing: "log" (dense at the start of training) or "linear".

    Returns:
        Increasing whole steps, shape (R,), R at most `num_records`.

    Raises:
        ValueError: If an argument is outside what is listed above.
    """
    num_steps = check_whole("num_steps", num_steps)
    num_records = check_whole("num_records", num_records, least=2)
    if spacing == "log":
        steps = np.append(0, np.geomspace(1, max(num_steps, 1), num_records - 1))
    elif spacing == "linear":
        steps = np.linspace(0, num_steps, num_records)
    else:
        raise ValueError(f"spacing {spacing!r} is not one of log, linear")
    return np.unique(np.rint(steps).clip(max=num_steps).astype(int))


def train(
    ensemble: Ensemble,
    inputs: np.ndarray,
    targets: np.ndarray,
    *,
    num_steps: int,
    learning_rate: float,
    optimizer: str = "adam",
    momentum: float = 0.9,
    batch_size: int | None = None,
    record_at: Sequence[int] | None = None,
    further_inputs: Mapping[str, np.ndarray] | None = None,
    spectral_norms_at: Sequence[int] = (),
    loss_tolerance: float | None = None,
    progress: bool = True,
) -> TrainingRun:
    """Train every network of an ensemble on the same data, in lockstep, and record it.

    The loss of a network is its mean squared error; the sum over the ensemble is differentiated,
    so no network sees another. Afterwards the ensemble holds the trained weights.

    Args:
        ensemble: The networks, changed in place.
        inputs: Training inputs, shape (N,) or (N, num_inputs).
        targets: Training targets, shape (N,) or (N, num_outputs), the same for all networks; or
            (S, N, num_outputs), one set for each network.
        num_steps: Optimiser updates, 0 or more.
        learning_rate: Step size of the optimiser.
        optimizer: "adam" (PyTorch's defaults otherwise), "gradient_descent", or "momentum"
            (gradient descent with heavy-ball momentum).
        momentum: Momentum coefficient of the optimiser "momentum".
        batch_size: Points in a mini-batch, drawn without replacement for each network from its own
            seed; None for all points at each step.
        record_at: Steps at which to record; `make_steps(num_steps)` if left out.
        further_inputs: Further inputs by name, shapes as `inputs`, on which outputs are recorded.
        spectral_norms_at: Steps among `record_at` at which to record the spectral norm of each
            layer; a singular value decomposition of wide layers costs as much as many steps.
        loss_tolerance: A network stops at the first record at which its loss is at most this: it
            keeps the weights of that step, and later records repeat it. Training ends when all
            networks have stopped.
        progress: Whether to show a progress bar with step, loss and rate.

    Returns:
        The recorded run.

    Raises:
        ValueError: If an argument is outside what is listed above.
        FloatingPointError: At the step where a loss stops being finite; names step, seed and
            learning rate.
    """
    inputs_tensor = _as_points("inputs", inputs, ensemble.num_inputs, ensemble)
    targets_tensor = _as_targets(targets, ensemble)
    num_points = len(inputs_tensor)
    if targets_tensor.shape[1] != num_points:
        raise ValueError(f"{num_points} inputs for {targets_tensor.shape[1]} targets")
    grids = {
        name: _as_points(f"further_inputs[{name!r}]", values, ensemble.num_inputs, ensemble)
        for name, values in (further_inputs or {}).items()
    }
    update = _make_optimizer(ensemble, optimizer, learning_rate, momentum)
    if batch_size is not None:
        batch_size = check_whole("batch_size", batch_size, least=1)
        if batch_size > num_points:
            raise ValueError(f"batch_size is {batch_size}; there are only {num_points} points")
    if loss_tolerance is not None and not loss_tolerance > 0:
        raise ValueError(f"loss_tolerance is {loss_tolerance}; it must be positive")
    num_steps = check_whole("num_steps", num_steps)
    record_at = make_steps(num_steps) if record_at is None else record_at
    steps = _check_steps("record_at", record_at, num_steps)
    norm_steps = _check_steps("spectral_norms_at", spectral_norms_at, num_steps)
    if not steps.size:
        raise ValueError("record_at is empty; a run needs at least one record")
    if not np.isin(norm_steps, steps).all():
        raise ValueError(f"spectral_norms_at {norm_steps} has steps that record_at has not")

    num_components = targets_tensor.shape[2:] if np.ndim(targets) > 1 else ()
    run = _allocate_run(ensemble, steps, norm_steps, num_points, num_components, grids)
    indices = _draw_batches(ensemble.seeds, num_points, batch_size) if batch_size else None
    stopped = _StoppedNetworks(ensemble)
    num_records = 0
    started = time.perf_counter()
    with tqdm(total=num_steps, unit="step", desc="training", disable=not progress) as bar:
        for step in range(num_steps + 1):
            batch_inputs, batch_targets = inputs_tensor, targets_tensor
            if indices:
                batch = next(indices)
                batch_inputs = inputs_tensor[batch]
                batch_targets = targets_tensor.take_along_dim(batch[..., None], dim=1)
            outputs = ensemble(batch_inputs)
            losses = _compute_losses(outputs, batch_targets)
            _check_finite(losses, ensemble.seeds, step, learning_rate)
            if num_records < len(steps) and step == steps[num_records]:
                with torch.no_grad():
                    full_outputs = ensemble(inputs_tensor) if indices else outputs
                    full_losses = _compute_losses(full_outputs, targets_tensor)
                    _record(run, num_records, ensemble, full_outputs, full_losses, grids)
                num_records += 1
                if loss_tolerance is not None:
                    stopped.add(full_losses <= loss_tolerance)
            if step == num_steps or stopped.mask.all():
                break
            if step % max(1, num_steps // 100) == 0:
                bar.set_postfix(loss=f"{losses.mean().item():.2e}", refresh=False)
            update.zero_grad()
            losses.sum().backward()
            update.step()
            stopped.restore()
            bar.update()
    return _cut_run(run, num_records, time.perf_counter() - started)


def _allocate_run(
    ensemble: Ensemble,
    steps: np.ndarray,
    norm_steps: np.ndarray,
    num_points: int,
    target_shape: tuple[int, ...],
    grids: Mapping[str, torch.Tensor],
) -> TrainingRun:
    """Return a run whose arrays have their final size and no values yet."""
    dtype = torch.empty(0, dtype=ensemble.weights[0].dtype).numpy().dtype
    num_networks, num_layers = len(ensemble.seeds), len(ensemble.weights)

    def make_outputs(length: int) -> np.ndarray:
        return np.empty((len(steps), num_networks, length, *target_shape), dtype)

    return TrainingRun(
        seeds=np.array(ensemble.seeds),
        steps=steps,
        losses=np.empty((len(steps), num_networks), dtype),
        outputs=make_outputs(num_points),
        further_outputs={name: make_outputs(len(grid)) for name, grid in grids.items()},
        spectral_norm_steps=norm_steps,
        spectral_norms=np.empty((len(norm_steps), num_networks, num_layers), dtype),
        seconds=0.0,
    )


def _record(
    run: TrainingRun,
    index: int,
    ensemble: Ensemble,
    outputs: torch.Tensor,
    losses: torch.Tensor,
    grids: Mapping[str, torch.Tensor],
) -> None:
    """Fill in record number `index` of a run."""
    run.losses[index] = losses.cpu()
    run.outputs[index] = outputs.cpu().reshape(run.outputs.shape[1:])
    for name, grid in grids.items():
        recorded = run.further_outputs[name]
        recorded[index] = ensemble(grid).cpu().reshape(recorded.shape[1:])
    if run.steps[index] in run.spectral_norm_steps:
        norm_index = np.searchsorted(run.spectral_norm_steps, run.steps[index])
        run.spectral_norms[norm_index] = ensemble.compute_spectral_norms()


def _cut_run(run: TrainingRun, num_records: int, seconds: float) -> TrainingRun:
    """Return the part of a run that was recorded before all networks stopped."""
    steps = run.steps[:num_records]
    num_norms = np.count_nonzero(run.spectral_norm_steps <= steps[-1])
    return TrainingRun(
        seeds=run.seeds,
        steps=steps,
        losses=run.losses[:num_records],
        outputs=run.outputs[:num_records],
        further_outputs={
            name: values[:num_records] for name, values in run.further_outputs.items()
        },
        spectral_norm_steps=run.spectral_norm_steps[:num_norms],
        spectral_norms=run.spectral_norms[:num_norms],
        seconds=seconds,
    )


class _StoppedNetworks:
    """The networks that have reached the tolerance, and the weights that they keep."""

    def __init__(self, ensemble: Ensemble) -> None:
        self.parameters = list(ensemble.parameters())
        self.mask = torch.zeros(len(ensemble.seeds), dtype=torch.bool)
        self.kept: list[torch.Tensor] = []

    @torch.no_grad()
    def add(self, reached: torch.Tensor) -> None:
        """Stop the networks of a mask of shape (S,) at their present weights."""
        self.mask |= reached.cpu()
        self.kept = [parameter[self.mask] for parameter in self.parameters]

    @torch.no_grad()
    def restore(self) -> None:
        """Undo the last update of the networks that have stopped."""
        if self.mask.any():
            for parameter, kept in zip(self.parameters, self.kept, strict=True):
                parameter[self.mask] = kept


def _compute_losses(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Mean squared error of each network, shape (S,), from outputs of shape (S, N, O)."""
    return (outputs - targets).square().mean(dim=(1, 2))


def _check_finite(
    losses: torch.Tensor, seeds: Sequence[int], step: int, learning_rate: float
) -> None:
    finite = losses.isfinite()
    if not finite.all():
        seed = seeds[int(finite.int().argmin())]
        raise FloatingPointError(
            f"the loss of seed {seed} is no longer finite at step {step} with learning_rate "
            f"{learning_rate:g}; try a smaller one"
        )


def _draw_batches(seeds: Sequence[int], num_points: int, batch_size: int) -> Iterator[torch.Tensor]:
    """Yield index tensors of shape (S, batch_size), epoch after epoch (the last may be shorter)."""
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    while True:
        orders = [torch.randperm(num_points, generator=generator) for generator in generators]
        yield from torch.stack(orders).split(batch_size, dim=1)


def _make_optimizer(
    ensemble: Ensemble, optimizer: str, learning_rate: float, momentum: float
) -> torch.optim.Optimizer:
    if not (learning_rate > 0 and math.isfinite(learning_rate)):
        raise ValueError(f"learning_rate is {learning_rate}; it must be a positive number")
    if not 0 <= momentum < 1:
        raise ValueError(f"momentum is {momentum}; it must be from 0 to below 1")
    if optimizer == "adam":
        return torch.optim.Adam(ensemble.parameters(), lr=learning_rate, fused=True)
    if optimizer == "gradient_descent":
        return torch.optim.SGD(ensemble.parameters(), lr=learning_rate)
    if optimizer == "momentum":
        return torch.optim.SGD(ensemble.parameters(), lr=learning_rate, momentum=momentum)
    raise ValueError(f"optimizer {optimizer!r} is not one of {', '.join(OPTIMIZERS)}")


def _as_targets(targets: np.ndarray, ensemble: Ensemble) -> torch.Tensor:
    """Turn targets into a tensor of shape (S, N, num_outputs), or (1, ...) if they are shared."""
    if np.ndim(targets) < 3:
        return _as_points("targets", targets, ensemble.num_outputs, ensemble)[None]
    if len(targets) != len(ensemble.seeds):
        raise ValueError(f"{len(targets)} sets of targets for {len(ensemble.seeds)} networks")
    sets = [
        _as_points(f"targets[{index}]", each, ensemble.num_outputs, ensemble)
        for index, each in enumerate(targets)
    ]
    return torch.stack(sets)


def _as_points(
    name: str, values: np.ndarray, num_components: int, ensemble: Ensemble
) -> torch.Tensor:
    """Turn (N,) or (N, num_components) values into a tensor like the ensemble's weights."""
    array = np.asarray(values, dtype=float)
    points = array[:, None] if array.ndim == 1 else array
    if points.ndim != 2 or len(points) == 0 or points.shape[1] != num_components:
        wanted = f"(N, {num_components})" + (" or (N,)" if num_components == 1 else "")
        raise ValueError(f"{name} has shape {array.shape}; it must be {wanted} with N of 1 or more")
    if not np.isfinite(points).all():
        raise ValueError(f"{name} holds values that are not finite")
    like = ensemble.weights[0]
    return torch.as_tensor(points).to(like.device, like.dtype)


def _check_steps(name: str, steps: Sequence[int], num_steps: int) -> np.ndarray:
    checked = np.array([check_whole(f"a step of {name}", step) for step in steps], dtype=int)
    if (np.diff(checked) <= 0).any() or (checked > num_steps).any():
        raise ValueError(f"{name} must increase strictly and end at step {num_steps} at most")
    return checked
