"""Tests of the pages: each shows what is stored, and all languages say the same."""

import os
import re
import subprocess
import sys
import tomllib

import pytest
import yaml

from fprin_utils.build import readmes
from fprin_utils.figures import list_notebooks, read_metadata
from fprin_utils.files import ROOT

TEXTS = {page: (ROOT / page).read_text(encoding="utf-8") for page in readmes.PAGES}
# Each translated page and the English page it must agree with.
PAIRS = {page: page.replace(".zh-CN", "") for page in TEXTS if ".zh-CN" in page}
FRONT = [page for page in TEXTS if "/" not in page and page.startswith("README")]
# Tables that the English page alone has.
ENGLISH_ALONE = {"steadiness"}
FENCE = re.compile(r"^[ ]*```.*?^[ ]*```$", re.DOTALL | re.MULTILINE)
INLINE_CODE = re.compile(r"`[^`\n]+`")
LINK_TARGET = re.compile(r"(?<=\]\()[^)\s]+(?=\))")
HEADING = re.compile(r"^(#+) (.+)$", re.MULTILINE)
HALF_WIDTH = re.compile(r"[\u4e00-\u9fff][*]*[,;:?!(]|[,;:?!][*]*[\u4e00-\u9fff]")
PICTURE = re.compile(r"!\[([^\]]*)\]\(([^)]+)\)")


def drop_code(text):
    return INLINE_CODE.sub("", FENCE.sub("", text))


def drop_tables(text):
    for table in re.findall("<!-- end of (.*?) -->", text):
        place = readmes.find_table(text, table)
        text = text[: place.start()] + text[place.end() :]
    return text


def make_anchors(text):
    # As GitHub names a heading: letters of any script, digits and hyphens.
    titles = [LINK_TARGET.sub("", title) for _, title in HEADING.findall(FENCE.sub("", text))]
    return [re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles]


def resolve(page, target):
    """Return a link's target as a file, seen from the root, and a heading."""
    path, _, anchor = target.partition("#")
    file = (ROOT / page).parent / path if path else ROOT / page
    return os.path.relpath(file, ROOT), anchor


def read_links(page):
    """Return links in their order; a page by its English name, a heading by its number."""
    links = []
    for target in LINK_TARGET.findall(drop_code(drop_tables(TEXTS[page]))):
        if target.startswith("https://"):
            links.append(target)
            continue
        file, anchor = resolve(page, target)
        number = make_anchors(TEXTS[file]).index(anchor) if anchor else None
        links.append((PAIRS.get(file, file), number))
    return links


def read_numbers(text):
    return sorted(re.findall(r"\d+(?:\.\d+)?", LINK_TARGET.sub("", drop_code(text))))


def read_rows(text):
    return [line for line in FENCE.sub("", text).splitlines() if line.startswith("|")]


@pytest.mark.parametrize("page", TEXTS)
class TestPage:
    def test_is_what_the_notebooks_and_the_reference_say(self, page):
        say = readmes.make_say(readmes.PAGES[page][0])
        assert readmes.fill_page(page, TEXTS[page], say) == TEXTS[page]

    def test_every_link_leads_somewhere(self, page):
        local = [t for t in LINK_TARGET.findall(drop_code(TEXTS[page])) if "https://" not in t]
        assert local
        for target in local:
            file, anchor = resolve(page, target)
            assert (ROOT / file).exists(), target
            known = make_anchors((ROOT / file).read_text(encoding="utf-8")) if anchor else []
            assert not anchor or anchor in known, target

    def test_every_picture_has_a_description(self, page):
        for description, target in PICTURE.findall(TEXTS[page]):
            assert len(description) > 40 or ".zh-CN" in page or "https://" in target, target
            assert description.strip(), target


