"""The Frequency Principle, measured: what the companion's notebooks are written with.

Data flows one way: targets, networks -> training -> spectra, convergence, oscillations -> claims,
verdicts -> plotting, charts, figures. Beside targets stand datasets, which are read and not made,
and beside spectra theory and kernels, which need no training. Behind these front rooms lie engine
(how training is fast and hard to kill), play (players and the explorer) and build (regenerating
figures and filling READMEs).
"""

from fprin_utils import datasets as datasets
from fprin_utils import kernels as kernels
from fprin_utils import theory as theory
from fprin_utils.charts import plot_against, plot_cases, plot_map
from fprin_utils.claims import Claim, Identity, describe_outcomes
from fprin_utils.convergence import (
    Convergence,
    compute_kendall_tau,
    estimate_steps_needed,
    find_convergence_step,
    judge_order,
    measure_convergence,
)
from fprin_utils.figures import configure, save_figure, show_figure
from fprin_utils.networks import ACTIVATIONS, Ensemble
from fprin_utils.oscillations import compute_error_rebound, find_oscillations, take_at_steps
from fprin_utils.plotting import (
    plot_error_heatmap,
    plot_fits,
    plot_image,
    plot_over_steps,
    plot_spectrum,
    use_style,
)
from fprin_utils.spectra import (
    compute_band_errors,
    compute_energy_above,
    compute_learnt_shares,
    compute_relative_error,
    compute_signed_deviation,
    compute_spectrum,
    find_peaks,
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
from fprin_utils.training import TrainingRun, make_steps, train
from fprin_utils.verdicts import compare_claims, describe_claims

__all__ = [
    "ACTIVATIONS",
    "Claim",
    "Convergence",
    "Ensemble",
    "Identity",
    "TrainingRun",
    "compare_claims",
    "compute_band_errors",
    "compute_energy_above",
    "compute_error_rebound",
    "compute_kendall_tau",
    "compute_learnt_shares",
    "compute_relative_error",
    "compute_signed_deviation",
    "compute_spectrum",
    "configure",
    "describe_claims",
    "describe_outcomes",
    "discretise",
    "estimate_steps_needed",
    "find_convergence_step",
    "find_oscillations",
    "find_peaks",
    "judge_order",
    "load_image",
    "make_grid",
    "make_image_coordinates",
    "make_random",
    "make_sinusoids",
    "make_steps",
    "measure_convergence",
    "plot_against",
    "plot_cases",
    "plot_error_heatmap",
    "plot_fits",
    "plot_image",
    "plot_map",
    "plot_over_steps",
    "plot_spectrum",
    "save_figure",
    "show_figure",
    "shuffle_pixels",
    "take_at_steps",
    "train",
    "use_style",
]
