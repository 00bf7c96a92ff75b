"""Tests of the READMEs: each shows what is stored, and all languages say the same."""

import json
import re

import numpy as np
import pytest

import fprin_utils as fp
from benchmarks.steadiness import SETTINGS
from fprin_utils import publish
from fprin_utils.agreement import compute_false_alarm
from fprin_utils.regenerate import ROOT

TEXTS = {name: (ROOT / name).read_text(encoding="utf-8") for name in publish.READMES}
ENGLISH = TEXTS["README.md"]
TRANSLATED = [name for name, path in publish.READMES.items() if path]
FENCE = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
INLINE_CODE = re.compile(r"`[^`\n]+`")
LINK_TARGET = re.compile(r"(?<=\]\()[^)\s]+(?=\))")
HEADING = re.compile(r"^(#+) (.+)$", re.MULTILINE)
HALF_WIDTH = re.compile(r"[\u4e00-\u9fff][*]*[,;:?!(]|[,;:?!][*]*[\u4e00-\u9fff]")


def drop_tables(text):
    for table in re.findall("<!-- end of (.*?) -->", text):
        place = publish.find_table(text, table)
        text = text[: place.start()] + text[place.end() :]
    return text


def drop_code(text):
    return INLINE_CODE.sub("", FENCE.sub("", text))


def read_headings(text):
    return HEADING.findall(drop_code(text))


def make_anchors(text):
    # As GitHub names a heading: letters of any script, digits and hyphens.
    titles = [title.lower() for _, title in HEADING.findall(FENCE.sub("", text))]
    return [re.sub(r"[^\w\- ]", "", title).replace(" ", "-") for title in titles]


def read_links(text):
    """Return the targets in their order; a heading by its number, the other languages left out."""
    targets = [target for target in LINK_TARGET.findall(drop_code(text)) if target not in TEXTS]
    anchors = make_anchors(text)
    return [anchors.index(t[1:]) if t.startswith("#") else t for t in targets]


def read_numbers(text):
    return sorted(re.findall(r"\d+(?:\.\d+)?", LINK_TARGET.sub("", drop_code(text))))


def read_rows(text):
    return [line for line in FENCE.sub("", text).splitlines() if line.startswith("|")]


@pytest.mark.parametrize("table", publish.TABLES)
@pytest.mark.parametrize("name", TEXTS)
def test_the_tables_are_what_the_reference_says(name, table):
    stored = publish.find_table(TEXTS[name], table)[0]
    assert stored == publish.TABLES[table](publish.make_say(name))


