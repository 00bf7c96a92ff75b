"""How it learns: one training loop for an ensemble, and what it leaves behind."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm.auto import tqdm

from fprin_utils.checks import check_number, check_whole
from fprin_utils.learners import Learner, Measurement, Task, open_workers, share_out
from fprin_utils.networks import Ensemble, SingleNetwork
from fprin_utils.optimizers import check_optimizer
from fprin_utils.storage import Checkpoint, compute_digest

# How long workers run before progress is shown and an interruption is heard.
SECONDS_OF_A_SPAN = 0.5
# In a notebook each refresh of the bar is a few messages, and who runs it may read them only when
# the cell has ended; beyond some thousand of them messages are lost, the one that tells of the end
# among them.
SECONDS_BETWEEN_REFRESHES = 1.0


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
    checkpoint: str | Path | None = None,
    checkpoint_seconds: float = 60.0,
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
        checkpoint: File (npz) in which the state of the training is saved now and then, and at its
            end. If it exists, the training goes on from there, on the same machine to the same
            bits as if it had never stopped.
        checkpoint_seconds: Least time between two saves.

    Returns:
        The recorded run.

    Raises:
        ValueError: If an argument is outside what is listed above, or the checkpoint is damaged or
            that of another training.
        FloatingPointError: Where a loss stops being finite; names step, seed and learning rate.
    """
    # A subclass may compute something else than an ensemble does, so it is not taken for one.
    networks = networks if type(networks) is Ensemble else SingleNetwork(networks)
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
    if loss_tolerance is not None:
        check_number("loss_tolerance", loss_tolerance, "a positive number", lambda loss: loss > 0)
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
    state = _State(task, networks, run)
    saved = None
    if checkpoint is not None:
        settings = _describe(task, networks, run, num_steps, loss_tolerance)
        saved = Checkpoint(checkpoint, settings, checkpoint_seconds)
        state.unpack(saved.load())
    longest_span, started = 1, time.perf_counter() - state.seconds
    with (
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
        while True:
            if state.next_record == state.step:
                measure = partial(Learner.measure, with_norms=state.step in norm_steps)
                state.record(at_once(measure, state.learners), loss_tolerance)
            state.seconds = time.perf_counter() - started
            is_over = state.step == num_steps or not state.learners
            if saved and (is_over or saved.is_due()):
                saved.save(state.pack())
            if is_over:
                break
            span, span_started = longest_span, time.perf_counter()
            span = min(span, (state.next_record or num_steps) - state.step)
            losses = np.hstack(at_once(partial(Learner.advance, num_steps=span), state.learners))
            _check_finite(losses, state, learning_rate)
            state.step += span
            bar.set_postfix(loss=f"{losses[-1].mean():.2e}", refresh=False)
            bar.update(span)
            pace = (time.perf_counter() - span_started) / span
            longest_span = max(1, int(SECONDS_OF_A_SPAN / pace))
    return state.finish()


class _State:
    """How far a training has come.

    Attributes:
        learners: The networks that go on, in groups.
        step: Updates so far.
        num_records: Records so far.
        stopped_at: For each network, the record at which it stopped, shape (S,); the number of all
            records if it has not.
        seconds: Wall-clock time so far.
    """

    def __init__(self, task: Task, networks: Ensemble | SingleNetwork, run: TrainingRun) -> None:
        self.task, self.networks, self.run = task, networks, run
        groups = share_out(networks, task.batch_size or len(task.inputs))
        self.learners = [Learner(task, networks, members) for members in groups]
        self.step, self.num_records, self.seconds = 0, 0, 0.0
        self.stopped_at = np.full(len(networks.seeds), len(run.steps))

    @property
    def next_record(self) -> int | None:
        """The step of the next record, None after the last."""
        steps = self.run.steps
        return int(steps[self.num_records]) if self.num_records < len(steps) else None

    def record(self, measurements: Sequence[Measurement], loss_tolerance: float | None) -> None:
        """Fill in the next record of the run, and stop the networks that have arrived."""
        run, index = self.run, self.num_records
        norm_index = np.searchsorted(run.spectral_norm_steps, self.step)
        for learner, measured in zip(self.learners, measurements, strict=True):
            run.losses[index, learner.members] = measured.losses
            rooms = [(run.outputs, measured.outputs)]
            for name, values in measured.further_outputs.items():
                rooms.append((run.further_outputs[name], values))
            for room, values in rooms:
                room[index, learner.members] = values.reshape(-1, *room.shape[2:])
            if measured.spectral_norms is not None:
                run.spectral_norms[norm_index, learner.members] = measured.spectral_norms
        if loss_tolerance is not None:
            reached = (run.losses[index] <= loss_tolerance) & (self.stopped_at > index)
            self.stopped_at[reached] = index
            self.learners = [r for learner in self.learners for r in learner.without(reached)]
        self.num_records += 1

    def pack(self) -> dict[str, np.ndarray]:
        """Return all that it takes to go on later, as arrays."""
        for learner in self.learners:
            learner.give_back()
        packed = {name: np.array(getattr(self, name)) for name in _COUNTERS}
        packed["stopped_at"] = self.stopped_at
        for place, parameter in enumerate(self.networks.parameters()):
            packed[f"weights/{place}"] = parameter.detach().cpu().numpy()
        for number, learner in enumerate(self.learners):
            for name, values in learner.pack().items():
                packed[f"group/{number}/{name}"] = values
        for name, values in _list_records(self.run).items():
            packed[f"run/{name}"] = values[: self.num_records]
        packed["run/spectral_norms"] = self.run.spectral_norms[: self._count_norms()]
        return packed

    def unpack(self, packed: Mapping[str, np.ndarray] | None) -> None:
        """Go on from what `pack` returned; stay at the start if there is nothing."""
        if packed is None:
            return
        for name in _COUNTERS:
            setattr(self, name, packed[name].item())
        self.stopped_at = packed["stopped_at"]
        with torch.no_grad():
            for place, parameter in enumerate(self.networks.parameters()):
                parameter.copy_(torch.as_tensor(packed[f"weights/{place}"]))
        groups: dict[int, dict[str, np.ndarray]] = {}
        for key, values in packed.items():
            if key.startswith("group/"):
                _, number, name = key.split("/", 2)
                groups.setdefault(int(number), {})[name] = values
        self.learners = [
            Learner.unpack(self.task, self.networks, group, self.step) for group in groups.values()
        ]
        for name, values in _list_records(self.run).items():
            values[: self.num_records] = packed[f"run/{name}"]
        self.run.spectral_norms[: self._count_norms()] = packed["run/spectral_norms"]

    def finish(self) -> TrainingRun:
        """Return what was recorded, with the last record of networks that stopped repeated."""
        for learner in self.learners:
            learner.give_back()
        run, num_norms = self.run, self._count_norms()
        steps, norm_steps = run.steps[: self.num_records], run.spectral_norm_steps[:num_norms]
        for network in np.flatnonzero(self.stopped_at < self.num_records):
            last = self.stopped_at[network]
            for values in _list_records(run).values():
                values[last:, network] = values[last, network]
            later = np.flatnonzero(norm_steps > steps[last])
            if later.size:
                norms = self.networks.take([network]).compute_spectral_norms()
                run.spectral_norms[later, network] = norms
        further_outputs = run.further_outputs.items()
        return replace(
            run,
            steps=steps,
            losses=run.losses[: self.num_records],
            outputs=run.outputs[: self.num_records],
            further_outputs={name: values[: self.num_records] for name, values in further_outputs},
            spectral_norm_steps=norm_steps,
            spectral_norms=run.spectral_norms[:num_norms],
            seconds=self.seconds,
        )

    def _count_norms(self) -> int:
        """Return how many of the spectral norms have been recorded."""
        steps = self.run.steps[: self.num_records]
        return np.count_nonzero(np.isin(self.run.spectral_norm_steps, steps))


_COUNTERS = ("step", "num_records", "seconds")


def _list_records(run: TrainingRun) -> dict[str, np.ndarray]:
    """Return the arrays of a run that have a row for each record, by name."""
    further = {f"further_outputs/{name}": v for name, v in run.further_outputs.items()}
    return {"losses": run.losses, "outputs": run.outputs} | further


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
    return {
        "network": networks.describe(),
        "seeds": list(map(int, networks.seeds)),
        "initial weights": compute_digest(*weights),
        "inputs": compute_digest(task.inputs.cpu().numpy()),
        "targets": compute_digest(task.targets.cpu().numpy()),
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


def _check_finite(losses: np.ndarray, state: _State, learning_rate: float) -> None:
    """Raise an error unless the losses of the span after the present step are finite.

    They have a row for each step and a column for each network that goes on.
    """
    seeds = [seed for learner in state.learners for seed in learner.networks.seeds]
    diverged = ~np.isfinite(losses)
    if diverged.any():
        row = diverged.any(axis=1).argmax()
        raise FloatingPointError(
            f"the loss of seed {seeds[diverged[row].argmax()]} is no longer finite at step "
            f"{state.step + row + 1} with learning_rate {learning_rate:g}; try a smaller one"
        )


def _as_targets(targets: np.ndarray, networks: Ensemble | SingleNetwork) -> torch.Tensor:
    """Turn targets into a tensor of shape (S, N, num_outputs), or (1, ...) if they are shared."""
    targets = _as_array("targets", targets)
    if targets.ndim < 3:
        return _as_points("targets", targets, networks.num_outputs, networks)[None]
    if len(targets) != len(networks.seeds):
        raise ValueError(f"{len(targets)} sets of targets for {len(networks.seeds)} networks")
    sets = [
        _as_points(f"targets[{index}]", each, networks.num_outputs, networks)
        for index, each in enumerate(targets)
    ]
    return torch.stack(sets)


def _as_array(name: str, values: Any) -> np.ndarray:
    try:
        return np.asarray(values, dtype=float)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{name} is no array of numbers: {error}") from error


def _as_points(
    name: str, values: np.ndarray, num_components: int | None, networks: Ensemble | SingleNetwork
) -> torch.Tensor:
    """Turn (N,) or (N, num_components) values into a tensor like the networks' weights."""
    array = _as_array(name, values)
    points = array[:, None] if array.ndim == 1 else array
    num_components = num_components or points.shape[-1]
    if points.ndim != 2 or len(points) == 0 or points.shape[1] != num_components:
        wanted = f"(N, {num_components})" + (" or (N,)" if num_components == 1 else "")
        raise ValueError(f"{name} has shape {array.shape}; it must be {wanted} with N of 1 or more")
    if not np.isfinite(points).all():
        raise ValueError(f"{name} holds values that are not finite")
    return torch.as_tensor(points).to(networks.device, networks.dtype)


def _check_steps(name: str, steps: Sequence[int], num_steps: int) -> np.ndarray:
    if not isinstance(steps, Iterable):
        raise ValueError(f"{name} is {steps!r}; it must list steps")
    checked = np.array([check_whole(f"a step of {name}", step) for step in steps], dtype=int)
    if (np.diff(checked) <= 0).any() or (checked > num_steps).any():
        raise ValueError(f"{name} must increase strictly and end at step {num_steps} at most")
    return checked
