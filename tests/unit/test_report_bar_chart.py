"""A timeline as bars: nobody is lost in drawing, and everything is inside of the picture."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from promomsg.model import State
from promomsg.report_formats.bar_chart import bar_chart
from promomsg.states import FINAL
from promomsg.timeline import EMPTY, timeline_of

REACHED = st.lists(
    st.tuples(st.floats(1.7e9, 1.7e9 + 1e6), st.sampled_from(sorted(FINAL))),
    min_size=1,
    max_size=50,
)


@given(REACHED)
def test_every_outcome_is_in_a_bar_inside_of_the_axes(reached: list[tuple[float, State]]) -> None:
    chart = bar_chart(timeline_of(reached, 60), str)
    assert chart is not None
    assert sum(bar.count for bar in chart.bars) == len(reached)
    assert set(chart.states) == {state for _, state in reached}
    for bar in chart.bars:
        assert chart.left <= bar.x
        assert bar.x + bar.width <= chart.right + 1
        assert bar.height >= 1
        assert -len(chart.states) <= bar.y
        assert bar.y + bar.height <= chart.bottom + 0.01
    assert 1 <= len(chart.across) <= 7
    assert chart.up[-1].at < chart.up[0].at == chart.bottom


def test_one_failure_among_thousands_is_seen() -> None:
    many = [(1.7e9, State.SENT)] * 9_000 + [(1.7e9, State.FAILED)]
    chart = bar_chart(timeline_of(many, 60), str)
    assert chart is not None
    [failed] = [bar for bar in chart.bars if bar.state is State.FAILED]
    assert failed.height == 1
    assert [mark.text for mark in chart.up] == ["0", "3,000", "6,000", "9,000", "12,000"]


def test_nothing_has_no_chart() -> None:
    assert bar_chart(EMPTY, str) is None
