"""Bad input to every public function: each call ends well, or in one line that names the argument.

A valid call of each function stands below. Its arguments are replaced one at a time by what they
should not be. What is then accepted without a word is listed, too, so that more is not.
"""

import inspect
import re
import threading
import time
import traceback
import warnings
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest

import fprin_utils as fp
from fprin_utils import (
    artists,
    charts,
    convergence,
    datasets,
    kernels,
    networks,
    oscillations,
    play,
    plotting,
    spectra,
    sweeps,
    targets,
    theory,
    verdicts,
)
from fprin_utils.build import readmes
from fprin_utils.engine.modules import SingleNetwork
from fprin_utils.play import players
from fprin_utils.play import views as views_module

mpl.use("agg")
PACKAGE = str(Path(fp.__file__).parent)
MODULES = (
    *(charts, convergence, datasets, kernels, networks, oscillations, players, plotting, readmes),
    *(spectra, sweeps, targets, theory, verdicts),
)
# Of processor time; on a busy machine a player alone takes one to be made.
SECONDS = 2.0

GRID = fp.make_grid(16)
TARGET = fp.make_sinusoids(GRID, [1, 3])
STEPS = np.array([0, 1, 10, 100])
ERRORS = np.linspace(1, 0.1, 4)[:, None] * np.ones(3)
SPECTRUM = fp.compute_spectrum(TARGET)
IMAGE = np.add.outer(np.sin(fp.make_grid(8)), np.sin(3 * fp.make_grid(8))) / 4 + 0.5
NEURONS = np.array([[0.5, 1.0, 0.2], [-0.3, 0.7, -0.1]])
CLAIM = fp.Claim("C1a", "a test", [True] * 8, {"tau": 1.0}, fp.Claim("C1a", "other", [False] * 8))
TALLY = fp.claims.Tally(7, 8, 8)
LABELS = {"xlabel": "a", "ylabel": "b"}
NOTEBOOK = "01_one_dimensional_peaks"
PARAMETERS = {
    "seed": 0,
    "num_seeds": {"quick": 2},
    "profile": "quick",
    "output_dir": "output",
    "device": "cpu",
    "threshold": 0.2,
    "widths": [4, 3],
}


@cache
def make_run(num_inputs=1):
    inputs, target = (GRID, TARGET) if num_inputs == 1 else (fp.make_image_coordinates(8), IMAGE)
    network = fp.Ensemble([4], seeds=[0, 1], num_inputs=num_inputs)
    options = {"num_steps": 5, "learning_rate": 1e-2, "progress": False}
    return fp.train(network, inputs, target.ravel(), **options)


@cache
def make_experiment():
    return play.Experiment(widths=(4,), num_steps=10, num_seeds=1, num_points=16)


@cache
def make_experiment_run():
    return make_experiment().train(progress=False)


def make_settings():
    return fp.configure(NOTEBOOK, PARAMETERS)


def configure_each(**parameters):
    """Configure with parameters that are spoilt one at a time."""
    return fp.configure(NOTEBOOK, parameters)


def fill_page(page, text):
    return readmes.fill_page(page, text, str)


def train():
    network = fp.Ensemble([4], seeds=[0, 1])
    return {
        "networks": network,
        "inputs": GRID,
        "targets": TARGET,
        "num_steps": 4,
        "learning_rate": 1e-3,
        "optimizer": "adam",
        "momentum": 0.5,
        "batch_size": 8,
        "record_at": [0, 2, 4],
        "further_inputs": {"fine": fp.make_grid(20)},
        "spectral_norms_at": [0, 4],
        "loss_tolerance": 1e-9,
        "progress": False,
        "on_progress": lambda step, _: step >= 4,
        "checkpoint": None,
        "checkpoint_seconds": 1.0,
    }


