"""Tests of the comparison with the reference, and of the tables that tell of claims."""

import json

import numpy as np
import pytest
from scipy.stats import beta, binom

import fprin_utils as fp
from fprin_utils import verdicts
from fprin_utils.build.agreement import (
    FEWEST_SEEDS,
    POWER,
    SECOND_POWER,
    compute_power,
    count_check_seeds,
    count_seeds_needed,
    pool,
)
from fprin_utils.build.readmes import summarise_verdicts
from fprin_utils.claims import CONTROL_VERDICTS, SUSPICION
from fprin_utils.verdicts import Reference, describe_effect, read_reference

NOTEBOOK = "01_one_dimensional_peaks"
STORED = {
    "C1a": {"runs": {"0": [16, 16, 16], "1000": [16, 16, 16], "2000": [15, 16, 16]},
            "control": {"runs": {"0": [1, 16, 16], "1000": [0, 16, 16], "2000": [2, 16, 16]}}},
}  # fmt: skip


def list_tests():
    """Return what is stored of every claim and control that counts seeds, with its notebook."""
    return [
        (notebook, part)
        for notebook, entry in read_reference().items()
        for test in entry["tests"].values()
        for part in (test, test.get("control", {}))
        if "runs" in part
    ]


def make_claim(held=16, control=1, seeds=16, claim="C1a"):
    return fp.Claim(
        claim,
        "a test",
        np.arange(seeds) < held,
        control=fp.Claim(claim, "the control", np.arange(seeds) < control),
    )


def test_nothing_changed_raises_an_alarm_in_less_than_one_of_a_hundred_suites():
    """Shares are drawn from what the reference leaves possible, then outcomes with these shares."""
    rng, suites = np.random.default_rng(0), 20_000
    alarms = np.zeros(suites, dtype=bool)
    # As if a second look were always taken.
    needed = {name: max(entry["check_seeds"] or [0]) for name, entry in read_reference().items()}
    tests = list_tests()
    assert len(tests) > 40
    for notebook, part in tests:
        reference = pool(part)
        for share_of in ("held", "reached"):
            hits, of = (
                (reference.successes, reference.trials)
                if share_of == "held"
                else (reference.trials, reference.seeds)
            )
            shares = beta.rvs(hits + 0.5, of - hits + 0.5, size=suites, random_state=rng)
            trials = needed[notebook] * of // reference.seeds
            outcomes = rng.binomial(trials, shares)
            for outcome in np.unique(outcomes):
                today = fp.claims.Tally(int(outcome), trials, needed[notebook])
                if share_of == "reached":
                    held = round(outcome * reference.successes / max(reference.trials, 1))
                    today = fp.claims.Tally(int(held), int(outcome), needed[notebook])
                if not today.agrees_with(reference):
                    alarms |= outcomes == outcome
    assert alarms.mean() < 0.01


def test_a_share_that_falls_to_one_half_is_found_in_four_of_five_checks():
    for notebook, part in list_tests():
        reference, looks = pool(part), read_reference()[notebook]["check_seeds"]
        share = reference.successes / max(reference.trials, 1)
        if reference.trials and not 0.1 < share < 0.9:
            assert compute_power(reference, *looks) >= POWER, part["statement"]


def test_a_check_has_the_seeds_that_it_needs():
    for notebook, entry in read_reference().items():
        needed = count_check_seeds(entry)
        assert entry["check_seeds"] == (needed and list(needed)), notebook


@pytest.mark.parametrize("successes", range(44, 49))
def test_as_many_seeds_as_are_needed_and_no_more(successes):
    reference = fp.claims.Tally(successes, 48, 48)
    seeds = count_seeds_needed(reference)
    rng = np.random.default_rng(0)

    def find_share(seeds):
        drawn, times = np.unique(rng.binomial(seeds, 0.5, size=100_000), return_counts=True)
        agrees = [fp.claims.Tally(int(n), seeds, seeds).agrees_with(reference) for n in drawn]
        return 1 - np.average(agrees, weights=times)

    assert find_share(seeds) > SECOND_POWER - 0.01
    assert find_share(seeds - 1) < SECOND_POWER + 0.01 or seeds == FEWEST_SEEDS
    mirrored = fp.claims.Tally(48 - successes, 48, 48)
    assert count_seeds_needed(mirrored) == seeds


def test_the_exact_power_is_that_of_the_binomial_distribution():
    reference = fp.claims.Tally(48, 48, 48)
    found = [n for n in range(11) if not fp.claims.Tally(n, 10, 10).agrees_with(reference)]
    assert found == list(range(len(found)))
    assert compute_power(reference, 10, 10) == pytest.approx(binom.cdf(found[-1], 10, 0.5))


