"""Tests of the players: what is stored of a run, and what a browser makes of it."""

import base64
import json
import re
import zlib
from pathlib import Path
from urllib.parse import unquote, urlparse

import numpy as np
import pytest
from conftest import read_step

import fprin_utils as fp
from fprin_utils import play
from fprin_utils.play.pages import format_player, read_player
from fprin_utils.play.views import LEVELS, MOST_RECORDS

GRID = fp.make_grid(24)
TARGET = fp.make_sinusoids(GRID, [1, 3])
IMAGE = fp.load_image("camera", size=16)


def make_run(targets=TARGET, seeds=(0, 1, 2), **settings):
    settings = {"num_steps": 300, "learning_rate": 1e-2, "progress": False} | settings
    return fp.train(fp.Ensemble([8], seeds=list(seeds), init_std=0.5), GRID, targets, **settings)


def train_image(seeds=(0,)):
    networks = fp.Ensemble([16], seeds=list(seeds), num_inputs=2)
    options = {"num_steps": 200, "learning_rate": 1e-2, "progress": False}
    return fp.train(networks, fp.make_image_coordinates(16), IMAGE.ravel(), **options)


def unpack(packed):
    """Return the numbers that were packed, shape (R, M), and how far they may be off."""
    changes = np.frombuffer(zlib.decompress(base64.b64decode(packed["data"])), "<u2")
    whole = np.cumsum(changes.reshape(-1, packed["length"]), axis=0, dtype=np.uint16)
    return packed["least"] + packed["scale"] * whole, packed["scale"]


def test_medians_and_ranges_are_stored():
    run = make_run()
    (stored,) = play.explore_runs({"all": run}, GRID, TARGET, legend="run").runs
    places = np.searchsorted(run.steps, stored["steps"])
    np.testing.assert_array_equal(run.steps[places], stored["steps"])
    assert {run.steps[0], run.steps[-1]} <= set(stored["steps"])
    measured = fp.measure_convergence(run.steps, run.outputs, TARGET)
    amplitudes = np.abs(fp.compute_spectrum(run.outputs))
    for name, values in (("curves", run.outputs), ("amplitudes", amplitudes)):
        numbers, off = unpack(stored[name])
        of = values[places]
        wanted = np.concatenate([np.median(of, axis=1), of.min(axis=1), of.max(axis=1)], axis=1)
        limits = stored[name]["least"], stored[name]["least"] + off * (LEVELS - 1)
        np.testing.assert_allclose(numbers, wanted.clip(*limits), atol=0.51 * off)
    errors, off = unpack(stored["errors"])
    np.testing.assert_allclose(
        errors, np.median(measured.errors[places], axis=1).clip(0, 1.5), atol=0.51 * off
    )
    assert stored["labels"] == ["1", "3"]
    target_amplitudes = np.abs(fp.compute_spectrum(TARGET))
    np.testing.assert_allclose(stored["targetAmplitudes"], target_amplitudes, atol=1e-4)


def test_many_records_are_thinned_out_in_log_steps():
    run = make_run(record_at=range(301))
    (stored,) = play.explore_runs({"all": run}, GRID, TARGET, legend="run").runs
    steps = np.array(stored["steps"])
    assert len(steps) <= MOST_RECORDS
    assert (steps[0], steps[-1]) == (0, 300)
    assert np.diff(np.log(steps[20:])).max() < 0.1


def test_with_a_target_for_each_seed_the_first_is_drawn_and_all_are_measured():
    targets = np.array([TARGET, 2 * TARGET, fp.make_sinusoids(GRID, [1, 3], phases=[1, 2])])
    run = make_run(targets)
    (stored,) = play.explore_runs({"": run}, GRID, targets, legend="run", bins=[1, 3]).runs
    places = np.searchsorted(run.steps, stored["steps"])
    np.testing.assert_allclose(stored["y"], TARGET, atol=1e-3)
    curves, off = unpack(stored["curves"])
    limits = stored["curves"]["least"], stored["curves"]["least"] + off * (LEVELS - 1)
    np.testing.assert_allclose(curves, run.outputs[places, 0].clip(*limits), atol=0.51 * off)
    errors, off = unpack(stored["errors"])
    wanted = np.median(fp.measure_convergence(run.steps, run.outputs, targets).errors, axis=1)
    np.testing.assert_allclose(errors, wanted[places].clip(0, 1.5), atol=0.51 * off)


def test_errors_are_followed_where_they_are_asked_for():
    run = make_run(fp.make_sinusoids(GRID, [1, 3, 5]))
    target = fp.make_sinusoids(GRID, [1, 3, 5])
    labels = [
        play.explore_runs({"": run}, GRID, target, legend="", bins=bins).runs[0]["labels"]
        for bins in (None, [1, 5], {"": [3]})
    ]
    assert labels == [["1", "3", "5"], ["1", "5"], ["3"]]


