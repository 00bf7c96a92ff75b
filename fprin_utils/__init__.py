"""The Frequency Principle, measured: what the companion's notebooks are written with.

Data flows one way: targets, networks -> training -> spectra, convergence, oscillations -> claims,
verdicts -> plotting, charts, figures. Beside targets stand datasets, which are read and not made,
beside training sweeps, which repeat it over many settings, and beside spectra theory and kernels,
which need no training. Behind these front rooms lie engine (how training is fast and hard to kill),
play (players and the explorer) and build (regenerating figures and filling READMEs).

A room is imported when the first of its names is used, so that a process that needs none of them,
such as one that watches over notebooks, stays small.
"""

import lazy_loader

_NAMES = {
    "targets": (
        *("discretise", "load_image", "make_grid", "make_image_coordinates", "make_random"),
        *("make_sinusoids", "shuffle_pixels"),
    ),
    "datasets": (),
    "networks": ("ACTIVATIONS", "Ensemble"),
    "training": ("TrainingRun", "make_steps", "train"),
    "sweeps": ("sweep",),
    "spectra": (
        *("compute_band_errors", "compute_energy_above", "compute_learnt_shares"),
        *("compute_relative_error", "compute_signed_deviation", "compute_spectrum", "find_peaks"),
    ),
    "convergence": (
        *("compute_kendall_tau", "estimate_steps_needed", "find_convergence_step"),
        *("judge_order", "measure_convergence"),
    ),
    "oscillations": ("compute_error_rebound", "find_oscillations", "take_at_steps"),
    "theory": (),
    "kernels": (),
    "claims": ("Claim", "Identity", "describe_outcomes"),
    "verdicts": ("compare_claims", "describe_claims"),
    "plotting": (
        *("plot_error_heatmap", "plot_fits", "plot_image", "plot_over_steps", "plot_spectrum"),
        "use_style",
    ),
    "charts": ("plot_against", "plot_cases", "plot_map"),
    "figures": ("configure", "save_figure", "show_figure"),
}

__getattr__, __dir__, _ = lazy_loader.attach(__name__, _NAMES, _NAMES)
__all__ = sorted(name for names in _NAMES.values() for name in names)
