"""Clusters of Dask: one that is there already, or one of processes on this machine.

What a worker has to have is the code that its client has: results would else be of neither.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import platform
import re
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import CancelledError
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import dask.config
from distributed import Client, Future, LocalCluster, as_completed

SECONDS_TO_CONNECT = 10
# What a result depends on, besides Python and this package.
VERSIONED = ("torch", "numpy", "scipy")
# Dask would repeat three times what has ended a worker: a notebook or a training that takes more
# memory than there is will do so again.
MOST_DEATHS = 1


@functools.cache
def read_versions() -> dict[str, str]:
    """Return the versions of what results depend on; of this package with a digest of its code."""
    versions = {"python": platform.python_version()}
    for package in (*VERSIONED, "fprin_utils"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "none"
    versions["fprin_utils"] += f" ({_digest_package()})"
    return versions


def _digest_package() -> str:
    """Return a digest of all modules of this package."""
    folder, digest = Path(__file__).parent, hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        digest.update(path.relative_to(folder).as_posix().encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:10]


def tell_difference(wanted: Mapping[str, str], found: Mapping[str, str]) -> str:
    """Return in words in what two sets of versions differ; nothing if in nothing."""
    names = [name for name in wanted if wanted[name] != found.get(name)]
    return "; ".join(f"{name} {found.get(name)} instead of {wanted[name]}" for name in names)


def check_versions(wanted: Mapping[str, str]) -> None:
    """Raise a RuntimeError unless this process has the versions that its client has."""
    if difference := tell_difference(wanted, read_versions()):
        raise RuntimeError(f"this worker has {difference}")


@contextlib.contextmanager
def connect(address: str) -> Iterator[Client]:
    """Connect to a scheduler whose workers have the code that this process has.

    Args:
        address: Its address, such as "tcp://host:8786".

    Raises:
        ValueError: If this is no address.
        ConnectionError: If no scheduler answers there, or none of its workers.
        RuntimeError: If a worker has another version of a package; names both versions.
    """
    if not re.fullmatch(r"((tcp|tls|ws|wss)://)?[^\s/]+:\d+", address):
        raise ValueError(f"scheduler {address!r} is no address such as tcp://host:8786")
    try:
        client = Client(address, timeout=SECONDS_TO_CONNECT, set_as_default=False)
    except (OSError, TimeoutError) as error:
        raise ConnectionError(f"no scheduler answers at {address}") from error
    with client:
        check_workers(client)
        yield client


def check_workers(client: Client) -> None:
    """Raise a RuntimeError if a worker has other versions than this process; one must be there."""
    address = client.scheduler.address
    try:
        client.wait_for_workers(1, timeout=SECONDS_TO_CONNECT)
    except TimeoutError as error:
        raise ConnectionError(f"the scheduler at {address} has no workers") from error
    wanted = read_versions()
    for worker, found in client.run(read_versions, on_error="return").items():
        if isinstance(found, Exception):
            raise RuntimeError(f"worker {worker} lacks fprin_utils: {found}")
        if difference := tell_difference(wanted, found):
            raise RuntimeError(f"worker {worker} has {difference}")


def tell_error(error: BaseException) -> str:
    """Return in words what went wrong in a task."""
    return f"{type(error).__name__}: {error}"


def ask_for(device: Any, client: Client) -> dict[str, int] | None:
    """Return the resources that a task on a device needs of a worker; None on a CPU.

    Raises:
        RuntimeError: If it needs a GPU and no worker has one: it would wait for ever.
    """
    if not str(device).startswith("cuda"):
        return None
    workers = client.scheduler_info(n_workers=-1)["workers"].values()
    if not any(worker["resources"].get("GPU") for worker in workers):
        address = client.scheduler.address
        raise RuntimeError(f"no worker of {address} was started with --resources GPU=1")
    return {"GPU": 1}


def wait_for_each(
    futures: Iterable[Future], client: Client
) -> Iterator[tuple[Future, Any, BaseException | None]]:
    """Yield futures as they end, each with its result or with the error of its task.

    Raises:
        ConnectionError: If the scheduler ends before that.
    """
    address = client.scheduler.address
    try:
        for future in as_completed(futures, loop=client.loop):
            error = future.exception() if future.status == "error" else None
            yield future, None if error else future.result(), error
    except (CancelledError, OSError) as error:
        raise ConnectionError(f"the scheduler at {address} has ended") from error


@contextlib.contextmanager
def start_workers(num_workers: int) -> Iterator[Client]:
    """Start a cluster of processes on this machine, which ends with this process at the latest.

    Args:
        num_workers: Processes, each of which does one thing at a time.
    """
    options = {
        # The variables that set a number of threads are those of this process.
        "distributed.nanny.pre-spawn-environ": {},
        # What waits can be given to whoever is free first.
        "distributed.scheduler.worker-saturation": 1.0,
        "distributed.scheduler.allowed-failures": MOST_DEATHS,
        # Dask would look a hundred times a second at what each worker does and fifty times at
        # whether its loops still turn: a quarter of a core for a scheduler and two workers.
        "distributed.worker.profile.enabled": False,
        "distributed.admin.tick.interval": "500ms",
    }
    with (
        dask.config.set(options),
        LocalCluster(
            n_workers=num_workers,
            threads_per_worker=1,
            memory_limit=0,  # The work is done in further processes, of which Dask does not know.
            dashboard_address="127.0.0.1:0",  # Any port that is free.
            scheduler_kwargs={"dashboard": False},
            silence_logs="CRITICAL",
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client
