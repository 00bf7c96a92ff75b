"""The settings of a notebook, and its figure, saved with its provenance."""

from __future__ import annotations

import ast
import contextlib
import io
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import PIL.Image
from matplotlib.figure import Figure

from fprin_utils.artists import DisplayedFigure
from fprin_utils.checks import (
    check_choice,
    check_device,
    check_kind,
    check_list,
    check_mapping,
    check_number,
    check_plain,
    check_whole,
    tell,
)
from fprin_utils.claims import Claim, Identity
from fprin_utils.files import NOTEBOOKS, write_all_whole
from fprin_utils.provenance import describe_run
from fprin_utils.training import TrainingRun
from fprin_utils.verdicts import Reference, find_reference, read_check_seeds

PROFILES = ("smoke", "quick", "paper")
DEFAULT_PROFILE = "quick"
COMMON_PARAMETERS = ("profile", "seed", "num_seeds", "device", "output_dir")
PICTURE_FORMATS = ("png", "pdf")


def list_notebooks() -> list[str]:
    """Return the names of the notebooks, in their order; none outside of a checkout."""
    return sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb"))


def read_metadata(notebook: str) -> dict[str, Any]:
    """Return what a notebook says of itself.

    Args:
        notebook: Name of the notebook.

    Returns:
        article_figure, shows, claims (a list of ids) and alt, the alternative text of its figure;
        shows_zh and alt_zh are the same in Chinese. Nothing outside of a checkout.
    """
    return _read_notebook(notebook)["metadata"]["fprin"]


