"""The player and the explorer: a training that moves, for `from fprin_utils import play`."""

from fprin_utils.play.experiments import PRESETS, Experiment
from fprin_utils.play.explorer import Explorer
from fprin_utils.play.moving import MovingPicture
from fprin_utils.play.players import explore_image, explore_runs

__all__ = [
    "PRESETS",
    "Experiment",
    "Explorer",
    "MovingPicture",
    "explore_image",
    "explore_runs",
]
