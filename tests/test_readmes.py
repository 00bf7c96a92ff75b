"""Tests of what fills the pages: tables from the reference, words in every language."""

import json
import re

import numpy as np
import pytest

import fprin_utils as fp
from benchmarks.steadiness import SETTINGS
from fprin_utils.build import readmes
from fprin_utils.build.agreement import compute_false_alarm
from fprin_utils.figures import list_notebooks, read_metadata
from fprin_utils.files import ROOT

TEXTS = {page: (ROOT / page).read_text(encoding="utf-8") for page in readmes.PAGES}
TRANSLATED = [language for language, path in readmes.TRANSLATIONS.items() if path]
HALF_WIDTH = re.compile(r"[\u4e00-\u9fff][*]*[,;:?!(]|[,;:?!][*]*[\u4e00-\u9fff]")


def read_numbers(text):
    return sorted(re.findall(r"\d+(?:\.\d+)?", text))


def test_steadiness_is_told_of_every_claim_and_every_setting():
    settings = json.loads(readmes.STEADINESS.read_text(encoding="utf-8"))
    assert set(settings) == set(SETTINGS)
    assert len(readmes.format_steadiness_table().splitlines()) > 60


@pytest.mark.parametrize("counts", [(48, 48, 48), (40, 48, 48), (24, 48, 48), (20, 30, 48)])
def test_the_probability_of_a_false_alarm_is_what_a_simulation_finds(counts):
    reference, seeds, draws = fp.claims.Tally(*counts), 12, 40_000
    rng = np.random.default_rng(0)
    successes, trials, of = counts
    expected = 0.0
    shares = rng.beta(successes + 0.5, trials - successes + 0.5, draws)
    of_those = seeds * trials // of
    for held in rng.binomial(of_those, shares):
        expected += not fp.claims.Tally(int(held), of_those, seeds).agrees_with(reference)
    for reached in rng.binomial(seeds, rng.beta(trials + 0.5, of - trials + 0.5, draws)):
        today = fp.claims.Tally(round(reached * successes / trials), int(reached), seeds)
        expected += not today.agrees_with(reference)
    computed = compute_false_alarm(reference, seeds)
    assert computed == pytest.approx(expected / draws, abs=4 * (computed / draws) ** 0.5 + 1e-4)


def test_one_command_fills_the_tables_of_all_languages(tmp_path, monkeypatch):
    for page, text in TEXTS.items():
        emptied = text
        for table in readmes.PAGES[page][1]:
            place = readmes.find_table(emptied, table)
            emptied = emptied[: place.start()] + "old\n" + emptied[place.end() :]
        emptied = re.sub(r"!\[[^\]]*\]\((figures/)?(\d\d_)", r"![old](\1\2", emptied)
        assert emptied != text
        (tmp_path / page).parent.mkdir(exist_ok=True)
        (tmp_path / page).write_text(emptied, encoding="utf-8")
    (tmp_path / "pyproject.toml").write_bytes((ROOT / "pyproject.toml").read_bytes())
    monkeypatch.setattr(readmes, "ROOT", tmp_path)
    assert readmes.main([]) == 0
    for page, text in TEXTS.items():
        assert (tmp_path / page).read_text(encoding="utf-8") == text


def test_the_claims_table_has_a_row_for_each_sentence_and_each_test():
    rows = [row.split("|")[1:-1] for row in readmes.format_claims_table().splitlines()[2:]]
    ids = [row[0].strip(" *") for row in rows]
    claims = {claim for name in list_notebooks() for claim in read_metadata(name)["claims"]}
    assert set(ids) == claims | set(readmes.SENTENCES)
    for row in rows:
        assert len(row) == 6, row
        if "**" not in row[0]:
            assert all(cell.strip() for cell in row), row