# A valid call of each function: its arguments by name, or what makes them.
CALLS = {
    fp.Claim: {
        "id": "C1a",
        "statement": "a test",
        "outcomes": [True, False],
        "effect": {"tau": 1.0},
        "control": CLAIM,
        "reached": [True, True],
        "remedy": "more steps",
    },
    fp.Ensemble: {
        "widths": [4, 3],
        "seeds": [0, 1],
        "activation": "tanh",
        "initialization": "normal",
        "init_std": 0.1,
        "gain": 1.0,
        "num_inputs": 1,
        "num_outputs": 1,
        "dtype": fp.Ensemble([1], seeds=[0]).dtype,
        "device": "cpu",
    },
    play.Experiment: {
        "target": ((1, 1.0), (2, 0.5)),
        "noise_std": 0.1,
        "num_points": 16,
        "widths": (4, 3),
        "activation": "tanh",
        "initialization": "normal",
        "init_std": 0.1,
        "optimizer": "adam",
        "learning_rate": 1e-3,
        "num_steps": 10,
        "num_seeds": 1,
        "seed": 0,
    },
    play.Explorer: lambda: {
        "experiment": make_experiment(),
        "run": make_experiment_run(),
        "settings": make_settings(),
    },
    fp.Identity: {
        "id": "C10a",
        "statement": "two formulas",
        "error": 1e-9,
        "tolerance": 1e-6,
        "effect": {"rate": 0.5},
        "control": fp.Identity("C10a", "another", 1.0, 1e-6),
    },
    fp.claims.Tally: {"successes": 3, "trials": 4, "seeds": 5},
    SingleNetwork: lambda: {"module": fp.Ensemble([2], seeds=[0])},
    fp.spectra.check_bins: {"target_spectrum": SPECTRUM, "bins": [1, 3]},
    fp.compute_band_errors: {
        "images": np.stack([IMAGE] * 2),
        "target_image": IMAGE,
        "edges": [1, 2, 4],
    },
    convergence.compute_filter_errors: {
        "inputs": IMAGE,
        "outputs": np.zeros((2, 8, 8)),
        "target": IMAGE,
        "delta": 0.5,
    },
    fp.compute_energy_above: {"values": np.stack([TARGET] * 2), "cut": 2},
    fp.compute_kendall_tau: {"values": ERRORS},
    fp.compute_learnt_shares: {
        "values": np.stack([TARGET] * 2),
        "component": TARGET,
        "edges": [1, 2, 4],
    },
    theory.compute_log_gradients: {
        "neurons": NEURONS,
        "frequencies": [1.0, 2.0],
        "target_transform": np.array([1.0, 0.5j]),
        "activation": "tanh",
    },
    theory.compute_log_transforms: {
        "neurons": NEURONS,
        "frequencies": [1.0, 2.0],
        "activation": "tanh",
    },
    theory.compute_priority_border: {
        "frequencies": [1.0, 2.0],
        "amplitude_ratio": np.array([0.5, 2.0]),
        "activation": "tanh",
    },
    fp.spectra.compute_radial_bands: {"images": IMAGE, "edges": [1, 2, 4]},
    fp.compute_error_rebound: {
        "steps": STEPS,
        "errors": ERRORS,
        "since": np.array([1.0, 10.0, np.inf]),
    },
    fp.compute_relative_error: {
        "spectrum": np.stack([SPECTRUM] * 2),
        "target_spectrum": SPECTRUM,
        "bins": [1, 3],
        "phase": True,
    },
    fp.claims.compute_share_interval: {"successes": 3, "trials": 4},
    fp.compute_signed_deviation: {
        "spectrum": np.stack([SPECTRUM] * 2),
        "target_spectrum": SPECTRUM,
        "bins": [1, 3],
    },
    fp.compute_spectrum: {"values": TARGET},
    theory.compute_transform: {"neurons": NEURONS, "frequencies": [1.0, 2.0], "activation": "tanh"},
    fp.configure: {"notebook": NOTEBOOK, "parameters": PARAMETERS},
    configure_each: PARAMETERS,
    datasets.arrange_images: lambda: {
        "dataset": datasets.load_dataset("faces"),
        "num_rows": 2,
        "num_columns": 3,
    },
    datasets.draw_subset: lambda: {
        "dataset": datasets.load_dataset("faces"),
        "num_samples": 3,
        "seed": [0, 1],
        "shuffle_labels": True,
    },
    fp.discretise: {"values": TARGET, "step_height": 0.5},
    fp.estimate_steps_needed: {"steps": STEPS, "errors": ERRORS, "threshold": 0.01},
    play.explore_image: lambda: {
        "run": make_run(2),
        "image": IMAGE,
        "band_edges": [1, 2, 4],
        "threshold": 0.5,
    },
    play.explore_runs: lambda: {
        "runs": {0: make_run()},
        "inputs": GRID,
        "targets": TARGET,
        "legend": "run",
        "bins": [1, 3],
        "curves": None,
        "threshold": 0.2,
    },
    datasets.encode_labels: {"labels": [0, 2, 1], "num_classes": 3, "centred": True},
    fp.spectra.filter_low_high: {"inputs": IMAGE, "values": IMAGE, "delta": 0.5},
    fp.find_convergence_step: {
        "steps": STEPS,
        "errors": ERRORS,
        "threshold": 0.5,
        "num_records": 2,
        "stopped": [True, False, False],
    },
    fp.find_oscillations: {"values": np.array([1.0, -0.5, 0.2]), "dead_band": 0.1},
    fp.oscillations.find_flip: {
        "positions": [1.0, 2.0, 3.0],
        "values": np.array([[1.0, 0.5, -1.0]]),
    },
    fp.find_peaks: {"spectrum": SPECTRUM, "num_peaks": 2, "min_share": 0.25},
    theory.fit_approach: {
        "radii": [1.0, 2.0, 3.0],
        "successes": [90, 60, 40],
        "trials": [100, 100, 100],
    },
    fp.convergence.is_increasing: {"values": ERRORS},
    theory.is_low_first: {
        "neurons": NEURONS,
        "frequencies": [1.0, 2.0],
        "target_transform": np.array([1.0, 0.5j]),
        "activation": "tanh",
    },
    fp.judge_order: {"steps": np.array([[1.0, 2.0, np.inf], [3.0, 2.0, 1.0]])},
    datasets.load_dataset: {"source": "digits", "part": "train", "num_samples": 3},
    fp.load_image: {"source": "camera", "size": 8},
    fp.make_grid: {"num_points": 8, "start": 0.0, "stop": 1.0, "endpoint": True},
    fp.make_image_coordinates: {"size": 4},
    fp.make_random: {"shape": (3, 2), "std": 1.0, "seed": 0},
    fp.make_sinusoids: {
        "grid": GRID,
        "frequencies": [1.0, 2.0],
        "amplitudes": [1.0, 0.5],
        "phases": [0.0, 1.0],
    },
    fp.make_steps: {"num_steps": 100, "num_records": 10, "spacing": "log"},
    kernels.compute_relu_kernel: {
        "inputs": GRID,
        "other_inputs": GRID,
        "width": 10,
        "weight_std": 1.0,
        "bias_std": 1.0,
        "outer_std": 1.0,
        "trained": ["weights", "biases"],
    },
    kernels.compute_tangent_kernel: lambda: {
        "networks": fp.Ensemble([4], seeds=[0, 1]),
        "inputs": GRID,
        "other_inputs": GRID,
    },
    kernels.predict_training: {
        "kernel": np.eye(16),
        "targets": TARGET,
        "initial": np.zeros(16),
        "steps": [0, 1, 10],
        "learning_rate": 0.1,
        "other_kernel": np.eye(16),
        "other_initial": np.zeros(16),
    },
    kernels.interpolate_by_lfp: {
        "points": GRID,
        "values": TARGET,
        "other_points": GRID,
        "cubic": 1.0,
        "linear": 1.0,
    },
    theory.make_transform_kernel: {"points": GRID, "frequencies": [1.0, 2.0]},
    fp.measure_convergence: {
        "steps": STEPS,
        "outputs": np.linspace(0, 1, 4)[:, None, None] * np.stack([TARGET] * 2),
        "target": TARGET,
        "bins": [1, 3],
        "threshold": 0.5,
        "stopped": [True, False],
    },
    fp.plot_against: {
        "settings": [0.1, 1.0],
        "values": {"test": np.ones((2, 3))},
        **LABELS,
        "log": True,
        "ax": None,
    },
    fp.plot_cases: {
        "values": {"test": np.ones(3)},
        "ylabel": "step",
        "level": 0.5,
        "log": True,
        "ax": None,
    },
    fp.plot_error_heatmap: {
        "steps": STEPS,
        "errors": ERRORS,
        "bins": [1, 2, 3],
        "threshold": 0.5,
        "marks": [1.0, 10.0, np.inf],
        "ax": None,
    },
    fp.plot_fits: {
        "inputs": GRID,
        "targets": TARGET,
        "fits": {"fit": np.ones((2, 20))},
        "fit_inputs": fp.make_grid(20),
        "ax": None,
    },
    fp.plot_image: {"image": IMAGE, "title": "an image", "ax": None},
    fp.plot_map: {
        "values": np.ones((2, 3)),
        "columns": [1, 2, 3],
        "rows": [1, 2],
        "limits": (0.1, 10),
        **LABELS,
        "label": "ratio",
        "marks": np.full((2, 3), "<"),
        "cmap": "viridis",
        "ax": None,
    },
    fp.plot_over_steps: {
        "steps": STEPS,
        "values": np.ones((4, 3, 2)),
        "labels": ["a", "b"],
        "ylabel": "error",
        "level": 0.5,
        "log": True,
        "ax": None,
    },
    fp.plot_spectrum: {
        "amplitudes": {"target": np.abs(SPECTRUM)},
        "frequencies": np.arange(9.0),
        "peaks": [1, 3],
        "marks": {"cut": 2.0},
        "log": False,
        "ax": None,
    },
    theory.sample_ball: {"num_samples": 3, "num_neurons": 2, "radius": 1.0, "seed": [0, 1]},
    fp.spectra.project: {"inputs": IMAGE, "values": IMAGE.T, "frequencies": [0.1, 0.2]},
    fp.save_figure: lambda: {
        "figure": make_figure(),
        "settings": make_settings(),
        "claims": [CLAIM],
        "runs": {"a": make_run()},
    },
    fp.show_figure: lambda: {"figure": make_figure(), "settings": make_settings()},
    fp.shuffle_pixels: {"image": IMAGE, "seed": 0},
    fp.take_at_steps: {"steps": STEPS, "values": ERRORS, "at": np.array([1.0, 10.0, np.inf])},
    fp.spectra.taper: {"values": TARGET},
    fp.sweep: {"function": lambda **setting: setting, "settings": {"k": [1, 2]}, "client": None},
    fp.train: train,
    fp.use_style: {},
    artists.make_edges: {"positions": np.array([1.0, 2.0, 4.0])},
    fp.compare_claims: {"claims": [CLAIM], "reference": verdicts.Reference({})},
    fp.describe_outcomes: {"outcomes": [True, False], "reached": [True, True]},
    fp.describe_claims: {"claims": [CLAIM], "reference": verdicts.Reference({})},
    verdicts.sum_tallies: {"tallies": [TALLY, TALLY]},
    verdicts.read_reference: {},
    verdicts.select_own: {"values": {"seed": 0}},
    verdicts.find_reference: {
        "notebook": "01_one_dimensional_peaks",
        "profile": "quick",
        "values": {"seed": 0},
    },
    verdicts.read_check_seeds: {"notebook": "01_one_dimensional_peaks"},
    readmes.summarise_verdicts: {"verdicts": ["holds", "fails"]},
    verdicts.describe_effect: {"effect": {"tau": 1.0}, "say": str},
    verdicts.start_table: {"header": ["a", "b"]},
    verdicts.format_row: {"cells": ["a", "b"]},
    readmes.read_address: {},
    readmes.make_binder_link: {"notebook": "01"},
    readmes.make_app_link: {"notebook": "01"},
    readmes.make_say: {"language": "en"},
    readmes.find_table: {"text": "<!-- a -->\nx\n<!-- end of a -->", "name": "a"},
    fill_page: {
        "page": "README.md",
        "text": "<!-- sentences -->\nx\n<!-- end of sentences -->",
    },
    readmes.set_address: {"address": "https://github.com/some-one/name"},
    views_module.view_curve: {
        "inputs": GRID,
        "targets": TARGET,
        "bins": [1, 3],
        "curve_inputs": fp.make_grid(20),
        "curve_name": "curve_inputs",
        "threshold": 0.2,
    },
    views_module.view_image: {"image": IMAGE, "band_edges": [1, 2, 4], "threshold": 0.5},
}


