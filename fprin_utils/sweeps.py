"""Sweeps: one function over many settings, in this process or on a cluster."""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import itertools
import json
import os
import pickle
import sys
import time
import uuid
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import NoneType
from typing import Any

import cloudpickle
from distributed import Client
from tqdm.auto import tqdm

from fprin_utils.checks import check_kind, check_list, check_mapping, check_plain
from fprin_utils.cluster import (
    ask_for,
    check_versions,
    check_workers,
    connect,
    read_versions,
    tell_error,
    wait_for_each,
)
from fprin_utils.files import write_whole

# The folder for results; where it is empty nothing is kept.
FOLDER, DEFAULT_FOLDER = "FPRIN_SWEEPS", "output/sweeps"
# Least time between two saves: what takes less is done again sooner than it is looked after.
SECONDS_BETWEEN_SAVES = 60.0
# So many are told; and if so many fail before one succeeds, the others are left alone.
MOST_FAILURES = 10


def sweep(
    function: Callable[..., Any],
    settings: Mapping[str, Sequence[Any]] | Sequence[Mapping[str, Any]],
    *,
    client: Client | str | None = None,
) -> list[Any]:
    """Call a function with each of many settings.

    A sweep that takes longer than a minute keeps its results in the folder that the environment
    variable FPRIN_SWEEPS names, else in output/sweeps; so does one that fails or is interrupted.
    What is kept is not computed again, as long as the function, all that it refers to, this
    package, PyTorch, NumPy and SciPy are the same: a sweep that was killed goes on.

    Args:
        function: What is to be called, with the values of a setting by name. On a cluster it and
            what it returns travel between processes; what it refers to, in a notebook, travels
            with it. If a setting has a `device` that begins with "cuda", a worker is asked for
            that has the resource GPU.
        settings: A grid, values by name, of which each is combined with each, the last name's
            fastest; or a list of settings. Values are plain: numbers, texts, lists of them, None.
        client: A Dask client, or the address of a scheduler, with its port. None: one setting after
            the other in this process, with all of its threads.

    Returns:
        What the function returns for each setting, in the order of the settings.

    Raises:
        ValueError: If an argument is outside what is listed above.
        RuntimeError: If the function fails with some settings, after it has been called with the
            others, or if it fails with the first ten; names the settings. Or if a worker has
            another version of a package, or none has a GPU that is asked for.
        ConnectionError: If no scheduler answers, or it ends on the way.
    """
    check_kind("function", function, Callable, "a function")
    wanted = "a Client of Dask or the address of a scheduler"
    check_kind("client", client, (Client, str, NoneType), wanted)
    points = _list_settings(settings)
    kept = _Kept(function)
    names = [json.dumps(point, sort_keys=True) for point in points]
    waiting = {n: p for n, p in zip(names, points, strict=True) if n not in kept.results}
    failures: dict[str, str] = {}
    num_settings = len(set(names))
    with (
        _open_client(client) as opened,
        tqdm(
            total=num_settings,
            initial=num_settings - len(waiting),
            unit="setting",
            desc="sweep",
            mininterval=1,
        ) as bar,
        kept,
    ):
        done = _call_there(function, waiting, opened) if opened else _call_here(function, waiting)
        for name, result, failure in done:
            if failure is None:
                kept.add(name, result)
            else:
                failures[name] = f"{_tell_setting(waiting[name])}: {failure}"
            bar.update()
            if len(failures) == MOST_FAILURES and not kept.results:
                break
        if failures:
            head = f"{len(failures)} of {bar.n} settings failed; the first of them:"
            raise RuntimeError("\n".join([head, *[*failures.values()][:MOST_FAILURES]]))
    return [kept.results[name] for name in names]


def _list_settings(settings: Any) -> list[dict[str, Any]]:
    """Return the settings of a grid or a list, each by name, with plain values."""
    if isinstance(settings, Mapping):
        given = check_mapping("settings", settings, "names to lists of values")
        lists = [check_list(f"settings[{n!r}]", v, object, "values") for n, v in given.items()]
        points = [dict(zip(given, each, strict=True)) for each in itertools.product(*lists)]
    else:
        points = check_list("settings", settings, Mapping, "settings by name, or a grid")
    for point in points:
        for name in check_mapping("a setting", point, "names to values", least=0):
            check_kind("a name in settings", name, str, "a text")
    return [{n: check_plain(f"{n} in settings", v) for n, v in point.items()} for point in points]


