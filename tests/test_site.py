"""Tests of the site: it is built once, and a browser opens each of its pages."""

import dataclasses
import inspect
import runpy
import subprocess
import sys
from urllib.parse import unquote

import pytest
import yaml
from conftest import read_step
from test_house import FRONT

import fprin_utils as fp
from fprin_utils import play
from fprin_utils.build import readmes
from fprin_utils.build.readmes import SENTENCES
from fprin_utils.claims import VERDICTS
from fprin_utils.figures import list_notebooks, read_metadata
from fprin_utils.files import ROOT
from fprin_utils.verdicts import read_reference

NAMES = list_notebooks()
BUILD = ["site/build.py", "site/_build"]
# The last is that in which a page is left.
WIDTHS = {"telephone": 390, "desktop": 1280}
PICTURED = ("index", "live", "zh/index", "notebooks/09_gradient_formula", "api/training")
# Of networks in a page, when something else is looked at: they have learnt at once.
LITTLE = "#steps=500&width=8"
IS_DRAWN = """() => [...document.querySelectorAll("#live, [id^=fprin-]")].every(host => {
    const players = [...host.shadowRoot?.querySelectorAll(".player") ?? []];
    return players.length && players.every(player => player.querySelector("canvas"));
})"""
# The theme lets the column of text scroll rather than the window.
FITS = """width => {
    const [text, ...others] = document.querySelectorAll(".content");
    return innerWidth === width && text.scrollWidth <= text.clientWidth && !others.length;
}"""
LOOK = """() => ({
    language: document.documentElement.lang,
    description: document.querySelector("meta[name=description]").content,
    preview: document.querySelector("meta[property='og:image']").content,
    links: [...document.links].map(link => link.href),
    ids: [...document.querySelectorAll("[id]")].map(element => element.id),
    pictures: [...document.images].map(({src, alt, naturalWidth}) => [src, alt, naturalWidth]),
})"""


@dataclasses.dataclass
class Visit:
    """What the browser found on a page, and what it asked for and complained of on the way."""

    found: dict = dataclasses.field(default_factory=dict)
    requests: list = dataclasses.field(default_factory=list)
    complaints: list = dataclasses.field(default_factory=list)
    fits: dict = dataclasses.field(default_factory=dict)


class Reader:
    """Opens pages in one tab, which costs less than new ones, and keeps the first visit to each."""

    def __init__(self, site, tab, screenshots):
        self.site, self.tab, self.screenshots = site, tab, screenshots
        self.visits, self.visit = {}, Visit()
        tab.on("request", lambda request: self.visit.requests.append(request.url))
        tab.on("pageerror", lambda error: self.visit.complaints.append(str(error)))
        tab.on("console", self.hear)

    def hear(self, said):
        if said.type == "error":
            self.visit.complaints.append(said.text)

    def open(self, name, fragment=""):
        """Return the tab with a page in it, as wide as a desktop."""
        address = (self.site / f"{name}.html").as_uri()
        self.tab.goto("about:blank")  # What the last page has begun, such as a training, ends.
        self.visit = self.visits.get(address) or Visit()
        self.set_width("desktop" if self.visit.found else "telephone")
        self.tab.goto(address + fragment)
        self.tab.wait_for_function(IS_DRAWN)
        if not self.visit.found:
            self.look(name)
            self.visits[address] = self.visit
        return self.tab

    def set_width(self, width):
        self.tab.set_viewport_size({"width": WIDTHS[width], "height": 900})

    def look(self, name):
        for width, pixels in WIDTHS.items():
            self.set_width(width)
            self.visit.fits[width] = self.tab.evaluate(FITS, pixels)
            if name in PICTURED:
                picture = f"site-{name.replace('/', '-')}-{width}.png"
                self.tab.screenshot(path=self.screenshots / picture)
        self.visit.found = self.tab.evaluate(LOOK)


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
def reader(site, browser, screenshots):
    tab = browser.new_page(reduced_motion="reduce")
    yield Reader(site, tab, screenshots)
    tab.close()


@pytest.fixture(scope="module")
def visits(site, reader):
    """A visit to every page, by its address; what tests above have opened is not opened again."""
    for path in sorted(site.rglob("*.html")):
        if path.as_uri() not in reader.visits:
            reader.open(path.relative_to(site).with_suffix("").as_posix())
    reader.tab.goto("about:blank")  # Nothing is trained in it beside the next test.
    return reader.visits


def test_every_notebook_and_every_room_of_the_package_has_a_page(site):
    rooms = {path.stem for path in (site / "api").glob("*.html")}
    assert rooms == {*FRONT, "play", "index"}
    notebooks = {path.stem for path in (site / "notebooks").glob("*.html")}
    assert notebooks == set(NAMES)
    assert {path.stem for path in (site / "zh").glob("*.html")} == {*NAMES, "index"}
    assert {path.stem for path in (site / "claims").glob("*.html")} == {*SENTENCES, "index"}