def make_figure():
    return mpl.figure.Figure(figsize=(1, 1))


BAD = {
    "an object": object(),
    "a text": "many",
    "an empty text": "",
    "None": None,
    "a mapping": {"a": 1},
    "a function": len,
    "a class": int,
    "a 0-d array": np.array(0.5),
    "an empty array": np.zeros(0),
    "an empty list": [],
    "six axes": np.ones((2,) * 6),
    "seven numbers": np.linspace(0.1, 1, 7),
    "nan": np.nan,
    "inf": np.inf,
    "-inf": -np.inf,
    "a complex number": 1j,
    "-1": -1,
    "-0.5": -0.5,
    "0": 0,
    "0.5": 0.5,
    "True": True,
    "False": False,
    "10**9": 10**9,
    "10**400": 10**400,
    "1e300": 1e300,
}


def is_numeric(value):
    if not isinstance(value, (np.ndarray, list, tuple, range)):
        return False
    try:
        return np.asarray(value).dtype.kind in "biufc"
    except ValueError:
        return False


def spoil(value):
    """Return what an argument should not be, by what is bad about it."""
    bad = dict(BAD)
    if isinstance(value, Mapping):
        bad["no entries"] = {}
        for key, entry in list(value.items())[:1]:
            bad["a number as key"] = {**value, 3: entry}
            bad |= {
                f"[{key!r}] {kind}": {**value, key: each} for kind, each in spoil(entry).items()
            }
    elif is_numeric(value):
        array = np.asarray(value)
        bad |= {
            "complex": array + 1j,
            "negated": 0.0 - array,
            "zeros": np.zeros_like(array),
            "all 10**9": np.full(array.shape, 10**9),
            "all 1e300": np.full(array.shape, 1e300),
            "texts": array.astype(str),
            "objects": np.full(array.shape, object()),
            "booleans": array != 0,
            "two more axes": array[None, None],
            "backwards": array[..., ::-1],
            "shorter": array[..., :-1],
            "longer": np.concatenate([array, array[..., -1:]], axis=-1),
            "a row less": array[:-1],
            "a row more": np.concatenate([array, array[-1:]]),
            "ragged": [*array.tolist()[:1], array.tolist()],
        }
        for kind, odd in {"nan": np.nan, "inf": np.inf, "None": None, "-1": -1, "0.5": 0.5}.items():
            spoiled = array.astype(object if odd is None else np.result_type(array, type(odd)))
            spoiled[(-1,) * array.ndim] = odd
            bad[f"{kind} in it"] = spoiled
    elif isinstance(value, (list, tuple)):
        bad |= {"objects": [object()], "texts": ["many"], "numbers": [1], "None in it": [None]}
    if callable(value):
        # Nobody can tell one function from another.
        bad = {kind: each for kind, each in bad.items() if not callable(each)}
    return bad


