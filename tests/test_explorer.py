import ipywidgets
import matplotlib as mpl
import numpy as np

import fprin_utils as fp

mpl.use("agg")


def find_slider(widget):
    (slider,) = [
        child for child in widget.children if isinstance(child, ipywidgets.SelectionSlider)
    ]
    return slider


def shown_errors(widget):
    (output,) = [child for child in widget.children if isinstance(child, ipywidgets.Output)]
    return [entry for entry in output.outputs if entry["output_type"] == "error"]


def test_the_slider_goes_over_all_records_of_a_run():
    grid = fp.make_grid(12)
    networks = fp.Ensemble([4], seeds=[0, 1])
    run = fp.train(networks, grid, np.sin(grid), num_steps=9, learning_rate=1e-2, progress=False)
    widget = fp.explore_run(run, grid, np.sin(grid))
    slider = find_slider(widget)
    assert [label for label, _ in slider.options] == [str(step) for step in run.steps]
    slider.value = len(run.steps) - 1
    assert not shown_errors(widget)


def test_the_slider_goes_over_all_pictures():
    widget = fp.explore_images([0, 5, 7], np.zeros((3, 4, 4)), np.ones((4, 4)))
    slider = find_slider(widget)
    assert [label for label, _ in slider.options] == ["0", "5", "7"]
    slider.value = 2
    assert not shown_errors(widget)
