"""Layouts as pictures: what is drawn is what lies there."""

import sys

import pytest

from optimand.combinatorial.memory_mapping import Game, Hardware, Layout, brute_force, picture, plot, tiny_program
from optimand.core.pictures import from_plain, to_plain
from optimand.core.validation import OptimandError

PROGRAM, MACHINE = tiny_program(), Hardware(16, 1.0, 10.0, 1.0)


@pytest.fixture(scope="module")
def layout():
    return Game(PROGRAM, MACHINE).layout(brute_force(PROGRAM, MACHINE).actions)


def test_the_picture_has_a_rectangle_for_each_residency(layout):
    drawn = picture(layout, PROGRAM)
    assert len(drawn.rectangles) == len(layout.residencies)
    assert {(x0, x1, y0, y1) for x0, x1, y0, y1, *_ in drawn.rectangles} == {
        (r.start, r.end + 1, r.offset, r.offset + r.size) for r in layout.residencies
    }
    assert {label for *_, label, _ in drawn.rectangles} == {r.name for r in layout.residencies}
    groups = {label: group for *_, label, group in drawn.rectangles}
    assert groups["A"] == "output"
    assert groups["W1"] == "copy"
    assert drawn.limit == 16
    assert "tiny" in drawn.title
    assert "3.731 times" in drawn.title
    assert to_plain(from_plain(to_plain(drawn))) == to_plain(drawn)


def test_large_memories_are_drawn_in_larger_units(layout):
    assert picture(layout).y_title == "address (bytes)"
    large = Layout(layout.residencies, 1.0, capacity=2**22)
    assert picture(large).y_title == "address (MiB)"
    assert picture(large).limit == 4


def test_an_empty_memory_has_no_picture():
    with pytest.raises(OptimandError, match="nothing lies in fast memory"):
        picture(Layout((), 1.0))


def test_plot_draws_the_same_with_matplotlib(layout):
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    from matplotlib import pyplot
    from scipy.optimize import OptimizeResult

    ax = plot(layout, PROGRAM)
    assert len(ax.patches) == len(layout.residencies)
    assert len(plot(OptimizeResult(x=layout), PROGRAM).patches) == len(layout.residencies)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["output", "copy"]
    assert {text.get_text() for text in ax.texts} == {r.name for r in layout.residencies}
    assert len(plot(Layout((), 1.0), ax=pyplot.subplots()[1]).patches) == 0
    pyplot.close("all")


@pytest.mark.parametrize("draw", [picture, plot])
def test_a_result_is_drawn_like_its_layout_and_anything_else_refused(draw, layout):
    from scipy.optimize import OptimizeResult

    result = OptimizeResult(x=layout, fun=layout.time)
    if draw is picture:
        assert to_plain(picture(result, PROGRAM)) == to_plain(picture(layout, PROGRAM))
    with pytest.raises(TypeError, match=rf"got a MemoryProgram: call {draw.__name__}\(layout, program\)"):
        draw(PROGRAM, layout)
    with pytest.raises(TypeError, match="layout must be a Layout or a result of map_memory, got 3"):
        draw(3)
    with pytest.raises(TypeError, match="program must be a MemoryProgram, got"):
        draw(layout, MACHINE)


def test_a_layout_is_shown_in_one_line(layout):
    assert repr(layout).startswith("<Layout of 'tiny': ")
    assert "3.731 times as fast" in repr(layout)
    assert "\n" not in repr(layout)
    assert repr(Layout((), 2.0)) == "<Layout of '': 0 residencies, peak 0 of unknown bytes, 2 s>"


def test_plot_without_matplotlib_says_what_to_install(layout, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(OptimandError, match="python -m pip install matplotlib"):
        plot(layout)
