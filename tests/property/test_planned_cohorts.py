"""Which cohort each recipient is in: the same on any machine, one each, and kept apart in groups."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promomsg import (
    Campaign,
    Pace,
    SqliteJournal,
    UsageError,
    WeChatMessage,
    WeChatPromoter,
    read_csv,
)
from promomsg.engine.schedule.cohorts import Cohort, cohorts_of
from promomsg.engine.schedule.planned_cohorts import key_number

MESSAGE = WeChatMessage(1, {"title": "三件五折"}, "p")
PERSONAL = WeChatMessage(1, {"title": "{name}"}, "p")


class Planned:
    """A plan that was made: what it says, and who is in which cohort and group."""

    def __init__(self) -> None:
        self.notices: Sequence[str] = ()
        self.not_sent: dict[str, int] = {}
        self.cohorts: Sequence[Cohort] = ()
        self.cohort_of: dict[str, Cohort] = {}
        self.groups: list[set[Cohort]] = []
        self.group_sizes: list[int] = []

    @property
    def first(self) -> set[str]:
        return {key for key, cohort in self.cohort_of.items() if cohort.first}


async def planned(rows: Iterable[Any], message: WeChatMessage = MESSAGE, **options: Any) -> Planned:
    with TemporaryDirectory() as folder:
        return await _planned(
            SqliteJournal(f"{folder}/a.db", durability="process"), rows, message, options
        )


async def _planned(
    journal: SqliteJournal, rows: Iterable[Any], message: WeChatMessage, options: dict[str, Any]
) -> Planned:
    found = Planned()
    async with WeChatPromoter("wx1", "s", pace=Pace(unlimited=True)) as channel:
        campaign = Campaign(channel, message, rows, journal=journal, **options)
        plan = await campaign.plan()
        found.notices, found.not_sent = plan.notices, plan.not_sent
        await campaign.hand_over()
    handle = await journal.open(write=True)
    found.cohorts = cohorts_of(handle.record)
    while (lease := await handle.take(groups=True, singles=True, idempotent=False)) is not None:
        cohort = found.cohorts[lease.cohort]
        if lease.group_no is None:
            keys = [one.key for one in lease.single_sends]
        else:
            keys = await handle.group_members(lease.group_no)
            found.group_sizes.append(len(keys))
        assert found.cohort_of.keys().isdisjoint(keys), "nobody is in two cohorts"
        found.cohort_of.update(dict.fromkeys(keys, cohort))
    await handle.close()
    return found


def people(count: int, **more: Any) -> list[dict[str, Any]]:
    return [{"id": str(500_001 + n), "key": str(500_001 + n), **more} for n in range(count)]


ZONES = st.sampled_from(
    ["Europe/Paris", "Asia/Tokyo", "", None, "  ", "Mars/Base", "Asia/Shanghai"]
)


@settings(max_examples=25, deadline=None)
@given(
    zones=st.lists(ZONES, min_size=1, max_size=120),
    words=st.lists(st.sampled_from("ab"), min_size=1, max_size=3),
    first=st.sampled_from([None, 1, 7, 500, "2%", "50%"]),
    suppressed=st.sets(st.integers(0, 119), max_size=5),
)
def test_everybody_is_in_one_cohort_and_no_group_mixes_them(
    zones: list[str | None], words: list[str], first: Any, suppressed: set[int]
) -> None:
    rows = people(len(zones))
    for n, (row, zone) in enumerate(zip(rows, zones, strict=True)):
        row["zone"], row["name"] = zone, words[n % len(words)]
    blocked = {rows[n]["key"] for n in suppressed if n < len(rows)}
    found = asyncio.run(
        planned(
            rows,
            PERSONAL,
            zone_column="zone",
            between="09:00-21:00",
            first=first,
            suppress=sorted(blocked),
        )
    )
    bad = {row["key"] for row in rows if row["zone"] == "Mars/Base"}
    expected = {
        row["key"]: (row["zone"] or "").strip() or "Asia/Shanghai"
        for row in rows
        if row["key"] not in bad | blocked
    }
    there = {key: cohort.zone or "Asia/Shanghai" for key, cohort in found.cohort_of.items()}
    assert there == expected
    assert found.not_sent.get("BAD_ZONE", 0) == len(bad)
    if isinstance(first, int):
        smallest = sorted(expected, key=key_number)[:first]
        assert found.first == set(smallest)
    elif first is not None and expected:
        share = int(first[:-1]) / 100
        under = {key for key in expected if key_number(key) < share * 2**64}
        assert found.first == (under or {min(expected, key=key_number)})
    grouped: Counter[tuple[str, str]] = Counter()
    names = {row["key"]: row["name"] for row in rows}
    for key, zone in expected.items():
        if key not in found.first:
            grouped[names[key], zone] += 1
    assert sorted(found.group_sizes) == sorted(n for n in grouped.values() if n >= 50)


@settings(max_examples=10, deadline=None)
@given(before=st.integers(1, 300), more=st.integers(0, 300), share=st.sampled_from(["5%", "20%"]))
def test_who_is_first_by_a_share_stays_so_when_the_list_grows(
    before: int, more: int, share: str
) -> None:
    short = asyncio.run(planned(people(before), first=share)).first
    rows = people(before + more)
    rows.reverse()
    grown = asyncio.run(planned(rows, first=share)).first
    under = {key for key in short if key_number(key) < int(share[:-1]) / 100 * 2**64}
    assert under <= grown


def test_who_is_first_by_a_number_gives_way_only_to_somebody_new() -> None:
    short = asyncio.run(planned(people(200), first=20)).first
    grown = asyncio.run(planned(people(220), first=20)).first
    assert (len(short), len(grown)) == (20, 20)
    newcomers = {str(500_001 + n) for n in range(200, 220)}
    assert len(short - grown) == len(grown & newcomers)
    assert grown - newcomers <= short


def test_the_split_of_a_list_is_the_same_on_any_machine() -> None:
    """The numbers of keys are a promise: another would send a resumed test to other people."""
    assert [key_number(key) for key in ("500001", "今日", "\ud800")] == [
        11449069172244831624,
        13268686965373646066,
        774427939867879716,
    ]
    assert asyncio.run(planned(people(1000), first=3)).first == {"500513", "500169", "500263"}


def test_a_plan_says_how_many_zones_there_are_and_who_has_none(tmp_path: Path) -> None:
    file = tmp_path / "people.csv"
    file.write_text("id,zone\n500001,Europe/Paris\n500002,\n500003,Atlantis\n", "utf-8")
    found = asyncio.run(
        planned(read_csv(file), zone_column="zone", between="09:00-21:00", first="50%")
    )
    text = "\n".join(found.notices)
    assert "time zones in the column 'zone', besides Asia/Shanghai: 1 ('Europe/Paris')" in text
    assert "1 recipient names no time zone: theirs is Asia/Shanghai" in text
    assert "are sent to first" in text
    assert "not used" not in text
    assert found.not_sent == {"BAD_ZONE": 1}
    with pytest.raises(UsageError, match="no column of the list is called 'zones'"):
        asyncio.run(planned(read_csv(file), zone_column="zones", between="09:00-21:00"))


def test_a_campaign_without_zones_and_first_few_has_one_cohort() -> None:
    found = asyncio.run(planned(people(120)))
    assert found.cohorts == (Cohort(),)
    assert found.group_sizes == [120]