@pytest.mark.parametrize("name", publish.PAGES)
def test_the_tables_of_other_pages_are_what_the_reference_says(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    for table, format_table in publish.PAGES[name].items():
        assert publish.find_table(text, table)[0] == format_table()


def test_steadiness_is_told_of_every_claim_and_every_setting():
    settings = json.loads(publish.STEADINESS.read_text(encoding="utf-8"))
    assert set(settings) == set(SETTINGS)
    assert len(publish.format_steadiness_table().splitlines()) > 60


@pytest.mark.parametrize("counts", [(48, 48, 48), (40, 48, 48), (24, 48, 48), (20, 30, 48)])
def test_the_probability_of_a_false_alarm_is_what_a_simulation_finds(counts):
    reference, seeds, draws = fp.Tally(*counts), 12, 40_000
    rng = np.random.default_rng(0)
    successes, trials, of = counts
    expected = 0.0
    shares = rng.beta(successes + 0.5, trials - successes + 0.5, draws)
    of_those = seeds * trials // of
    for held in rng.binomial(of_those, shares):
        expected += not fp.Tally(int(held), of_those, seeds).agrees_with(reference)
    for reached in rng.binomial(seeds, rng.beta(trials + 0.5, of - trials + 0.5, draws)):
        today = fp.Tally(round(reached * successes / trials), int(reached), seeds)
        expected += not today.agrees_with(reference)
    computed = compute_false_alarm(reference, seeds)
    assert computed == pytest.approx(expected / draws, abs=4 * (computed / draws) ** 0.5 + 1e-4)


def test_one_command_fills_the_tables_of_all_languages(tmp_path, monkeypatch):
    pages = TEXTS | {name: (ROOT / name).read_text(encoding="utf-8") for name in publish.PAGES}
    (tmp_path / "figures").mkdir()
    for name, text in pages.items():
        (tmp_path / name).write_text(drop_tables(text), encoding="utf-8")
    (tmp_path / "pyproject.toml").write_bytes((ROOT / "pyproject.toml").read_bytes())
    monkeypatch.setattr(publish, "ROOT", tmp_path)
    assert publish.main([]) == 0
    for name, text in pages.items():
        assert (tmp_path / name).read_text(encoding="utf-8") == text


def test_the_claims_table_has_a_row_for_each_sentence_and_each_test():
    rows = [row.split("|")[1:-1] for row in publish.format_claims_table().splitlines()[2:]]
    ids = [row[0].strip(" *") for row in rows]
    assert set(ids) == {c for entry in fp.FIGURES for c in entry.claims} | set(fp.SENTENCES)
    for row in rows:
        assert len(row) == 6, row
        if "**" not in row[0]:
            assert all(cell.strip() for cell in row), row


@pytest.mark.parametrize("name", TEXTS)
class TestReadme:
    def test_names_every_language_at_the_top(self, name):
        top = TEXTS[name].split("\n\n")[1]
        assert LINK_TARGET.findall(top) == [other for other in TEXTS if other != name]

    def test_every_link_leads_somewhere(self, name):
        targets = LINK_TARGET.findall(drop_code(TEXTS[name]))
        local = [target for target in targets if not target.startswith("https://")]
        assert len(local) > 15
        for target in local:
            path, _, anchor = target.partition("#")
            assert (ROOT / path).exists(), target
            page = (ROOT / (path or name)).read_text(encoding="utf-8") if anchor else ""
            assert not anchor or anchor in make_anchors(page), target

    def test_every_picture_has_a_description(self, name):
        pictures = re.findall(r"!\[([^\]]*)\]\(([^)]+)\)", TEXTS[name])
        assert len(pictures) > len(fp.FIGURES)
        for description, target in pictures:
            assert description.strip(), target
            if name == "README.md" and not target.startswith("https://"):
                assert len(description) > 40, target

    def test_opens_the_explorer_with_its_second_badge(self, name):
        badges = [line for line in TEXTS[name].splitlines() if line.startswith("[![")]
        assert badges[1].endswith(f"({publish.make_app_link('12_explorer')})")

    def test_shows_every_figure_with_its_description(self, name):
        say = publish.make_say(name)
        shown = dict(re.findall(r"!\[([^\]]+)\]\(figures/([^)]+)\.png\)", TEXTS[name]))
        assert shown == {say(entry.alt): entry.notebook for entry in fp.FIGURES}


@pytest.mark.parametrize("name", TRANSLATED)
class TestTranslation:
    @pytest.fixture
    def words(self, name):
        return json.loads(publish.READMES[name].read_text(encoding="utf-8"))

    def test_has_a_word_for_every_text(self, name, words):
        texts = publish.collect_texts()
        missing = [f"{json.dumps(text)}: ..." for text in texts if text not in words]
        assert not missing, f"add to {publish.READMES[name].name}:\n" + "\n".join(missing)
        assert sorted(set(words) - set(texts)) == [], "no table says these any more"

    def test_keeps_the_numbers_and_fields_of_every_text(self, words):
        for text, translation in words.items():
            assert translation.strip(), text
            assert read_numbers(translation) == read_numbers(text), text
            fields = re.compile(r"\{[^}]*\}")
            assert sorted(fields.findall(translation)) == sorted(fields.findall(text)), text

    def test_has_no_half_width_mark_beside_a_chinese_character(self, name, words):
        prose = LINK_TARGET.sub("", INLINE_CODE.sub("", drop_tables(TEXTS[name])))
        for text in (prose, *words.values()):
            assert HALF_WIDTH.findall(text) == []

    def test_refuses_a_text_that_it_does_not_know(self, name):
        with pytest.raises(ValueError, match=r"zh_cn\.json has no translation of 'a new text'"):
            publish.make_say(name)("a new text")

    def test_has_the_same_headings(self, name):
        levels = [[level for level, _ in read_headings(text)] for text in (TEXTS[name], ENGLISH)]
        assert levels[0] == levels[1]

    def test_has_the_same_links_in_the_same_order(self, name):
        assert read_links(TEXTS[name]) == read_links(ENGLISH)

    def test_has_the_same_pictures_in_the_same_order(self, name):
        pictures = [re.findall(r"!\[[^\]]*\]\(([^)]+)\)", text) for text in (TEXTS[name], ENGLISH)]
        assert pictures[0] == pictures[1]

    def test_has_the_same_code_but_for_comments(self, name):
        blocks = [
            [re.sub(r"[ \t]+#.*", "", block) for block in FENCE.findall(text)]
            for text in (TEXTS[name], ENGLISH)
        ]
        assert blocks[0] == blocks[1]
        inline = [set(INLINE_CODE.findall(FENCE.sub("", t))) for t in (TEXTS[name], ENGLISH)]
        assert inline[0] == inline[1]

    def test_has_the_same_numbers_in_every_row_and_every_section(self, name):
        rows = zip(read_rows(TEXTS[name]), read_rows(ENGLISH), strict=True)
        for row, english in rows:
            assert row.count(" | ") == english.count(" | "), row
            assert read_numbers(row) == read_numbers(english), row
        for section, english in zip(
            *(HEADING.split(drop_code(text)) for text in (TEXTS[name], ENGLISH)), strict=True
        ):
            assert read_numbers(section) == read_numbers(english), section[:200]