def test_curves_are_drawn_at_further_points():
    fine = fp.make_grid(700)
    run = make_run(further_inputs={"fine": fine})
    options = {"legend": "", "curves": {"fine": fine}}
    (stored,) = play.explore_runs({"": run}, GRID, TARGET, **options).runs
    np.testing.assert_allclose(stored["curveX"], fine[::4], atol=1e-3)
    assert stored["curves"]["length"] == 3 * len(fine[::4])


def test_an_image_is_stored_as_the_picture_of_the_first_seed():
    run = train_image(seeds=(0, 1))
    (stored,) = play.explore_image(run, IMAGE).runs
    curves, off = unpack(stored["curves"])
    places = np.searchsorted(run.steps, stored["steps"])
    np.testing.assert_allclose(curves, run.outputs[places, 0].clip(0, 1), atol=0.51 * off)
    assert stored["labels"] == ["1 to 2", "2 to 4", "4 to 8"]
    errors, off = unpack(stored["errors"])
    images = run.outputs[places].reshape(len(places), 2, 16, 16)
    wanted = np.median(fp.compute_band_errors(images, IMAGE, [1, 2, 4, 8]), axis=1)
    np.testing.assert_allclose(errors, wanted.clip(0, 1.5), atol=0.51 * off)


def test_what_cannot_be_played_is_named():
    run, legend = make_run(), {"legend": "run"}
    with pytest.raises(ValueError, match="num_peaks"):
        play.explore_runs({"flat": run}, GRID, np.ones(24), **legend)
    with pytest.raises(ValueError, match="targets has nothing for the run 1"):
        play.explore_runs({0: run, 1: run}, GRID, {0: TARGET}, **legend)
    with pytest.raises(ValueError, match=r"runs\[0\] has outputs of shape .*; the targets have 12"):
        play.explore_runs({0: run}, GRID[::2], TARGET[::2], **legend, bins=[1])
    with pytest.raises(ValueError, match=r"runs\[0\] has no outputs at the points of the curves"):
        play.explore_runs({0: run}, GRID, TARGET, **legend, curves={"x": GRID})
    with pytest.raises(ValueError, match="must map one name to points"):
        play.explore_runs({0: run}, GRID, TARGET, **legend, curves={"x": GRID, "y": GRID})
    with pytest.raises(ValueError, match=r"curves\['x'\] is .*; it must increase strictly"):
        play.explore_runs({0: run}, GRID, TARGET, **legend, curves={"x": -GRID})
    with pytest.raises(ValueError, match="no peak at bin 5"):
        play.explore_runs({0: run}, GRID, TARGET, **legend, bins=[5])


