"""Tables of claims, and whether they agree with the stored reference.

The reference, notebooks/verdicts.json, holds for each notebook its parameters and for each claim
and control how many seeds held, of how many that were reached, in runs with several first seeds.
Numbers of a training drift apart between processors, so that outcomes are compared as shares.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from IPython.display import Markdown

from fprin_utils.checks import (
    check_choice,
    check_kind,
    check_list,
    check_mapping,
    check_plain,
    check_texts,
    to_plain,
)
from fprin_utils.claims import (
    CONTROL_VERDICTS,
    SIGNIFICANCE,
    SUSPICION,
    VERDICTS,
    Claim,
    Identity,
    Tally,
    describe_tally,
)
from fprin_utils.files import NOTEBOOKS

REFERENCE = NOTEBOOKS / "verdicts.json"
# Set while the reference is made: what runs then belongs to it.
RECORDING = "FPRIN_RECORD"
# Set in `make test`, to one of the looks that it takes: as many seeds as that needs, and no more.
CHECKING, LOOKS = "FPRIN_CHECK", ("first", "second")


@dataclass(frozen=True)
class Reference:
    """The stored outcomes of a notebook's claims.

    Attributes:
        tests: What is stored of each claim, by its id.
        obstacle: Why the outcomes of this run cannot be compared with them; empty if they can.
        first_seed: First seed of this run if it is about to be recorded, else None.
    """

    tests: Mapping[str, Mapping[str, Any]]
    obstacle: str = ""
    first_seed: int | None = None

    def look_up(self, claim: Claim | Identity, *, is_control: bool = False) -> Mapping[str, Any]:
        """Return what is stored of a claim, or of its control; nothing if it is not there."""
        stored = self.tests.get(claim.id, {})
        return stored.get("control", {}) if is_control else stored

    def find(self, claim: Claim, *, is_control: bool = False) -> Tally | None:
        """Return the outcomes of a claim, or of its control, over all runs; None without any."""
        stored = self.look_up(claim, is_control=is_control)
        runs = {int(seed): Tally(*counts) for seed, counts in stored.get("runs", {}).items()}
        if self.first_seed is not None:
            runs[self.first_seed] = (claim.control if is_control else claim).tally
        return sum_tallies(list(runs.values())) if runs else None


def sum_tallies(tallies: Sequence[Tally]) -> Tally:
    """Return the tally of several runs together, at least one."""
    tallies = check_list("tallies", tallies, Tally, "Tallies, at least one")
    total = tallies[0]
    for tally in tallies[1:]:
        total += tally
    return total


def read_reference() -> dict[str, dict[str, Any]]:
    """Return what is stored of each notebook; nothing outside a checkout."""
    if not REFERENCE.is_file():
        return {}
    return json.loads(REFERENCE.read_text(encoding="utf-8"))


def select_own(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings on which the shares of outcomes depend."""
    check_mapping("values", values, "names to settings", least=0)
    free = ("seed", "num_seeds", "device", "scheduler")
    return {name: value for name, value in values.items() if name not in free}


def find_reference(notebook: str, profile: str, values: Mapping[str, Any]) -> Reference:
    """Return what a run with given settings is to be compared with.

    Args:
        notebook: Name of the notebook.
        profile: Its profile.
        values: Its settings by name.

    Returns:
        The reference.
    """
    check_texts(notebook=notebook, profile=profile)
    values = check_plain("values", check_mapping("values", values, "names to settings", least=0))
    stored = read_reference().get(notebook, {})
    tests = stored.get("tests", {})
    if os.environ.get(RECORDING):
        return Reference(tests, first_seed=values["seed"])
    if not stored:
        return Reference({}, "there is no reference")
    if profile != stored["profile"]:
        return Reference(tests, f"the reference has the profile {stored['profile']!r}")
    own, theirs = select_own(values), stored["parameters"]
    others = sorted(name for name in own | theirs if own.get(name) != theirs.get(name))
    if others:
        return Reference(tests, f"the reference has other {', '.join(others)}")
    return Reference(tests)


def read_check_seeds(notebook: str) -> int | None:
    """Return how many seeds the look that is being taken at a notebook needs.

    Raises:
        ValueError: If the environment variable FPRIN_CHECK names no look.

    Returns:
        The number; None where no look is being taken, or nothing is stored of the notebook.
    """
    check_texts(notebook=notebook)
    look = _find_look()
    seeds = read_reference().get(notebook, {}).get("check_seeds")
    return seeds[LOOKS.index(look)] if look and seeds else None


def _find_look() -> str:
    look = os.environ.get(CHECKING, "")
    return check_choice(CHECKING, look, LOOKS) if look else ""


