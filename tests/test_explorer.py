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


def record_calls(monkeypatch, name):
    """Let a function of the explorer note its arguments, and draw nothing."""
    calls = []
    monkeypatch.setattr(fp.explorer, name, lambda *arguments, **_: calls.append(arguments))
    return calls


def test_the_slider_goes_over_all_records_of_a_run(monkeypatch):
    grid = fp.make_grid(12)
    networks = fp.Ensemble([4], seeds=[0, 1])
    run = fp.train(networks, grid, np.sin(grid), num_steps=9, learning_rate=1e-2, progress=False)
    widget = fp.explore_run(run, grid, np.sin(grid))
    slider = find_slider(widget)
    assert [label for label, _ in slider.options] == [str(step) for step in run.steps]
    drawn = record_calls(monkeypatch, "plot_fits")
    slider.value = len(run.steps) - 1
    assert not shown_errors(widget)
    ((_, _, fits),) = drawn
    np.testing.assert_array_equal(fits["networks"], run.outputs[-1])


def test_the_slider_goes_over_all_pictures(monkeypatch):
    pictures = np.arange(3)[:, None, None] * np.ones((4, 4))
    widget = fp.explore_images([0, 5, 7], pictures, np.ones((4, 4)))
    slider = find_slider(widget)
    assert [label for label, _ in slider.options] == ["0", "5", "7"]
    drawn = record_calls(monkeypatch, "plot_image")
    slider.value = 2
    assert not shown_errors(widget)
    assert [image.mean() for image, _ in drawn] == [1, 2, 1]