def _read_notebook(notebook: str) -> dict[str, Any]:
    """Return a notebook as it is stored; an empty one outside of a checkout."""
    path = NOTEBOOKS / f"{notebook}.ipynb"
    if not path.is_file():
        return {"cells": [], "metadata": {"fprin": {}}}
    return json.loads(path.read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Settings:
    """The settings of one run of a notebook; each is an attribute, as in `settings.num_steps`.

    Attributes:
        notebook: Name of the notebook, without its ending.
        profile: One of `PROFILES`.
        output_dir: Folder for the picture and its JSON.
        values: All further settings by name.
    """

    notebook: str
    profile: str
    output_dir: Path
    values: Mapping[str, Any]
    started: tuple[float, float] = field(
        default_factory=lambda: (time.perf_counter(), time.process_time()), repr=False
    )

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__["values"][name]
        except KeyError:
            known = list(self.__dict__.get("values", ()))
            raise AttributeError(f"no setting {name!r}; there are {known}") from None

    @property
    def seeds(self) -> range:
        """The seeds of the ensemble, `num_seeds` of them from `seed` on."""
        return range(self.values["seed"], self.values["seed"] + self.values["num_seeds"])

    @property
    def reference(self) -> Reference:
        """The stored outcomes with which those of this run are compared."""
        return find_reference(self.notebook, self.profile, self.values)

    def checkpoint(self, *training: object) -> Path | None:
        """Return the file in which a training of this run is saved now and then.

        Args:
            *training: What tells the training from others of the notebook, for the file's name.

        Returns:
            The file, in the folder that the environment variable FPRIN_CHECKPOINTS names, else in
            `output_dir`/checkpoints. None unless the profile is "paper": the others are short.
        """
        if self.profile != "paper":
            return None
        folder = os.environ.get("FPRIN_CHECKPOINTS") or self.output_dir / "checkpoints"
        return Path(folder) / f"{self.notebook}.{'-'.join(map(str, training))}.npz"


def configure(notebook: str, parameters: Mapping[str, Any]) -> Settings:
    """Settle the settings of a run.

    Args:
        notebook: Name of the notebook, without its ending.
        parameters: The notebook's `vars()`, of which the names count that the cell of parameters
            assigns, the one with `profile`; outside of a notebook, all parameters by name. One that
            depends on the profile maps the names of `PROFILES` to values.

    Returns:
        The settings. The profile None is the environment variable FPRIN_PROFILE, else "quick".
        Where the environment variable FPRIN_CHECK is "first" or "second", num_seeds is as large
        as that look at the reference needs, unless it is given as a plain number.

    Raises:
        ValueError: If a name is unknown, a profile has no value, or a common one is out of range.
    """
    known = list_notebooks()
    if known and not (isinstance(notebook, str) and notebook in known):
        raise ValueError(f"notebook {tell(notebook)} is not one of {known[0]} to {known[-1]}")
    variables = check_mapping("parameters", parameters, "names to values")
    given = _find_parameters(notebook, variables)
    if missing := [name for name in COMMON_PARAMETERS if name not in given]:
        raise ValueError(f"parameters lack {', '.join(missing)}")
    profile = given.pop("profile")
    if profile is None:
        profile = os.environ.get("FPRIN_PROFILE") or DEFAULT_PROFILE
    check_choice("profile", profile, PROFILES)
    output_dir = check_kind("output_dir", given.pop("output_dir"), (str, Path), "a folder's name")
    settled = {name: _choose(name, value, profile) for name, value in given.items()}
    settled["seed"] = check_whole("seed", settled["seed"])
    settled["num_seeds"] = check_whole("num_seeds", settled["num_seeds"], least=1)
    is_open = isinstance(given["num_seeds"], Mapping)
    if is_open and profile == DEFAULT_PROFILE:
        settled["num_seeds"] = read_check_seeds(notebook) or settled["num_seeds"]
    settled = {name: check_plain(name, value) for name, value in settled.items()}
    if "threshold" in settled:
        settled["threshold"] = check_number(
            "threshold", settled["threshold"], "between 0 and 1", lambda share: 0 < share < 1
        )
    check_device(settled["device"])
    return Settings(notebook, profile, Path(output_dir), settled)


def _find_parameters(notebook: str, variables: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters among the variables of a notebook, by name."""
    if not isinstance(variables.get("In"), list):
        return dict(variables)
    names = _list_parameters(variables["In"])
    if not names:
        # Who runs a notebook without keeping a history, as nbval does, leaves "In" empty.
        cells = _read_notebook(notebook)["cells"]
        code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
        names = _list_parameters(code)
    return {name: variables[name] for name in names if name in variables}


def _list_parameters(cells: Sequence[str]) -> list[str]:
    """Return the names that are assigned in the cells that assign `profile`."""
    names: dict[str, None] = {}
    for cell in cells:
        # A cell with a command of IPython is no Python.
        with contextlib.suppress(SyntaxError):
            assigned = [
                target.id
                for node in ast.parse(cell).body
                if isinstance(node, ast.Assign)
                for target in node.targets
                if isinstance(target, ast.Name)
            ]
            if "profile" in assigned:
                names |= dict.fromkeys(assigned)
    return list(names)


def _choose(name: str, value: Any, profile: str) -> Any:
    """Return a parameter's value, for a profile where it depends on that."""
    if not isinstance(value, Mapping) or not set(value) & set(PROFILES):
        return value
    if profile not in value:
        raise ValueError(f"{name} has no value for the profile {profile!r}: {tell(value)}")
    return value[profile]


def save_figure(
    figure: Figure,
    settings: Settings,
    claims: Sequence[Claim | Identity],
    runs: Mapping[Any, TrainingRun] | None = None,
) -> Path:
    """Save a picture (PNG and PDF) and beside it how it was made and what it says (JSON).

    All three are made before the first appears, and all appear or none.

    Args:
        figure: The figure.
        settings: Settings of the run, from `configure`.
        claims: The claims that were tested.
        runs: The trainings behind the figure, by what tells them apart; what they say of their
            networks and targets is recorded.

    Returns:
        Path of the PNG.

    Raises:
        OSError: If a file cannot be written; those of an earlier figure are as they were.
    """
    check_kind("figure", figure, Figure, "a Figure of matplotlib")
    check_kind("settings", settings, Settings, "what configure returns")
    claims = check_list("claims", claims, (Claim, Identity), "Claims and Identities", least=0)
    runs = {} if runs is None else check_mapping("runs", runs, "names to runs", least=0)
    for name, run in runs.items():
        check_kind(f"runs[{name!r}]", run, TrainingRun, "a TrainingRun")
    record = {
        "notebook": settings.notebook,
        "profile": settings.profile,
        "parameters": dict(settings.values),
        "trainings": {str(name): describe_training(run) for name, run in runs.items()},
        "device": settings.device,
        **describe_run(settings.started),
        "claims": [claim.to_dict() for claim in claims],
    }
    text = json.dumps(record, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    contents = {"json": text.encode("utf-8")}
    with _lay_out_once(figure):
        for ending in PICTURE_FORMATS:
            # Without date and software version the same picture gives the same bytes.
            dated = {"png": "Software", "pdf": "CreationDate"}[ending]
            drawn = io.BytesIO()
            figure.savefig(drawn, format=ending, metadata={dated: None})
            contents[ending] = drawn.getvalue()
    settings.output_dir.mkdir(parents=True, exist_ok=True)
    base = settings.output_dir / settings.notebook
    write_all_whole({base.with_name(f"{base.name}.{end}"): what for end, what in contents.items()})
    return settings.output_dir / f"{settings.notebook}.png"


@contextlib.contextmanager
def _lay_out_once(figure: Figure) -> Iterator[None]:
    """Place the parts of a figure once for all pictures drawn within; each would do so twice."""
    engine = figure.get_layout_engine()
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    try:
        yield
    finally:
        figure.set_layout_engine(engine or "none")


def describe_training(run: TrainingRun) -> str:
    """Return what a run says of its networks, targets and optimiser, as one line."""
    return "; ".join(f"{name}: {value}" for name, value in run.description.items())


def show_figure(figure: Figure, settings: Settings) -> DisplayedFigure:
    """Show a notebook's figure with its alternative text.

    Args:
        figure: The figure, which need not be complete when it is saved.
        settings: Settings of the run, from `configure`.

    Returns:
        What a notebook shows when it is the last value of a cell.
    """
    check_kind("figure", figure, Figure, "a Figure of matplotlib")
    check_kind("settings", settings, Settings, "what configure returns")
    plt.close(figure)  # A notebook would show it a second time, without the text.
    drawn, shrunk = io.BytesIO(), io.BytesIO()
    with _lay_out_once(figure):
        figure.savefig(drawn, format="png", dpi=figure.dpi, metadata={"Software": None})
    # A notebook holds it twice; with 256 colours it looks the same and takes a third of the room.
    PIL.Image.open(drawn).convert("RGB").quantize(256).save(shrunk, format="png", optimize=True)
    return DisplayedFigure(shrunk.getvalue(), read_metadata(settings.notebook).get("alt", ""))