def make_arguments(function):
    arguments = CALLS[function]
    return dict(arguments() if callable(arguments) else arguments)


# Each of these draws for a while what is accepted; so what is only another number is left out.
SLOW = (play.explore_image, play.explore_runs)
HARMLESS = ("booleans", "backwards", "negated", "-1 in it", "0.5 in it", "10**9", "1e300")
# What a message may call an argument.
WORDS = {
    "band_edges": ["edges"],
    "bins": ["a bin", "bin"],
    "client": ["scheduler"],
    "images": ["edges"],
    "parameters": ["seed"],
    "target_spectrum": ["the target"],
    "values": ["cut"],
    "edges": ["an edge"],
    "fit_inputs": ["inputs"],
    "image": ["target_image"],
    "module": ["networks"],
    "name": ["the table"],
    "peaks": ["a peak"],
    "seeds": ["a seed"],
    "target": ["frequency", "amplitude", "outputs"],
    "text": ["the text"],
    "targets": ["the target"],
    "widths": ["a width"],
}
FURTHER_ERRORS = {fp.train: FloatingPointError, fp.sweep: RuntimeError}


def name_of(function):
    return f"{function.__module__.removeprefix('fprin_utils.')}.{function.__name__}"


def watch():
    return set(plt.get_fignums()), set(Path().rglob("*")), threading.active_count()


