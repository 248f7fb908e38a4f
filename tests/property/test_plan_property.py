"""The planner for any list: sizes around 49, 50 and 51, balanced groups, and sums that hold."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promomsg import Campaign, Pace, UsageError, WeChatMessage, WeChatPromoter
from promomsg.engine.prepare.routing import group_sizes
from promomsg.journal.sqlite.memory import MemoryJournal
from promomsg.model import GROUP_THRESHOLD

PLAIN = WeChatMessage(1, {"title": "三件五折"}, "p")
PERSONAL = WeChatMessage(1, {"title": "{name}"}, "p")


async def plan_of(message: WeChatMessage, rows: list[Any], **options: Any) -> Any:
    """The plan of a list, and the journal's groups."""
    async with WeChatPromoter("wx1", "s", pace=Pace(unlimited=True)) as channel:
        campaign = Campaign(channel, message, rows, journal=MemoryJournal(), **options)
        plan = await campaign.plan()
        await campaign.discard()
        return plan


@given(st.integers(50, 200_000), st.integers(99, 20_000))
def test_groups_are_balanced_and_none_is_under_fifty_or_over_the_limit(
    members: int, limit: int
) -> None:
    sizes = group_sizes(members, limit)
    assert sum(sizes) == members
    assert max(sizes) <= limit
    assert max(sizes) - min(sizes) <= 1
    assert min(sizes) >= GROUP_THRESHOLD
    assert len(sizes) == -(-members // limit)


@settings(max_examples=25, deadline=None)
@given(
    sets=st.lists(
        st.tuples(st.sampled_from([1, 2, 48, 49, 50, 51, 99, 100]), st.booleans()),
        min_size=1,
        max_size=4,
    ),
    repeats=st.integers(0, 12),
    limit=st.sampled_from([99, 100, 10_000]),
    route=st.sampled_from([None, "single"]),
    suppressed=st.sets(st.integers(0, 150), max_size=6),
)
def test_every_row_is_planned_once_and_the_threshold_holds(
    sets: list[tuple[int, bool]],
    repeats: int,
    limit: int,
    route: str | None,
    suppressed: set[int],
) -> None:
    rows: list[dict[str, str]] = []
    for number, (size, with_id) in enumerate(sets):
        for n in range(size):
            address = str(1_000_000 * (number + 1) + n)
            kind = {"id": address} if with_id else {"openid": f"o{address}"}
            rows.append({**kind, "key": address, "name": f"set {number}"})
    repeated = rows[:repeats]
    blocked = {rows[n]["key"] for n in suppressed if n < len(rows)}
    plan = asyncio.run(
        plan_of(
            PERSONAL, rows + repeated, max_group_size=limit, route=route, suppress=sorted(blocked)
        )
    )
    assert plan.rows == len(rows) + len(repeated)
    assert plan.rows == plan.to_send + sum(plan.not_sent.values())
    assert plan.to_send == len(rows) - len(blocked)

    left: Counter[tuple[str, bool]] = Counter(
        (row["name"], "id" in row) for row in rows if row["key"] not in blocked
    )
    grouped = {
        key: count
        for key, count in left.items()
        if key[1] and count >= GROUP_THRESHOLD and route is None
    }
    expected = sorted(size for count in grouped.values() for size in group_sizes(count, limit))
    assert sorted(plan.groups) == expected
    assert plan.singles == sum(left.values()) - sum(grouped.values())


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 130), st.integers(0, 130), st.data())
def test_duplicates_by_key_and_address_leave_each_person_once(
    people: int, extra: int, data: st.DataObject
) -> None:
    rows = [{"key": f"k{n}", "id": str(n + 1)} for n in range(people)]
    for n in range(extra):
        who = data.draw(st.integers(1, people), label="who")
        other_key = data.draw(st.booleans(), label="other key")
        rows.append({"key": f"x{n}" if other_key else f"k{who - 1}", "id": str(who)})
    plan = asyncio.run(plan_of(PLAIN, rows))
    assert plan.rows == people + extra
    assert plan.to_send == people
    assert sum(plan.not_sent.values()) == extra
    if people >= GROUP_THRESHOLD:
        assert (plan.groups, plan.singles) == ((people,), 0)
    else:
        assert (plan.groups, plan.singles) == ((), people)


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 60))
def test_a_forced_group_is_a_group_or_refused(people: int) -> None:
    rows = [str(n + 1) for n in range(people)]
    if people < GROUP_THRESHOLD:
        with pytest.raises(UsageError, match="50 or more"):
            asyncio.run(plan_of(PLAIN, rows, route="group"))
    else:
        assert asyncio.run(plan_of(PLAIN, rows, route="group")).groups == (people,)