def test_the_sentences_table_has_a_row_for_each_sentence():
    rows = [row.split(" | ") for row in readmes.format_sentences_table().splitlines()[2:]]
    assert [row[0].strip("| ") for row in rows] == list(readmes.SENTENCES)
    for row in rows:
        assert re.findall(r"\[(\d\d)\]\(notebooks/\1_\w+\.ipynb\)", row[-1]), row


def test_the_notebooks_table_and_the_gallery_show_every_notebook():
    rows = readmes.format_notebooks_table().splitlines()[2:]
    for name, row in zip(list_notebooks(), rows, strict=True):
        assert f"[{name}](../notebooks/{name}.ipynb)" in row
        assert readmes.make_binder_link(name) in row
    shown = dict(re.findall(r"!\[([^\]]+)\]\(([^)]+)\.png\)", readmes.format_gallery()))
    assert shown == {read_metadata(name)["alt"]: name for name in list_notebooks()}


def test_a_run_at_full_length_stands_beside_the_quick_one(tmp_path, monkeypatch):
    control = {"verdict": "fails", "successes": 0, "trials": 5, "seeds": 5}
    claim = {"id": "C2a", "verdict": "mixed", "successes": 3, "trials": 4, "seeds": 5}
    notebook = "02_image_memorization"
    made = {"notebook": notebook, "cpu_seconds": 5400, "claims": [claim | {"control": control}]}
    (tmp_path / f"{notebook}.json").write_text(json.dumps(made))
    monkeypatch.setattr(readmes, "FULL_LENGTH", tmp_path)
    heading, _, head, _, pictures, row = readmes.format_full_length().splitlines()
    assert heading.startswith(f"### [02](../notebooks/{notebook}.ipynb) ")
    assert "1.5 hours" in head
    assert re.findall(r"\]\(([^)]+)\)", pictures) == [f"{notebook}.png", f"paper/{notebook}.png"]
    assert row.startswith("| C2a | supported; control: succeeds too (92 of 96, 0.90 to 0.99) |")
    assert row.endswith("| open; control: as it should be (3 of 4, 0.19 to 0.99; 1 not reached) |")


def test_runs_at_full_length_are_those_of_a_commit():
    for path in readmes.FULL_LENGTH.glob("*.json"):
        made = json.loads(path.read_text(encoding="utf-8"))
        assert (made["notebook"], made["profile"]) == (path.stem, "paper")
        assert not made["code"]["differs_from_commit"]
        assert path.with_suffix(".png").is_file()


@pytest.mark.parametrize("language", TRANSLATED)
class TestTranslations:
    @pytest.fixture
    def words(self, language):
        return json.loads(readmes.TRANSLATIONS[language].read_text(encoding="utf-8"))

    @pytest.fixture
    def own(self, language):
        """What notebooks say of themselves in both languages."""
        said = [read_metadata(name) for name in list_notebooks()]
        return {each[n]: each[f"{n}_{language}"] for each in said for n in ("shows", "alt")}

    def test_have_a_word_for_every_text(self, language, words, own):
        texts = readmes.collect_texts()
        missing = [f"{json.dumps(text)}: ..." for text in texts if text not in words | own]
        path = readmes.TRANSLATIONS[language]
        assert not missing, f"add to {path.name}:\n" + "\n".join(missing)
        assert sorted(words.keys() - texts | words.keys() & own) == [], "no table says these now"

    def test_keep_the_numbers_and_fields_of_every_text(self, words, own):
        for text, translation in (words | own).items():
            assert translation.strip(), text
            assert read_numbers(translation) == read_numbers(text), text
            fields = re.compile(r"\{[^}]*\}")
            assert sorted(fields.findall(translation)) == sorted(fields.findall(text)), text

    def test_have_no_half_width_mark_beside_a_chinese_character(self, words, own):
        for text in (words | own).values():
            assert HALF_WIDTH.findall(text) == []

    def test_refuse_a_text_that_they_do_not_know(self, language):
        name = readmes.TRANSLATIONS[language].name
        with pytest.raises(ValueError, match=rf"{name} has no translation of 'a new text'"):
            readmes.make_say(language)("a new text")