def judge(function, name, arguments):
    """Call a function; return `accepted`, `clear`, or what is wrong with its error."""
    before, started = watch(), time.process_time()
    try:
        function(**arguments)
    except Exception as error:
        seconds, outcome = time.process_time() - started, describe(error, function, name)
        if watch() != before:
            outcome = "leaves a figure, file or thread behind"
    else:
        seconds, outcome = time.process_time() - started, "accepted"
    plt.close("all")
    return outcome if seconds < SECONDS else f"took {seconds:.1f} s"


def describe(error, function, name):
    message = str(error)
    told = f"{type(error).__name__}: {message[:150]}"
    frames = traceback.extract_tb(error.__traceback__)
    if not isinstance(
        error,
        (
            ValueError,
            TypeError,
            *([FURTHER_ERRORS[function]] if function in FURTHER_ERRORS else []),
        ),
    ):
        return f"raises {told}"
    if not frames[-1].filename.startswith(PACKAGE):
        return f"from inside a library: {told}"
    if "\n" in message or len(message) > 600:
        return f"has more than a line: {told!r}"
    words = (name, *WORDS.get(name, ()))
    if not any(re.search(rf"\b{word}\b", message) for word in words):
        return f"does not name it: {told}"
    return "clear"


def judge_all(function):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        function(**make_arguments(function))
        plt.close("all")
        for name, value in make_arguments(function).items():
            for kind, bad in spoil(value).items():
                if function in SLOW and kind in HARMLESS:
                    continue
                yield name, kind, judge(function, name, make_arguments(function) | {name: bad})


