"""Tests as a reader meets the notebooks: JupyterLab and Voila in a browser, as on Binder."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest
from conftest import read_step

from fprin_utils.files import NOTEBOOKS

SECONDS = 1000.0  # Playwright counts in milliseconds.
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


@contextmanager
def watch_page(browser):
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


@pytest.fixture
def page(browser):
    with watch_page(browser) as page:
        yield page


@pytest.fixture(scope="module")
def voila(browser, server):
    """The explorer in Voila, for tests that leave it as it was: each new one costs a kernel."""
    with watch_page(browser) as page:
        open_in_voila(page, server)
        yield page


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


def test_notebook_01_plays_before_and_after_it_has_run_in_jupyterlab(page, server, screenshots):
    page.goto(f"{server}/lab/tree/notebooks/01_one_dimensional_peaks.ipynb?reset")
    page.get_by_text("Python 3 (ipykernel) | Idle").wait_for()
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_text("Run All Cells", exact=True).click()
    figure = page.locator(".jp-OutputArea-executeResult img[alt^='Samples of a target']")
    show_cell(page, figure)
    assert figure.evaluate("picture => picture.naturalWidth") > 500
    page.screenshot(path=screenshots / "lab_01_figure.png")
    player = page.locator(".jp-OutputArea-executeResult", has=page.get_by_role("slider"))
    show_cell(page, player)
    page.wait_for_timeout(1 * SECONDS)
    assert read_step(player.get_by_role("slider", name="step")) > 0
    player.get_by_role("button", name="large").click()
    page.screenshot(path=screenshots / "lab_01_player.png")
    assert_no_errors(page)


def assert_no_errors(page):
    assert page.locator("[data-mime-type='application/vnd.jupyter.error']").count() == 0
    assert page.locator(".jp-RenderedText[data-mime-type*='stderr']").count() == 0


def open_in_lab(page, server):
    run_all_cells(page, server, "12_explorer")
    show_cell(page, page.get_by_role("button", name="Train"))


def open_in_voila(page, server):
    page.goto(f"{server}/voila/render/notebooks/12_explorer.ipynb")
    page.get_by_role("button", name="Train").wait_for()


def read_lane(page, name):
    lane = page.locator("section", has=page.get_by_role("heading", name=name))
    return read_step(lane.get_by_role("slider", name="step"))


@pytest.mark.parametrize("open_explorer", [open_in_lab, open_in_voila])
def test_the_explorer_answers(page, server, screenshots, open_explorer):
    name = open_explorer.__name__.removeprefix("open_in_")
    open_explorer(page, server)
    page.get_by_text("Trained for 100 steps").wait_for()
    page.screenshot(path=screenshots / f"explorer_{name}_start.png")

    page.get_by_label("learning rate").press("ArrowRight")
    assert page.locator(".stale").count() == 1, "the picture is not of these settings"
    page.get_by_role("button", name="Large initial weights").click()
    page.get_by_text(" left.").wait_for()
    assert page.locator(".stale").count() == 0
    steps = set()
    while len(steps) < 5:
        steps.add(read_lane(page, "Now"))
        page.wait_for_timeout(50)
    page.get_by_role("slider", name="step").first.press("Home")
    page.get_by_role("slider", name="step").first.press("ArrowRight")
    page.wait_for_timeout(500)
    assert read_lane(page, "Now") == 1, "it goes on, and the slider stays where it is put"
    page.screenshot(path=screenshots / f"explorer_{name}_training.png")
    page.get_by_role("button", name="Stop").click()
    page.get_by_text("Stopped after").or_(page.get_by_text("Done after")).wait_for()
    assert read_lane(page, "Before") == 100

    page.get_by_role("button", name="Save figure").click()
    with page.expect_download() as download:
        page.get_by_role("link", name="12_explorer.png").click()
    assert Path(download.value.path()).read_bytes().startswith(b"\x89PNG")
    line = page.get_by_text("papermill notebooks/12_explorer.ipynb")
    assert line.evaluate(
        "line => line.getBoundingClientRect().bottom <= innerHeight"
        " && line.getBoundingClientRect().top >= 0"
    )
    page.screenshot(path=screenshots / f"explorer_{name}_saved.png")
    assert_no_errors(page)


def test_voila_shows_a_training_before_the_kernel_is_there(page, server, screenshots):
    page.goto(f"{server}/voila/render/notebooks/12_explorer.ipynb", wait_until="commit")
    stored = page.locator("#stored")
    stored.get_by_role("slider").wait_for(timeout=6 * SECONDS)
    page.wait_for_timeout(500)
    assert read_step(stored.get_by_role("slider", name="step")) > 0
    assert page.get_by_role("button", name="Train").count() == 0
    page.screenshot(path=screenshots / "voila_waiting.png")
    page.get_by_role("button", name="Train").wait_for()
    assert stored.count() == 0


def test_voila_runs_nothing_that_a_visitor_types(voila):
    field = voila.get_by_label("frequencies")
    before = field.input_value()
    for text in ("__import__('os').system('touch /tmp/typed')", "1; 2", "1, x"):
        field.fill(text)
        voila.get_by_role("button", name="Train").click()
        voila.get_by_text("frequencies: numbers with commas between them are wanted.").wait_for()
        field.and_(voila.locator("[aria-invalid=true]")).wait_for()
        assert field.evaluate("field => field.getRootNode().activeElement === field")
    field.fill(before)
    assert not Path("/tmp/typed").exists()


def test_two_tabs_train_side_by_side_and_by_keyboard_alone(browser, page, server):
    open_in_voila(page, server)
    with watch_page(browser) as other:
        open_in_voila(other, server)
        reach_train(page)
        page.keyboard.press("Enter")
        other.get_by_role("button", name="Train").click()
        for each in (page, other):
            each.get_by_text("Done after").wait_for()


def reach_train(page):
    """Go to the button with the tab key, as one who has no mouse."""
    reached = []
    while "Train" not in reached:
        page.keyboard.press("Tab")
        reached.append(
            page.evaluate(
                """() => {
                    let active = document.activeElement;
                    while (active.shadowRoot) active = active.shadowRoot.activeElement;
                    return (active.closest("label") ?? active).textContent.trim();
                }"""
            )
        )
        assert len(reached) < 20, reached
    assert reached[0].startswith("Figure 1") or "Large initial weights" in reached


@pytest.mark.parametrize("width", [390, 1920])
def test_the_explorer_fits_narrow_and_wide_windows(voila, screenshots, width):
    voila.set_viewport_size({"width": width, "height": 900})
    voila.evaluate("scrollTo(0, 0)")
    voila.wait_for_timeout(1 * SECONDS)
    # What JupyterLab puts around it cuts off what is too wide, and the page does not grow.
    widths = voila.get_by_role("button", name="Train").evaluate(
        """it => {
            const widths = [];
            for (; it; it = it.parentElement ?? it.getRootNode().host) widths.push(it.scrollWidth);
            return widths;
        }"""
    )
    assert max(widths) <= width
    fit = voila.get_by_role("img", name="networks have learnt").first.bounding_box()
    assert fit["y"] + fit["height"] <= 900 or width == 390
    assert voila.get_by_role("slider", name="step").first.bounding_box()["width"] > 100
    voila.screenshot(path=screenshots / f"explorer_{width}.png", full_page=True)
