"""How it learns: one training loop for an ensemble."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import NoneType
from typing import Any

import numpy as np
import torch
from tqdm.auto import tqdm

from fprin_utils.checks import (
    as_array,
    check_flag,
    check_kind,
    check_list,
    check_number,
    check_whole,
)
from fprin_utils.learners import Learner, Measurement, Task, open_workers, share_out
from fprin_utils.networks import Ensemble, SingleNetwork
from fprin_utils.optimizers import check_optimizer
from fprin_utils.recording import Recorder, TrainingRun, make_steps
from fprin_utils.storage import Checkpoint, compute_digest

# How long workers run before progress is shown and an interruption is heard.
SECONDS_OF_A_SPAN = 0.5
# In a notebook each refresh of the bar is a few messages, and who runs it may read them only when
# the cell has ended; beyond some thousand of them messages are lost, the one that tells of the end
# among them.
SECONDS_BETWEEN_REFRESHES = 1.0
# Times the first loss, or the mean square of the targets: no training comes back from there.
DIVERGED = 1e6


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
    on_progress: Callable[[int, TrainingRun], object] | None = None,
    checkpoint: str | Path | None = None,
    checkpoint_seconds: float = 60.0,
) -> TrainingRun:
    """Train every network of an ensemble on the same data, in lockstep, and record it.

    The loss of a network is its mean squared error, and no network sees another: on a CPU they are
    shared out among the cores. Afterwards the ensemble holds the trained weights; after an
    interruption or an error, those of a step not long before, which may differ from network to
    network.

    Args:
        networks: The ensemble, changed in place. Or any torch.nn.Module that maps inputs
            (N, num_inputs) to outputs (N, num_outputs): one network, S = 1, with seed 0, which is
            differentiated automatically. It learns in the mode in which it is and is recorded in
            evaluation mode; one with buffers or random numbers cannot have a checkpoint.
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
        on_progress: Called with the step and the run so far, at each record and about twice a
            second, in the thread of this call. If it returns True the training ends there.
        checkpoint: File (npz) in which the state of the training is saved now and then, and at its
            end. If it exists, the training goes on from there: on the same machine, with the same
            number of threads, to the same bits as if it had never stopped.
        checkpoint_seconds: Least time between two saves.

    Returns:
        The recorded run.

    Raises:
        ValueError: If an argument is outside what is listed above, or the checkpoint is damaged or
            that of another training.
        FloatingPointError: Where a loss stops being finite, or grows to a million times what it was
            at first; names step, seed and learning rate.
    """
    # A subclass may compute something else than an ensemble does, so it is not taken for one.
    networks = networks if type(networks) is Ensemble else SingleNetwork(networks)
    learning_rate, momentum = check_optimizer(optimizer, learning_rate, momentum)
    if not isinstance(further_inputs, Mapping | None):
        kind = type(further_inputs).__name__
        raise ValueError(f"further_inputs is a {kind}; it must map names to inputs")
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
    else:
        networks.check_not_frozen()
    if loss_tolerance is not None:
        loss_tolerance = check_number(
            "loss_tolerance", loss_tolerance, "positive, up to 1e30", lambda loss: 0 < loss <= 1e30
        )
    check_flag("progress", progress)
    check_kind("on_progress", on_progress, (Callable, NoneType), "a function")
    check_kind(
        "checkpoint", checkpoint, (str, Path, NoneType), "a path; no file can be written there"
    )
    checkpoint_seconds = check_number(
        "checkpoint_seconds", checkpoint_seconds, "0 or more", lambda wait: wait >= 0
    )
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

    components = task.targets.shape[2:] if np.ndim(targets) > 1 else ()
    recorder = Recorder(task, networks, steps=steps, norm_steps=norm_steps, components=components)
    settings = _describe(task, networks, recorder.run, num_steps, loss_tolerance)
    recorder.run = replace(recorder.run, description=settings)
    saved, longest_span = None, 1
    if checkpoint is not None:
        if isinstance(networks, SingleNetwork):
            networks.check_repeatable(task.inputs)
        saved = Checkpoint(checkpoint, settings, checkpoint_seconds)
    with (
        saved or nullcontext() as packed,
        _giving_back(_start(packed, task, networks, recorder)) as state,
        open_workers(len(state.learners)) as at_once,
        tqdm(
            total=num_steps,
            initial=state.step,
            unit="step",
            desc="training",
            disable=not progress,
            mininterval=SECONDS_BETWEEN_REFRESHES,
        ) as bar,
    ):
        started = time.perf_counter() - state.seconds
        while True:
            if recorder.next_step == state.step:
                measure = partial(Learner.measure, with_norms=recorder.wants_norms)
                measurements = at_once(measure, state.learners)
                _check_losses(np.hstack([m.losses for m in measurements]), state, task)
                recorder.record(measurements)
                if loss_tolerance is not None:
                    state.learners = _stop(state.learners, measurements, loss_tolerance, recorder)
            state.seconds = time.perf_counter() - started
            is_over = state.step == num_steps or not state.learners
            if on_progress is not None and recorder.num_records:
                is_over |= on_progress(state.step, recorder.finish(state.seconds)) is True
            if saved and (is_over or saved.is_due()):
                saved.save(_pack(state, networks, recorder))
            if is_over:
                break
            span, span_started = longest_span, time.perf_counter()
            span = min(span, (recorder.next_step or num_steps) - state.step)
            losses = np.hstack(at_once(partial(Learner.advance, num_steps=span), state.learners))
            state.step += span
            _check_losses(losses, state, task)
            bar.set_postfix(loss=f"{losses[-1].mean():.2e}", refresh=False)
            bar.update(span)
            pace = (time.perf_counter() - span_started) / span
            longest_span = max(1, int(SECONDS_OF_A_SPAN / pace))
    return recorder.finish(state.seconds)


@dataclass
class _State:
    """How far a training has come.

    Attributes:
        learners: The networks that go on, in groups.
        step: Updates so far.
        seconds: Wall-clock time so far.
        limit: The loss at which a training counts as diverged; None until a loss is known.
    """

    learners: list[Learner]
    step: int
    seconds: float
    limit: float | None = None


@contextmanager
def _giving_back(state: _State) -> Iterator[_State]:
    """Leave the weights in the ensemble however the training ends."""
    try:
        yield state
    finally:
        for learner in state.learners:
            learner.give_back()


def _start(
    packed: Mapping[str, np.ndarray] | None,
    task: Task,
    networks: Ensemble | SingleNetwork,
    recorder: Recorder,
) -> _State:
    """Return the state of a training that has not begun, or goes on from what was packed."""
    if packed is not None:
        return _unpack(packed, task, networks, recorder)
    groups = share_out(networks, task.batch_size or len(task.inputs))
    return _State([Learner(task, networks, members) for members in groups], 0, 0.0)


def _stop(
    learners: Sequence[Learner],
    measurements: Sequence[Measurement],
    loss_tolerance: float,
    recorder: Recorder,
) -> list[Learner]:
    """Stop the networks that have arrived, and return the learners of those that go on."""
    going_on = []
    for learner, measured in zip(learners, measurements, strict=True):
        arrived = measured.losses <= loss_tolerance
        if arrived.any():
            networks = learner.networks.take(np.flatnonzero(arrived))
            recorder.repeat(learner.members[arrived], networks)
        going_on += learner.without(arrived)
    return going_on


def _pack(
    state: _State, networks: Ensemble | SingleNetwork, recorder: Recorder
) -> dict[str, np.ndarray]:
    """Return all that it takes to go on later, as arrays by name."""
    packed = {"step": np.array(state.step), "seconds": np.array(state.seconds)}
    packed |= {f"run/{name}": values for name, values in recorder.pack().items()}
    for number, learner in enumerate(state.learners):
        learner.give_back()
        packed |= {f"group/{number}/{name}": values for name, values in learner.pack().items()}
    for place, parameter in enumerate(networks.parameters()):
        packed[f"weights/{place}"] = parameter.detach().cpu().numpy()
    return packed


def _unpack(
    packed: Mapping[str, np.ndarray],
    task: Task,
    networks: Ensemble | SingleNetwork,
    recorder: Recorder,
) -> _State:
    """Go on from what `_pack` returned."""
    recorder.unpack(_choose(packed, "run/"))
    with torch.no_grad():
        for place, parameter in enumerate(networks.parameters()):
            parameter.copy_(torch.as_tensor(packed[f"weights/{place}"]))
    step, learners = packed["step"].item(), []
    while group := _choose(packed, f"group/{len(learners)}/"):
        learners.append(Learner.unpack(task, networks, group, step))
    return _State(learners, step, packed["seconds"].item())


def _choose(packed: Mapping[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    """Return the arrays whose names begin with a prefix, by the rest of their names."""
    return {
        name.removeprefix(prefix): values
        for name, values in packed.items()
        if name.startswith(prefix)
    }


def _describe(
    task: Task,
    networks: Ensemble | SingleNetwork,
    run: TrainingRun,
    num_steps: int,
    loss_tolerance: float | None,
) -> dict[str, Any]:
    """Return everything on which a training depends, arrays as digests."""
    weights = [parameter.detach().cpu().numpy() for parameter in networks.parameters()]
    further_inputs = {name: compute_digest(grid.cpu().numpy()) for name, grid in task.grids.items()}
    return networks.describe() | {
        "seeds": list(map(int, networks.seeds)),
        "initial weights": compute_digest(*weights),
        "inputs": compute_digest(task.inputs.cpu().numpy()),
        "targets": _describe_targets(task.targets.cpu().numpy()),
        "axes of the outputs": run.outputs.ndim,
        "further_inputs": further_inputs,
        "num_steps": num_steps,
        "record_at": compute_digest(run.steps),
        "spectral_norms_at": compute_digest(run.spectral_norm_steps),
        "optimizer": task.optimizer,
        "learning_rate": task.learning_rate,
        "momentum": task.momentum,
        "batch_size": task.batch_size,
        "loss_tolerance": loss_tolerance,
    }


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


def _check_losses(losses: np.ndarray, state: _State, task: Task) -> None:
    """Raise an error unless the losses of the steps up to the present one are finite and no larger.

    They have a row for each step, if there are several, and a column for each network that goes on.
    """
    losses = np.atleast_2d(losses)
    if state.limit is None:
        at_first = np.nan_to_num(losses[0], nan=0.0, posinf=0.0).max()
        limit = DIVERGED * max(float(at_first), task.targets.square().mean().item())
        state.limit = limit or np.inf
    diverged = ~np.isfinite(losses)
    if not diverged.any():
        diverged = losses > state.limit
    if not diverged.any():
        return
    row = diverged.any(axis=1).argmax()
    step = state.step - (len(diverged) - 1 - row)
    seeds = [seed for learner in state.learners for seed in learner.networks.seeds]
    place = diverged[row].argmax()
    loss = f"the loss of seed {seeds[place]}"
    if step == 0:
        raise FloatingPointError(f"{loss} is not finite before the first step")
    has_grown = f"has grown to {losses[row, place]:.3g}"
    how = has_grown if np.isfinite(losses[row, place]) else "is no longer finite"
    raise FloatingPointError(
        f"{loss} {how} at step {step} with learning_rate {task.learning_rate:g}; try a smaller one"
    )


def _as_targets(targets: np.ndarray, networks: Ensemble | SingleNetwork) -> torch.Tensor:
    """Turn targets into a tensor of shape (S, N, num_outputs), or (1, ...) if they are shared."""
    targets = as_array("targets", targets)
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