def test_a_name_cannot_end_the_script():
    figure = play.explore_runs({"</script><b>": make_run()}, GRID, TARGET, legend="</div>")
    text = figure._repr_mimebundle_()["text/html"]
    assert text.count("</script>") == 1
    told = json.loads(read_player(text))
    assert (told["runs"][0]["name"], told["legend"]) == ("</script><b>", "</div>")
    assert format_player(read_player(text)) == text


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """A page with a player of two runs and one of a picture, further down."""
    runs = {"smooth": make_run(), "other": make_run(seeds=[5])}
    figures = [
        play.explore_runs(runs, GRID, TARGET, legend="network"),
        play.explore_image(train_image(), IMAGE),
    ]
    path = tmp_path_factory.mktemp("page") / "page.html"
    parts = [figure._repr_mimebundle_()["text/html"] for figure in figures]
    head = (
        '<!doctype html><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    )
    path.write_text(f'{head}{parts[0]}<div style="height:3000px"></div>{parts[1]}')
    return path.as_uri()


def open_page(browser, address, **options):
    page = browser.new_page(**{"viewport": {"width": 1280, "height": 900}} | options)
    page.complaints, page.asked = [], []
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.on("request", lambda request: page.asked.append(request.url))
    page.goto(address)
    page.get_by_role("slider").first.wait_for()
    return page


def close_page(page):
    assert page.complaints == []
    assert [url for url in page.asked if not url.startswith(("file:", "blob:", "data:"))] == []
    page.close()


def read_place(page, place=0):
    """The step that one of the players is at."""
    return read_step(page.get_by_role("slider").nth(place))


def test_it_plays_when_it_comes_into_sight(browser, address, screenshots):
    page = open_page(browser, address)
    page.wait_for_function("() => !document.hidden")
    page.wait_for_timeout(700)
    assert read_place(page) > 0
    assert read_place(page, 1) == 0
    page.get_by_role("slider").nth(1).scroll_into_view_if_needed()
    page.mouse.wheel(0, 2000)
    page.wait_for_timeout(700)
    assert read_place(page, 1) > 0
    page.screenshot(path=screenshots / "player_picture.png")
    close_page(page)


def test_it_speaks_the_language_of_the_page(browser, address, tmp_path, screenshots):
    english = Path(unquote(urlparse(address).path)).read_text(encoding="utf-8")
    path = tmp_path / "page.html"
    path.write_text(english.replace("<!doctype html>", '<!doctype html><html lang="zh-Hans">'))
    page = open_page(browser, path.as_uri())
    page.get_by_role("button", name="暂停").first.click()
    slider = page.get_by_role("slider", name="步数").first
    assert re.fullmatch(r"第 [\d,]+ 步", slider.get_attribute("aria-valuetext"))
    said = [page.locator(".player").first.inner_text()]
    said += [image.get_attribute("aria-label") for image in page.get_by_role("img").all()]
    # The names of the runs, and those of axes.
    own = {"network", "smooth", "other", "k", "x"}
    assert set(re.findall("[A-Za-z]+", " ".join(said))) <= own
    page.screenshot(path=screenshots / "player_chinese.png")
    close_page(page)


def test_keys_buttons_and_the_heat_map_move_it(browser, address, screenshots):
    page = open_page(browser, address)
    page.get_by_role("button", name="Pause").first.click()
    step = read_place(page)
    page.keyboard.press("ArrowRight")
    assert read_place(page) > step
    page.keyboard.press("ArrowLeft")
    assert read_place(page) == step
    page.get_by_role("slider").first.focus()
    page.keyboard.press("Space")
    page.get_by_role("button", name="Pause").first.wait_for()
    page.keyboard.press("Space")
    page.get_by_role("button", name="Play").first.wait_for()
    heat_map = page.get_by_role("img", name="error of each frequency").first
    box = heat_map.bounding_box()
    across = box["y"] + box["height"] / 3
    page.mouse.move(box["x"] + 0.4 * box["width"], across)
    page.mouse.down()
    steps = []
    for share in (0.4, 0.6, 0.8, 1.0):
        page.mouse.move(box["x"] + share * box["width"], across)
        steps.append(read_place(page))
    page.mouse.up()
    assert steps == sorted(set(steps))
    assert steps[-1] == 300
    page.get_by_text(re.compile(r"Learnt so far: 1 \(step \d+\)")).first.wait_for()
    before = take_pixels(page)
    page.get_by_role("button", name="other").click()
    assert take_pixels(page) != before
    assert page.get_by_role("button", name="other").get_attribute("aria-pressed") == "true"
    spectrum = page.get_by_role("img", name="its spectrum").first
    spectrum.hover(position={"x": 150, "y": 60})
    assert re.fullmatch(r"k = \d+: [\d.]+", spectrum.get_attribute("title"))
    page.screenshot(path=screenshots / "player.png")
    close_page(page)


def take_pixels(page):
    """The picture of the first canvas."""
    return page.get_by_role("img", name="networks have learnt").first.evaluate(
        "canvas => canvas.toDataURL()"
    )


def test_who_asks_for_less_motion_sees_the_middle(browser, address):
    page = open_page(browser, address, reduced_motion="reduce")
    page.wait_for_timeout(500)
    step = read_place(page)
    assert 0 < step < 300
    page.wait_for_timeout(300)
    assert read_place(page) == step
    page.get_by_role("button", name="Play").first.wait_for()
    close_page(page)


def test_what_is_spoken_changes_every_two_seconds_at_most(browser, address):
    page = open_page(browser, address, reduced_motion="reduce")
    slider = page.get_by_role("slider").first
    page.evaluate(
        """() => {
            window.spoken = [];
            const host = document.querySelector("div[id]");
            new MutationObserver(() => spoken.push(performance.now())).observe(
                host.shadowRoot.querySelector("[role=status]"), {childList: true});
        }"""
    )
    told = set()
    for turn in range(60):
        slider.press(("Home", "End")[turn % 2])
        told.add(page.locator(".told").first.inner_text())
        page.wait_for_timeout(80)
    assert len(told) == 2
    moments = page.evaluate("spoken")
    assert len(moments) >= 2
    assert np.diff(moments).min() > 1900
    close_page(page)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_telephone_and_can_be_read(browser, address, screenshots, scheme):
    size = {"width": 390, "height": 844}
    page = open_page(browser, address, viewport=size, color_scheme=scheme)
    if scheme == "dark":
        page.add_style_tag(content="body { background: #111; color: #ddd; }")
    page.get_by_role("slider").first.focus()
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.get_by_role("slider").first.bounding_box()["width"] > 100
    assert page.get_by_role("button", name="Play").first.bounding_box()["height"] >= 40
    page.screenshot(path=screenshots / f"player_390_{scheme}.png")
    assert (take_lightness(page) > 128) == (scheme == "dark")
    close_page(page)


def take_lightness(page):
    """How light the numbers beside an axis are drawn, 0 to 255."""
    return page.get_by_role("img", name="networks have learnt").first.evaluate(
        """canvas => {
            const {data} = canvas.getContext("2d").getImageData(0, 0, 50, canvas.height);
            const shades = data.filter((_, i) => i % 4 === 0 && data[i + 3] > 250);
            return shades.reduce((sum, shade) => sum + shade, 0) / shades.length;
        }"""
    )
