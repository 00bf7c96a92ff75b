"""Tests of the site: it is built once, and a browser opens each of its pages."""

import inspect
import subprocess
import sys
from dataclasses import dataclass
from urllib.parse import unquote

import pytest
import yaml

import fprin_utils as fp
from fprin_utils import publish
from fprin_utils.claims import VERDICTS
from fprin_utils.regenerate import ROOT
from fprin_utils.verdicts import read_reference

BUILD = ["site/build.py", "site/_build"]
WIDTHS = {"desktop": 1280, "telephone": 390}
# Pictures that are not in sight may not be loaded yet, unless they are asked for.
LOOK = """async () => {
    const pictures = [...document.images];
    await Promise.allSettled(pictures.map(picture => picture.decode()));
    return {
        language: document.documentElement.lang,
        links: [...document.links].map(link => link.href),
        ids: [...document.querySelectorAll("[id]")].map(element => element.id),
        pictures: pictures.map(({src, alt, naturalWidth}) => [src, alt, naturalWidth]),
    };
}"""


@dataclass
class Visit:
    """What the browser found on a page, and what it asked for and complained of on the way."""

    found: dict
    requests: list
    complaints: list


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder of the pages."""
    folder = tmp_path_factory.mktemp("site")
    ended = subprocess.run(
        [sys.executable, BUILD[0], str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return folder / "html"


@pytest.fixture(scope="module")
def visits(site, browser):
    """A visit to every page, by its address."""
    visits = {}
    for path in sorted(site.rglob("*.html")):
        page = browser.new_page()
        requests, complaints = [], []
        page.on("request", lambda request, to=requests: to.append(request.url))
        page.on("pageerror", lambda error, to=complaints: to.append(str(error)))
        page.on(
            "console",
            lambda said, to=complaints: to.append(said.text) if said.type == "error" else None,
        )
        page.goto(path.as_uri())
        visits[path.as_uri()] = Visit(page.evaluate(LOOK), requests, complaints)
        page.close()
    return visits


@pytest.fixture
def page(browser):
    page = browser.new_page(reduced_motion="reduce")
    yield page
    page.close()


def test_every_notebook_and_every_room_of_the_package_has_a_page(site):
    rooms = {path.stem for path in (ROOT / "fprin_utils").glob("*.py")} - {"__init__"}
    assert {path.stem for path in (site / "api").glob("*.html")} == rooms | {"index"}
    notebooks = {path.stem for path in (site / "notebooks").glob("*.html")}
    assert notebooks == {entry.notebook for entry in fp.FIGURES}


def test_every_link_leads_to_a_page_and_to_a_place_on_it(visits):
    inside, outside = 0, 0
    for address, visit in visits.items():
        for link in visit.found["links"]:
            if link.startswith("https://"):
                outside += 1
                continue
            inside += 1
            target, _, place = link.partition("#")
            assert target in visits, (address, link)
            assert not place or unquote(place) in visits[target].found["ids"], (address, link)
    assert inside > 1000
    assert outside > len(fp.FIGURES)


def test_every_picture_is_there_and_described(visits):
    descriptions = {entry.alt for entry in fp.FIGURES}
    for address, visit in visits.items():
        for source, alt, width in visit.found["pictures"]:
            assert width > 0, (address, source)
            assert alt in descriptions, (address, source)


def test_no_page_asks_another_host_or_complains(site, visits):
    for address, visit in visits.items():
        assert visit.found["language"] == "en", address
        assert visit.complaints == [], address
        asked = [url for url in visit.requests if not url.startswith((site.as_uri(), "data:"))]
        assert asked == [], address


def test_every_function_and_class_is_documented_where_it_is_defined(site, visits):
    described = [getattr(fp, name) for name in fp.__all__]
    for thing in described:
        if inspect.isfunction(thing) or inspect.isclass(thing):
            room = thing.__module__.removeprefix("fprin_utils.")
            address = (site / "api" / f"{room}.html").as_uri()
            assert f"{thing.__module__}.{thing.__name__}" in visits[address].found["ids"]


def test_the_front_page_has_a_card_for_every_figure(site, page):
    page.goto((site / "index.html").as_uri())
    cards = page.locator(".gallery > .card")
    assert cards.count() == len(fp.FIGURES)
    for entry, card in zip(fp.FIGURES, cards.all(), strict=True):
        assert card.get_by_role("img").get_attribute("alt") == entry.alt
        for link in card.get_by_role("link").all():
            assert link.get_attribute("href") == f"notebooks/{entry.notebook}.html"
        for claim, test in read_reference()[entry.notebook]["tests"].items():
            assert f"{claim} {VERDICTS[test['verdict']]}" in card.inner_text()


def test_the_front_page_has_the_table_of_claims(site, page):
    page.goto((site / "index.html").as_uri())
    rows = page.locator("#the-claims table tbody tr").all()
    assert len(rows) == len(publish.format_claims_table().splitlines()) - 2


@pytest.mark.parametrize("entry", fp.FIGURES, ids=lambda entry: entry.notebook)
def test_a_notebook_is_shown_with_its_stored_outputs(site, page, entry):
    page.goto((site / "notebooks" / f"{entry.notebook}.html").as_uri())
    outputs = page.locator(".cell_output")
    # A figure that only moves is not stored in its notebook, and stands at the end.
    place = outputs if entry.claims else page
    assert place.get_by_role("img", name=entry.alt).count() == 1
    said = "\n".join(outputs.all_inner_texts())
    tests = read_reference()[entry.notebook]["tests"]
    assert outputs.locator("table").count() == bool(tests)
    for claim in tests:
        assert f"{claim} agrees: " in said
    invitation = page.get_by_role("link", name="play on Binder")
    make_link = publish.make_binder_link if entry.claims else publish.make_app_link
    assert invitation.get_attribute("href") == make_link(entry.notebook)


def test_formulas_are_drawn_by_the_browser_itself(site, page):
    page.goto((site / "notebooks" / "09_gradient_theory.html").as_uri())
    fraction = page.locator("math[display=block] mfrac").first.bounding_box()
    assert fraction["height"] > 20


@pytest.mark.parametrize("width", WIDTHS)
def test_no_page_is_wider_than_its_screen(site, visits, page, width, screenshots):
    page.set_viewport_size({"width": WIDTHS[width], "height": 900})
    for address in visits:
        page.goto(address)
        # The theme lets the column of text scroll rather than the window.
        column = page.locator(".content")
        assert column.evaluate("it => it.scrollWidth <= it.clientWidth"), address
    for name in ("index", "notebooks/09_gradient_theory", "api/training"):
        page.goto((site / f"{name}.html").as_uri())
        picture = f"site-{name.replace('/', '-')}-{width}.png"
        page.screenshot(path=screenshots / picture)


def test_the_cards_are_reached_with_the_keyboard(site, page):
    page.goto((site / "index.html").as_uri())
    reached = set()
    for _ in range(100):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.closest('.card')?.innerText"))
    assert len(reached - {None}) == len(fp.FIGURES)


def test_make_and_the_workflow_build_the_same_site():
    assert f"$(RUN) {' '.join(BUILD)}\n" in (ROOT / "Makefile").read_text(encoding="utf-8")
    workflow = (ROOT / ".github" / "workflows" / "site.yml").read_text(encoding="utf-8")
    jobs = yaml.safe_load(workflow)["jobs"]
    steps = jobs["build"]["steps"]
    assert [step["run"] for step in steps if "run" in step] == ["make site"]
    assert steps[-1]["with"]["path"] == f"{BUILD[1]}/html"
    assert jobs["publish"]["needs"] == "build"
