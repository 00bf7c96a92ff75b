"""The Frequency Principle, measured: logic of the companion's notebooks.

Data flows one way: targets, networks -> training -> spectra -> claims -> plotting, figures.
Behind training stand backpropagation, optimizers and learners: how a step is taken.
Beside spectra stands theory, which needs no training.
"""

from importlib import import_module

from fprin_utils.claims import (
    SENTENCES,
    Claim,
    Identity,
    Tally,
    compute_kendall_tau,
    compute_share_interval,
    describe_outcomes,
    is_increasing,
    judge_order,
)
from fprin_utils.figures import (
    FIGURES,
    PROFILES,
    Settings,
    configure,
    save_figure,
    show_figure,
)
from fprin_utils.networks import ACTIVATIONS, INITIALIZATIONS, Ensemble
from fprin_utils.optimizers import OPTIMIZERS
from fprin_utils.plotting import (
    plot_against,
    plot_error_heatmap,
    plot_fits,
    plot_image,
    plot_map,
    plot_over_steps,
    plot_spectrum,
    use_style,
)
from fprin_utils.recording import TrainingRun, make_steps
from fprin_utils.spectra import (
    check_bins,
    compute_band_errors,
    compute_energy_above,
    compute_learnt_shares,
    compute_nonuniform_spectrum,
    compute_radial_bands,
    compute_relapse,
    compute_relative_error,
    compute_signed_deviation,
    compute_spectrum,
    estimate_steps_needed,
    find_convergence_step,
    find_excursions,
    find_first_step_below,
    find_flip,
    find_peaks,
    make_transform_kernel,
    take_at_steps,
    taper,
)
from fprin_utils.targets import (
    discretise,
    load_image,
    make_grid,
    make_image_coordinates,
    make_random,
    make_sinusoids,
    shuffle_pixels,
)
from fprin_utils.theory import (
    DECAY_RATES,
    ApproachFit,
    compute_log_gradients,
    compute_log_transforms,
    compute_priority_border,
    compute_transform,
    fit_approach,
    is_low_first,
    sample_ball,
)
from fprin_utils.training import train
from fprin_utils.verdicts import compare_claims, describe_claims

__all__ = [
    "ACTIVATIONS",
    "DECAY_RATES",
    "FIGURES",
    "INITIALIZATIONS",
    "OPTIMIZERS",
    "PRESETS",
    "PROFILES",
    "SENTENCES",
    "ApproachFit",
    "Claim",
    "Ensemble",
    "Experiment",
    "Explorer",
    "Identity",
    "MovingPicture",
    "Settings",
    "Tally",
    "TrainingRun",
    "check_bins",
    "compare_claims",
    "compute_band_errors",
    "compute_energy_above",
    "compute_kendall_tau",
    "compute_learnt_shares",
    "compute_log_gradients",
    "compute_log_transforms",
    "compute_nonuniform_spectrum",
    "compute_priority_border",
    "compute_radial_bands",
    "compute_relapse",
    "compute_relative_error",
    "compute_share_interval",
    "compute_signed_deviation",
    "compute_spectrum",
    "compute_transform",
    "configure",
    "describe_claims",
    "describe_outcomes",
    "discretise",
    "estimate_steps_needed",
    "explore_image",
    "explore_runs",
    "find_convergence_step",
    "find_excursions",
    "find_first_step_below",
    "find_flip",
    "find_peaks",
    "fit_approach",
    "is_increasing",
    "is_low_first",
    "judge_order",
    "load_image",
    "make_grid",
    "make_image_coordinates",
    "make_random",
    "make_sinusoids",
    "make_steps",
    "make_transform_kernel",
    "plot_against",
    "plot_error_heatmap",
    "plot_fits",
    "plot_image",
    "plot_map",
    "plot_over_steps",
    "plot_spectrum",
    "sample_ball",
    "save_figure",
    "show_figure",
    "shuffle_pixels",
    "take_at_steps",
    "taper",
    "train",
    "use_style",
]

# These are imported when they are first asked for: widgets take a quarter of a second, which who
# trains without them need not wait.
_WITH_WIDGETS = {
    "PRESETS": "experiments",
    "Experiment": "experiments",
    "Explorer": "explorer",
    "MovingPicture": "moving",
    "explore_image": "players",
    "explore_runs": "players",
}


def __getattr__(name: str) -> object:
    if name not in _WITH_WIDGETS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_WITH_WIDGETS[name]}"), name)
