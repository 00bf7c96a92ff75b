"""Kernels of closed Voila pages end; those of notebooks that a reader has open do not."""

import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import psutil
import pytest
import websocket
from tiny import write_notebook

from fprin_utils.files import ROOT

SETTINGS = json.loads((ROOT / "voila.json").read_text(encoding="utf-8"))
NUM_PAGES = 10


def test_a_closed_page_is_over_within_five_minutes():
    cull = SETTINGS["MappingKernelManager"]
    assert 0 < cull["cull_idle_timeout"] + 2 * cull["cull_interval"] <= 300
    assert cull["cull_connected"] is False, "an open page may be looked at for longer"
    assert cull["cull_busy"] is False, "a training may take longer"


def test_make_and_binder_put_it_where_servers_look():
    for path in (ROOT / "Makefile", ROOT / "binder" / "postBuild"):
        text = path.read_text(encoding="utf-8")
        for name in ("voila.json", "jupyter_server_config.json"):
            assert re.search(rf"cp voila\.json \S+/etc/jupyter/{re.escape(name)}\b", text), path
        assert re.search(r"cp binder/voila/\* \S+/share/jupyter/voila/templates/fprin\b", text), (
            path
        )
    for name in ("voila.json", "jupyter_server_config.json"):
        there = Path(sys.prefix) / "etc" / "jupyter" / name
        if os.environ.get("CONDA_PREFIX") is None:
            assert json.loads(there.read_text(encoding="utf-8")) == SETTINGS, "run make again"


@pytest.fixture(params=["voila", "lab"])
def server(request, tmp_path):
    """A server as it is started in a checkout, with the same settings but for shorter times."""
    quickly = SETTINGS["MappingKernelManager"] | {"cull_idle_timeout": 3, "cull_interval": 1}
    home, settings = tmp_path / "home", tmp_path / "settings"
    write_notebook(home / "notebooks", "page", "print('hello')")
    settings.mkdir()
    name = {"voila": "voila.json", "lab": "jupyter_server_config.json"}[request.param]
    place = {"voila": home, "lab": settings}[request.param]
    (place / name).write_text(json.dumps(SETTINGS | {"MappingKernelManager": quickly}))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = {
        "voila": ["voila", "notebooks/page.ipynb"],
        "lab": ["jupyter", "lab", "--allow-root", "--ip=127.0.0.1", "--IdentityProvider.token="],
    }[request.param]
    environment = {
        **os.environ,
        "HOME": str(tmp_path),
        "JUPYTER_CONFIG_DIR": str(tmp_path / "config"),
        "JUPYTER_CONFIG_PATH": str(settings),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", *command, "--no-browser", f"--port={port}"],
            cwd=home,
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    base = f"http://127.0.0.1:{port}"
    address = base + {"voila": "/", "lab": "/voila/render/notebooks/page.ipynb"}[request.param]
    try:
        wait_for(lambda: is_there(base), tmp_path / "log")
        yield base, address, process.pid, tmp_path / "log"
    finally:
        process.terminate()
        process.wait(30)


def is_there(base):
    try:
        with urllib.request.urlopen(f"{base}/static/", timeout=60):
            return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False


def wait_for(condition, log, seconds=90):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, log.read_text(encoding="utf-8")
        time.sleep(0.1)


def count_kernels(server):
    return sum(is_kernel(each) for each in psutil.Process(server).children(recursive=True))


def is_kernel(process):
    try:
        return process.status() != psutil.STATUS_ZOMBIE and "-f" in process.cmdline()
    except psutil.NoSuchProcess:  # It has ended meanwhile.
        return False


def test_kernels_of_closed_pages_end_and_that_of_an_open_page_stays(server):
    base, address, pid, log = server
    seen = 0
    for _ in range(NUM_PAGES):
        with urllib.request.urlopen(address, timeout=60) as page:
            text = page.read().decode("utf-8")
        assert "hello" in text
        seen = max(seen, count_kernels(pid))
    # The last page stays open: what it runs is connected to.
    kernel = re.search(r'"kernelId": "([\w-]+)"', text)[1]
    channel = f"{base.replace('http', 'ws')}/api/kernels/{kernel}/channels"
    connection = websocket.create_connection(channel, timeout=60, origin=base)
    try:
        assert seen > 1
        wait_for(lambda: count_kernels(pid) == 1, log, seconds=60)
        time.sleep(5)
        assert count_kernels(pid) == 1, "the open one"
    finally:
        connection.close()
    wait_for(lambda: count_kernels(pid) == 0, log, seconds=60)
