import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest

import fprin_utils as fp
from fprin_utils.artists import Band, HeatMap, make_edges

mpl.use("agg")
GRID = fp.make_grid(16)
STEPS = np.array([0, 1, 10, 100])
OUTPUTS = np.stack([np.sin(GRID), 2 * np.sin(GRID), 4 * np.sin(GRID)])


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


MAP_LABELS = {"xlabel": "a", "ylabel": "k", "label": "ratio"}
PANELS = {
    "fits": lambda **ax: fp.plot_fits(GRID, np.sin(GRID), {"learnt": OUTPUTS}, **ax),
    "spectrum": lambda **ax: fp.plot_spectrum(
        {"target": np.abs(fp.compute_spectrum(OUTPUTS))}, peaks=[1], marks={"cut": 4}, **ax
    ),
    "error_heatmap": lambda **ax: fp.plot_error_heatmap(
        STEPS, np.array([[1, 1], [0.1, 1], [0, 0.5], [0, 0.1]]), [1, 3], threshold=0.2, **ax
    ),
    "over_steps": lambda **ax: fp.plot_over_steps(
        STEPS, np.ones((4, 3, 2)), ["a", "b"], ylabel="error", level=0.5, **ax
    ),
    "against": lambda **ax: fp.plot_against(
        [0.1, 1.0], {"test": np.ones((2, 3))}, xlabel="std", ylabel="error", **ax
    ),
    "cases": lambda **ax: fp.plot_cases({"a": [1, 2], "b": [3]}, ylabel="step", level=2, **ax),
    "map": lambda **ax: fp.plot_map(
        np.ones((2, 2)), [0.5, 1.0], [2, 3], limits=(0.1, 10), **MAP_LABELS, **ax
    ),
    "image": lambda **ax: fp.plot_image(np.zeros((4, 4)), "step 1", **ax),
}


def find_axes(drawn):
    """Return the axes of what a panel returns."""
    drawn = next(iter(drawn.values())) if isinstance(drawn, dict) else drawn
    if isinstance(drawn, Band):
        assert drawn.area.axes is drawn.line.axes
    parts = {Band: "line", HeatMap: "mesh"}
    return getattr(drawn, parts[type(drawn)]).axes if type(drawn) in parts else drawn.axes


@pytest.mark.parametrize("panel", PANELS)
def test_a_panel_draws_on_the_axes_it_is_given_or_on_new_ones(panel):
    _, axes = plt.subplots(1, 2)
    assert find_axes(PANELS[panel](ax=axes[1])) is axes[1]
    assert not axes[0].has_data()
    assert axes[1].has_data()
    assert find_axes(PANELS[panel]()) not in axes


@pytest.mark.parametrize("panel", [name for name in PANELS if name != "image"])
def test_axes_are_labelled(panel):
    ax = find_axes(PANELS[panel]())
    assert ax.get_xlabel() or panel == "cases"
    assert ax.get_ylabel()


def test_panels_return_what_they_drew_by_its_label():
    kinds = {
        **dict.fromkeys(("fits", "spectrum", "over_steps"), Band),
        **dict.fromkeys(("against", "cases"), mpl.lines.Line2D),
    }
    labels = {"fits": ["learnt"], "spectrum": ["target"], "against": ["test"]}
    for panel, kind in kinds.items():
        drawn = PANELS[panel]()
        assert list(drawn) == labels.get(panel, ["a", "b"])
        assert {type(each) for each in drawn.values()} == {kind}
    assert type(PANELS["error_heatmap"]()) is HeatMap
    for panel in ("map", "image"):
        assert type(PANELS[panel]()) is mpl.image.AxesImage


def test_line_is_the_median_and_band_the_range_over_the_seeds():
    ax = find_axes(PANELS["fits"]())
    np.testing.assert_allclose(ax.lines[1].get_ydata(), 2 * np.sin(GRID))
    heights = ax.collections[0].get_paths()[0].vertices[:, 1]
    assert heights.max() == pytest.approx(4 * np.sin(GRID).max())


def test_heatmap_is_red_where_the_error_is_small_and_marks_the_first_touch():
    drawn = PANELS["error_heatmap"]()
    ax = find_axes(drawn)
    assert ax.collections[0].get_array().shape == (2, 3), "step 0 has no place on a log axis"
    red, _, blue, _ = ax.collections[0].cmap(ax.collections[0].norm(0.05))
    assert red > blue
    red, _, blue, _ = ax.collections[0].cmap(ax.collections[0].norm(0.95))
    assert blue > red
    assert ax.lines[:] == [drawn.marks]
    assert drawn.marks.get_xydata().tolist() == [[1, 0], [100, 1]]
    assert [text.get_text() for text in ax.get_yticklabels()] == ["1", "3"]


def test_heatmap_marks_the_steps_that_it_is_given():
    errors = np.ones((2, 3))
    drawn = fp.plot_error_heatmap(
        np.array([1, 10]), errors, [1, 2, 3], threshold=0.2, marks=[10, np.inf, 1]
    )
    assert drawn.marks.get_xydata().tolist() == [[10, 0], [1, 2]]


