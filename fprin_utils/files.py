"""Files that appear whole or not at all, and locks.

What a file is made of lies beside it, under names that begin with a dot and its own name, for as
long as it takes. Whoever writes a file holds its lock; what is left of a writer that was killed is
cleared by the next.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import socket
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, Self

try:
    import fcntl
except ImportError:  # There is none on Windows: a lock is always free there.
    fcntl = None

# The checkout, and its notebooks.
ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = ROOT / "notebooks"
# How long one who wants to write a file, or to go on with a training, waits for another to end.
SECONDS_TO_WAIT = 15.0


class InUseError(OSError):
    """Another process holds the lock."""


class Lock:
    """A lock that one at a time holds; the operating system frees it when its process ends.

    It holds between machines that share a disk. A disk without locks is used as if nobody else did.
    """

    def __init__(self, path: Path, what: str) -> None:
        """Name the lock.

        Args:
            path: A file, made when the lock is taken and removed when it is freed.
            what: What is locked, for messages.
        """
        self.path, self.what = path, what
        self._file: BinaryIO | None = None

    def take(self, seconds: float = 0.0) -> None:
        """Take the lock.

        Args:
            seconds: How long to wait for another that holds it.

        Raises:
            InUseError: If another holds it still; says who.
            OSError: If the file cannot be made.
        """
        deadline = time.monotonic() + seconds
        while True:
            # Without a buffer, so that a full disk is met here and not when the file is closed.
            file = self.path.open("a+b", buffering=0)
            try:
                if not _is_free(file):
                    file.seek(0)
                    owner = file.read().decode("utf-8", errors="replace")
                    if time.monotonic() >= deadline:
                        raise InUseError(f"{self.what} is in use by {owner or 'another process'}")
                elif _is_same(file, self.path):
                    with contextlib.suppress(OSError):
                        file.truncate(0)
                        file.write(f"process {os.getpid()} on {socket.gethostname()}".encode())
                    self._file = file
                    return
                else:
                    continue  # Whoever held it has removed the file.
            finally:
                if self._file is not file:
                    file.close()
            time.sleep(0.02)

    def free(self) -> None:
        """Free the lock, if it is held."""
        if self._file is None:
            return
        file, self._file = self._file, None
        with file, contextlib.suppress(OSError):
            if _is_same(file, self.path):
                self.path.unlink()

    def __enter__(self) -> Self:
        self.take()
        return self

    def __exit__(self, *_: object) -> None:
        self.free()


def _is_free(file: BinaryIO) -> bool:
    """Lock an open file unless another has; tell whether nobody had."""
    if fcntl is None:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        pass  # The disk has no locks.
    return True


def _is_same(file: BinaryIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


@contextlib.contextmanager
def hold(*paths: Path, seconds: float = SECONDS_TO_WAIT) -> Iterator[None]:
    """Hold files, so that nobody else writes them; finish or undo what the killed left of them.

    Args:
        *paths: The files; their folders must be there.
        seconds: How long to wait for another that writes one of them.

    Raises:
        InUseError: If another still does.
    """
    with contextlib.ExitStack() as stack:
        for path in sorted(set(paths)):  # In one order, so that no two wait for each other.
            lock = Lock(path.with_name(f".{path.name}.lock"), str(path))
            lock.take(seconds)
            stack.callback(lock.free)
        for folder in {path.parent for path in paths}:
            _settle(folder, set(paths))
        for path in paths:
            clear_file(path)
        yield


def clear_folder(folder: Path) -> None:
    """Finish or undo what the killed left half-way in a folder, so that figures there are whole."""
    if folder.is_dir():
        _settle(folder, set())


def clear_file(path: Path) -> None:
    """Remove what the killed left of a file that is held."""
    name = re.escape(path.name)
    left = re.compile(rf"\.{name}\.\d+\.(aside|earlier)|\.\.{name}\.\d+\.moves\.\d+\.aside")
    for entry in path.parent.iterdir():
        if left.fullmatch(entry.name):
            entry.unlink(missing_ok=True)


@contextlib.contextmanager
def open_whole(path: Path) -> Iterator[BinaryIO]:
    """Open a file to write that appears, or replaces an earlier one, when it is complete.

    Args:
        path: The file. If writing fails it stays as it was.

    Yields:
        The file to write to, in binary.
    """
    with hold(path), replacing(path) as file:
        yield file


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Do what `open_whole` does, for a file that is held."""
    aside = name_beside(path, "aside")
    try:
        with _open_synced(aside) as file:
            yield file
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


