"""What a training leaves behind: a run, filled in record by record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch

from fprin_utils.checks import MOST_VALUES, check_choice, check_whole
from fprin_utils.learners import Measurement, Task
from fprin_utils.networks import Ensemble, SingleNetwork


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


class Recorder:
    """Fills in a run.

    Attributes:
        run: The run, its arrays at their final size.
        num_records: Records so far.
    """

    def __init__(
        self,
        task: Task,
        networks: Ensemble | SingleNetwork,
        *,
        steps: np.ndarray,
        norm_steps: np.ndarray,
        components: tuple[int, ...],
    ) -> None:
        """Make room for all records.

        Args:
            task: What the networks learn.
            networks: All S of them.
            steps: Steps of the records, increasing, shape (R,).
            norm_steps: Those among them at which spectral norms are recorded, shape (Q,).
            components: (O,) if outputs are to have an axis of components, () if not.
        """
        dtype = torch.empty(0, dtype=networks.dtype).numpy().dtype

        def make_room(*shape: int) -> np.ndarray:
            return np.zeros((shape[0], len(networks.seeds), *shape[1:]), dtype)

        self.run = TrainingRun(
            seeds=np.array(networks.seeds),
            steps=steps,
            losses=make_room(len(steps)),
            outputs=make_room(len(steps), len(task.inputs), *components),
            further_outputs={
                name: make_room(len(steps), len(grid), *components)
                for name, grid in task.grids.items()
            },
            spectral_norm_steps=norm_steps,
            spectral_norms=make_room(len(norm_steps), networks.num_layers),
            seconds=0.0,
        )
        self.num_records = 0

    @property
    def next_step(self) -> int | None:
        """The step of the next record, None after the last."""
        steps = self.run.steps
        return int(steps[self.num_records]) if self.num_records < len(steps) else None

    @property
    def wants_norms(self) -> bool:
        """Whether spectral norms belong to the next record."""
        return self.next_step in self.run.spectral_norm_steps

    def record(self, measurements: Sequence[Measurement]) -> None:
        """Fill in the next record; that of networks which are not measured was repeated."""
        run, index = self.run, self.num_records
        norm_index = np.searchsorted(run.spectral_norm_steps, self.next_step)
        for measured in measurements:
            members = measured.members
            run.losses[index, members] = measured.losses
            _fill(run.outputs[index], members, measured.outputs)
            for name, values in measured.further_outputs.items():
                _fill(run.further_outputs[name][index], members, values)
            if measured.spectral_norms is not None:
                run.spectral_norms[norm_index, members] = measured.spectral_norms
        self.num_records += 1

    def repeat(self, members: np.ndarray, networks: Ensemble | SingleNetwork) -> None:
        """Repeat the last record of some networks to the end of the run, as they stop.

        Args:
            members: Places of the networks among all.
            networks: These networks.
        """
        for values in self._list_rows().values():
            values[self.num_records :, members] = values[self.num_records - 1, members]
        next_norm = self._count_norms()
        if next_norm < len(self.run.spectral_norm_steps):
            self.run.spectral_norms[next_norm:, members] = networks.compute_spectral_norms()

    def pack(self) -> dict[str, np.ndarray]:
        """Return what has been recorded, by name."""
        packed = {name: rows[: self.num_records] for name, rows in self._list_rows().items()}
        # What networks that have stopped repeat is among them.
        return packed | {"spectral_norms": self.run.spectral_norms}

    def unpack(self, packed: Mapping[str, np.ndarray]) -> None:
        """Go on from what `pack` returned."""
        self.num_records = len(packed["losses"])
        for name, rows in self._list_rows().items():
            rows[: self.num_records] = packed[name]
            # Meant for the networks that have stopped; the others write over it.
            if self.num_records:
                rows[self.num_records :] = packed[name][-1]
        self.run.spectral_norms[:] = packed["spectral_norms"]

    def finish(self, seconds: float) -> TrainingRun:
        """Return the records so far as a run that took so many seconds."""
        rows = {name: values[: self.num_records] for name, values in self._list_rows().items()}
        num_norms = self._count_norms()
        return replace(
            self.run,
            steps=self.run.steps[: self.num_records],
            losses=rows["losses"],
            outputs=rows["outputs"],
            further_outputs={name: rows[f"further/{name}"] for name in self.run.further_outputs},
            spectral_norm_steps=self.run.spectral_norm_steps[:num_norms],
            spectral_norms=self.run.spectral_norms[:num_norms],
            seconds=seconds,
        )

    def _list_rows(self) -> dict[str, np.ndarray]:
        """Return the arrays of the run that have a row for each record, by name."""
        further = {f"further/{name}": rows for name, rows in self.run.further_outputs.items()}
        return {"losses": self.run.losses, "outputs": self.run.outputs} | further

    def _count_norms(self) -> int:
        """Return how many of the spectral norms belong to the records so far."""
        last = self.run.steps[self.num_records - 1]
        return np.searchsorted(self.run.spectral_norm_steps, last, side="right")


def _fill(row: np.ndarray, members: np.ndarray, values: np.ndarray) -> None:
    """Store outputs (G, N, O) of some networks in a row (S, N), or (S, N, O)."""
    row[members] = values.reshape(-1, *row.shape[1:])
