"""The Frequency Principle, measured: logic of the companion's notebooks.

Data flows one way: targets, networks -> training -> spectra -> claims -> plotting, figures.
"""

from fprin_utils.claims import (
    Claim,
    compute_kendall_tau,
    compute_wilson_interval,
    describe_claims,
    is_increasing,
)
from fprin_utils.explorer import explore_images, explore_run
from fprin_utils.figures import FIGURES, PROFILES, Settings, configure, save_figure
from fprin_utils.networks import ACTIVATIONS, INITIALIZATIONS, Ensemble
from fprin_utils.plotting import (
    plot_against,
    plot_error_heatmap,
    plot_fits,
    plot_image,
    plot_over_steps,
    plot_spectrum,
    use_style,
)
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
    find_convergence_step,
    find_excursions,
    find_first_step_below,
    find_peaks,
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
from fprin_utils.training import (
    OPTIMIZERS,
    TrainingRun,
    make_steps,
    train,
)

__all__ = [
    "ACTIVATIONS",
    "FIGURES",
    "INITIALIZATIONS",
    "OPTIMIZERS",
    "PROFILES",
    "Claim",
    "Ensemble",
    "Settings",
    "TrainingRun",
    "check_bins",
    "compute_band_errors",
    "compute_energy_above",
    "compute_kendall_tau",
    "compute_learnt_shares",
    "compute_nonuniform_spectrum",
    "compute_radial_bands",
    "compute_relapse",
    "compute_relative_error",
    "compute_signed_deviation",
    "compute_spectrum",
    "compute_wilson_interval",
    "configure",
    "describe_claims",
    "discretise",
    "explore_images",
    "explore_run",
    "find_convergence_step",
    "find_excursions",
    "find_first_step_below",
    "find_peaks",
    "is_increasing",
    "load_image",
    "make_grid",
    "make_image_coordinates",
    "make_random",
    "make_sinusoids",
    "make_steps",
    "plot_against",
    "plot_error_heatmap",
    "plot_fits",
    "plot_image",
    "plot_over_steps",
    "plot_spectrum",
    "save_figure",
    "shuffle_pixels",
    "take_at_steps",
    "taper",
    "train",
    "use_style",
]
