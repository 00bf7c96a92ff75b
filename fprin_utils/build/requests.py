"""What may be asked of the command that regenerates figures, and what is said to the rest."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from typing import Any

import papermill

import fprin_utils as fp
from fprin_utils import files


def check_request(
    notebooks: Sequence[str], profile: str, jobs: int | None, parameters: Mapping[str, Any]
) -> None:
    """Raise a ValueError that names what is unknown and lists what is known."""
    known = fp.figures.list_notebooks()
    if not known:
        raise ValueError(f"there are no notebooks in {files.NOTEBOOKS}; run from a checkout")
    for notebook in notebooks:
        if notebook not in known:
            raise ValueError(f"unknown notebook {notebook!r}; known: {', '.join(known)}")
    if len(set(notebooks)) < len(notebooks):
        raise ValueError(f"a notebook is named twice: {', '.join(notebooks)}")
    if not notebooks:
        raise ValueError(f"no notebook given; known: {', '.join(known)}")
    profiles = fp.figures.PROFILES
    if profile not in profiles:
        raise ValueError(f"unknown profile {profile!r}; known: {', '.join(profiles)}")
    if jobs is not None and jobs < 1:
        raise ValueError(f"jobs is {jobs}; it must be 1 or more")
    for notebook in notebooks if parameters else ():
        inspected = papermill.inspect_notebook(str(files.NOTEBOOKS / f"{notebook}.ipynb"))
        settable = [name for name in inspected if name not in ("profile", "output_dir")]
        for name in parameters:
            if name not in settable:
                raise ValueError(
                    f"unknown parameter {name!r} for {notebook}; known: {', '.join(settable)}"
                )


def resolve_notebook(name: str) -> str:
    """Turn a number such as 01 into the notebook's name; leave anything else as it is."""
    matches = [
        notebook for notebook in fp.figures.list_notebooks() if notebook.split("_")[0] == name
    ]
    return matches[0] if matches else name


def parse_parameters(texts: Sequence[str]) -> dict[str, Any]:
    """Read texts of the form NAME=VALUE; a tuple becomes a list, as a notebook holds it."""
    parameters = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise ValueError(
                f"parameter {text!r} is not of the form NAME=VALUE (no spaces inside a value)"
            )
        if name in parameters:
            raise ValueError(f"parameter {name!r} is given twice")
        try:
            parameters[name] = _turn_into_lists(ast.literal_eval(value))
        except (ValueError, SyntaxError, TypeError):
            parameters[name] = value
    return parameters


def _turn_into_lists(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _turn_into_lists(each) for name, each in value.items()}
    return [_turn_into_lists(each) for each in value] if isinstance(value, list | tuple) else value
