"""What is kept: the registry of figures, the settings of a notebook, saving with provenance."""

from __future__ import annotations

import json
import os
import platform
import resource
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure

from fprin_utils.claims import Claim
from fprin_utils.networks import check_device

PROFILES = ("smoke", "quick", "paper")
DEFAULT_PROFILE = "quick"
PICTURE_FORMATS = ("png", "pdf")
RECORDED_PACKAGES = ("torch", "numpy", "scipy", "matplotlib", "scikit-image", "fprin_utils")


@dataclass(frozen=True)
class FigureEntry:
    """A figure of the article and the notebook that re-creates it.

    Attributes:
        notebook: Name of the notebook, without its ending.
        article_figure: What the article calls the figure.
        shows: What the reader sees, in a few words.
        claims: Numbers of the claims that are tested there.
    """

    notebook: str
    article_figure: str
    shows: str
    claims: tuple[str, ...]


FIGURES = (
    FigureEntry(
        "01_one_dimensional_peaks",
        "Fig. 1",
        "The peaks of a one-dimensional target converge from low to high frequency",
        ("C1",),
    ),
    FigureEntry(
        "02_image_memorization",
        "Fig. 2",
        "A network memorises an image from outline to detail",
        ("C2",),
    ),
    FigureEntry(
        "03_spectral_norm_stability",
        "Fig. 3",
        "In a wide network the order stands although the weights' spectral norms do not grow",
        ("C9",),
    ),
    FigureEntry(
        "04_high_frequency_oscillation",
        "Fig. 4",
        "Where high frequencies dominate, the low ones converge while oscillating",
        ("C13a", "C13b", "C14a", "C14b"),
    ),
    FigureEntry(
        "05_large_initialization_failure",
        "text",
        "Large initial weights end the order and spoil generalisation",
        ("C4", "C7a", "C7b", "C15a", "C15b"),
    ),
)


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
            raise AttributeError(f"no setting {name!r}; there are {list(self.values)}") from None

    @property
    def seeds(self) -> range:
        """The seeds of the ensemble: `num_seeds` of them from `seed` on."""
        return range(self.values["seed"], self.values["seed"] + self.values["num_seeds"])


def configure(
    notebook: str,
    *,
    profile: str | None,
    profiles: Mapping[str, Mapping[str, Any]],
    output_dir: str | Path,
    **values: Any,
) -> Settings:
    """Settle the settings of a run: what the parameters leave open, the profile decides.

    Args:
        notebook: Name of the notebook, one of the registry `FIGURES`.
        profile: One of `PROFILES`; None takes the environment variable FPRIN_PROFILE, else
            "quick".
        profiles: For each profile the settings that depend on it.
        output_dir: Folder for the picture and its JSON, made when they are saved.
        **values: All settings by name, `seed`, `num_seeds` and `device` among them; None takes
            what the profile says.

    Returns:
        The settings.

    Raises:
        ValueError: If a name is unknown, a setting stays open, or a common one is out of range.
    """
    known = [entry.notebook for entry in FIGURES]
    if notebook not in known:
        raise ValueError(f"notebook {notebook!r} is not one of {', '.join(known)}")
    profile = profile or os.environ.get("FPRIN_PROFILE") or DEFAULT_PROFILE
    if profile not in PROFILES:
        raise ValueError(f"profile {profile!r} is not one of {', '.join(PROFILES)}")
    defaults = profiles[profile]
    settled = {n: defaults.get(n) if value is None else value for n, value in values.items()}
    for name in sorted(set(defaults) - set(values)):
        raise ValueError(f"profile {profile!r} sets {name!r}, which is no parameter")
    for name, value in settled.items():
        if value is None:
            raise ValueError(f"{name} is None, and profile {profile!r} does not set it")
    for name, least in (("seed", 0), ("num_seeds", 1)):
        if not isinstance(settled[name], int) or settled[name] < least:
            raise ValueError(f"{name} is {settled[name]!r}; it must be {least} or more")
    check_device(settled["device"])
    return Settings(notebook, profile, Path(output_dir), settled)


def save_figure(figure: Figure, settings: Settings, claims: Sequence[Claim]) -> Path:
    """Save a picture (PNG and PDF) and beside it how it was made and what it says (JSON).

    The files are written aside and then renamed, so that a reader never meets half of one.

    Args:
        figure: The figure.
        settings: Settings of the run, from `configure`.
        claims: The claims that were tested.

    Returns:
        Path of the PNG.
    """
    wall_started, cpu_started = settings.started
    record = {
        "notebook": settings.notebook,
        "profile": settings.profile,
        "parameters": dict(settings.values),
        "versions": {"python": platform.python_version()}
        | {package: version(package) for package in RECORDED_PACKAGES},
        "device": settings.device,
        "threads": torch.get_num_threads(),
        "seconds": round(time.perf_counter() - wall_started, 1),
        "cpu_seconds": round(time.process_time() - cpu_started, 1),
        "peak_memory_mb": measure_peak_memory(),
        "claims": [claim.to_dict() for claim in claims],
    }
    settings.output_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=settings.output_dir, prefix=".saving-") as folder:
        aside = Path(folder)
        for ending in PICTURE_FORMATS:
            # Without date and software version the same picture gives the same bytes.
            dated = {"png": "Software", "pdf": "CreationDate"}[ending]
            figure.savefig(aside / f"{settings.notebook}.{ending}", metadata={dated: None})
        text = json.dumps(record, indent=2, ensure_ascii=False, allow_nan=False)
        (aside / f"{settings.notebook}.json").write_text(text + "\n", encoding="utf-8")
        for path in sorted(aside.iterdir()):
            path.replace(settings.output_dir / path.name)
    return settings.output_dir / f"{settings.notebook}.png"


def measure_peak_memory() -> int:
    """Return the largest resident memory of this process so far, in MB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (2**20 if sys.platform == "darwin" else 2**10))
