"""The player and the explorer: a training that moves, for `from fprin_utils import play`."""

from fprin_utils.play.experiments import PRESETS, Experiment
from fprin_utils.play.explorer import Explorer, draw_experiment
from fprin_utils.play.players import explore_image, explore_runs

__all__ = [
    "PRESETS",
    "Experiment",
    "Explorer",
    "draw_experiment",
    "explore_image",
    "explore_runs",
]