def compare_claims(claims: Sequence[Claim | Identity], reference: Reference) -> str:
    """Return for each claim whether it agrees with the reference, a line each.

    The verdict is told where it would be the same with two outcomes more or fewer. So the text is
    the same on every machine as long as all agree.

    Args:
        claims: The claims of a run.
        reference: What they are compared with, from `Settings.reference`.

    Returns:
        The lines.
    """
    check_list("claims", claims, (Claim, Identity), "Claims and Identities", least=0)
    check_kind("reference", reference, Reference, "a Reference")
    if reference.obstacle:
        return f"not compared: {reference.obstacle}"
    lines = []
    for claim in claims:
        parts = [f"{claim.id} {_compare(claim, reference)}"]
        if claim.control is not None:
            parts.append(f"control {_compare(claim, reference, is_control=True)}")
        lines.append("; ".join(parts))
    if reference.first_seed is None:
        left_out = [name for name in reference.tests if name not in {c.id for c in claims}]
        lines += [f"{name} is in the reference but was not tested" for name in left_out]
    return "\n".join(lines)


def _compare(claim: Claim | Identity, reference: Reference, *, is_control: bool = False) -> str:
    tested = claim.control if is_control else claim
    words = CONTROL_VERDICTS if is_control else VERDICTS
    if isinstance(tested, Identity):
        stored = reference.look_up(claim, is_control=is_control)
        if reference.first_seed is None and stored.get("verdict") != tested.verdict:
            return f"DISAGREES: {words[tested.verdict]}, unlike the reference"
        return f"agrees: {words[tested.verdict]}"
    wanted = reference.find(claim, is_control=is_control)
    if wanted is None:
        return "is not in the reference"
    is_first = _find_look() == LOOKS[0]
    if not tested.tally.agrees_with(wanted, SUSPICION if is_first else SIGNIFICANCE):
        return (
            f"DISAGREES: {describe_tally(tested.tally)}, in the reference {describe_tally(wanted)}"
        )
    if not wanted.is_settled(words):
        return "agrees: near a border"
    return f"agrees: {words[wanted.verdict]}"


def describe_claims(
    claims: Sequence[Claim | Identity], reference: Reference | None = None
) -> Markdown:
    """Return a table of claims and their controls for a notebook to show.

    Args:
        claims: The claims that were tested.
        reference: What is stored of them, from `Settings.reference`.

    Returns:
        A Markdown display object with claim, verdict, seeds, interval, effect and reference.
    """
    check_list("claims", claims, (Claim, Identity), "Claims and Identities", least=0)
    check_kind("reference", reference, (Reference, type(None)), "a Reference")
    header = ["claim", "verdict", "seeds", "95 % interval", "effect", "all reference runs"]
    rows = start_table(header)
    for claim in claims:
        effect = describe_effect(claim.effect)
        rows.append(
            _format_claim(f"**{claim.id}**", claim, VERDICTS, effect, _find(claim, reference))
        )
        if control := claim.control:
            its_effect = describe_effect(control.effect)
            its_effect = "as above" if its_effect == effect else its_effect
            stored = _find(claim, reference, is_control=True)
            rows.append(_format_claim("control", control, CONTROL_VERDICTS, its_effect, stored))
    return Markdown("\n".join(rows))


def _find(
    claim: Claim | Identity, reference: Reference | None, *, is_control: bool = False
) -> Tally | None:
    tested = claim.control if is_control else claim
    if reference is None or reference.obstacle or isinstance(tested, Identity):
        return None
    return reference.find(claim, is_control=is_control)


def _format_claim(
    label: str,
    tested: Claim | Identity,
    words: Mapping[str, str],
    effect: str,
    stored: Tally | None,
) -> str:
    outcomes, interval = tested.describe_outcomes()
    in_all = f"{describe_tally(stored)}: {words[stored.firm_verdict]}" if stored else "-"
    verdict = f"**{words[tested.verdict]}**"
    return format_row([f"{label}: {tested.statement}", verdict, outcomes, interval, effect, in_all])


def describe_effect(effect: Mapping[str, Any], say: Callable[[str], str] = str) -> str:
    """Return the entries of an effect as one line, as in "median tau: 0.71; ...".

    Args:
        effect: Sizes of the effect by name, as in `Claim`.
        say: Puts an English text into the language of the reader.

    Returns:
        The line.
    """
    check_mapping("effect", effect, "names to sizes", least=0)
    check_kind("say", say, Callable, "a function")
    return _describe(check_plain("effect", to_plain(effect)), say)


def start_table(header: Sequence[str]) -> list[str]:
    """Return the first two lines of a Markdown table."""
    check_list("header", header, str, "texts")
    return [format_row(header), "|" + "---|" * len(header)]


def format_row(cells: Sequence[str]) -> str:
    """Return a line of a Markdown table."""
    check_list("cells", cells, str, "texts")
    # A bar, as in |w|, would end the cell.
    return f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |"


def _describe(value: Any, say: Callable[[str], str]) -> str:
    """Write a plain effect for a reader; a step that never came is null in JSON."""
    if isinstance(value, Mapping):
        pair = say("{name}: {value}")
        return "; ".join(
            pair.format(name=say(name), value=_describe(entry, say))
            for name, entry in value.items()
        )
    if isinstance(value, list):
        return f"({', '.join(_describe(entry, say) for entry in value)})"
    if value is None:
        return say("never")
    return f"{value:g}" if isinstance(value, float) else str(value)
