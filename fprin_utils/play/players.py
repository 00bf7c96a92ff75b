"""Players of runs that have been made: a picture that moves, and sliders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import ipywidgets
import numpy as np

from fprin_utils.artists import make_image_tag
from fprin_utils.checks import check_kind, check_list, check_mapping, check_texts, tell
from fprin_utils.convergence import Convergence
from fprin_utils.play.moving import MovingPicture
from fprin_utils.play.views import (
    OCTAVES,
    PEAK_THRESHOLD,
    RING_THRESHOLD,
    View,
    view_curve,
    view_image,
)
from fprin_utils.training import TrainingRun


class Player:
    """A picture of a training, a slider over its records, and a button that plays them.

    Attributes:
        widget: What is shown.
    """

    def __init__(self) -> None:
        """Make the controls; there is nothing to play yet."""
        self.picture: MovingPicture | None = None
        # The widget for images has no alternative text.
        self.image = ipywidgets.HTML(layout=ipywidgets.Layout(width="100%"))
        self.play = ipywidgets.Play(interval=100, show_repeat=False)
        self.slider = ipywidgets.IntSlider(
            description="training", readout=False, layout=ipywidgets.Layout(flex="1 1 auto")
        )
        self.label = ipywidgets.Label()
        ipywidgets.jslink((self.play, "value"), (self.slider, "value"))
        self.slider.observe(lambda change: self._draw(change["new"]), "value")
        bar = ipywidgets.HBox(
            [self.play, self.slider, self.label], layout=ipywidgets.Layout(overflow="hidden")
        )
        self.widget = ipywidgets.VBox([self.image, bar], layout=ipywidgets.Layout(width="100%"))

    def show(self, picture: MovingPicture, run: TrainingRun, record: int) -> None:
        """Show a record.

        Args:
            picture: The picture on which it is drawn.
            run: The run so far.
            record: Which of its records to show.
        """
        self.picture, self.run = picture, run
        self.play.max = self.slider.max = len(run.steps) - 1
        if self.slider.value == record:
            self._draw(record)
        # A browser that comes to them anew gives the slider what the button has.
        self.play.value = self.slider.value = record

    def load(self, view: View, run: TrainingRun) -> None:
        """Show a finished run, half-way through its records or at the moment that was shown."""
        last = len(run.steps) - 1
        record = last // 2 if self.picture is None else min(self.slider.value, last)
        self.show(MovingPicture(view, run.steps), run, record)

    def _draw(self, record: int) -> None:
        if self.picture is None:
            return
        step = f"step {self.picture.steps[record]:,}"
        self.label.value = step
        alt = (
            f"At {step}: outputs of the networks beside their target, both spectra, and a heat map "
            "of the relative error of each frequency over training"
        )
        png = self.picture.draw(self.run, record)
        self.image.value = make_image_tag(png, alt, style="width:100%")


def explore_runs(
    runs: Mapping[Any, TrainingRun | Convergence],
    inputs: np.ndarray,
    targets: np.ndarray | Mapping[Any, np.ndarray],
    *,
    names: Sequence[str],
    bins: Sequence[int] | Mapping[Any, Sequence[int]] | None = None,
    curves: Mapping[str, np.ndarray] | None = None,
    threshold: float = PEAK_THRESHOLD,
) -> ipywidgets.Widget:
    """Return a player of runs, with a slider for each thing in which they differ.

    Args:
        runs: Runs on one-dimensional inputs, or what `measure_convergence` returned of them, by the
            value in which they differ, or by a tuple of values; then there is one for each
            combination.
        inputs: Training inputs, shape (N,).
        targets: Training targets, shape (N,), the same for all or by the keys of `runs`.
        names: What differs, a name for each value of a key.
        bins: Frequency indices whose errors are followed, the same for all or by the keys of
            `runs`; the peaks of the targets if left out.
        curves: Name of the further outputs that are drawn as curves, with their inputs.
        threshold: Relative error below which a frequency counts as learnt.

    Returns:
        The widget, to be shown as the last value of a cell.

    Raises:
        ValueError: If a combination has no run, or a target has no peak or nothing at a frequency
            that is to be followed.
    """
    shown = {}
    names = check_list("names", names, str, "texts")
    for key, run in check_mapping("runs", runs, "what differs to runs").items():
        if len(_as_tuple(key)) != len(names):
            raise ValueError(f"runs has the key {tell(key)} for the names {tell(names)}")
        target, followed = (
            _choose(name, each, key) for name, each in (("targets", targets), ("bins", bins))
        )
        view = view_curve(inputs, target, bins=followed, curves=curves, threshold=threshold)
        check_run(f"runs[{key!r}]", run, view)
        shown[_as_tuple(key)] = (view, run)
    values = [list(dict.fromkeys(key[place] for key in shown)) for place in range(len(names))]
    if missing := [key for key in product(*values) if key not in shown]:
        raise ValueError(f"there is no run for {missing[0]}; each combination must have one")
    choosers = [
        ipywidgets.SelectionSlider(
            options=[(str(value), value) for value in options],
            continuous_update=False,
            **make_label(name),
        )
        for name, options in zip(names, values, strict=True)
    ]
    player = Player()

    def choose(_: object = None) -> None:
        player.load(*shown[tuple(chooser.value for chooser in choosers)])

    for chooser in choosers:
        chooser.observe(choose, "value")
    choose()
    return ipywidgets.VBox([*choosers, player.widget])


def explore_image(
    run: TrainingRun,
    image: np.ndarray,
    *,
    band_edges: Sequence[float] = OCTAVES,
    threshold: float = RING_THRESHOLD,
) -> ipywidgets.Widget:
    """Return a player of a run on an image.

    Args:
        run: A run whose outputs are the pixels of the image, row by row.
        image: The image that was learnt, shape (H, H).
        band_edges: Edges of the rings whose errors are followed, in cycles per image.
        threshold: Relative error below which a ring counts as learnt.

    Returns:
        The widget, to be shown as the last value of a cell.

    Raises:
        ValueError: If the run and the image do not fit, or the image has nothing in a ring.
    """
    view, player = view_image(image, band_edges=band_edges, threshold=threshold), Player()
    check_run("run", run, view)
    player.load(view, run)
    return player.widget


def _choose(name: str, each: Any, key: Any) -> Any:
    """Return what belongs to a key, of values by key or of one for all."""
    if isinstance(each, Mapping) and key not in each:
        raise ValueError(f"{name} has nothing for the run {tell(key)}")
    return each[key] if isinstance(each, Mapping) else each


def check_run(name: str, run: TrainingRun | Convergence, view: View) -> None:
    """Raise a ValueError unless the outputs of a run are at the points of a view."""
    kinds = (TrainingRun, Convergence)
    check_kind(name, run, kinds if view.curves is None else TrainingRun, "a TrainingRun")
    if run.outputs.shape[2] != view.targets.size:
        raise ValueError(
            f"{name} has outputs at {run.outputs.shape[2]} points; the targets have "
            f"{view.targets.size}"
        )
    if view.curves and np.shape(run.further_outputs.get(view.curves))[2:3] != (
        view.curve_inputs.shape
    ):
        raise ValueError(f"{name} has no outputs at the points of curves[{view.curves!r}]")


def _as_tuple(key: Any) -> tuple:
    return key if isinstance(key, tuple) else (key,)


def make_label(name: str) -> dict[str, Any]:
    """Return what gives a control a name."""
    check_texts(name=name)
    return {"description": name, "style": {"description_width": "112px"}}
