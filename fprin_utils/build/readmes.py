"""The tables of the READMEs and the public address, kept in step."""

from __future__ import annotations

import argparse
import json
import re
import sys
import tomllib
from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any

from fprin_utils.build.agreement import (
    compute_false_alarm,
    compute_power,
    is_extreme,
    list_tallies,
    pool,
)
from fprin_utils.checks import check_choice, check_list, check_texts
from fprin_utils.claims import CONTROL_VERDICTS, SUSPICION, TALLY_FIELDS, VERDICTS, Tally
from fprin_utils.figures import list_notebooks, read_metadata
from fprin_utils.files import NOTEBOOKS, ROOT, write_whole
from fprin_utils.verdicts import (
    describe_effect,
    format_row,
    read_reference,
    start_table,
)

RESULTS = ROOT / "benchmarks" / "results.json"
STEADINESS = ROOT / "benchmarks" / "steadiness.json"
CLUSTER = ROOT / "benchmarks" / "cluster.json"
FULL_LENGTH = ROOT / "figures" / "paper"
HERE = Path(__file__).parent
# What holds the words of a language: each English text and its translation.
TRANSLATIONS = {"en": None, "zh": HERE / "translations.json"}
# The article's sentences in our translation, by number.
SENTENCES = json.loads((HERE / "sentences.json").read_text(encoding="utf-8"))
# What a table may say after the next run, if it does not say it now.
POSSIBLE_WORDS = (*VERDICTS.values(), *CONTROL_VERDICTS.values(), "supported in part", "never")
ALT_FULL_LENGTH = "The same panels after training at full length, with its settings"
Say = Callable[[str], str]
ADDRESS_PATTERN = re.compile(r"https://github\.com/([\w.-]+/[\w.-]+?)(?:\.git)?/?")


