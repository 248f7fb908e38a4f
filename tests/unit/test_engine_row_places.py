"""Where a duplicate's first row stands is said, and a list of millions keeps a handful of places."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import promomsg
from promomsg.engine.prepare.row_places import RowPlaces
from promomsg.journal.records import Place
from promomsg.sandbox import Sandbox


def test_a_regular_list_keeps_one_place() -> None:
    places = RowPlaces()
    for first in range(0, 10_000, 1_000):
        places.add(first, [f"line {first + i + 2}" for i in range(1_000)])
    assert places.known() == (Place(0, "line", 2),)


@given(st.lists(st.integers(1, 3), min_size=1, max_size=60), st.integers(1, 7))
def test_every_row_is_found_again(steps: list[int], size: int) -> None:
    lines = [sum(steps[: i + 1]) for i in range(len(steps))]
    places = RowPlaces()
    for at in range(0, len(lines), size):
        places.add(at, [f"line {n}" for n in lines[at : at + size]])
    for seq, line in enumerate(lines):
        last = [p for p in places.known() if p.seq <= seq][-1]
        assert last.number + seq - last.seq == line


@pytest.mark.parametrize("where", [[""], ["line 2", "somewhere"], ["line 2", ""]])
def test_places_that_cannot_be_told_are_not_guessed(where: list[str]) -> None:
    places = RowPlaces()
    places.add(0, where)
    assert places.known() == ()


def test_a_list_that_is_all_gaps_takes_no_memory() -> None:
    places = RowPlaces()
    for first in range(0, 60_000, 1_000):
        places.add(first, [f"line {2 * (first + i)}" for i in range(1_000)])
    assert places.known() == ()


@pytest.mark.asyncio
@pytest.mark.parametrize("kind", [promomsg.MemoryJournal, promomsg.SqliteJournal])
async def test_the_report_names_the_line_of_the_first_duplicate(kind: type, tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    path.write_text("key,id\na,1\n\nb,2\na,3\nc,2\n")
    journal = kind() if kind is promomsg.MemoryJournal else kind(tmp_path / "j.db")
    async with (
        Sandbox() as box,
        promomsg.WeChatPromoter("wx1", "an-appsecret", base_url=box.url) as wechat,
    ):
        message = promomsg.WeChatMessage(1, {"title": "t"}, "p")
        report = await promomsg.send(wechat, message, promomsg.read_csv(path), journal=journal)
        said = [o.detail for o in report.outcomes() if o.state is promomsg.State.SKIPPED]
    assert said == ["same key as a (line 2)", "same id as b (line 4)"]
