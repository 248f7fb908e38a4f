"""The people of a campaign by the page and one by one, as every kind of journal tells of them."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from journal_model import ModelJournal
from journal_rows import CLOCK, DAY, NOW, Make, beside, maker, record, result, row, sealed, take

from promomsg.channels.alipay import AlipayMiniProgram
from promomsg.errors import UsageError
from promomsg.journal.contract import CampaignView, Handle, Journal
from promomsg.journal.people.people_contract import EarlierAttempt, Person, SinglesOfDay
from promomsg.journal.records import PlannedRow, Reason
from promomsg.journal.sqlite.crash_safety.file_view import FileView
from promomsg.journal.sqlite.journal import SqliteJournal
from promomsg.journal.sqlite.memory import MemoryJournal
from promomsg.journal.sqlite.people import people_pages
from promomsg.model import Outcome, State
from promomsg.states import GroupState

Numbered = list[tuple[int, Outcome]]


def forwards(view: CampaignView, limit: int, **asked: Any) -> Numbered:
    """Everybody who is asked for, from the first page to the last."""
    found: Numbered = []
    after: int | None = None
    while True:
        page = view.people(after=after, limit=limit, **asked)
        assert len(page.people) <= limit
        assert page.has_earlier == bool(found)
        found += page.people
        if not page.has_later:
            return found
        after = found[-1][0]


def backwards(view: CampaignView, limit: int, **asked: Any) -> Numbered:
    """The same from the last page to the first."""
    found: Numbered = []
    before = 10**30
    while True:
        page = view.people(before=before, limit=limit, **asked)
        assert page.has_later == bool(found)
        found = [*page.people, *found]
        if not page.has_earlier:
            return found
        before = found[0][0]


def keys(found: Numbered) -> list[str | None]:
    return [outcome.recipient.key for _, outcome in found]


def searched(view: CampaignView, text: str) -> list[str | None]:
    return keys(forwards(view, 2, search=text))


async def half_sent(journal: Journal, count: int = 12) -> Handle:
    """Some of a campaign: sent, failed in two ways, pending, and left out by planning."""
    bad = row(count, state="failed", code="BAD_ROW", id=None)
    handle = await sealed(journal, [*(row(seq) for seq in range(count)), bad])
    lease = await take(handle)
    assert await handle.intend(lease, range(7), NOW, DAY)
    ends = ["sent", "failed", "sent", "failed", "failed", "sent"]
    results = [
        result(seq, end, code="" if end == "sent" else str(40 + seq), rid=f"rid_{seq}")
        for seq, end in enumerate(ends)
    ]
    assert await handle.settle(lease, results)
    return handle


@pytest.mark.asyncio
async def test_all_pages_together_are_all_rows(make: Make) -> None:
    journal = make()
    handle = await half_sent(journal)
    view = journal.reader()
    rows = list(view.rows())
    for limit in (1, 5, 13, 100):
        assert [outcome for _, outcome in forwards(view, limit)] == rows
        assert forwards(view, limit) == backwards(view, limit)
    assert [seq for seq, _ in forwards(view, 5)] == list(range(13))
    failed = forwards(view, 2, states={State.FAILED})
    assert [seq for seq, _ in failed] == [1, 3, 4, 12]
    assert backwards(view, 3, states=[State.FAILED]) == failed
    assert [seq for seq, _ in forwards(view, 3, states=[State.INTENDED, State.SENT])] == [
        0,
        2,
        5,
        6,
    ]
    assert [seq for seq, _ in forwards(view, 3, code="43")] == [3]
    assert forwards(view, 3, code="43", states=[State.SENT]) == []
    assert forwards(view, 3, states=[]) == []
    assert [seq for seq, _ in forwards(view, 1, search="K1", states=[State.PENDING])] == [10, 11]
    view.close()
    await handle.close()


@pytest.mark.asyncio
async def test_a_page_says_what_is_on_both_sides_of_it(make: Make) -> None:
    journal = make()
    handle = await half_sent(journal)
    view = journal.reader()
    page = view.people(after=4, limit=3)
    assert [seq for seq, _ in page.people] == [5, 6, 7]
    assert (page.has_earlier, page.has_later) == (True, True)
    # Nobody is behind the last one; those before are there still.
    page = view.people(after=12, limit=3)
    assert (page.people, page.has_earlier, page.has_later) == ((), True, False)
    page = view.people(before=0, limit=3)
    assert (page.people, page.has_earlier, page.has_later) == ((), False, True)
    page = view.people(before=3, limit=3, states={State.FAILED})
    assert [seq for seq, _ in page.people] == [1]
    assert (page.has_earlier, page.has_later) == (False, True)
    assert view.people(after=-(10**40), limit=1).people == view.people(limit=1).people
    with pytest.raises(UsageError):
        view.people(after=1, before=3, limit=3)
    with pytest.raises(UsageError):
        view.people(limit=0)
    view.close()
    await handle.close()


@pytest.mark.asyncio
async def test_a_search_looks_for_a_piece_of_text_as_it_is_written(make: Make) -> None:
    journal = make()
    rows = [
        row(0, "100%", id="123"),
        row(1, "100 percent", openid="o_AbC"),
        row(2, "a_b", unionid="uX\\y"),
        row(3, "aXb", request_id="order'7"),
        row(4, "张三", id=None, openid="oÄ"),
        row(5, "bad", state="failed", code="secret", detail="detail", word="value"),
    ]
    handle = await sealed(journal, rows)
    lease = await take(handle)
    assert await handle.intend(lease, [3], NOW, DAY)
    assert await handle.settle(lease, [result(3, rid="RID-9")])
    view = journal.reader()
    assert searched(view, "100%") == ["100%"]
    assert searched(view, "100") == ["100%", "100 percent", "a_b", "aXb", "bad"]  # by id
    assert searched(view, "_") == ["100 percent", "a_b"]
    assert searched(view, "a_b") == ["a_b"]
    assert searched(view, "oabc") == []
    assert searched(view, "o_abc") == searched(view, "O_ABC") == ["100 percent"]
    assert searched(view, "x\\Y") == ["a_b"]
    assert searched(view, "r'7") == ["aXb"]
    assert searched(view, "rid-9") == ["aXb"]
    assert searched(view, "三") == ["张三"]
    assert searched(view, "Ä") == ["张三"]
    assert searched(view, "ä") == []
    assert searched(view, "*") == searched(view, "?") == searched(view, "%%") == []
    for absent in (
        "secret",
        "detail",
        "value",
        "%1",
        "b\x01",
        "\x01u",
        "a\0",
        "\ud800",
        "%" * 100_000,
    ):
        assert searched(view, absent) == []
    assert len(searched(view, "")) == 6
    view.close()
    await handle.close()


@pytest.mark.asyncio
async def test_one_person_with_all_that_is_kept_of_them(make: Make) -> None:
    journal = make()
    rows = [
        row(0, openid="o1", unionid="u1", word="red", cohort=1, fingerprint=b"secret"),
        row(1, word="blue"),
        row(2, word="blue"),
    ]
    handle = await journal.create(record())
    await handle.add_rows(rows)
    await handle.make_groups(rows[1].message_digest, [2])
    await handle.seal(record(planned_at=NOW), chunk_size=8)
    group = await take(handle, groups=True)
    assert await handle.intend_group(group, NOW)
    assert await handle.lose_group(group, Reason("NO_ANSWER", "reset"), NOW + 1)
    lease = await take(handle)
    assert await handle.intend(lease, [0], NOW, DAY)
    assert await handle.settle(lease, [result(0, "failed", code="40001", detail="no", rid="r")])
    await handle.release(lease)
    assert await handle.reopen(State.FAILED, include_unnamed=False, at=NOW + 3) == 1
    await handle.seal_retry(chunk_size=8)
    await handle.adopt_group(1, "m7", NOW + 5, NOW + 6)
    view = journal.reader()

    found = view.person(0)
    assert found is not None
    assert (found.seq, found.values, found.cohort, found.group) == (0, ("red",), 1, None)
    assert found.outcome == next(view.rows())
    assert found.outcome.recipient.openid == "o1"
    assert found.request_id is None
    assert found.history == (
        EarlierAttempt(
            state=State.FAILED, attempts=1, code="40001", detail="no", rid="r", at=NOW + 2
        ),
    )
    assert "secret" not in repr(found)

    member = view.person(2)
    assert member is not None
    assert (member.values, member.cohort) == (("blue",), 0)
    assert member.group is not None
    assert (member.group.group_no, member.group.state) == (1, GroupState.ACCEPTED)
    assert member.group.msg_id == member.outcome.group == "m7"
    [earlier] = member.history
    assert (earlier.state, earlier.code, earlier.group) == (State.UNKNOWN, "NO_ANSWER", None)

    assert view.person(3) is view.person(-1) is view.person(10**40) is None
    assert view.sample_values() == ("red",)
    view.close()
    await handle.close()


@pytest.mark.asyncio
async def test_the_idempotency_key_is_that_of_the_calls(make: Make) -> None:
    journal = make()
    handle = await sealed(journal, [row(0), row(1, request_id="order 7")], channel="alipay")
    lease = await take(handle, idempotent=True)
    assert await handle.intend(lease, [0], NOW, DAY)
    doubtful = result(0, "pending", code="NO_ANSWER", maybe_sent=True)
    assert await handle.settle(lease, [doubtful])
    view = journal.reader()
    first, second = view.person(0), view.person(1)
    assert first is not None
    assert second is not None
    run_id = view.record.run_id
    assert first.request_id == AlipayMiniProgram.request_id(None, run_id, "k0", 0)  # type: ignore[arg-type]
    assert second.request_id == "order 7"
    assert (first.maybe_sent, second.maybe_sent) == (True, False)
    view.close()
    await handle.close()


@pytest.mark.asyncio
async def test_there_may_be_no_values_to_show(make: Make) -> None:
    journal = make()
    handle = await sealed(journal, [row(0), row(1)])
    view = journal.reader()
    assert view.sample_values() is None
    view.close()
    await handle.close()


async def six_more(journal: Journal, account: str) -> Handle:
    """A campaign of an account that calls seven on DAY and takes one of these back."""
    handle = await journal.create(record(account=account))
    await handle.add_rows([row(seq) for seq in range(8)])
    await handle.seal(record(account=account, planned_at=NOW), chunk_size=8)
    lease = await take(handle)
    assert await handle.intend(lease, range(7), NOW, DAY)
    assert await handle.settle(lease, [result(0), result(1, "pending", called=False)])
    return handle


@pytest.mark.asyncio
async def test_the_singles_of_a_day_are_those_that_were_called(make: Make) -> None:
    journal = make()
    handle = await six_more(journal, "wx-alone")
    view = journal.reader()
    found = view.singles_of(DAY)
    assert (found.singles, found.day) == (6, DAY)
    assert view.singles_of("2023-11-16").singles == 0
    view.close()
    await handle.close()


@pytest.mark.asyncio
async def test_a_fleet_counts_the_singles_of_the_account(tmp_path: Path, postgres: str) -> None:
    make = maker("postgres", tmp_path, postgres)
    journals = [make(), make(), make()]
    for journal, account in zip(journals, ("wx-1", "wx-1", "wx-2"), strict=True):
        await (await six_more(journal, account)).close()
    view = journals[0].reader()
    assert view.singles_of(DAY) == SinglesOfDay(day=DAY, singles=12, of_account=True)
    # What was given out to its senders counts when that is more: a campaign may be gone since.
    store = journals[0].quota_store("wechat", "", "wx-1")
    assert store is not None
    await store.submit("singles", lambda state, now: state.days.update({DAY: 40}))
    assert view.singles_of(DAY).singles == 40
    view.close()


@pytest.mark.asyncio
@pytest.mark.parametrize("channel", ["wechat", "alipay"])
@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
async def test_whom_a_sender_that_died_left_is_as_a_resume_takes_them(
    kind: str, channel: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    database = request.getfixturevalue("postgres") if kind == "postgres" else ""
    journal = maker(kind, tmp_path, database)()
    groups = [3] if channel == "wechat" else []
    handle = await sealed(journal, [row(seq) for seq in range(9)], groups=groups, channel=channel)
    if groups:
        assert await handle.intend_group(await take(handle, groups=True), NOW)
    lease = await take(handle)
    assert await handle.intend(lease, [3, 4, 5], NOW, DAY)
    assert await handle.settle(lease, [result(3, rid="rid-3")])
    await handle.close()
    CLOCK.now += 1_000  # what is leased in a database is not any more

    def everyone() -> list[Person]:
        view = journal.reader()
        try:
            found = forwards(view, 2)
            assert [outcome for _, outcome in found] == list(view.rows())
            for state in State:
                some = [one for one in found if one[1].state is state]
                assert forwards(view, 2, states=[state]) == some
                assert backwards(view, 2, states=[state]) == some
            some = [one for one in found if one[1].code == "INTERRUPTED"]
            assert len(some) == 2 + sum(groups)
            assert forwards(view, 2, code="INTERRUPTED") == some
            assert searched(view, "k4") == ["k4"]
            people = [view.person(seq) for seq, _ in found]
            assert [one and one.outcome for one in people] == [outcome for _, outcome in found]
            return [without_times(one) for one in people if one is not None]
        finally:
            view.close()

    before = everyone()
    handle = await journal.open(write=True)
    await handle.recover(idempotent=channel == "alipay", at=NOW + 9, day=DAY, recent=9)
    assert everyone() == before
    assert [one.maybe_sent for one in before[3:6]] == [False] + 2 * [channel == "alipay"]
    await handle.close()


def without_times(person: Person) -> Person:
    """But when they got there, which the resume says."""
    outcome = msgspec.structs.replace(person.outcome, at=None)
    return msgspec.structs.replace(person, outcome=outcome)


@pytest.mark.asyncio
async def test_a_long_search_lets_every_checkpoint_through(
    journal: SqliteJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is many short reads: between two of them nothing is held."""
    monkeypatch.setattr(people_pages, "_STEP", 2)
    handle = await sealed(journal, [row(seq) for seq in range(20)])
    view = journal.reader()
    assert isinstance(view, FileView)
    other = sqlite3.connect(journal.path, isolation_level=None)
    read, through = view.reader.read, []

    def read_and_checkpoint(call: Any) -> Any:
        found = read(call)
        through.append(other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0)
        return found

    monkeypatch.setattr(view.reader, "read", read_and_checkpoint)
    assert view.people(limit=5, search="nobody").people == ()
    assert len(through) > 10
    assert all(through)
    other.close()
    view.close()
    await handle.close()
    assert beside(journal) == ["autumn.db"]


