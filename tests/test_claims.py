import itertools
import json

import numpy as np
import pytest
from scipy.stats import fisher_exact
from statsmodels.stats.proportion import proportion_confint

import fprin_utils as fp


@pytest.mark.parametrize(("successes", "trials"), [(0, 1), (4, 4), (7, 8), (6, 16), (50, 200)])
def test_interval_of_a_share_is_the_exact_one_of_statsmodels(successes, trials):
    interval = fp.claims.compute_share_interval(successes, trials)
    expected = proportion_confint(successes, trials, alpha=0.05, method="beta")
    assert interval == pytest.approx(np.nan_to_num(expected, nan=0), abs=1e-9)


def test_shares_are_told_apart_by_the_exact_test_of_scipy():
    shares = [(hits, trials) for trials in (0, 1, 6, 16, 96) for hits in {0, trials // 3, trials}]
    for one, other in itertools.product(shares, repeat=2):
        table = [[hits, trials - hits] for hits, trials in (one, other)]
        expected = fisher_exact(table).pvalue
        assert fp.claims._compare_shares(one, other) == pytest.approx(expected, rel=1e-6), table


def test_without_trials_a_share_may_be_anything():
    assert fp.claims.compute_share_interval(0, 0) == (0, 1)


@pytest.mark.parametrize(
    ("counts", "verdict"),
    [
        ((16, 16, 16), "holds"),
        ((6, 6, 6), "holds"),
        ((5, 5, 5), "mixed"),
        ((7, 8, 8), "mixed"),
        ((13, 16, 16), "holds"),
        ((12, 16, 16), "mixed"),
        ((3, 16, 16), "fails"),
        ((0, 6, 6), "fails"),
        ((1, 1, 1), "mixed"),
        ((0, 7, 16), "not reached"),
        ((7, 7, 16), "not reached"),
        ((8, 8, 16), "holds"),
        ((0, 0, 16), "not reached"),
    ],
)
def test_verdict_follows_from_the_interval_over_the_seeds_that_were_reached(counts, verdict):
    successes, trials, seeds = counts
    assert fp.claims.Tally(*counts).verdict == verdict
    held = np.arange(seeds) < successes
    claim = fp.Claim("C0", "a test", held, reached=np.arange(seeds) < trials)
    assert claim.verdict == verdict
    assert claim.tally == fp.claims.Tally(*counts)


def test_a_seed_that_was_not_reached_has_not_held():
    claim = fp.Claim("C0", "a test", [True, True, False], reached=[True, False, True])
    assert claim.tally == fp.claims.Tally(1, 2, 3)
    claim = fp.Claim("C0", "x", [True] * 4, reached=[False] * 4, remedy="num_steps=9000 may do")
    assert claim.describe_outcomes()[0] == "0 of 0; 4 not reached; num_steps=9000 may do"


def test_a_claim_is_stored_with_its_control_in_plain_json():
    effect = {"steps": np.array([1.0, np.inf]), "count": np.int64(3), "tau": np.float32(1 / 3)}
    control = fp.Claim("C0", "the control", np.array([False, False]), dict(effect))
    claim = fp.Claim("C0", "a test", np.array([True, False]), effect, control)
    stored = json.loads(json.dumps(claim.to_dict(), allow_nan=False))
    assert stored["effect"] == {"steps": [1.0, None], "count": 3, "tau": 0.3333}
    assert stored["control"]["verdict"] == "mixed"
    assert stored["interval"] == [0.012579, 0.987421]
    table = fp.describe_claims([claim]).data
    assert "**C0**: a test | **open** | 1 of 2 | 0.01 to 0.99" in table
    assert "steps: (1, never); count: 3; tau: 0.3333" in table
    assert "control: the control | **as it should be** | 0 of 2 | 0.00 to 0.84 | as above" in table


def test_a_control_that_fails_like_its_claim_keeps_its_own_outcomes():
    control = fp.Claim("C0", "the control", np.arange(16) < 3, {"tau": 0.25})
    claim = fp.Claim("C0", "a test", np.arange(16) < 1, {"tau": 0.5}, control)
    assert claim.verdict == control.verdict == "fails"
    stored = claim.to_dict()
    assert (stored["successes"], stored["control"]["successes"]) == (1, 3)
    assert (stored["effect"]["tau"], stored["control"]["effect"]["tau"]) == (0.5, 0.25)
    assert stored["interval"] != stored["control"]["interval"]
    rows = fp.describe_claims([claim]).data.splitlines()[2:]
    assert ["1 of 16" in row for row in rows] == [True, False]
    assert ["3 of 16" in row for row in rows] == [False, True]


def test_an_identity_has_an_error_and_no_interval():
    control = fp.Identity("C10a", "another formula", 190.0, 1e-6)
    claim = fp.Identity("C10a", "two formulas", 1.27e-9, 1e-6, {"rate": 0.5}, control)
    assert (claim.verdict, control.verdict) == ("holds", "fails")
    assert "interval" not in claim.to_dict()
    assert claim.to_dict()["control"]["error"] == 190.0
    table = fp.describe_claims([claim]).data
    assert "**supported** | error 1.3e-09, at most 1e-06 | an identity | rate: 0.5" in table
    assert "**as it should be** | error 1.9e+02" in table


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: fp.claims.compute_share_interval(3, 2), "3 successes of 2 trials"),
        (lambda: fp.claims.Tally(3, 2, 4), "3 successes of 2 trials of 4 seeds"),
        (lambda: fp.Claim("C0", "a test", []), "claim C0: outcomes has shape"),
        (lambda: fp.Claim("C0", "a test", [np.nan] * 8), "type float64; it must hold a boolean"),
        (lambda: fp.Claim("C0", "a test", [True], reached=[1]), "C0: reached has shape"),
        (lambda: fp.Claim("C0", "a test", [True], reached=[True] * 2), "1 outcomes and 2 reached"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_outcomes_of_another_criterion_are_described_with_their_verdict():
    held, reached = np.arange(8) < 7, np.arange(8) > 0
    assert fp.describe_outcomes(held) == "7 of 8: open"
    assert fp.describe_outcomes(held, reached) == "6 of 7; 1 not reached: open"
    assert fp.describe_outcomes(held, ~reached).endswith("7 not reached: not reached")
