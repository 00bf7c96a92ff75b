"""What several test files share: a browser, where its pictures go, what a player says."""

import os
import re
import shutil
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

from fprin_utils import figures, files

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@pytest.fixture(scope="module")
def browser():
    """Chromium without a window, as it is installed on the machine.

    It is closed at the end of each file: as long as Playwright is open, an event loop runs, and
    what wants to run its own, such as papermill, would fail.
    """
    installed = [path for path in map(shutil.which, BROWSERS) if path]
    path = os.environ.get("FPRIN_CHROMIUM") or next(iter(installed), None)
    if path is None:
        reason = f"none of {', '.join(BROWSERS)} is installed, and FPRIN_CHROMIUM names no other"
        if os.environ.get("FPRIN_REQUIRE_BROWSER"):
            pytest.fail(reason)
        pytest.skip(reason)
    options = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=options)
        yield browser
        browser.close()


def read_step(slider, unspoken=""):
    """Return the step that the slider of a player speaks, as in "step 1,500".

    Args:
        slider: The slider.
        unspoken: What to read where it has not spoken yet, which is an error if left out.
    """
    text = slider.get_attribute("aria-valuetext") or unspoken
    return int(re.fullmatch(r"step ([\d,]+)", text)[1].replace(",", ""))


@pytest.fixture(scope="session")
def screenshots():
    """A folder for pictures of what the browser shows, to be looked at after the tests."""
    default = Path(__file__).with_name("screenshots")
    folder = Path(os.environ.get("FPRIN_SCREENSHOTS") or default)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture
def notebooks(tmp_path, monkeypatch):
    """A folder for tiny notebooks, which are run instead of the real ones."""
    folder = tmp_path / "notebooks"
    assert figures.NOTEBOOKS.is_dir()  # What is known stays, whatever is run.
    monkeypatch.setattr(files, "NOTEBOOKS", folder)
    return folder
