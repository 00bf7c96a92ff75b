"""How it learns: one training loop for an ensemble, and what it leaves behind."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from tqdm.auto import tqdm

from fprin_utils.checks import check_whole
from fprin_utils.learners import Learner, Measurement, Task, open_workers, share_out
from fprin_utils.networks import Ensemble, SingleNetwork
from fprin_utils.optimizers import check_optimizer

# How long workers run before progress is shown and an interruption is heard.
SECONDS_OF_A_SPAN = 0.5


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
    networks: Ensemble | torch.nn.Module,
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

    The loss of a network is its mean squared error, and no network sees another: on a CPU they are
    shared out among the cores. Afterwards the ensemble holds the trained weights.

    Args:
        networks: The ensemble, changed in place. Or any torch.nn.Module that maps inputs
            (N, num_inputs) to outputs (N, num_outputs): one network, S = 1, with seed 0, which is
            differentiated automatically.
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
        FloatingPointError: Where a loss stops being finite; names step, seed and learning rate.
    """
    networks = networks if isinstance(networks, Ensemble) else SingleNetwork(networks)
    task = Task(
        inputs=_as_points("inputs", inputs, networks.num_inputs, networks),
        targets=_as_targets(targets, networks),
        grids={
            name: _as_points(f"further_inputs[{name!r}]", values, networks.num_inputs, networks)
            for name, values in (further_inputs or {}).items()
        },
        optimizer=optimizer,
        learning_rate=learning_rate,
        momentum=momentum,
        batch_size=None if batch_size is None else check_whole("batch_size", batch_size, least=1),
    )
    num_points = len(task.inputs)
    if task.targets.shape[1] != num_points:
        raise ValueError(f"{num_points} inputs for {task.targets.shape[1]} targets")
    if task.batch_size is not None and task.batch_size > num_points:
        raise ValueError(f"batch_size is {batch_size}; there are only {num_points} points")
    if isinstance(networks, SingleNetwork):
        networks.check_fit(task.inputs, task.targets[0])
    check_optimizer(optimizer, learning_rate, momentum)
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
    if norm_steps.size and isinstance(networks, SingleNetwork):
        raise ValueError("spectral_norms_at wants an Ensemble; the layers of a module are unknown")

    num_components = task.targets.shape[2:] if np.ndim(targets) > 1 else ()
    run = _allocate_run(networks, steps, norm_steps, num_points, num_components, task.grids)
    stopped_at = np.full(len(networks.seeds), len(steps))
    groups = share_out(networks, task.batch_size or num_points)
    learners = [Learner(task, networks, members) for members in groups]
    step, num_records, longest_span, started = 0, 0, 1, time.perf_counter()
    with (
        open_workers(len(learners)) as at_once,
        tqdm(total=num_steps, unit="step", desc="training", disable=not progress) as bar,
    ):
        while True:
            if num_records < len(steps) and step == steps[num_records]:
                measure = partial(Learner.measure, with_norms=step in norm_steps)
                _record(run, num_records, learners, at_once(measure, learners))
                if loss_tolerance is not None:
                    reached = run.losses[num_records] <= loss_tolerance
                    stopped_at[reached] = stopped_at[reached].clip(max=num_records)
                    learners = [rest for learner in learners for rest in learner.without(reached)]
                num_records += 1
            if step == num_steps or not learners:
                break
            following = steps[num_records] if num_records < len(steps) else num_steps
            span, span_started = min(longest_span, following - step), time.perf_counter()
            losses = at_once(partial(Learner.advance, num_steps=span), learners)
            _check_finite(losses, learners, step, learning_rate)
            step += span
            bar.set_postfix(loss=f"{np.hstack(losses)[-1].mean():.2e}", refresh=False)
            bar.update(span)
            pace = (time.perf_counter() - span_started) / span
            longest_span = max(1, int(SECONDS_OF_A_SPAN / pace))
    for learner in learners:
        learner.give_back()
    return _finish_run(run, networks, num_records, stopped_at, time.perf_counter() - started)


