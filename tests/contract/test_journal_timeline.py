"""How many outcomes came when, as every kind of journal tells it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from journal_rows import DAY, NOW, Make, result, row, sealed, take

from promomsg.model import State
from promomsg.timeline import step_between, timeline_of

TO_THE_MINUTE = NOW - NOW % 60


@pytest.mark.asyncio
async def test_outcomes_are_counted_by_stretches_of_time(make: Make) -> None:
    journal = make()
    refused = row(7, state="failed", code="BAD_ROW")
    handle = await sealed(journal, [*(row(seq) for seq in range(7)), refused])
    lease = await take(handle)
    assert await handle.intend(lease, list(range(6)), NOW, DAY)
    times = (0.0, 0.9, 30.5, 59.9, 60.0, 600.2)
    results = [
        result(seq, "failed" if seq == 2 else "sent", at=TO_THE_MINUTE + at)
        for seq, at in enumerate(times)
    ]
    assert await handle.settle(lease, results)
    view = journal.reader()
    try:
        found = view.timeline(12)
        assert found.step == 60
        assert found.stretches == (
            (int(TO_THE_MINUTE), State.FAILED, 1),
            (int(TO_THE_MINUTE), State.SENT, 3),
            (int(TO_THE_MINUTE) + 60, State.SENT, 1),
            (int(TO_THE_MINUTE) + 600, State.SENT, 1),
        )
        assert view.timeline(1000).step == 1
    finally:
        view.close()
        await handle.close()


@pytest.mark.asyncio
async def test_a_plan_of_which_nothing_was_sent_has_none(make: Make) -> None:
    journal = make()
    await (await sealed(journal, [row(0)])).close()
    view = journal.reader()
    assert view.timeline(60).stretches == ()
    view.close()


@given(
    st.lists(st.tuples(st.floats(0, 3e9), st.sampled_from(State)), max_size=40),
    st.integers(1, 200),
)
def test_everybody_is_in_one_stretch_and_there_are_few(
    reached: list[tuple[float, State]], most: int
) -> None:
    found = timeline_of(reached, most)
    assert sum(count for _, _, count in found.stretches) == len(reached)
    # A stretch begins at a whole multiple of the step, so there may be one more at the edge.
    assert len({begins for begins, _, _ in found.stretches}) <= most + 1
    assert all(begins % found.step == 0 for begins, _, _ in found.stretches)


def test_a_step_is_one_that_people_use() -> None:
    assert [step_between(0, seconds, 60) for seconds in (0, 59, 61, 3_600, 86_400, 864_000)] == [
        1, 1, 2, 120, 1800, 21600,
    ]  # fmt: skip
    assert step_between(0, 1e9, 60) % 86_400 == 0
