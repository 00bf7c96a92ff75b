"""Tests as a reader meets the notebooks: JupyterLab and Voila in a browser, as on Binder."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from fprin_utils.files import NOTEBOOKS

SECONDS = 1000.0  # Playwright counts in milliseconds.
PICTURE = "img[alt^='At step']"
# Voila and JupyterLab ask other hosts for fonts and for news; a reader without a network, as here,
# goes without.
OF_OTHERS = ("ERR_NAME_NOT_RESOLVED", "ERR_INTERNET_DISCONNECTED", "ERR_CONNECTION_REFUSED")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The address of JupyterLab, started as Binder starts it, over a copy of the notebooks."""
    folder = tmp_path_factory.mktemp("home")
    shutil.copytree(NOTEBOOKS, folder / "notebooks")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {
        **os.environ,
        "FPRIN_PROFILE": "smoke",
        "HOME": str(folder),
        "JUPYTER_CONFIG_DIR": str(folder / "config"),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    command = [sys.executable, "-m", "jupyter", "lab", "--no-browser", "--allow-root"]
    command += ["--ip=127.0.0.1", f"--port={port}", "--IdentityProvider.token="]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT
        )
    address = f"http://127.0.0.1:{port}"
    try:
        wait_for(address, process, folder / "log")
        yield address
    finally:
        process.terminate()
        process.wait()


def wait_for(address, process, log):
    for _ in range(600):
        try:
            urllib.request.urlopen(f"{address}/api").close()
        except OSError:
            assert process.poll() is None, log.read_text(encoding="utf-8")
            time.sleep(0.1)
        else:
            return
    pytest.fail(log.read_text(encoding="utf-8"))


@pytest.fixture
def page(browser):
    """A page that must not complain."""
    page = browser.new_page(viewport={"width": 1280, "height": 1100})
    page.set_default_timeout(120 * SECONDS)
    complaints = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on(
        "console",
        lambda said: said.type == "error" and complaints.append(f"{said.text} {said.location}"),
    )
    yield page
    page.close()
    assert [said for said in complaints if not any(other in said for other in OF_OTHERS)] == []


def run_all_cells(page, server, notebook):
    page.goto(f"{server}/lab/tree/notebooks/{notebook}.ipynb?reset")
    # Cells that are run before the kernel is there are met by a question.
    page.get_by_text("Python 3 (ipykernel) | Idle").wait_for()
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_text("Run All Cells", exact=True).click()


def show_cell(page, locator):
    """Scroll down until something is there: JupyterLab draws cells only as they come in sight."""
    deadline = time.monotonic() + 240
    page.locator(".jp-WindowedPanel-outer:visible").hover()
    while not locator.count():
        assert time.monotonic() < deadline, "not there after four minutes"
        page.mouse.wheel(0, 400)
        page.wait_for_timeout(200)
    locator.scroll_into_view_if_needed()


def test_notebook_01_runs_to_its_end_in_jupyterlab(page, server, screenshots):
    run_all_cells(page, server, "01_one_dimensional_peaks")
    figure = page.locator(".jp-OutputArea-executeResult img[alt^='Samples of a target']")
    show_cell(page, figure)
    assert figure.evaluate("picture => picture.naturalWidth") > 500
    page.screenshot(path=screenshots / "lab_01_figure.png")
    player = page.locator(PICTURE)
    show_cell(page, player)
    before = player.get_attribute("src")
    move_slider(page, "training", "Home")
    page.wait_for_function("([picked, old]) => document.querySelector(picked).src != old",
                           arg=[PICTURE, before])  # fmt: skip
    page.screenshot(path=screenshots / "lab_01_player.png")
    assert_no_errors(page)


def assert_no_errors(page):
    assert page.locator("[data-mime-type='application/vnd.jupyter.error']").count() == 0
    assert page.locator(".jp-RenderedText[data-mime-type*='stderr']").count() == 0


def move_slider(page, label, key):
    slider = page.locator(".widget-slider", has_text=label).locator(".noUi-handle")
    slider.focus()
    page.keyboard.press(key)


def open_in_lab(page, server):
    run_all_cells(page, server, "12_explorer")
    show_cell(page, page.locator(PICTURE))


def open_in_voila(page, server):
    page.goto(f"{server}/voila/render/notebooks/12_explorer.ipynb")


@pytest.mark.parametrize("open_explorer", [open_in_lab, open_in_voila])
def test_the_explorer_answers(page, server, screenshots, open_explorer):
    name = open_explorer.__name__.removeprefix("open_in_")
    picture = page.locator(PICTURE)
    open_explorer(page, server)
    page.locator("img[alt^='At step 100:']").wait_for()
    page.screenshot(path=screenshots / f"explorer_{name}_start.png")

    page.get_by_label("preset").select_option("Large initial weights")
    # Or the training may be over before it can be stopped.
    move_slider(page, "steps", "End")
    page.get_by_role("button", name="Train").click()
    pictures = {picture.get_attribute("src")}
    while len(pictures) < 5:
        pictures.add(picture.get_attribute("src"))
        page.wait_for_timeout(20)
    page.screenshot(path=screenshots / f"explorer_{name}_training.png")

    page.get_by_role("button", name="Stop").click()
    page.get_by_text("Stopped after").wait_for(timeout=3 * SECONDS)
    page.get_by_text("frequencies 1, 3, 5, 7 are learnt").or_(
        page.get_by_text("Not yet learnt")
    ).wait_for()
    stopped = picture.get_attribute("alt")
    move_slider(page, "training", "Home")
    page.locator("img[alt^='At step 0:']").wait_for()
    assert not stopped.startswith("At step 0:")
    page.screenshot(path=screenshots / f"explorer_{name}_slider.png")

    page.get_by_role("button", name="Save figure").click()
    with page.expect_download() as download:
        page.get_by_role("link", name="12_explorer.png").click()
    assert Path(download.value.path()).read_bytes().startswith(b"\x89PNG")
    page.get_by_text("papermill notebooks/12_explorer.ipynb").wait_for()
    page.screenshot(path=screenshots / f"explorer_{name}_saved.png", full_page=True)
    assert_no_errors(page)


# The name that a control has beside it, or on it.
NAME = """() => {
    const active = document.activeElement;
    const widget = active.closest(".widget-inline-hbox") ?? active;
    const names = [...widget.querySelectorAll(".widget-label"), active].map(
        element => element.textContent.trim());
    return names.find(name => name);
}"""


def test_the_explorer_can_be_used_by_keyboard_alone(page, server):
    open_in_voila(page, server)
    page.locator(PICTURE).wait_for()
    reached = []
    while "Train" not in reached:
        page.keyboard.press("Tab")
        reached.append(page.evaluate(NAME))
        assert len(reached) < 100, reached
        if reached[-1] == "steps":
            # Or the training is over before it can be stopped.
            page.keyboard.press("End")
    assert reached.index("preset") < reached.index("learning rate") < reached.index("Train")
    page.keyboard.press("Enter")
    page.get_by_text(" left.").wait_for()
    page.keyboard.press("Tab")
    assert page.evaluate(NAME) == "Stop"
    page.keyboard.press("Enter")
    page.get_by_text("Stopped after").filter(has_text="Move the slider").wait_for()


def test_voila_runs_nothing_that_a_visitor_types(page, server):
    open_in_voila(page, server)
    page.locator(PICTURE).wait_for()
    assert page.locator("textarea, input[type=text], [contenteditable=true]").evaluate_all(
        "elements => elements.filter(element => !element.closest('.widget-readout')).length"
    ) == 0  # fmt: skip
