"""The records of a training, filled in one after the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from fprin_utils.engine.groups import Measurement
from fprin_utils.engine.requests import Request
from fprin_utils.networks import Ensemble


class Records:
    """Arrays at their final size, of which the records so far are filled in.

    Attributes:
        steps: Steps of the records, increasing, shape (R,).
        norm_steps: Those among them at which spectral norms are recorded, shape (Q,).
        rows: What has a row for each record, by name: losses, shape (R, S), outputs, shape
            (R, S, N), or (R, S, N, O) for several components, and "further/" with the name of each
            grid, as the outputs.
        spectral_norms: Shape (Q, S, L).
        num_records: Records so far.
    """

    def __init__(self, request: Request) -> None:
        """Make room for all records of a training."""
        networks, task = request.networks, request.task
        dtype = torch.empty(0, dtype=networks.dtype).numpy().dtype
        num_outputs = task.targets.shape[2]
        components = (num_outputs,) if num_outputs > 1 else ()

        def make_room(*shape: int) -> np.ndarray:
            return np.zeros((shape[0], len(networks.seeds), *shape[1:]), dtype)

        num_records = len(request.steps)
        self.steps, self.norm_steps = request.steps, request.norm_steps
        self.rows = {
            "losses": make_room(num_records),
            "outputs": make_room(num_records, len(task.inputs), *components),
        }
        for name, grid in task.grids.items():
            self.rows[f"further/{name}"] = make_room(num_records, len(grid), *components)
        self.spectral_norms = make_room(len(self.norm_steps), networks.num_layers)
        self.num_records = 0

    @property
    def next_step(self) -> int | None:
        """The step of the next record, None after the last."""
        is_over = self.num_records == len(self.steps)
        return None if is_over else int(self.steps[self.num_records])

    @property
    def wants_norms(self) -> bool:
        """Whether spectral norms belong to the next record."""
        return self.next_step in self.norm_steps

    def record(self, measurements: Sequence[Measurement]) -> None:
        """Fill in the next record; that of networks which are not measured was repeated."""
        norm_index = np.searchsorted(self.norm_steps, self.next_step)
        for measured in measurements:
            members = measured.members
            values = {"losses": measured.losses, "outputs": measured.outputs}
            for name, outputs in measured.further_outputs.items():
                values[f"further/{name}"] = outputs
            for name, of_members in values.items():
                row = self.rows[name][self.num_records]
                row[members] = of_members.reshape(len(members), *row.shape[1:])
            if measured.spectral_norms is not None:
                self.spectral_norms[norm_index, members] = measured.spectral_norms
        self.num_records += 1

    def repeat(self, members: np.ndarray, networks: Ensemble) -> None:
        """Repeat the last record of some networks to the end of the run, as they stop.

        Args:
            members: Places of the networks among all, shape (G,).
            networks: These networks.
        """
        for values in self.rows.values():
            values[self.num_records :, members] = values[self.num_records - 1, members]
        next_norm = self._count_norms()
        if next_norm < len(self.norm_steps):
            self.spectral_norms[next_norm:, members] = networks.compute_spectral_norms()

    def pack(self) -> dict[str, np.ndarray]:
        """Return what has been recorded, by name."""
        packed = {name: values[: self.num_records] for name, values in self.rows.items()}
        # What networks that have stopped repeat is among them.
        return packed | {"spectral_norms": self.spectral_norms}

    def unpack(self, packed: Mapping[str, np.ndarray]) -> None:
        """Go on from what `pack` returned."""
        self.num_records = len(packed["losses"])
        for name, values in self.rows.items():
            values[: self.num_records] = packed[name]
            # Meant for the networks that have stopped; the others write over it.
            if self.num_records:
                values[self.num_records :] = packed[name][-1]
        self.spectral_norms[:] = packed["spectral_norms"]

    def finish(self) -> dict[str, Any]:
        """Return the records so far, by the names of the attributes of a `TrainingRun`."""
        rows = {name: values[: self.num_records] for name, values in self.rows.items()}
        num_norms = self._count_norms()
        return {
            "steps": self.steps[: self.num_records],
            "losses": rows.pop("losses"),
            "outputs": rows.pop("outputs"),
            "further_outputs": {
                name.removeprefix("further/"): values for name, values in rows.items()
            },
            "spectral_norm_steps": self.norm_steps[:num_norms],
            "spectral_norms": self.spectral_norms[:num_norms],
        }

    def _count_norms(self) -> int:
        """Return how many of the spectral norms belong to the records so far."""
        last = self.steps[self.num_records - 1]
        return int(np.searchsorted(self.norm_steps, last, side="right"))