# Bad for nearly every argument: wrong types, and numbers that are none.
NEVER = {
    *("an object", "a function", "a class", "a complex number", "nan", "inf", "-inf", "10**400"),
    *("a text", "an empty text", "None", "a mapping", "True", "False", "a number as key"),
    *("a 0-d array", "an empty array", "an empty list", "no entries", "numbers"),
    *("complex", "all 1e300", "texts", "objects", "ragged", "nan in it", "inf in it", "None in it"),
}
KEYS = "a number as key"  # A label or a key of any type.
UNUSED = {"no entries", "a mapping", "[", KEYS}  # Only what is asked for is looked at.
PLAIN = {"a mapping", "no entries", "['tau']", "['rate']", "['seed']"}  # Whatever JSON can hold.
GAPS = {"nan in it", "inf in it"}  # Gaps in a curve, steps that never came, grey cells.
NONE_OF_THEM = {"an empty array", "an empty list", "no entries"}
# Where it is right to accept them; no entry means that they are refused.
RIGHT = {
    "Claim.effect": PLAIN,
    "Identity.effect": PLAIN,
    "Identity.error": {"inf"},
    "compare_claims.claims": NONE_OF_THEM,
    "compute_kendall_tau.values": {"inf in it"},
    "compute_log_gradients.target_transform": {"complex"},
    "compute_priority_border.amplitude_ratio": {"a 0-d array", "True", *NONE_OF_THEM},
    "compute_error_rebound.since": GAPS,
    "configure.parameters": {KEYS},
    "configure_each.num_seeds": {KEYS},
    "configure_each.profile": {"None", "an empty text"},
    "configure_each.widths": {
        *("a text", "an empty text", "a mapping", "an empty list", "None", "True", "False"),
        *("10**400", "ragged"),
    },
    "describe_claims.claims": NONE_OF_THEM,
    "describe_effect.effect": PLAIN,
    "discretise.values": {"a 0-d array", "True", "False", *NONE_OF_THEM},
    "explore_runs.runs": {KEYS},
    "find_convergence_step.errors": GAPS,
    "find_flip.values": GAPS,
    "find_reference.values": PLAIN,
    "format_row.cells": {"texts"},
    "is_increasing.values": {"inf in it"},
    "is_low_first.target_transform": {"complex"},
    "judge_order.steps": {"inf in it"},
    "plot_against.values": {KEYS, "['test'] nan in it", "['test'] inf in it"},
    "plot_cases.values": {
        *(KEYS, "['test'] an empty array", "['test'] an empty list"),
        *("['test'] nan in it", "['test'] inf in it"),
    },
    "plot_error_heatmap.bins": {"texts", "all 1e300", *GAPS},
    "plot_error_heatmap.errors": GAPS,
    "plot_error_heatmap.marks": GAPS,
    "plot_fits.fits": {KEYS, "no entries", "['fit'] nan in it", "['fit'] inf in it"},
    "plot_map.values": GAPS,
    "plot_over_steps.values": GAPS,
    "plot_spectrum.amplitudes": {KEYS, "['target'] nan in it", "['target'] inf in it"},
    "plot_spectrum.marks": {KEYS, "a mapping", "no entries"},
    "plot_spectrum.peaks": NONE_OF_THEM,
    "save_figure.claims": NONE_OF_THEM,
    "save_figure.runs": {KEYS, "no entries"},
    "select_own.values": UNUSED,
    "start_table.header": {"texts"},
    "sweep.settings": {"['k'] ragged", "['k'] None in it"},
    "take_at_steps.at": GAPS,
    "take_at_steps.values": GAPS,
    "train.checkpoint": {"a text"},
    "train.further_inputs": {KEYS, "no entries"},
    "train.spectral_norms_at": NONE_OF_THEM,
    # Spectra are complex.
    "check_bins.target_spectrum": {"complex"},
    "compute_relative_error.spectrum": {"complex"},
    "compute_relative_error.target_spectrum": {"complex"},
    "compute_signed_deviation.spectrum": {"complex"},
    "compute_signed_deviation.target_spectrum": {"complex"},
    "find_peaks.spectrum": {"complex"},
}