@contextlib.contextmanager
def _open_synced(path: Path) -> Iterator[BinaryIO]:
    """Open a file to write that is on the disk when it is closed."""
    with path.open("wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


def name_beside(path: Path, ending: str) -> Path:
    """Return a name for what a file is made of, as the module says."""
    return path.with_name(f".{path.name}.{os.getpid()}.{ending}")


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file aside and rename it, so that a reader never meets half of one.

    Args:
        path: The file, replaced if it exists.
        content: What it is to hold; text is encoded as UTF-8.
    """
    with open_whole(path) as file:
        file.write(content.encode("utf-8") if isinstance(content, str) else content)


def write_all_whole(contents: Mapping[Path, bytes]) -> None:
    """Write several files of a folder so that all appear, or replace earlier ones, or none does.

    What is killed on the way is finished or undone by the next that writes there.

    Args:
        contents: What each file is to hold.

    Raises:
        OSError: If one cannot be written; all files are as they were.
    """
    with hold(*contents), contextlib.ExitStack() as stack:
        asides = {}
        for path, content in contents.items():
            asides[path] = name_beside(path, "aside")
            stack.callback(asides[path].unlink, missing_ok=True)
            with _open_synced(asides[path]) as file:
                file.write(content)
        stack.pop_all()
        _put_in_place(asides)


def move_all(targets: Mapping[Path, Path]) -> None:
    """Rename several files so that all of them get to their places, or none does.

    What is killed on the way is finished or undone by the next that writes there.

    Args:
        targets: Where each file goes, all in one folder, on the same disk; what is there is
            replaced.

    Raises:
        OSError: If one cannot be put there; all that was in these places is there again, and the
            files are gone.
    """
    with hold(*targets.values()), contextlib.ExitStack() as stack:
        asides = {}
        for path, target in targets.items():
            asides[target] = name_beside(target, "aside")
            stack.callback(asides[target].unlink, missing_ok=True)
            path.replace(asides[target])
        stack.pop_all()
        _put_in_place(asides)


def _put_in_place(asides: Mapping[Path, Path]) -> None:
    """Rename files that lie beside their targets, which are held, so that all get there or none.

    A list of what is to be renamed stands in a file of its own from before the first to after the
    last; who finds it finishes the work, or undoes it where the list says "back".
    """
    first = min(asides)
    moves, back = (name_beside(first, ending) for ending in ("moves", "back"))
    earlier = {target: name_beside(target, "earlier") for target in asides}
    try:
        for target in asides:
            if target.is_dir():
                raise IsADirectoryError(f"{target} is a folder; a file is to be written there")
            if target.exists():
                _copy(target, earlier[target])
            else:
                del earlier[target]
        names = [
            [target.name, aside.name, earlier[target].name if target in earlier else None]
            for target, aside in asides.items()
        ]
        with replacing(moves) as file:
            file.write(json.dumps(names).encode("utf-8"))
    except BaseException:
        for path in (moves, *asides.values(), *earlier.values()):
            path.unlink(missing_ok=True)
        raise
    try:
        for target, aside in asides.items():
            aside.replace(target)
    except BaseException:
        moves.replace(back)
        _go_back(back, names)
        raise
    with contextlib.suppress(OSError):  # The files are in their places; the next clears the rest.
        _go_on(moves, names)


def _copy(path: Path, other: Path) -> None:
    other.unlink(missing_ok=True)
    try:
        os.link(path, other)
    except OSError:  # Not every disk has hard links.
        shutil.copy2(path, other)


def _go_on(moves: Path, names: Iterable[tuple[str, str, str | None]]) -> None:
    """Rename what has not been renamed yet, and remove what it replaces."""
    for target, aside, _ in names:
        if moves.with_name(aside).exists():
            moves.with_name(aside).replace(moves.with_name(target))
    for _, _, earlier in names:
        if earlier is not None:
            moves.with_name(earlier).unlink(missing_ok=True)
    moves.unlink()


def _go_back(back: Path, names: Iterable[tuple[str, str, str | None]]) -> None:
    """Put back what has been replaced, and remove what was to replace it."""
    for target, aside, earlier in names:
        if earlier is None:
            back.with_name(target).unlink(missing_ok=True)
        elif back.with_name(earlier).exists():
            back.with_name(earlier).replace(back.with_name(target))
            # Two names of one file both stay when one is to replace the other.
            back.with_name(earlier).unlink(missing_ok=True)
        back.with_name(aside).unlink(missing_ok=True)
    back.unlink()


def _settle(folder: Path, held: set[Path]) -> None:
    """Finish or undo the renaming of several files where one was killed who did it."""
    for path in sorted(folder.iterdir()):
        ending = re.fullmatch(r"\..+\.\d+\.(moves|back)", path.name)
        if not ending:
            continue
        try:
            names = json.loads(path.read_text(encoding="utf-8"))
            targets = {path.with_name(target) for target, _, _ in names}
        except (FileNotFoundError, ValueError, TypeError):
            continue  # It is done, or something else.
        with contextlib.suppress(InUseError), contextlib.ExitStack() as stack:
            for target in sorted(targets - held):
                stack.enter_context(Lock(path.with_name(f".{target.name}.lock"), str(target)))
            if path.exists():
                (_go_on if ending[1] == "moves" else _go_back)(path, names)