def read_address() -> str:
    """Return the public address of the repository, as it stands in pyproject.toml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return project["project"]["urls"]["Repository"]


def make_binder_link(notebook: str) -> str:
    """Return the address at which Binder opens a notebook in JupyterLab."""
    check_texts(notebook=notebook)
    slug = ADDRESS_PATTERN.fullmatch(read_address())[1]
    return f"https://mybinder.org/v2/gh/{slug}/HEAD?labpath=notebooks%2F{notebook}.ipynb"


def make_app_link(notebook: str) -> str:
    """Return the address at which Binder opens a notebook by Voila, as a page without code."""
    check_texts(notebook=notebook)
    slug = ADDRESS_PATTERN.fullmatch(read_address())[1]
    page = f"voila%2Frender%2Fnotebooks%2F{notebook}.ipynb"
    return f"https://mybinder.org/v2/gh/{slug}/HEAD?urlpath={page}"


def make_say(language: str) -> Say:
    """Return what puts an English text into a language.

    Args:
        language: One of `TRANSLATIONS`.

    Returns:
        A function that raises ValueError for a text without a translation.
    """
    path = TRANSLATIONS[check_choice("language", language, TRANSLATIONS)]
    if path is None:
        return str
    words = json.loads(path.read_text(encoding="utf-8"))
    for notebook in list_notebooks():
        said = read_metadata(notebook)
        words |= {said[name]: said[f"{name}_zh"] for name in ("shows", "alt")}

    def say(text: str) -> str:
        if text not in words:
            raise ValueError(f"{path.name} has no translation of {text!r}")
        return words[text]

    return say


def collect_texts() -> list[str]:
    """Return all that needs a translation: what the tables say, and what describes a picture."""
    texts = [*POSSIBLE_WORDS]

    def note(text: str) -> str:
        texts.append(text)
        return text

    for page in (page for page, (language, _) in PAGES.items() if language != "en"):
        fill_page(page, (ROOT / page).read_text(encoding="utf-8"), note)
    return list(dict.fromkeys(texts))


def format_notebooks_table(say: Say = str) -> str:
    """Return the table of notebooks, from their metadata and the reference.

    Args:
        say: Puts an English text into the language of the table, from `make_say`.
    """
    header = ("Article figure", "Notebook", "Shows", "Claims", "CPU time", "Launch on Binder")
    rows = start_table([*map(say, header)])
    reference = read_reference()
    for notebook in list_notebooks():
        said = read_metadata(notebook)
        cells = (
            say(said["article_figure"]),
            f"[{notebook}](../notebooks/{notebook}.ipynb)",
            say(said["shows"]),
            ", ".join(said["claims"]) or say("none"),
            f"{reference[notebook]['cpu_seconds']} s",
            f"[{say('launch')}]({make_binder_link(notebook)})",
        )
        rows.append(format_row(cells))
    return "\n".join(rows) + "\n"


def format_gallery(say: Say = str) -> str:
    """Return all figures, each under what it shows.

    Args:
        say: Puts an English text into the language of the page, from `make_say`.
    """
    parts = []
    for notebook in list_notebooks():
        said = read_metadata(notebook)
        link = f"[{notebook.split('_')[0]}](../notebooks/{notebook}.ipynb)"
        parts.append(f"### {link} {say(said['shows'])}\n\n![{say(said['alt'])}]({notebook}.png)\n")
    return "\n".join(parts)


def _group_tests() -> dict[str, list[tuple[str, Mapping[str, Any], str]]]:
    """Return the tests of each sentence by its number, in the order of their letters.

    A test is the id of a claim, what is stored of it, and the notebook that tests it.
    """
    groups = {number: [] for number in SENTENCES}
    for notebook, entry in read_reference().items():
        for claim, test in entry["tests"].items():
            groups[re.match(r"C\d+", claim)[0]].append((claim, test, notebook))
    return {number: sorted(parts, key=itemgetter(0)) for number, parts in groups.items()}


def format_sentences_table(say: Say = str) -> str:
    """Return the table of the article's sentences: verdict and notebooks.

    Args:
        say: Puts an English text into the language of the table, from `make_say`.
    """
    rows = start_table([*map(say, ("Claim", "Sentence of the article", "Verdict", "Notebooks"))])
    for number, parts in _group_tests().items():
        sentence = SENTENCES[number]
        verdict = summarise_verdicts([test["verdict"] for _, test, _ in parts])
        links = [
            f"[{notebook.split('_')[0]}](notebooks/{notebook}.ipynb)"
            for notebook in sorted({notebook for _, _, notebook in parts})
        ]
        rows.append(format_row([number, say(sentence), f"**{say(verdict)}**", ", ".join(links)]))
    return "\n".join(rows) + "\n"


def format_claims_table(say: Say = str) -> str:
    """Return the table of claims: each sentence, then its tests, from the reference.

    Args:
        say: Puts an English text into the language of the table, from `make_say`.
    """
    tests = "Sentence of the article, and how it was tested"
    # On a telephone the first columns alone are in sight.
    header = ("Claim", "Verdict", tests, "Notebook", "Seeds", "Effect")
    rows = start_table([*map(say, header)])
    for number, parts in _group_tests().items():
        sentence = SENTENCES[number]
        overall = summarise_verdicts([test["verdict"] for _, test, _ in parts])
        cells = [f"**{number}**", f"**{say(overall)}**", f"*{say(sentence)}*", "", "", ""]
        rows.append(format_row(cells))
        rows.extend(_format_part(*part, say) for part in parts)
    return "\n".join(rows) + "\n"


def _format_part(claim: str, test: Mapping[str, Any], notebook: str, say: Say) -> str:
    cells = (
        claim,
        _format_words(test, say),
        say(test["statement"]),
        f"[{notebook.split('_')[0]}](../notebooks/{notebook}.ipynb)",
        _format_outcomes(test, say),
        describe_effect(dict([*test["effect"].items()][:1]), say),
    )
    return format_row(cells)


def _format_words(test: Mapping[str, Any], say: Say) -> str:
    verdict = say(VERDICTS[test["verdict"]])
    if "control" not in test:
        return verdict
    control = say(CONTROL_VERDICTS[test["control"]["verdict"]])
    return say("{verdict}; control: {control}").format(verdict=verdict, control=control)


def format_full_length(say: Say = str) -> str:
    """Return what runs at full length came to: their figures and verdicts beside the quick ones.

    Args:
        say: Puts an English text into the language of the page, from `make_say`.
    """
    parts, reference = [], read_reference()
    for path in sorted(FULL_LENGTH.glob("*.json")):
        made = json.loads(path.read_text(encoding="utf-8"))
        notebook = made["notebook"]
        link = f"[{notebook.split('_')[0]}](../notebooks/{notebook}.ipynb)"
        said = read_metadata(notebook)
        hours = say("{hours} hours of processor time").format(
            hours=f"{made['cpu_seconds'] / 3600:.1f}"
        )
        pictures = [f"![{say(said['alt'])}]({notebook}.png)"]
        pictures.append(f"![{say(ALT_FULL_LENGTH)}](paper/{notebook}.png)")
        rows = start_table(["", "`quick`", f"`paper` ({hours})"])
        rows.append(format_row(["", *pictures]))
        for claim in made["claims"]:
            test = reference[notebook]["tests"][claim["id"]]
            outcomes = [_format_verdict(each, say) for each in (test, claim)]
            rows.append(format_row([claim["id"], *outcomes]))
        parts.append(f"### {link} {say(said['shows'])}\n\n" + "\n".join(rows) + "\n")
    return "\n".join(parts)


def _format_verdict(test: Mapping[str, Any], say: Say) -> str:
    """Return verdict, control and outcomes of a test, as the reference or a figure stores it."""
    return f"{_format_words(test, say)} ({_format_outcomes(test, say)})"


def _format_outcomes(test: Mapping[str, Any], say: Say) -> str:
    if "error" in test:
        return say("an identity")
    tally = pool(test) if "runs" in test else Tally(*(test[n] for n in TALLY_FIELDS))
    low, high = tally.interval
    share = say("{successes} of {trials}, {low:.2f} to {high:.2f}")
    text = share.format(successes=tally.successes, trials=tally.trials, low=low, high=high)
    missing = tally.seeds - tally.trials
    return text + (say("; {missing} not reached").format(missing=missing) if missing else "")


def format_speed_table(say: Say = str) -> str:
    """Return a README's table of speed, from the stored results of the benchmark.

    Args:
        say: Puts an English text into the language of the table, from `make_say`.
    """
    workloads = json.loads(RESULTS.read_text(encoding="utf-8"))["workloads"].values()
    bound = "products alone"
    others = [name for name in next(iter(workloads))["ratios"] if name != bound]
    rows = start_table([*map(say, ("Training", "Seeds", *others, "matmul fraction"))])
    for workload in workloads:
        ratios = {name: ratio["median"] for name, ratio in workload["ratios"].items()}
        cells = [say(workload["title"]), str(workload["num_seeds"])]
        cells += [f"{ratios[name]:.3g}" for name in others]
        rows.append(format_row([*cells, f"{ratios[bound]:.0%}"]))
    return "\n".join(rows) + "\n"


def format_cluster_table(_: Say = str) -> str:
    """Return the table of benchmarks/README.md: what a cluster of so many workers would take."""
    computed = json.loads(CLUSTER.read_text(encoding="utf-8"))["computed"]
    rows = start_table(("Work", "Workers", "Hours", "Workers busy", "Scheduler busy"))
    for work, name in (("profile `paper`", "paper"), ("100,000 trainings", "trainings")):
        for workers, end in computed[name].items():
            shares = [f"{end[share]:.1%}" for share in ("busy", "scheduler_busy")]
            hours = f"{end['seconds'] / 3600:.3g}"
            rows.append(format_row([work, f"{int(workers):,}", hours, *shares]))
    return "\n".join(rows) + "\n"


def format_sweeps_table(_: Say = str) -> str:
    """Return the table of benchmarks/README.md: how much faster sweeps are with workers."""
    measured = json.loads(CLUSTER.read_text(encoding="utf-8"))["sweeps"]
    ways = list(next(iter(measured.values()))["speed_up"])
    rows = start_table(("Sweep", "Trainings", "Longest share", *ways))
    for notebook, sweep in measured.items():
        tasks = sweep["task_seconds"]
        cells = [notebook, str(len(tasks)), f"{max(tasks) / sum(tasks):.0%}"]
        rows.append(format_row([*cells, *(f"{sweep['speed_up'][way]:.2f}" for way in ways)]))
    return "\n".join(rows) + "\n"


def format_steadiness_table(_: Say = str) -> str:
    """Return the table of figures/README.md: in how many runs a claim comes out as it is stored."""
    settings = json.loads(STEADINESS.read_text(encoding="utf-8"))
    header = ("Claim", "Reference", "Agree", "Same verdict", "Runs with another verdict")
    rows = start_table(header)
    for entry in read_reference().values():
        for claim, test in sorted(entry["tests"].items()):
            rows.append(_format_steadiness(claim, test, VERDICTS, settings))
            if "control" in test:
                rows.append(
                    _format_steadiness(
                        f"{claim} control", test["control"], CONTROL_VERDICTS, settings
                    )
                )
    return "\n".join(rows) + "\n"


def _format_steadiness(
    name: str,
    test: Mapping[str, Any],
    words: Mapping[str, str],
    settings: Mapping[str, Mapping[str, Sequence[int]]],
) -> str:
    verdict = words[test["verdict"]]
    # A setting may have been run for some notebooks only.
    said = {setting: counts[name] for setting, counts in settings.items() if name in counts}
    if "runs" not in test:
        same = sum((held == 1) == (test["verdict"] == "holds") for held, *_ in said.values())
        share = f"{same} of {len(said)}"
        return format_row([name, f"{verdict} (an identity)", share, share, ""])
    reference = pool(test)
    runs = {f"first seed {seed}": Tally(*counts) for seed, counts in test["runs"].items()}
    runs |= {setting: Tally(*counts) for setting, counts in said.items()}
    agree = sum(run.agrees_with(reference) for run in runs.values())
    others = {at: words[run.verdict] for at, run in runs.items() if words[run.verdict] != verdict}
    return format_row(
        [
            name,
            f"{verdict} ({reference.successes} of {reference.trials})",
            f"{agree} of {len(runs)}",
            f"{len(runs) - len(others)} of {len(runs)}",
            "; ".join(f"{at}: {other}" for at, other in others.items()),
        ]
    )


def format_agreement_table(_: Say = str) -> str:
    """Return the table of CONTRIBUTING.md: what the comparison with the reference finds."""
    header = ("Notebook", "First look", "Second", "Reference", "Suspicious", "Disagrees", "Found")
    rows, suspicions, alarms = start_table(header), [], []
    for notebook, entry in read_reference().items():
        tallies = list_tallies(entry)
        if not tallies:
            continue
        first, second = entry["check_seeds"]
        suspicions.append(sum(compute_false_alarm(tally, first, SUSPICION) for tally in tallies))
        alarms.append(sum(compute_false_alarm(tally, second) for tally in tallies))
        found = [compute_power(tally, first, second) for tally in filter(is_extreme, tallies)]
        most = max(tally.seeds for tally in tallies)
        least = f"{min(found):.2f}" if found else "-"
        seeds = [str(first), str(second), str(most)]
        falsely = [f"{suspicions[-1]:.2f}", f"{alarms[-1]:.1e}"]
        rows.append(format_row([notebook, *seeds, *falsely, least]))
    falsely = [f"{sum(suspicions):.2f}", f"{sum(alarms):.1e}"]
    rows.append(format_row(["all", "", "", "", *falsely, ""]))
    return "\n".join(rows) + "\n"


# The pages with generated tables: their language, and what stands between `<!-- NAME -->` and
# `<!-- end of NAME -->`.
GALLERY = {
    "figures": format_notebooks_table,
    "claims": format_claims_table,
    "gallery": format_gallery,
    "full length": format_full_length,
}
SPEED = {
    "speed": format_speed_table,
    "sweeps": format_sweeps_table,
    "cluster": format_cluster_table,
}
PAGES = {
    "README.md": ("en", {"sentences": format_sentences_table}),
    "README.zh-CN.md": ("zh", {"sentences": format_sentences_table}),
    "figures/README.md": ("en", GALLERY | {"steadiness": format_steadiness_table}),
    "figures/README.zh-CN.md": ("zh", GALLERY),
    "notebooks/README.md": ("en", {"notebooks": format_notebooks_table}),
    "benchmarks/README.md": ("en", SPEED),
    "CONTRIBUTING.md": ("en", {"agreement": format_agreement_table}),
}


def summarise_verdicts(verdicts: Sequence[str]) -> str:
    """Return what the verdicts of a sentence's parts say of the sentence, for a reader.

    Args:
        verdicts: Verdict of each part, at least one.

    Returns:
        The words for the verdict that all parts share; else "supported in part" if one holds, and
        "open" if none does.
    """
    for verdict in check_list("verdicts", verdicts, object, "verdicts, at least one"):
        check_choice("a verdict of verdicts", verdict, VERDICTS)
    if len(set(verdicts)) == 1:
        return VERDICTS[verdicts[0]]
    return "supported in part" if "holds" in verdicts else "open"


def find_table(text: str, name: str) -> re.Match[str]:
    """Return where a table stands in a text, between two marks as above.

    Args:
        text: For example a README.
        name: The name that its marks tell.

    Raises:
        ValueError: If the text has no place for that table, or more than one.
    """
    check_texts(text=text, name=name)
    pattern = rf"(?<=<!-- {name} -->\n).*?(?=<!-- end of {name} -->)"
    places = list(re.finditer(pattern, text, re.DOTALL))
    if len(places) != 1:
        raise ValueError(f"the text has {len(places)} places for the table {name!r}, not one")
    return places[0]


def fill_page(page: str, text: str, say: Say) -> str:
    """Return a page with each table in its place, and each figure with its alternative text.

    Args:
        page: One of `PAGES`.
        text: What it holds.
        say: Puts an English text into the page's language, from `make_say`.

    Raises:
        ValueError: If the text has no place for one of the tables, or more than one.
    """
    check_texts(text=text)
    for name, format_table in PAGES[check_choice("page", page, PAGES)][1].items():
        place = find_table(text, name)
        text = text[: place.start()] + format_table(say) + text[place.end() :]

    def describe(image: re.Match[str]) -> str:
        return f"![{say(read_metadata(image[2])['alt'])}]({image[1]}{image[2]}.png)"

    return re.sub(r"!\[[^\]]*\]\((figures/|)(\d\d_\w+)\.png\)", describe, text)


def update_readmes() -> None:
    """Bring all pages into step with the notebooks and the reference."""
    for page, (language, _) in PAGES.items():
        path = ROOT / page
        text = path.read_text(encoding="utf-8")
        write_whole(path, fill_page(page, text, make_say(language)))


def set_address(address: str) -> None:
    """Set the public address in pyproject.toml and everywhere that it is repeated.

    Args:
        address: Address of the repository, https://github.com/OWNER/NAME.

    Raises:
        ValueError: If the address is not of that form.
    """
    check_texts(address=address)
    match = ADDRESS_PATTERN.fullmatch(address)
    if not match:
        raise ValueError(f"address {address!r} is not of the form https://github.com/OWNER/NAME")
    old = ADDRESS_PATTERN.fullmatch(read_address())[1]
    pages = [ROOT / name for name in (*PAGES, "CITATION.cff")]
    # pyproject.toml tells the old address, so it comes last: a broken run can be repeated.
    for path in [*pages, *sorted(NOTEBOOKS.glob("*.ipynb")), ROOT / "pyproject.toml"]:
        text = path.read_text(encoding="utf-8")
        for host in ("https://github.com", "https://mybinder.org/v2/gh"):
            text = text.replace(f"{host}/{old}", f"{host}/{match[1]}")
        write_whole(path, text)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m fprin_utils.build.readmes",
        description="Bring the tables of the READMEs into step with the figures.",
    )
    parser.add_argument("--repository", metavar="URL", help="first set the public address")
    options = parser.parse_args(arguments)
    try:
        if options.repository:
            set_address(options.repository)
        update_readmes()
    except (OSError, ValueError) as error:
        print(f"readmes: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
