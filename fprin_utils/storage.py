"""What lies on the disk: files that appear whole or not at all, and checkpoints of a training."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import time
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from fprin_utils.checks import check_number

CHECKPOINT_KIND = "fprin_utils checkpoint 2"


@contextmanager
def open_whole(path: Path) -> Iterator[BinaryIO]:
    """Open a file to write that appears, or replaces an earlier one, when it is complete.

    Args:
        path: The file. If writing fails it stays as it was.

    Yields:
        The file to write to, in binary.
    """
    aside = path.with_name(f".{path.name}.{os.getpid()}.aside")
    try:
        with aside.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file aside and rename it, so that a reader never meets half of one.

    Args:
        path: The file, replaced if it exists.
        content: What it is to hold; text is encoded as UTF-8.
    """
    with open_whole(path) as file:
        file.write(content.encode("utf-8") if isinstance(content, str) else content)


def write_all_whole(contents: Mapping[Path, bytes]) -> None:
    """Write several files so that all of them appear, or replace earlier ones, or none does.

    Args:
        contents: What each file is to hold.

    Raises:
        OSError: If one cannot be written; all files are as they were.
    """
    with ExitStack() as stack:
        staged = []
        for path, content in contents.items():
            aside = path.with_name(f".{path.name}.{os.getpid()}.aside")
            stack.callback(aside.unlink, missing_ok=True)
            with aside.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            staged.append(aside)
        move_all(dict(zip(staged, contents, strict=True)))


def move_all(targets: Mapping[Path, Path]) -> None:
    """Rename several files so that all of them get to their places, or none does.

    Args:
        targets: Where each file goes, on the same disk; what is there is replaced.

    Raises:
        OSError: If one cannot be put there; all that was in these places is there again.
    """
    kept: dict[Path, Path | None] = {}
    try:
        for target in targets.values():
            if target.is_dir():
                raise IsADirectoryError(f"{target} is a folder; a file is to be written there")
        for path, target in targets.items():
            earlier = target.with_name(f".{target.name}.{os.getpid()}.earlier")
            kept[target] = earlier if target.exists() else None
            if target.exists():
                shutil.copy2(target, earlier)
            path.replace(target)
    except BaseException:
        for target, earlier in kept.items():
            if earlier is None:
                target.unlink(missing_ok=True)
            elif earlier.exists():
                earlier.replace(target)
        raise
    for earlier in filter(None, kept.values()):
        earlier.unlink()


def compute_digest(*arrays: np.ndarray) -> str:
    """Return a short text that tells arrays of other values, shapes or types apart."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype} {array.shape};".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return f"sha256:{digest.hexdigest()}"


class Checkpoint:
    """A file that holds how far a training has come, and of which settings it is.

    The file is an npz archive without pickled objects.
    """

    def __init__(self, path: str | Path, settings: Mapping[str, Any], seconds: float) -> None:
        """Name the file.

        Args:
            path: The file; its folder is made when it is written.
            settings: Everything on which the training depends, as JSON can hold it; digests stand
                for arrays.
            seconds: Least time between two saves.

        Raises:
            ValueError: If the time is negative, or no file can be written there.
        """
        self.seconds = check_number(
            "checkpoint_seconds", seconds, "0 or more", lambda seconds: seconds >= 0
        )
        self.settings = json.loads(json.dumps(settings))
        self.saved = time.monotonic()
        try:
            self.path = Path(path).resolve()
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # In time, and not after a minute of training.
            write_whole(self.path.with_name(f"{self.path.name}.probe"), b"")
            self.path.with_name(f"{self.path.name}.probe").unlink()
        except (OSError, TypeError, ValueError) as error:
            raise ValueError(
                f"checkpoint is {path!r}; no file can be written there: {error}"
            ) from error

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
        with open_whole(self.path) as file:
            np.savez(file, **about, **arrays)
        self._remove_what_the_killed_left()
        self.saved = time.monotonic()

    def _remove_what_the_killed_left(self) -> None:
        for path in self.path.parent.iterdir():
            aside = re.fullmatch(rf"\.{re.escape(self.path.name)}\.(\d+)\.aside", path.name)
            if aside and not _is_running(int(aside[1])):
                path.unlink(missing_ok=True)

    def _make_error(self, reason: object) -> ValueError:
        return ValueError(
            f"{self.path} is damaged, or no checkpoint of a training ({reason}); remove it to "
            "start anew, or name another file"
        )


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # It is somebody else's.
    return True


def _tell_apart(name: str, theirs: Any, ours: Any) -> str:
    is_digest = any(str(value).startswith("sha256:") for value in (theirs, ours))
    if is_digest or isinstance(theirs, dict) or isinstance(ours, dict):
        return f"{name}: others"
    return f"{name}: {theirs!r} there, {ours!r} here"