def _allocate_run(
    networks: Ensemble | SingleNetwork,
    steps: np.ndarray,
    norm_steps: np.ndarray,
    num_points: int,
    target_shape: tuple[int, ...],
    grids: Mapping[str, torch.Tensor],
) -> TrainingRun:
    """Return a run whose arrays have their final size and no values yet."""
    dtype = torch.empty(0, dtype=networks.dtype).numpy().dtype
    num_networks, num_layers = len(networks.seeds), networks.num_layers

    def make_outputs(length: int) -> np.ndarray:
        return np.empty((len(steps), num_networks, length, *target_shape), dtype)

    return TrainingRun(
        seeds=np.array(networks.seeds),
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
    learners: Sequence[Learner],
    measurements: Sequence[Measurement],
) -> None:
    """Fill in record number `index` of a run."""
    norm_index = np.searchsorted(run.spectral_norm_steps, run.steps[index])
    for learner, measured in zip(learners, measurements, strict=True):
        run.losses[index, learner.members] = measured.losses
        rooms = [(run.outputs, measured.outputs)]
        rooms += [
            (run.further_outputs[n], values) for n, values in measured.further_outputs.items()
        ]
        for room, values in rooms:
            room[index, learner.members] = values.reshape(-1, *room.shape[2:])
        if measured.spectral_norms is not None:
            run.spectral_norms[norm_index, learner.members] = measured.spectral_norms


def _finish_run(
    run: TrainingRun,
    networks: Ensemble | SingleNetwork,
    num_records: int,
    stopped_at: np.ndarray,
    seconds: float,
) -> TrainingRun:
    """Return what was recorded, with the last record of networks that stopped repeated."""
    steps = run.steps[:num_records]
    num_norms = np.count_nonzero(run.spectral_norm_steps <= steps[-1])
    further_outputs = {name: values[:num_records] for name, values in run.further_outputs.items()}
    finished = replace(
        run,
        steps=steps,
        losses=run.losses[:num_records],
        outputs=run.outputs[:num_records],
        further_outputs=further_outputs,
        spectral_norm_steps=run.spectral_norm_steps[:num_norms],
        spectral_norms=run.spectral_norms[:num_norms],
        seconds=seconds,
    )
    for network in np.flatnonzero(stopped_at < num_records):
        last = stopped_at[network]
        for values in (finished.losses, finished.outputs, *further_outputs.values()):
            values[last:, network] = values[last, network]
        later = finished.spectral_norm_steps > steps[last]
        if later.any():
            norms = networks.take([network]).compute_spectral_norms()
            finished.spectral_norms[later, network] = norms
    return finished


def _check_finite(
    losses: Sequence[np.ndarray], learners: Sequence[Learner], step: int, learning_rate: float
) -> None:
    """Raise an error if a loss of the span after `step` is not finite."""
    seeds = [seed for learner in learners for seed in learner.networks.seeds]
    diverged = ~np.isfinite(np.hstack(losses))
    if diverged.any():
        row = diverged.any(axis=1).argmax()
        raise FloatingPointError(
            f"the loss of seed {seeds[diverged[row].argmax()]} is no longer finite at step "
            f"{step + row + 1} with learning_rate {learning_rate:g}; try a smaller one"
        )


def _as_targets(targets: np.ndarray, networks: Ensemble | SingleNetwork) -> torch.Tensor:
    """Turn targets into a tensor of shape (S, N, num_outputs), or (1, ...) if they are shared."""
    if np.ndim(targets) < 3:
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
    array = np.asarray(values, dtype=float)
    points = array[:, None] if array.ndim == 1 else array
    num_components = num_components or points.shape[-1]
    if points.ndim != 2 or len(points) == 0 or points.shape[1] != num_components:
        wanted = f"(N, {num_components})" + (" or (N,)" if num_components == 1 else "")
        raise ValueError(f"{name} has shape {array.shape}; it must be {wanted} with N of 1 or more")
    if not np.isfinite(points).all():
        raise ValueError(f"{name} holds values that are not finite")
    return torch.as_tensor(points).to(networks.device, networks.dtype)


def _check_steps(name: str, steps: Sequence[int], num_steps: int) -> np.ndarray:
    checked = np.array([check_whole(f"a step of {name}", step) for step in steps], dtype=int)
    if (np.diff(checked) <= 0).any() or (checked > num_steps).any():
        raise ValueError(f"{name} must increase strictly and end at step {num_steps} at most")
    return checked