def _tell_setting(point: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in point.items())


@contextlib.contextmanager
def _open_client(client: Client | str | None) -> Iterator[Client | None]:
    """Yield a client whose workers have this process's code, or None."""
    if isinstance(client, str):
        with connect(client) as connected:
            yield connected
        return
    if client is not None:
        check_workers(client)
    yield client


# Name of a setting, what came out, and in words what went wrong.
_Done = Iterator[tuple[str, Any, str | None]]


def _call_here(function: Callable[..., Any], waiting: Mapping[str, Mapping[str, Any]]) -> _Done:
    """Call a function with one setting after the other."""
    for name, point in waiting.items():
        try:
            result, failure = function(**point), None
        except Exception as error:
            result, failure = None, tell_error(error)
        yield name, result, failure


def _call_there(
    function: Callable[..., Any], waiting: Mapping[str, Mapping[str, Any]], client: Client
) -> _Done:
    """Call a function with all settings at once on a cluster."""
    run, versions, futures = uuid.uuid4().hex, read_versions(), {}
    for device in sorted({str(point.get("device")) for point in waiting.values()}):
        some = [name for name, point in waiting.items() if str(point.get("device")) == device]
        made = client.map(
            _call,
            [waiting[name] for name in some],
            function=function,
            versions=versions,
            key=[f"setting-{run}-{name}" for name in some],
            resources=ask_for(device, client),
        )
        futures |= dict(zip(made, some, strict=True))
    try:
        for future, result, error in wait_for_each(futures, client):
            yield futures.pop(future), result, error and tell_error(error)
    finally:
        client.cancel([*futures])


def _call(
    point: Mapping[str, Any], *, function: Callable[..., Any], versions: Mapping[str, str]
) -> Any:
    """Call a function with a setting, on a worker."""
    check_versions(versions)
    return function(**point)


class _Kept:
    """The results of a function, of which a folder holds those that took long."""

    def __init__(self, function: Callable[..., Any]) -> None:
        """Read what is kept of a function."""
        self.results: dict[str, Any] = {}
        self._new: dict[str, Any] = {}
        self._saved = time.monotonic()
        base = os.environ.get(FOLDER, DEFAULT_FOLDER)
        name = getattr(function, "__name__", type(function).__name__).strip("<>")
        self._folder = Path(base, f"{name}-{_digest(function)}") if base else None
        for path in sorted(self._folder.glob("*.pickle")) if base else ():
            try:
                self.results |= pickle.loads(path.read_bytes())
            except Exception as error:
                raise ValueError(f"{path} cannot be read ({error}); remove it") from error

    def add(self, name: str, result: Any) -> None:
        """Add the result of a setting; save it and others if it has been long since the last."""
        self.results[name] = self._new[name] = result
        if time.monotonic() - self._saved > SECONDS_BETWEEN_SAVES:
            self._save()

    def __enter__(self) -> None:
        pass

    def __exit__(self, failure: object, *_: object) -> None:
        if failure or time.monotonic() - self._saved > SECONDS_BETWEEN_SAVES:
            self._save()

    def _save(self) -> None:
        """Save what is new, in a file of its own, as another process may keep results there."""
        if self._folder is None or not self._new:
            return
        path = self._folder / f"{time.time_ns()}-{os.getpid()}.pickle"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            write_whole(path, cloudpickle.dumps(self._new))
        except OSError as error:  # The next time there may be room, and what is done is not lost.
            warnings.warn(f"results of the sweep cannot be kept: {error}", stacklevel=2)
            return
        self._new, self._saved = {}, time.monotonic()


def _digest(function: Callable[..., Any]) -> str:
    """Return a digest of a function, all that it refers to, and versions."""
    # Where a function stands is left out: in a notebook, that is another file in each kernel.
    digest = hashlib.sha256(cloudpickle.dumps((function, read_versions())))
    # Of a function that is imported, its name is pickled; the module says what it does.
    module = sys.modules.get(getattr(function, "__module__", None))
    if module is not None and module.__name__ != "__main__":
        with contextlib.suppress(OSError, TypeError):
            digest.update(inspect.getsource(module).encode())
    return digest.hexdigest()[:16]
