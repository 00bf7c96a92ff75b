import ipywidgets
import numpy as np
import pytest
from widget_tools import decode, find, take_picture

import fprin_utils as fp
from fprin_utils import play
from fprin_utils.play.views import view_curve

GRID = fp.make_grid(24)
TARGET = fp.make_sinusoids(GRID, [1, 3])


def make_run(seeds=(0, 1), **settings):
    settings = {"num_steps": 30, "learning_rate": 1e-2, "progress": False} | settings
    return fp.train(fp.Ensemble([6], seeds=list(seeds), init_std=0.5), GRID, TARGET, **settings)


def test_the_slider_goes_over_all_records_of_a_run():
    run = make_run()
    widget = play.explore_runs({"all": run}, GRID, TARGET, names=["run"])
    slider = find(widget, ipywidgets.IntSlider)
    assert (slider.min, slider.max) == (0, len(run.steps) - 1)
    label = find(widget, ipywidgets.Label)
    picture = play.MovingPicture(view_curve(GRID, TARGET), run.steps)
    for record in (0, len(run.steps) - 1):
        slider.value = record
        assert label.value == f"step {run.steps[record]}"
        assert f'alt="At step {run.steps[record]}: ' in take_picture(widget)
        assert decode(take_picture(widget)) == picture.draw(run, record)


def test_a_player_opens_half_way_through_the_training():
    run = make_run()
    widget = play.explore_runs({"all": run}, GRID, TARGET, names=["run"])
    half = (len(run.steps) - 1) // 2
    assert 0 < half < len(run.steps) - 1
    assert find(widget, ipywidgets.IntSlider).value == half
    assert find(widget, ipywidgets.Play).value == half
    assert find(widget, ipywidgets.Label).value == f"step {run.steps[half]}"
    picture = play.MovingPicture(view_curve(GRID, TARGET), run.steps)
    assert decode(take_picture(widget)) == picture.draw(run, half)


def test_a_player_of_an_image_opens_half_way_too():
    image = fp.load_image("camera", size=8)
    networks = fp.Ensemble([6], seeds=[0], num_inputs=2)
    options = {"num_steps": 9, "learning_rate": 1e-2, "progress": False}
    run = fp.train(networks, fp.make_image_coordinates(8), image.ravel(), **options)
    slider = find(play.explore_image(run, image), ipywidgets.IntSlider)
    assert slider.value == (len(run.steps) - 1) // 2 > 0


def test_sliders_choose_among_runs_and_keep_the_moment():
    runs = {(std, i): make_run(seeds=[i], num_steps=9 + i) for std in (0.1, 0.5) for i in (0, 1)}
    targets = {key: TARGET * (1 + key[0]) for key in runs}
    widget = play.explore_runs(runs, GRID, targets, names=["initial std", "seed"])
    moment = find(widget, ipywidgets.IntSlider)
    moment.value = 4
    before = take_picture(widget)
    chosen = find(widget, ipywidgets.SelectionSlider, "initial std")
    assert [value for _, value in chosen.options] == [0.1, 0.5]
    chosen.value = 0.5
    find(widget, ipywidgets.SelectionSlider, "seed").value = 1
    assert moment.value == 4
    assert moment.max == len(runs[0.5, 1].steps) - 1
    assert take_picture(widget) != before
    picture = play.MovingPicture(view_curve(GRID, targets[0.5, 1]), runs[0.5, 1].steps)
    assert decode(take_picture(widget)) == picture.draw(runs[0.5, 1], 4)


def test_errors_are_followed_where_they_are_asked_for():
    run = make_run()
    pictures = [
        take_picture(play.explore_runs({"": run}, GRID, TARGET, names=["run"], bins=bins))
        for bins in (None, [1, 3], [1, 2, 3][::2], {"": [3]})
    ]
    assert pictures[0] == pictures[1] == pictures[2] != pictures[3]


def test_the_threshold_moves_the_marks():
    run = make_run(num_steps=200)
    pictures = {
        take_picture(play.explore_runs({"": run}, GRID, TARGET, names=["run"], threshold=threshold))
        for threshold in (0.2, 0.9)
    }
    assert len(pictures) == 2


def test_curves_are_drawn_at_further_points():
    fine = fp.make_grid(200)
    run = make_run(further_inputs={"fine": fine})
    coarse = play.explore_runs({"": run}, GRID, TARGET, names=["run"])
    smooth = play.explore_runs({"": run}, GRID, TARGET, names=["run"], curves={"fine": fine})
    assert take_picture(coarse) != take_picture(smooth)


def test_an_image_is_played_too():
    image = fp.load_image("camera", size=8)
    run = fp.train(
        fp.Ensemble([6], seeds=[0], num_inputs=2),
        *(fp.make_image_coordinates(8), image.ravel()),
        num_steps=5,
        learning_rate=1e-2,
        progress=False,
    )
    widget = play.explore_image(run, image)
    before = take_picture(widget)
    find(widget, ipywidgets.IntSlider).value = 0
    assert take_picture(widget) != before


def test_what_cannot_be_played_is_named():
    run = make_run()
    with pytest.raises(ValueError, match=r"no run for \(1, 1\)"):
        play.explore_runs({(0, 0): run, (0, 1): run, (1, 0): run}, GRID, TARGET, names=["a", "b"])
    with pytest.raises(ValueError, match="num_peaks"):
        play.explore_runs({"flat": run}, GRID, np.ones(24), names=["run"])
    with pytest.raises(ValueError, match=r"runs has the key 'flat' for the names \['a', 'b'\]"):
        play.explore_runs({"flat": run}, GRID, TARGET, names=["a", "b"])
    with pytest.raises(ValueError, match="targets has nothing for the run 1"):
        play.explore_runs({0: run, 1: run}, GRID, {0: TARGET}, names=["run"])
    with pytest.raises(
        ValueError, match=r"runs\[0\] has outputs at 24 points; the targets have 12"
    ):
        play.explore_runs({0: run}, GRID[::2], TARGET[::2], names=["run"], bins=[1])
    with pytest.raises(
        ValueError, match=r"runs\[0\] has no outputs at the points of curves\['x'\]"
    ):
        play.explore_runs({0: run}, GRID, TARGET, names=["run"], curves={"x": GRID})
    with pytest.raises(ValueError, match="a record after step 0"):
        play.explore_runs({"": make_run(num_steps=0)}, GRID, TARGET, names=["run"])
