"""Checkpoints of a training: a file that holds how far it has come."""

from __future__ import annotations

import hashlib
import json
import time
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fprin_utils.files import (
    SECONDS_TO_WAIT,
    InUseError,
    Lock,
    clear_file,
    name_beside,
    replacing,
)

CHECKPOINT_KIND = "fprin_utils checkpoint 3"


def compute_digest(*arrays: np.ndarray) -> str:
    """Return a short text that tells arrays of other values, shapes or types apart."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype} {array.shape};".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return f"sha256:{digest.hexdigest()}"


class Checkpoint:
    """A file that holds how far a training has come, and of which settings it is.

    The file is an npz archive without pickled objects. In a `with` statement nobody else can use
    it.
    """

    def __init__(self, path: str | Path, settings: Mapping[str, Any], seconds: float) -> None:
        """Name the file.

        Args:
            path: The file.
            settings: Everything on which the training depends, as JSON can hold it; digests stand
                for arrays.
            seconds: Least time between two saves, 0 or more.
        """
        self.seconds = seconds
        self.settings = json.loads(json.dumps(settings))
        self.saved = time.monotonic()
        self.name = path
        self._lock: Lock | None = None

    def __enter__(self) -> dict[str, np.ndarray] | None:
        """Make the folder if it is missing, keep others from the file, and read it.

        Returns:
            What `load` returns.

        Raises:
            ValueError: If no file can be written there, another training uses it, or it is none of
                these settings.
        """
        try:
            self.path = Path(self.name).resolve()
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._lock = Lock(self.path.with_name(f".{self.path.name}.lock"), str(self.path))
            # One that was killed a moment ago may still be ending.
            self._lock.take(SECONDS_TO_WAIT)
        except InUseError as error:
            raise ValueError(
                f"checkpoint is {self.name!r}; another training goes on there: {error}"
            ) from error
        except (OSError, TypeError, ValueError) as error:
            raise self._make_path_error(error) from error
        try:
            self._probe()
            return self.load()
        except BaseException:
            self._lock.free()
            raise

    def __exit__(self, *_: object) -> None:
        self._lock.free()

    def _probe(self) -> None:
        """Clear what the killed left, and try whether a file can be written, while it is early."""
        try:
            clear_file(self.path)
            probe = name_beside(self.path, "aside")
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise self._make_path_error(error) from error

    def load(self) -> dict[str, np.ndarray] | None:
        """Read the file.

        Returns:
            The arrays that were saved last; None if there is no file.

        Raises:
            ValueError: If the file is damaged, is something else, or of other settings.
        """
        if not self.path.exists():
            return None
        try:
            with self.path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in archive.files}
            kind, settings = str(arrays.pop("kind")), json.loads(str(arrays.pop("settings")))
            names = arrays.pop("names").tolist()
        except (OSError, EOFError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise self._make_error(error) from error
        except (zipfile.BadZipFile, zlib.error, RuntimeError) as error:
            raise self._make_error(error) from error
        if kind != CHECKPOINT_KIND:
            raise self._make_error(f"its kind is {kind!r}")
        if names != list(arrays):
            raise self._make_error("parts of it are missing")
        others = [
            _tell_apart(name, settings.get(name), self.settings.get(name))
            for name in self.settings | settings
            if settings.get(name) != self.settings.get(name)
        ]
        if others:
            raise ValueError(
                f"{self.path} is a checkpoint of another training ({'; '.join(others)}); remove it "
                "to start anew, or name another file"
            )
        return arrays

    def is_due(self) -> bool:
        """Tell whether the last save, or the start, is long enough ago."""
        return time.monotonic() - self.saved >= self.seconds

    def save(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Replace the file in one piece."""
        about = {
            "kind": CHECKPOINT_KIND,
            "settings": json.dumps(self.settings),
            "names": list(arrays),
        }
        with replacing(self.path) as file:
            np.savez(file, **about, **arrays)
        self.saved = time.monotonic()

    def _make_path_error(self, reason: object) -> ValueError:
        return ValueError(f"checkpoint is {self.name!r}; no file can be written there: {reason}")

    def _make_error(self, reason: object) -> ValueError:
        return ValueError(
            f"{self.path} is damaged, or no checkpoint of a training ({reason}); remove it to "
            "start anew, or name another file"
        )


def _tell_apart(name: str, theirs: Any, ours: Any) -> str:
    is_digest = any(str(value).startswith("sha256:") for value in (theirs, ours))
    if is_digest or isinstance(theirs, dict) or isinstance(ours, dict):
        return f"{name}: others"
    return f"{name}: {theirs!r} there, {ours!r} here"