def test_the_front_page_has_a_card_for_every_figure(reader):
    page, reference = reader.open("index", LITTLE), read_reference()
    cards = page.locator(".gallery > .card").evaluate_all(
        """cards => cards.map(card => [
            [...card.querySelectorAll("img")].map(picture => picture.alt),
            [...card.querySelectorAll("a")].map(link => link.getAttribute("href")),
            card.innerText,
        ])"""
    )
    for name, (descriptions, links, text) in zip(NAMES, cards, strict=True):
        assert descriptions == [read_metadata(name)["alt"]]
        assert set(links) == {f"notebooks/{name}.html"}
        for claim, test in reference[name]["tests"].items():
            assert f"{claim} {VERDICTS[test['verdict']]}" in text


def test_the_front_page_has_the_table_of_claims(reader):
    page = reader.open("index", LITTLE)
    rows = page.locator("#the-claims table tbody tr").all()
    assert len(rows) == len(readmes.format_claims_table().splitlines()) - 2


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_is_shown_with_its_stored_outputs(reader, name):
    page = reader.open(f"notebooks/{name}")
    outputs, said = page.locator(".cell_output"), read_metadata(name)
    is_play = said["article_figure"] == "play"
    player = outputs.get_by_role("slider", name="step")
    outputs.get_by_role("img", name="its spectrum, at step").wait_for()
    if not is_play:
        figure = outputs.get_by_role("img", name=said["alt"], exact=True)
        assert figure.count() == 1
        assert figure.bounding_box()["y"] < 900, "it is seen without scrolling"
        assert player.bounding_box()["y"] > figure.bounding_box()["y"]
    told = "\n".join(outputs.all_inner_texts())
    tests = read_reference()[name]["tests"]
    assert outputs.locator("table").count() == bool(tests)
    for claim in tests:
        assert f"{claim} agrees: " in told
    code = page.locator(".cell_input").filter(visible=True)
    assert [text for text in code.all_inner_texts() if "Show the code" not in text] == []
    invitation = page.get_by_role("link", name="on Binder")
    make_link = readmes.make_app_link if is_play else readmes.make_binder_link
    assert invitation.get_attribute("href") == make_link(name)


@pytest.mark.parametrize("name", NAMES)
def test_a_chinese_page_shows_the_figure_the_player_and_the_verdicts(reader, name):
    page, said = reader.open(f"zh/{name}"), read_metadata(name)
    assert page.get_by_role("heading", level=1).inner_text().startswith(said["shows_zh"])
    assert page.get_by_role("img", name=said["alt_zh"]).count() == 1
    page.get_by_role("slider", name="步数").wait_for()
    text = " ".join(page.locator("article").inner_text().split())
    assert "摘要。" in text
    for claim, test in read_reference()[name]["tests"].items():
        assert f"{claim} {readmes.make_say('zh')(VERDICTS[test['verdict']])}" in text


def test_a_claim_has_a_page_with_its_tests_and_figures(reader):
    for number, sentence in SENTENCES.items():
        page = reader.open(f"claims/{number}")
        assert sentence in page.locator("blockquote").inner_text()
        rows = page.locator("article table tbody tr").all_inner_texts()
        assert rows[0].split()[0] == number
        assert all(row.startswith(number) for row in rows)
        assert len(rows) >= 2
        assert page.locator("article img").count() >= 1


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
    assert outside > len(NAMES)


def test_every_picture_is_there_and_described(visits):
    descriptions = {read_metadata(name)[alt] for name in NAMES for alt in ("alt", "alt_zh")}
    for address, visit in visits.items():
        for source, alt, width in visit.found["pictures"]:
            assert width > 0, (address, source)
            assert alt in descriptions, (address, source)


def test_no_page_asks_another_host_or_complains(site, visits):
    for address, visit in visits.items():
        assert visit.found["language"] == ("zh-Hans" if "/zh/" in address else "en"), address
        assert visit.found["preview"].endswith(".png"), address
        assert visit.found["description"], address
        assert visit.complaints == [], address
        own = (site.as_uri(), "data:", "blob:")
        asked = [url for url in visit.requests if not url.startswith(own)]
        assert asked == [], address


@pytest.mark.parametrize("width", WIDTHS)
def test_no_page_is_wider_than_its_screen(visits, width):
    for address, visit in visits.items():
        assert visit.fits[width], address