def is_right(function, name, kind, value):
    """Tell whether an argument may be what is bad for most."""
    if kind.split("] ")[-1] not in NEVER:
        return True
    parameter = inspect.signature(function).parameters.get(name)
    if kind == "None" and parameter is not None:
        return parameter.default is None or "None" in str(parameter.annotation)
    of_its_kind = {str: ("a text", "an empty text"), bool: ("True", "False")}
    right = RIGHT.get(f"{function.__name__}.{name}", ())
    return kind in of_its_kind.get(type(value), ()) or any(
        kind == each or (each.startswith("[") and kind.startswith(each)) for each in right
    )


# They hold what the package makes, say so, and check nothing; or have nothing to check.
EXEMPT = {
    *(
        theory.ApproachFit,
        fp.convergence.Convergence,
        fp.figures.Settings,
        fp.TrainingRun,
        verdicts.Reference,
    ),
    *(networks.Activation, datasets.Dataset),
    *(readmes.main, readmes.collect_texts, readmes.update_readmes),
    *(readmes.format_agreement_table, readmes.format_steadiness_table),
    *(readmes.format_cluster_table, readmes.format_sweeps_table),
    # They take what `make_say` returns.
    *(readmes.format_notebooks_table, readmes.format_gallery, readmes.format_sentences_table),
    *(readmes.format_claims_table, readmes.format_speed_table, readmes.format_full_length),
    readmes.fill_page,
}


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    """Work in a folder of its own, with a copy of what has the public address."""
    for name in ("pyproject.toml", *readmes.PAGES, "CITATION.cff"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes((readmes.ROOT / name).read_bytes())
    monkeypatch.setattr(readmes, "ROOT", tmp_path)
    monkeypatch.setattr(readmes, "NOTEBOOKS", tmp_path / "notebooks")
    monkeypatch.setenv("FPRIN_SWEEPS", "")
    monkeypatch.chdir(tmp_path)
    yield
    plt.close("all")


@pytest.mark.parametrize("function", CALLS, ids=lambda function: function.__name__)
def test_bad_input_ends_well_or_in_a_line_that_names_it(function):
    valid, wrong = make_arguments(function), []
    for name, kind, outcome in judge_all(function):
        if outcome == "accepted" and not is_right(function, name, kind, valid[name]):
            outcome = "accepted, though it is never right"
        if outcome not in ("accepted", "clear"):
            wrong.append(f"{name}, {kind}: {outcome}")
    assert not wrong, "\n".join(wrong)


def test_every_public_function_is_called_with_all_of_its_arguments():
    public = {getattr(fp, name) for name in fp.__all__ if callable(getattr(fp, name))}
    for module in MODULES:
        public |= {
            each
            for name, each in vars(module).items()
            if (inspect.isfunction(each) or inspect.isclass(each))
            and each.__module__ == module.__name__
            and not name.startswith("_")
        }
    assert public - CALLS.keys() - EXEMPT == set()
    for function in CALLS:
        named = {
            name
            for name, parameter in inspect.signature(function).parameters.items()
            if parameter.kind is not parameter.VAR_KEYWORD
        }
        assert named <= make_arguments(function).keys(), function.__name__