_texts = st.text(st.sampled_from("aAbB%_\\'"), max_size=3)


@st.composite
def planned(draw: st.DrawFn) -> list[PlannedRow]:
    seqs = sorted(draw(st.sets(st.integers(0, 40), min_size=1, max_size=12)))
    found = []
    for seq in seqs:
        state = draw(st.sampled_from(["pending", "failed", "skipped"]))
        found.append(
            row(
                seq,
                draw(_texts),
                id=draw(st.none() | _texts),
                openid=draw(st.none() | _texts),
                state=state,
                code="" if state == "pending" else draw(st.sampled_from(["x", "y"])),
            )
        )
    return found


async def in_memory(rows: list[PlannedRow]) -> CampaignView:
    journal = MemoryJournal(clock=CLOCK)
    handle = await sealed(journal, rows)
    view = journal.reader()
    await handle.close()
    return view


async def in_model(rows: list[PlannedRow]) -> CampaignView:
    journal = ModelJournal(CLOCK)
    await (await sealed(journal, rows)).close()
    return journal.reader()


@settings(max_examples=60, deadline=None)
@given(
    rows=planned(),
    limit=st.integers(1, 5),
    step=st.integers(1, 9),
    states=st.none() | st.sets(st.sampled_from(State)),
    code=st.none() | st.just("x"),
    search=st.none() | _texts,
)
def test_pages_are_those_of_the_model_whatever_is_asked(
    rows: list[PlannedRow],
    limit: int,
    step: int,
    states: set[State] | None,
    code: str | None,
    search: str | None,
) -> None:
    view, model = asyncio.run(in_memory(rows)), asyncio.run(in_model(rows))
    asked: dict[str, Any] = {"states": states, "code": code, "search": search}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(people_pages, "_STEP", step)
        there = forwards(view, limit, **asked)
        assert there == backwards(view, limit, **asked) == forwards(model, limit, **asked)
        for seq in (0, 7, 39):
            assert view.people(after=seq, limit=limit, **asked) == model.people(
                after=seq, limit=limit, **asked
            )
            assert view.people(before=seq, limit=limit, **asked) == model.people(
                before=seq, limit=limit, **asked
            )
    view.close()