def test_every_function_and_class_is_documented_where_it_is_defined(site, visits):
    described = {name: (getattr(fp, name), None) for name in fp.__all__}
    described |= {name: (getattr(play, name), "fprin_utils.play") for name in play.__all__}
    for name, (thing, shown_in) in described.items():
        if inspect.isfunction(thing) or inspect.isclass(thing):
            module = shown_in or thing.__module__
            address = (site / "api" / f"{module.removeprefix('fprin_utils.')}.html").as_uri()
            assert f"{module}.{name}" in visits[address].found["ids"]


def read_steps(page):
    sliders = page.get_by_role("slider", name="step").all()
    return [read_step(each, unspoken="step 0") for each in sliders]


def test_networks_learn_on_the_front_page_within_a_second(site, browser, screenshots):
    page = browser.new_page(viewport={"width": 1280, "height": 1000})
    steps = []
    while len(steps) < 4 and not (steps and min(steps[-1]) > 0):  # Others may be at work, too.
        page.goto("about:blank")
        page.goto((site / "index.html").as_uri())
        page.wait_for_timeout(1000)
        steps.append(read_steps(page))
    assert len(steps[-1]) == 2
    assert min(steps[-1]) > 0
    page.get_by_text("Learnt so far: 1 (step").first.wait_for()
    page.screenshot(path=screenshots / "site_live.png")
    page.close()


def test_settings_are_kept_in_the_address_and_told_to_the_notebook(reader):
    page = reader.open("live")
    page.get_by_label("frequencies").fill("2, 7")
    page.get_by_label("amplitudes").fill("1, 0.5")
    page.locator("summary", has_text="More").click()
    page.get_by_label("activation").select_option("relu")
    address = page.evaluate("location.href")
    line = page.get_by_text("papermill notebooks/12_explorer.ipynb").inner_text()
    values = yaml.safe_load(line.partition(" -y ")[2].strip("'"))
    assert values["target"] == [[2, 1], [7, 0.5]]
    assert set(values) <= {field.name for field in dataclasses.fields(play.Experiment)}
    assert play.Experiment(**values).activation == "relu"
    page.goto("about:blank")
    page.goto(address)
    assert page.get_by_label("frequencies").input_value() == "2, 7"
    assert page.get_by_label("activation").input_value() == "relu"
    link = page.get_by_role("link", name="Open this experiment")
    assert link.get_attribute("href") == readmes.make_binder_link("12_explorer")


@pytest.mark.parametrize("text", ["0", "1.5", "99", "a", ""])
def test_what_cannot_be_learnt_is_told_beside_its_control(reader, text):
    page = reader.open("live", LITTLE)
    field = page.get_by_label("frequencies")
    field.fill(text)
    page.get_by_text("Frequencies are whole numbers from 1 to 30").wait_for()
    assert field.get_attribute("aria-invalid") == "true"


def test_a_target_that_is_drawn_is_learnt(reader):
    page = reader.open("live", LITTLE)
    fit = page.get_by_role("img", name="networks have learnt").first
    fit.wait_for()
    box = fit.bounding_box()
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + 60, middle)
    page.mouse.down()
    for share in (0.3, 0.5, 0.7, 0.9):
        page.mouse.move(box["x"] + share * box["width"], middle - 40 * (share - 0.5), steps=5)
    page.mouse.up()
    page.get_by_text("A drawn target has no line for the notebook.").wait_for()
    assert min(read_steps(page)) >= 0


def test_formulas_are_drawn_by_the_browser_itself(reader):
    page = reader.open("notebooks/09_gradient_formula")
    fraction = page.locator("math[display=block] mfrac").first.bounding_box()
    assert fraction["height"] > 20


def test_the_cards_are_reached_with_the_keyboard(reader):
    page, reached, presses = reader.open("index", LITTLE), {None}, 0
    while len(reached - {None}) < len(NAMES):
        assert presses < 200, reached
        page.keyboard.press("Tab")
        presses += 1
        reached.add(page.evaluate("document.activeElement.closest('.card')?.innerText"))


def test_a_notebook_has_the_same_page_in_every_build():
    adapt_notebook = runpy.run_path(str(ROOT / BUILD[0]))["adapt_notebook"]
    for name in NAMES:
        assert adapt_notebook(name) == adapt_notebook(name)


def test_make_and_the_workflow_build_the_same_site():
    assert f"$(RUN) {' '.join(BUILD)}\n" in (ROOT / "Makefile").read_text(encoding="utf-8")
    workflow = (ROOT / ".github" / "workflows" / "site.yml").read_text(encoding="utf-8")
    jobs = yaml.safe_load(workflow)["jobs"]
    steps = jobs["build"]["steps"]
    assert [step["run"] for step in steps if "run" in step] == ["make site"]
    assert steps[-1]["with"]["path"] == f"{BUILD[1]}/html"
    assert jobs["publish"]["needs"] == "build"
