import json

import numpy as np
import pytest
from statsmodels.stats.proportion import proportion_confint

import fprin_utils as fp


@pytest.mark.parametrize(("successes", "trials"), [(0, 1), (4, 4), (7, 8), (6, 16), (50, 200)])
@pytest.mark.parametrize("confidence", [0.9, 0.95])
def test_wilson_interval_is_that_of_statsmodels(successes, trials, confidence):
    interval = fp.compute_wilson_interval(successes, trials, confidence=confidence)
    expected = proportion_confint(successes, trials, alpha=1 - confidence, method="wilson")
    assert interval == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("successes", "trials", "verdict"),
    [
        (16, 16, "holds"),
        (4, 4, "holds"),
        (3, 3, "mixed"),
        (12, 16, "holds"),
        (11, 16, "mixed"),
        (4, 16, "fails"),
        (0, 4, "fails"),
        (1, 1, "mixed"),
    ],
)
def test_verdict_follows_from_the_interval(successes, trials, verdict):
    claim = fp.Claim("C0", "a test", [True] * successes + [False] * (trials - successes))
    assert (claim.successes, claim.trials, claim.verdict) == (successes, trials, verdict)


def test_a_claim_is_stored_with_its_control_in_plain_json():
    effect = {"steps": np.array([1.0, np.inf]), "count": np.int64(3), "tau": np.float32(1 / 3)}
    control = fp.Claim("C0", "the control", np.array([False, False]), dict(effect))
    claim = fp.Claim("C0", "a test", np.array([True, False]), effect, control)
    stored = json.loads(json.dumps(claim.to_dict(), allow_nan=False))
    assert stored["effect"] == {"steps": [1.0, None], "count": 3, "tau": 0.3333}
    assert stored["control"]["verdict"] == "mixed"
    assert stored["interval"] == [0.094531, 0.905469]
    table = fp.describe_claims([claim]).data
    assert "**C0**: a test | **mixed** | 1 of 2 | 0.09 to 0.91" in table
    assert "steps: (1, never); count: 3; tau: 0.3333" in table
    assert "control: the control | **mixed** | 0 of 2 | 0.00 to 0.66 | as above" in table


def test_an_order_is_strict_and_complete():
    rows = [[1, 2, 3], [1, 1, 3], [3, 2, 1], [1, 2, np.inf], [np.inf] * 3]
    np.testing.assert_array_equal(fp.is_increasing(rows), [True, False, False, False, False])


def test_kendall_tau_of_an_order_its_reverse_and_of_none():
    rows = [[1, 2, 3, np.inf], [4, 3, 2, 1], [np.inf] * 4, [2, 1, 4, 3]]
    np.testing.assert_allclose(fp.compute_kendall_tau(rows), [1, -1, 0, 1 / 3])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: fp.compute_wilson_interval(3, 2), "3 successes of 2 trials"),
        (lambda: fp.compute_wilson_interval(0, 0), "0 successes of 0 trials"),
        (lambda: fp.Claim("C0", "a test", []), "claim C0 has no outcomes"),
        (lambda: fp.is_increasing([1, 2]), r"values have shape \(2,\)"),
        (lambda: fp.compute_kendall_tau([[1], [2]]), r"values have shape \(2, 1\)"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize(
    ("verdicts", "summary"),
    [
        (["holds", "holds"], "holds"),
        (["fails"], "fails"),
        (["holds", "mixed"], "holds in part"),
        (["holds", "fails"], "holds in part"),
        (["mixed", "mixed"], "mixed"),
        (["mixed", "fails"], "mixed"),
    ],
)
def test_a_sentence_is_judged_by_all_of_its_parts(verdicts, summary):
    assert fp.summarise_verdicts(verdicts) == summary


def test_a_bar_does_not_end_a_cell():
    control = fp.Claim("C12", "the same |w| everywhere", [False], {"largest |w|": 2.0})
    claim = fp.Claim("C12", "a test of |w|", [True], {"median |w|": 1.0}, control)
    rows = fp.describe_claims([claim]).data.splitlines()
    assert [row.count("|") for row in rows] == [6] * 4
    assert "largest &#124;w&#124;: 2" in rows[-1]


def test_one_line_of_an_effect_is_its_first_entry():
    effect = {"median first steps": np.array([12.0, np.inf]), "further": 3}
    assert fp.describe_effect(effect) == "median first steps: (12, never)"
    assert fp.describe_effect({}) == ""
    words = {"median first steps": "pas", "never": "jamais", "{name}: {value}": "{name} {value}"}
    assert fp.describe_effect(effect, lambda text: words[text]) == "pas (12, jamais)"
