"""What is kept: the registry of figures, the settings of a notebook, saving with provenance."""

from __future__ import annotations

import base64
import hashlib
import html
import io
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import psutil
import torch
from IPython import get_ipython
from matplotlib.figure import Figure

from fprin_utils.checks import (
    check_choice,
    check_device,
    check_kind,
    check_list,
    check_mapping,
    check_number,
    check_plain,
    check_whole,
)
from fprin_utils.claims import Claim, Identity
from fprin_utils.recording import TrainingRun
from fprin_utils.storage import write_all_whole
from fprin_utils.verdicts import CHECKING, Reference, find_reference, read_check_seeds

try:
    import resource
except ImportError:  # There is none on Windows.
    resource = None

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
        alt: What there is to see, for those who cannot see it.
    """

    notebook: str
    article_figure: str
    shows: str
    claims: tuple[str, ...]
    alt: str


FIGURES = (
    FigureEntry(
        "01_one_dimensional_peaks",
        "Fig. 1",
        "The peaks of a one-dimensional target converge from low to high frequency",
        ("C1a", "C1d"),
        "Samples of a target as dots with the networks' fits at three moments; the target's "
        "spectrum with its peaks marked; a heat map with a row for each peak, in which the lowest "
        "turns from blue to red first and the highest last; below, the step at which each peak "
        "converges, seed by seed: in layers from low to high frequency for small initial weights, "
        "mixed up for large ones",
    ),
    FigureEntry(
        "02_image_memorization",
        "Fig. 2",
        "A network memorises an image from outline to detail",
        ("C2a", "C2b"),
        "A row of grey pictures: blurred blobs sharpen into the cameraman with face, camera and "
        "tripod, beside the target; below, in four panels, error curves of rings of spatial "
        "frequency, which fall one after the other for pictures from small and from large initial "
        "weights, slowly but in order for shuffled pixels from small ones, and all at once for "
        "shuffled pixels from large ones",
    ),
    FigureEntry(
        "03_spectral_norm_stability",
        "Fig. 3",
        "In a large network four peaks converge in order although the spectral norms hardly change",
        ("C9a", "C9b"),
        "A target with a fit, its spectrum with four peaks as black dots, and for a large and a "
        "small network the norms of the layers over training and a heat map of the four errors: "
        "the large network's norms stay at 1, the small one's grow, and in both the peaks turn "
        "red from low to high",
    ),
    FigureEntry(
        "04_high_frequency_oscillation",
        "Fig. 4",
        "Where high frequencies dominate, the low ones converge while oscillating",
        ("C13a", "C13b", "C14a", "C14b", "C14c", "C14d"),
        "Deviations of three peaks of one network over training, for two targets in which high "
        "frequencies dominate, with Adam and with momentum: the lowest overshoots and comes back "
        "while the higher ones converge; where low frequencies dominate, the higher amplitudes "
        "stay small until the lowest has converged; the numbers of oscillations seed by seed",
    ),
    FigureEntry(
        "05_large_initialization_failure",
        "text",
        "Large initial weights end the order and spoil generalisation",
        ("C4a", "C4b", "C7a", "C7b", "C15a", "C15b"),
        "A smooth and a wild fit through the same samples; the highest frequency learnt, which "
        "follows that of the data from small initial weights and not from large ones; spectra; "
        "test error and order against the spread of the initial weights",
    ),
    FigureEntry(
        "06_polynomial_versus_network",
        "text",
        "Through few samples polynomials usually oscillate where networks of many sizes stay flat",
        ("C3a", "C3b", "C3c", "C3d"),
        "A polynomial that oscillates between the samples beside a flat network; the maximum error "
        "of polynomials by degree; maps of the maximum error of networks of all sizes; on single "
        "sinusoids the polynomial is better at first, the network later",
    ),
    FigureEntry(
        "07_early_stopping",
        "text",
        "With noisy samples the best test error comes before the end: the noise is learnt last",
        ("C5a", "C5b"),
        "A noisy target fitted smoothly at the best step and raggedly at the end; the "
        "test error falls and rises again; bands of the noise are learnt from low to high",
    ),
    FigureEntry(
        "08_random_targets",
        "text",
        "On random data the order from low to high frequency is weaker, or gone",
        ("C6a", "C6b", "C6c"),
        "A random and a smooth target, heat maps in which both turn red from low to high, less "
        "sharply for the random one, and the order of convergence seed by seed, by three criteria "
        "of which one reverses the comparison",
    ),
    FigureEntry(
        "09_gradient_theory",
        "text",
        "Closed-form gradients: an exponential factor puts low frequencies first, up to a border",
        ("C10a", "C10b", "C10c", "C11a", "C15c", "C12a", "C12b"),
        "Gradients that fall exponentially with frequency, a map of which frequency has "
        "the larger gradient with the predicted border, Theorem 1 as curves that rise to 1 for "
        "small balls, and trained networks whose high frequencies are still small when the "
        "lowest has converged",
    ),
    FigureEntry(
        "10_spectral_bias_of_small_networks",
        "text",
        "Of several sinusoids, ReLU networks learn the lowest first; the norms of small networks "
        "grow",
        ("C1b", "C1c", "C8a", "C8b"),
        "Heat maps of sinusoids of which the lowest are learnt first, spectral norms that grow "
        "in the small network but not in a wide one while the loss falls, and the values that a "
        "released notebook would print, mostly far above the true norms",
    ),
    FigureEntry(
        "11_amplitude_versus_frequency",
        "text",
        "Which of two frequencies converges first: a map over frequency and amplitude",
        ("C11b", "C11c", "C11d"),
        "Two maps over frequency and amplitude: red where the low frequency converges first, blue "
        "where the high one does; the blue side is paler where both have the same absolute "
        "convergence criterion",
    ),
    FigureEntry(
        "12_explorer",
        "play",
        "Choose a target and networks, train them, and watch which frequencies come first",
        (),
        "Samples and the networks' fits, both spectra, and a heat map of the relative error over "
        "training in which the lower frequency turns red first",
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


def configure(
    notebook: str,
    *,
    profile: str | None,
    profiles: Mapping[str, Mapping[str, Any]],
    output_dir: str | Path,
    seed: int,
    num_seeds: int | None,
    device: str,
    **values: Any,
) -> Settings:
    """Settle the settings of a run: what the parameters leave open, the profile decides.

    Args:
        notebook: Name of the notebook, one of the registry `FIGURES`.
        profile: One of `PROFILES`; None takes the environment variable FPRIN_PROFILE, else
            "quick".
        profiles: For each profile the settings that depend on it.
        output_dir: Folder for the picture and its JSON, made when they are saved.
        seed: First seed of the ensemble.
        num_seeds: Number of seeds; None takes what the profile says, or as many as a comparison
            with the reference needs where the environment variable FPRIN_CHECK is set.
        device: "cpu" or "cuda".
        **values: The notebook's own settings; None takes what the profile says.

    Returns:
        The settings.

    Raises:
        ValueError: If a name is unknown, a setting stays open, or a common one is out of range.
    """
    check_choice("notebook", notebook, [entry.notebook for entry in FIGURES])
    if profile is None:
        profile = os.environ.get("FPRIN_PROFILE") or DEFAULT_PROFILE
    check_choice("profile", profile, PROFILES)
    check_mapping("profiles", profiles, "names to settings", least=0)
    if profile not in profiles:
        known = ", ".join(map(str, profiles))
        raise ValueError(f"profile {profile!r} has no settings in profiles; there are {known}")
    defaults = check_mapping(
        f"profiles[{profile!r}]", profiles[profile], "names to values", least=0
    )
    values = {"seed": seed, "num_seeds": num_seeds, "device": device} | values
    settled = {n: defaults.get(n) if value is None else value for n, value in values.items()}
    for name in sorted(set(defaults) - set(values)):
        raise ValueError(f"profile {profile!r} in profiles sets {name!r}, which is no parameter")
    for name, value in settled.items():
        if value is None:
            raise ValueError(f"{name} is None, and profile {profile!r} does not set it")
    settled["seed"] = check_whole("seed", settled["seed"])
    settled["num_seeds"] = check_whole("num_seeds", settled["num_seeds"], least=1)
    if os.environ.get(CHECKING) and num_seeds is None and profile == DEFAULT_PROFILE:
        settled["num_seeds"] = read_check_seeds(notebook) or settled["num_seeds"]
    settled = {name: check_plain(name, value) for name, value in settled.items()}
    if "threshold" in settled:
        settled["threshold"] = check_number(
            "threshold", settled["threshold"], "between 0 and 1", lambda share: 0 < share < 1
        )
    check_device(settled["device"])
    check_kind("output_dir", output_dir, (str, Path), "the name of a folder")
    return Settings(notebook, profile, Path(output_dir), settled)


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
    wall_started, cpu_started = settings.started
    trainings = {str(name): describe_training(run) for name, run in runs.items()}
    record = {
        "notebook": settings.notebook,
        "profile": settings.profile,
        "parameters": dict(settings.values),
        "trainings": trainings,
        "versions": {"python": platform.python_version()}
        | {package: version(package) for package in RECORDED_PACKAGES},
        "processor": read_processor(),
        "device": settings.device,
        "threads": torch.get_num_threads(),
        "code": read_commit() | {"digest": digest_code()},
        "seconds": round(time.perf_counter() - wall_started, 1),
        "cpu_seconds": round(time.process_time() - cpu_started, 1),
        "peak_memory_mb": measure_peak_memory(),
        "claims": [claim.to_dict() for claim in claims],
    }
    text = json.dumps(record, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    contents = {"json": text.encode("utf-8")}
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


def describe_training(run: TrainingRun) -> str:
    """Return what a run says of its networks, targets and optimiser, as one line."""
    return "; ".join(f"{name}: {value}" for name, value in run.description.items())


def read_processor() -> str:
    """Return the name of the processor and the instructions for which PyTorch has kernels."""
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        lines = info.read_text(encoding="utf-8", errors="replace").splitlines()
        models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
        name = next(iter(models), name)
    return f"{name}, {torch.backends.cpu.get_cpu_capability()}"


def read_commit() -> dict[str, Any]:
    """Return the commit of the checkout and whether its code differs from it; None for unknown."""
    root = Path(__file__).resolve().parent.parent

    def ask(*arguments: str) -> str | None:
        command = ["git", "-C", str(root), *arguments]
        try:
            ended = subprocess.run(command, capture_output=True, text=True, check=False)
        except OSError:
            return None
        return ended.stdout.strip() if ended.returncode == 0 else None

    changes = ask("status", "--porcelain", "--", "fprin_utils", "notebooks")
    is_dirty = None if changes is None else bool(changes)
    return {"commit": ask("rev-parse", "HEAD"), "differs_from_commit": is_dirty}


def digest_code() -> str | None:
    """Return a digest of the cells that this notebook has executed; None outside of one.

    The cell in which papermill injects parameters is left out: they are recorded by themselves.
    """
    shell = get_ipython()
    if shell is None:
        return None
    cells = [cell.strip() for cell in shell.user_ns.get("In", [])]
    code = "\n\n".join(cell for cell in cells if cell and not cell.startswith("# Parameters"))
    return f"sha256:{hashlib.sha256(code.encode('utf-8')).hexdigest()}"


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
    entry = next(entry for entry in FIGURES if entry.notebook == settings.notebook)
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=figure.dpi, metadata={"Software": None})
    return DisplayedFigure(drawn.getvalue(), entry.alt)


@dataclass(frozen=True)
class DisplayedFigure:
    """A picture as a notebook shows it; JupyterLab has no alternative text for pictures but HTML.

    Attributes:
        png: The picture.
        alt: Its alternative text.
    """

    png: bytes
    alt: str

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        return {
            "text/plain": self.alt,
            "text/html": make_image_tag(self.png, self.alt),
            "image/png": base64.b64encode(self.png).decode("ascii"),
        }


def make_image_tag(png: bytes, alt: str, *, style: str = "max-width:100%") -> str:
    """Return HTML that shows a picture, drawn at once where it replaces another.

    Args:
        png: The picture.
        alt: Its alternative text.
        style: CSS of the element.

    Returns:
        The element, with the picture in it.
    """
    content = base64.b64encode(png).decode("ascii")
    return (
        f'<img alt="{html.escape(alt)}" style="{style}" decoding="sync" '
        f'src="data:image/png;base64,{content}">'
    )


def measure_peak_memory() -> int:
    """Return the largest resident memory of this process so far, in MB."""
    if resource is None:
        return round(psutil.Process().memory_info().peak_wset / 2**20)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (2**20 if sys.platform == "darwin" else 2**10))