@pytest.mark.parametrize("counts", [(96, 96, 96), (86, 92, 96), (7, 84, 96)])
def test_the_power_of_two_looks_is_what_a_simulation_finds(counts):
    reference, rng = fp.claims.Tally(*counts), np.random.default_rng(0)
    trials = [seeds * reference.trials // reference.seeds for seeds in (9, 30)]
    draws = rng.random((20_000, trials[1])) < 0.5
    found = []
    for few, many in zip(draws[:, : trials[0]].sum(axis=1), draws.sum(axis=1), strict=True):
        first, second = (
            fp.claims.Tally(int(few), trials[0], 9),
            fp.claims.Tally(int(many), trials[1], 30),
        )
        found.append(
            not first.agrees_with(reference, SUSPICION) and not second.agrees_with(reference)
        )
    assert compute_power(reference, 9, 30) == pytest.approx(np.mean(found), abs=0.015)
    assert 0.3 < np.mean(found) < compute_power(reference, 30, 30)


@pytest.mark.parametrize("seeds", [6, 10, 16])
def test_an_opposite_verdict_never_agrees(seeds):
    assert not fp.claims.Tally(0, seeds, seeds).agrees_with(fp.claims.Tally(48, 48, 48))
    assert not fp.claims.Tally(seeds, seeds, seeds).agrees_with(fp.claims.Tally(0, 48, 48))
    # The exact test alone would let this pass.
    assert not fp.claims.Tally(0, 6, 6).agrees_with(fp.claims.Tally(6, 6, 6))


def test_seeds_that_are_no_longer_reached_do_not_agree():
    reference = fp.claims.Tally(48, 48, 48)
    assert not fp.claims.Tally(4, 4, 16).agrees_with(reference)
    assert fp.claims.Tally(15, 15, 16).agrees_with(reference)


def test_a_verdict_is_settled_if_two_outcomes_do_not_change_it():
    assert fp.claims.Tally(15, 16, 16).is_settled()
    assert not fp.claims.Tally(14, 16, 16).is_settled()
    assert fp.claims.Tally(7, 16, 16).is_settled(CONTROL_VERDICTS)
    assert not fp.claims.Tally(7, 7, 16).is_settled()
    assert fp.claims.Tally(47, 48, 48).is_settled()
    assert not fp.claims.Tally(32, 48, 48).is_settled()
    assert (fp.claims.Tally(60, 96, 96).verdict, fp.claims.Tally(60, 96, 96).firm_verdict) == (
        "holds",
        "mixed",
    )
    assert fp.claims.Tally(67, 96, 96).firm_verdict == "holds"


class TestComparison:
    def test_says_that_outcomes_agree_and_the_verdict(self):
        text = fp.compare_claims([make_claim(15, 2)], Reference(STORED))
        assert text == "C1a agrees: supported; control agrees: as it should be"

    def test_is_the_same_text_for_all_outcomes_that_agree(self):
        reference = Reference(STORED)
        texts = {fp.compare_claims([make_claim(h, c)], reference) for h in (14, 16) for c in (0, 3)}
        assert len(texts) == 1

    @pytest.mark.parametrize(
        ("claim", "text"),
        [
            (make_claim(8), "C1a DISAGREES: 8 of 16, in the reference 47 of 48; control agrees"),
            (make_claim(0), "C1a DISAGREES: 0 of 16"),
            (make_claim(16, 9), "control DISAGREES: 9 of 16, in the reference 3 of 48"),
            (make_claim(claim="C9"), "C9 is not in the reference"),
            (make_claim(claim="C9"), "C1a is in the reference but was not tested"),
        ],
    )
    def test_names_what_differs(self, claim, text):
        assert text in fp.compare_claims([claim], Reference(STORED))

    def test_tells_no_verdict_near_a_border(self):
        stored = {"C1a": {"runs": {"0": [31, 48, 48]}}}
        claim = fp.Claim("C1a", "a test", np.arange(16) < 10)
        assert fp.compare_claims([claim], Reference(stored)) == "C1a agrees: near a border"

    def test_of_an_identity_goes_by_its_verdict(self):
        stored = {"C10a": {"verdict": "holds", "error": 1e-9, "tolerance": 1e-6}}
        good, bad = (fp.Identity("C10a", "x", error, 1e-6) for error in (1e-8, 1.0))
        assert fp.compare_claims([good], Reference(stored)) == "C10a agrees: supported"
        assert "DISAGREES" in fp.compare_claims([bad], Reference(stored))

    def test_of_what_is_being_recorded_is_with_itself_and_the_other_runs(self):
        reference = Reference(STORED, first_seed=0)
        assert reference.find(make_claim(3)) == fp.claims.Tally(34, 48, 48)
        text = fp.compare_claims([make_claim(claim="C2")], Reference({}, first_seed=0))
        assert text.startswith("C2 agrees")


class TestReference:
    @pytest.fixture(autouse=True)
    def stored(self, tmp_path, monkeypatch):
        entry = {"profile": "quick", "parameters": {"num_steps": 10}, "tests": STORED}
        entry["check_seeds"] = [11, 23]
        path = tmp_path / "verdicts.json"
        path.write_text(json.dumps({NOTEBOOK: entry}))
        monkeypatch.setattr(verdicts, "REFERENCE", path)
        monkeypatch.delenv("FPRIN_CHECK", raising=False)
        monkeypatch.delenv("FPRIN_RECORD", raising=False)

    def configure(self, **values):
        seeds = dict.fromkeys(fp.figures.PROFILES, 16)
        values = {"profile": "quick", "num_seeds": seeds, "num_steps": 10, "seed": 0} | values
        return fp.configure(NOTEBOOK, {"output_dir": "o", "device": "cpu"} | values)

    def test_is_that_of_the_notebook_whatever_the_seeds(self):
        for settings in (self.configure(), self.configure(seed=5, num_seeds=3)):
            assert settings.reference == Reference(STORED)

    @pytest.mark.parametrize(
        ("values", "text"),
        [
            ({"profile": "smoke"}, "not compared: the reference has the profile 'quick'"),
            ({"num_steps": 11}, "not compared: the reference has other num_steps"),
            ({"widths": [3]}, "not compared: the reference has other widths"),
        ],
    )
    def test_is_no_match_for_other_settings(self, values, text):
        reference = self.configure(**values).reference
        assert fp.compare_claims([make_claim()], reference) == text

    def test_sets_the_number_of_seeds_of_a_check(self, monkeypatch):
        assert self.configure().num_seeds == 16
        for look, seeds in (("first", 11), ("second", 23)):
            monkeypatch.setenv("FPRIN_CHECK", look)
            assert self.configure().num_seeds == seeds
            assert self.configure(num_seeds=3).num_seeds == 3
            assert self.configure(profile="smoke").num_seeds == 16
        monkeypatch.setenv("FPRIN_CHECK", "1")
        with pytest.raises(ValueError, match="FPRIN_CHECK '1' is not one of first, second"):
            self.configure()

    @pytest.mark.parametrize("look", ["", "first", "second"])
    def test_is_compared_with_strictly_at_a_first_look_alone(self, monkeypatch, look):
        monkeypatch.setenv("FPRIN_CHECK", look)
        text = fp.compare_claims([make_claim(held=11)], self.configure().reference)
        assert ("DISAGREES" in text) == (look == "first")

    def test_may_be_missing(self, monkeypatch, tmp_path):
        monkeypatch.setattr(verdicts, "REFERENCE", tmp_path / "none.json")
        text = fp.compare_claims([make_claim()], self.configure().reference)
        assert text == "not compared: there is no reference"


def test_the_table_of_claims_shows_the_reference_beside_the_run():
    rows = fp.describe_claims([make_claim(15, 2)], Reference(STORED)).data.splitlines()
    assert "15 of 16 | 0.70 to 1.00 |" in rows[2]
    assert rows[2].endswith("| 47 of 48: supported |")
    assert rows[3].endswith("| 3 of 48: as it should be |")


@pytest.mark.parametrize(
    ("verdicts", "summary"),
    [
        (["holds", "holds"], "supported"),
        (["fails"], "not supported"),
        (["holds", "mixed"], "supported in part"),
        (["holds", "fails"], "supported in part"),
        (["mixed", "mixed"], "open"),
        (["mixed", "fails"], "open"),
    ],
)
def test_a_sentence_is_judged_by_all_of_its_parts(verdicts, summary):
    assert summarise_verdicts(verdicts) == summary


def test_a_bar_does_not_end_a_cell():
    control = fp.Claim("C12", "the same |w| everywhere", [False], {"largest |w|": 2.0})
    claim = fp.Claim("C12", "a test of |w|", [True], {"median |w|": 1.0}, control)
    rows = fp.describe_claims([claim]).data.splitlines()
    assert [row.count("|") for row in rows] == [7] * 4
    assert "largest &#124;w&#124;: 2" in rows[-1]


def test_an_effect_is_told_in_one_line():
    effect = {"median first steps": np.array([12.0, np.inf]), "further": 3}
    assert describe_effect(effect) == "median first steps: (12, never); further: 3"
    assert describe_effect({}) == ""
    words = {"median first steps": "pas", "never": "jamais", "further": "de plus"}
    words["{name}: {value}"] = "{name} {value}"
    assert describe_effect(effect, lambda text: words[text]) == "pas (12, jamais); de plus 3"
