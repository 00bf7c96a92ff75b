"""Training: one loop for an ensemble, and the run that it leaves behind."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import NoneType
from typing import Any

import numpy as np
import torch
from tqdm.auto import tqdm

from fprin_utils.checks import (
    MOST_VALUES,
    check_choice,
    check_flag,
    check_kind,
    check_number,
    check_whole,
)
from fprin_utils.engine.groups import open_workers
from fprin_utils.engine.optimizers import OPTIMIZERS as OPTIMIZERS
from fprin_utils.engine.optimizers import Factory
from fprin_utils.engine.requests import check_request
from fprin_utils.engine.state import open_state
from fprin_utils.networks import Ensemble

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
        outputs: Outputs on the training inputs, shape (R, S, N), or (R, S, N, O) where networks
            have O outputs, more than one.
        further_outputs: The same on each further set of inputs, by its name.
        spectral_norm_steps: Steps at which spectral norms were recorded, shape (Q,).
        spectral_norms: Largest singular value of each of L layers, shape (Q, S, L).
        seconds: Wall-clock seconds of the training.
        description: What was trained on what, in words and digests: networks, targets, optimiser.
    """

    seeds: np.ndarray
    steps: np.ndarray
    losses: np.ndarray
    outputs: np.ndarray
    further_outputs: Mapping[str, np.ndarray]
    spectral_norm_steps: np.ndarray
    spectral_norms: np.ndarray
    seconds: float
    description: Mapping[str, Any] = field(default_factory=dict)

    def take(self, members: Sequence[int]) -> TrainingRun:
        """Return what was recorded of some networks.

        Args:
            members: Places of the networks, from 0.

        Returns:
            Their run, with the same steps.
        """
        further_outputs = self.further_outputs.items()
        return replace(
            self,
            seeds=self.seeds[members],
            losses=self.losses[:, members],
            outputs=self.outputs[:, members],
            further_outputs={name: values[:, members] for name, values in further_outputs},
            spectral_norms=self.spectral_norms[:, members],
        )


def train(
    networks: Ensemble | torch.nn.Module,
    inputs: np.ndarray,
    targets: np.ndarray,
    *,
    num_steps: int,
    learning_rate: float,
    optimizer: str | Factory = "adam",
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
        targets: Training targets, the same for all networks, shape (N,) or (N, num_outputs); or one
            set for each network, shape (S, N, num_outputs), or (S, N) where there is one output.
        num_steps: Optimiser updates, 0 or more.
        learning_rate: Step size of the optimiser.
        optimizer: "adam" (PyTorch's defaults otherwise), "gradient_descent", or "momentum"
            (gradient descent with heavy-ball momentum); or what makes an optimiser of torch.optim
            of parameters and `lr`, such as torch.optim.RMSprop.
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
    request = check_request(
        networks,
        inputs,
        targets,
        num_steps=num_steps,
        learning_rate=learning_rate,
        optimizer=optimizer,
        momentum=momentum,
        batch_size=batch_size,
        record_at=make_steps(num_steps) if record_at is None else record_at,
        further_inputs=further_inputs,
        spectral_norms_at=spectral_norms_at,
        loss_tolerance=loss_tolerance,
    )
    check_flag("progress", progress)
    check_kind("on_progress", on_progress, (Callable, NoneType), "a function")
    check_kind(
        "checkpoint", checkpoint, (str, Path, NoneType), "a path; no file can be written there"
    )
    checkpoint_seconds = check_number(
        "checkpoint_seconds", checkpoint_seconds, "0 or more", lambda wait: wait >= 0
    )
    about = {"seeds": np.array(request.networks.seeds), "description": request.description}
    with (
        open_state(request, checkpoint, checkpoint_seconds) as state,
        open_workers(len(state.groups)) as at_once,
        tqdm(
            total=request.num_steps,
            initial=state.step,
            unit="step",
            desc="training",
            disable=not progress,
            mininterval=SECONDS_BETWEEN_REFRESHES,
        ) as bar,
    ):
        started, longest_span = time.perf_counter() - state.seconds, 1
        while True:
            if state.records.next_step == state.step:
                state.record(at_once)
            state.seconds = time.perf_counter() - started
            is_over = state.is_over
            if on_progress is not None and state.records.num_records:
                run = TrainingRun(**about, **state.records.finish(), seconds=state.seconds)
                is_over |= on_progress(state.step, run) is True
            state.save(is_over)
            if is_over:
                return TrainingRun(**about, **state.records.finish(), seconds=state.seconds)
            next_stop = state.records.next_step or request.num_steps
            span, span_started = min(longest_span, next_stop - state.step), time.perf_counter()
            losses = state.advance(span, at_once)
            bar.set_postfix(loss=f"{losses.mean():.2e}", refresh=False)
            bar.update(span)
            pace = (time.perf_counter() - span_started) / span
            longest_span = max(1, int(SECONDS_OF_A_SPAN / pace))


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
    num_records = check_whole("num_records", num_records, least=2, most=MOST_VALUES)
    if check_choice("spacing", spacing, ("log", "linear")) == "log":
        steps = np.append(0, np.geomspace(1, max(num_steps, 1), num_records - 1))
    else:
        steps = np.linspace(0, num_steps, num_records)
    return np.unique(np.rint(steps).clip(max=num_steps).astype(int))