def test_curves_are_the_medians_without_step_0():
    values = np.stack([[1.0, 2.0], [3.0, 9.0], [5.0, 4.0]]) + STEPS[:, None, None]
    ax = find_axes(fp.plot_over_steps(STEPS, values, ["a", "b"], ylabel="error"))
    for line, median in zip(ax.lines, (3.0, 4.0), strict=True):
        np.testing.assert_array_equal(line.get_xdata(), STEPS[1:])
        np.testing.assert_array_equal(line.get_ydata(), median + STEPS[1:])


def test_on_a_linear_axis_step_0_is_shown():
    drawn = fp.plot_over_steps(STEPS, np.ones((4, 1, 1)), ["a"], ylabel="error", log=False)
    ax = find_axes(drawn)
    assert ax.get_xscale() == "linear"
    np.testing.assert_array_equal(ax.lines[0].get_xdata(), STEPS)


def test_values_against_a_setting_are_medians_with_a_dot_a_seed():
    measured = np.array([[1.0, 2.0, 9.0], [3.0, 4.0, 5.0]])
    drawn = fp.plot_against([0.1, 1.0], {"test": measured}, xlabel="std", ylabel="error")
    ax = find_axes(drawn)
    assert ax.lines[0] is drawn["test"]
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), [2.0, 4.0])
    dots = np.array([line.get_ydata() for line in ax.lines[1:]])
    np.testing.assert_array_equal(dots.T, measured)


def test_cases_stand_side_by_side_with_a_dot_a_seed():
    values = {"small": [5.0, 7.0, 6.0], "none": [], "large": np.array([40.0, np.nan])}
    drawn = fp.plot_cases(values, ylabel="step", level=10, log=True)
    ax = find_axes(drawn)
    assert [text.get_text() for text in ax.get_xticklabels()] == ["small", "none", "large"]
    for place, (case, each) in enumerate(values.items()):
        np.testing.assert_array_equal(drawn[case].get_ydata(), each)
        spread = np.abs(drawn[case].get_xdata() - place)
        assert (spread < 0.5).all()
    assert len(set(drawn["small"].get_xdata())) == 3
    assert ax.lines[-1].get_ydata() == [10, 10]
    assert (ax.get_yscale(), ax.get_ylabel()) == ("log", "step")
    assert find_axes(fp.plot_cases(values, ylabel="step")).get_yscale() == "linear"


def test_a_spectrum_may_have_frequencies_of_its_own():
    drawn = fp.plot_spectrum({"ring": np.array([1.0, 2.0])}, frequencies=np.array([3, 5]))
    np.testing.assert_array_equal(drawn["ring"].line.get_xydata(), [[3, 1], [5, 2]])
    drawn = fp.plot_spectrum({"target": np.array([1.0, 2.0])})
    np.testing.assert_array_equal(drawn["target"].line.get_xydata(), [[0, 1], [1, 2]])


def test_colours_are_joined_by_line_styles():
    with plt.style.context(fp.plotting.STYLE):
        cycle = plt.rcParams["axes.prop_cycle"].by_key()
    looks = list(zip(cycle["color"], cycle["linestyle"], strict=True))
    assert len(set(looks)) == len(looks)
    assert len(set(cycle["linestyle"][:4])) == 4


def test_a_map_writes_numbers_and_hatches_marked_cells():
    values = np.array([[0.25, 40.0, np.nan], [0.031, 1, 123.4]])
    marks = np.array([["<", ">", ""], ["", "", ""]])
    options = {"limits": (1 / 32, 32), "marks": marks, "cmap": "RdBu_r"}
    ax = find_axes(fp.plot_map(values, [1, 2, 4], [3, 5], **options, **MAP_LABELS))
    written = ["<0.25", ">40", "none", "0.03", "1", "123"]
    assert [text.get_text() for text in ax.texts] == written
    assert [patch.get_x() for patch in ax.patches] == [-0.5, 0.5]
    shown = ax.images[0]
    np.testing.assert_allclose(shown.get_array().filled(np.nan), values)
    red, _, blue, _ = shown.to_rgba(32)
    assert red > blue
    assert shown.norm(1.0) == pytest.approx(0.5)
    assert ax.texts[4].get_color() == "black"
    assert ax.texts[1].get_color() == ax.texts[3].get_color() == "white"


def test_cells_of_a_heat_map_stand_around_their_positions():
    steps = np.array([1, 2, 5, 20])
    mesh = plt.subplots()[1].pcolormesh(steps, [0, 1], np.zeros((2, 4)), shading="nearest")
    np.testing.assert_allclose(make_edges(steps), mesh.get_coordinates()[0, :, 0])
    np.testing.assert_allclose(make_edges(np.array([3])), [2.5, 3.5])


def test_a_heat_map_of_one_frequency_has_a_row():
    drawn = fp.plot_error_heatmap(np.array([1, 10]), np.ones((2, 1)), [4], threshold=0.2)
    (mesh,) = find_axes(drawn).collections
    heights = mesh.get_coordinates()[:, 0, 1]
    assert heights.tolist() == [-0.5, 0.5]


def test_what_never_happened_is_an_empty_panel():
    figure, (left, right) = plt.subplots(1, 2)
    never = np.full((2, 3), np.inf)
    fp.plot_against([1, 2], {"a": never}, xlabel="width", ylabel="steps", ax=left)
    fp.plot_cases({"a": never[0]}, ylabel="steps", log=True, ax=right)
    figure.canvas.draw()
    plt.close(figure)