@pytest.mark.parametrize("page", FRONT)
class TestFrontPage:
    def test_is_short(self, page):
        assert len(TEXTS[page].splitlines()) <= 120

    def test_shows_the_first_five_figures(self, page):
        shown = re.findall(r"\(figures/(\d\d)_\w+\.png\)", TEXTS[page])
        assert shown == ["01", "02", "03", "04", "05"]

    def test_opens_the_explorer_with_its_second_badge(self, page):
        (line,) = [line for line in TEXTS[page].splitlines() if line.startswith("[![")]
        links = re.findall(r"\[!\[[^\]]*\]\([^)]*\)\]\(([^)]*)\)", line)
        assert links[1] == readmes.make_app_link("12_explorer")
        assert len(links) == 4

    def test_cites_this_version(self, page):
        citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
        entry = re.search(r"@software\{.*?\}\}\n", TEXTS[page], re.DOTALL)[0]
        assert f"version = {{{citation['version']}}}" in entry
        assert f"title = {{{citation['title']}}}" in entry
        assert f"url = {{{readmes.read_address()}}}" in entry
        assert f"year = {{{citation['date-released'][:4]}}}" in entry

    def test_python_versions_are_those_that_make_looks_for(self, page):
        makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
        first, last = re.search(r"\(3, (\d+)\) <= .* <= \(3, (\d+)\)", makefile).groups()
        told = re.findall(r"\b3\.(\d\d)\b", drop_code(TEXTS[page]))
        assert set(told) == {str(minor) for minor in range(int(first), int(last) + 1)}
        project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
        assert project["requires-python"].startswith(f">=3.{first}")


def test_the_gallery_shows_every_figure():
    for page in ("figures/README.md", "figures/README.zh-CN.md"):
        gallery = readmes.find_table(TEXTS[page], "gallery")[0]
        shown = [name for _, name in PICTURE.findall(gallery)]
        assert shown == [f"{notebook}.png" for notebook in list_notebooks()]


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_the_code_to_measure_a_network_runs(page, tmp_path):
    run_each = "import sys\nfor block in sys.argv[1:]:\n    exec(block, {})"
    blocks = re.findall(r"```python\n(import .*?)```", TEXTS[page], re.DOTALL)
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", run_each, *blocks],
        cwd=tmp_path,
        env=os.environ | {"MPLBACKEND": "agg", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith("[1 3] [["), ended.stdout
    assert "inf" not in ended.stdout


@pytest.mark.parametrize("page", PAIRS)
class TestTranslation:
    def test_names_the_other_language_at_the_top(self, page):
        for one, other in ((page, PAIRS[page]), (PAIRS[page], page)):
            top = TEXTS[one].split("\n\n")[1]
            assert LINK_TARGET.findall(top) == [other.split("/")[-1]]

    def test_has_no_half_width_mark_beside_a_chinese_character(self, page):
        assert HALF_WIDTH.findall(LINK_TARGET.sub("", drop_code(drop_tables(TEXTS[page])))) == []

    def test_has_the_same_headings(self, page):
        levels = [
            [len(level) for level, _ in HEADING.findall(drop_code(TEXTS[each]))]
            for each in (page, PAIRS[page])
        ]
        assert levels[0] == levels[1]

    def test_has_the_same_links_in_the_same_order(self, page):
        links, english = read_links(page), read_links(PAIRS[page])
        # Instead of a table that it has not, the translation leads to it.
        others = [link for link in links if link[0] != PAIRS[page]]
        assert others == [link for link in english if link[0] != PAIRS[page]]

    def test_has_the_same_pictures_in_the_same_order(self, page):
        pictures = [[t for _, t in PICTURE.findall(TEXTS[each])] for each in (page, PAIRS[page])]
        assert pictures[0] == pictures[1]

    def test_has_the_same_code_but_for_comments(self, page):
        blocks = [
            [re.sub(r"[ \t]+#.*", "", block) for block in FENCE.findall(TEXTS[each])]
            for each in (page, PAIRS[page])
        ]
        assert blocks[0] == blocks[1]
        inline = [
            set(INLINE_CODE.findall(FENCE.sub("", drop_tables(TEXTS[each]))))
            for each in (page, PAIRS[page])
        ]
        assert inline[0] == inline[1]

    def test_has_the_same_numbers_in_every_row_and_every_section(self, page):
        texts = [TEXTS[page], TEXTS[PAIRS[page]]]
        for table in ENGLISH_ALONE & set(re.findall("<!-- end of (.*?) -->", texts[1])):
            place = readmes.find_table(texts[1], table)
            texts[1] = texts[1][: place.start()] + texts[1][place.end() :]
        for row, english in zip(*map(read_rows, texts), strict=True):
            assert row.count(" | ") == english.count(" | "), row
            assert read_numbers(row) == read_numbers(english), row
        for section, english in zip(*(HEADING.split(drop_code(t)) for t in texts), strict=True):
            assert read_numbers(section) == read_numbers(english), section[:200]


def test_every_figure_is_described_in_both_languages():
    for notebook in list_notebooks():
        said = read_metadata(notebook)
        assert all(said[name] for name in ("shows", "shows_zh", "alt", "alt_zh")), notebook
