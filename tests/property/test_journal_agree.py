"""Every journal, one contract: whatever is done to all of them, they say the same as the model."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from journal_model import ModelJournal
from journal_rows import CLOCK, DAY, NOW, adds_up, everybody, record, result, row, stream

from promomsg.errors import PromoError
from promomsg.journal.contract import Handle, Journal
from promomsg.journal.people.people_contract import Person
from promomsg.journal.planned_columns import as_columns
from promomsg.journal.postgres.access import CampaignAccess
from promomsg.journal.postgres.journal import PostgresJournal
from promomsg.journal.reasons import CANCELLED, FINISHED
from promomsg.journal.records import (
    NEVER,
    UNIQUE,
    Control,
    FirstFew,
    GroupCounts,
    Lease,
    PlannedRow,
    Reason,
)
from promomsg.journal.sqlite.handle import SqliteHandle
from promomsg.journal.sqlite.journal import SqliteJournal
from promomsg.journal.sqlite.memory import MemoryJournal
from promomsg.model import Code, Failure, State
from promomsg.states import FINAL

_few = st.integers(0, 5)


@st.composite
def planned_rows(draw: st.DrawFn) -> list[PlannedRow]:
    rows = []
    has_cohorts = draw(st.booleans())
    for seq in range(draw(st.integers(1, 14))):
        if draw(st.integers(0, 9)) == 0:
            rows.append(row(seq, state="failed", code="BAD_ROW", detail="no", id=None))
            continue
        rows.append(
            row(
                seq,
                draw(st.sampled_from("abcdefghijklmnop")),
                id=draw(st.none() | st.sampled_from(["1", "2", "3", "4", "5", "6", "7"])),
                openid=draw(st.none() | st.sampled_from(["o1", "o2", "o3", "a", "b"])),
                unionid=draw(st.none() | st.sampled_from(["u1", "u2", "u3"])),
                fingerprint=draw(st.none() | st.sampled_from([b"x", b"y"])),
                request_id=draw(st.none() | st.sampled_from(["r1", "r2", "r3", "r4"])),
                word=draw(st.none() | st.sampled_from(["red", "blue"])),
                cohort=draw(st.integers(0, 2)) if has_cohorts else 0,
            )
        )
    return rows


class Journals:
    """The model and the journals, and the leases taken so far; every call goes to each of them."""

    def __init__(self, path: Path, database: str = "") -> None:
        CLOCK.begin()
        self.kinds: list[Journal] = [
            ModelJournal(CLOCK),
            SqliteJournal(path, durability="process", clock=CLOCK),
            MemoryJournal(clock=CLOCK),
        ]
        if database:
            CLOCK.followed_by(database)
            self.kinds.append(PostgresJournal(database, path.stem))
        self.handles: list[Handle] = []
        self.leases: list[Lease] = []
        self.intended: dict[int, float] = {}
        """When each single was intended last."""

    def pass_time(self, seconds: float) -> float:
        """The time that it is then, by the caller's clock and the journals' own."""
        CLOCK.now += seconds
        return CLOCK.now

    async def create(self) -> None:
        self.handles = [await journal.create(record()) for journal in self.kinds]

    async def each(self, name: str, *args: Any, **named: Any) -> Any:
        answers = []
        for handle in self.handles:
            try:
                answers.append(await getattr(handle, name)(*args, **named))
            except PromoError as error:
                answers.append(type(error))
        assert answers[1:] == answers[:1] * (len(answers) - 1), name
        return answers[0]

    async def list_suppressed(self, data: st.DataObject) -> None:
        secret = data.draw(st.booleans())
        some = ["a", "2", "o3", "u2"][: data.draw(_few)]
        some_inside = st.sampled_from((None, "a", "2", "o3", "none"))
        doubted = [
            (key, f"{key}?", data.draw(some_inside), data.draw(st.booleans()))
            for key in data.draw(st.permutations("abx"))
        ]
        await self.each("list_suppressed", some, first=True, secret=secret)
        await self.each("list_suppressed", ["a", "w"], ["2", "v"], doubted, secret=secret)
        await self.each("absent_key")

    async def compare(self) -> None:
        counts = await self.each("counts")
        assert adds_up(counts)
        await self.each("groups")
        await self.each("control")
        await self.each("plan_counts")
        await self.each("cohort_counts")
        rows = [await everybody(handle) for handle in self.handles]
        assert rows[1:] == rows[:1] * (len(rows) - 1)

    async def reopen(self, idempotent: bool) -> None:
        for handle in self.handles:
            await handle.close()
        self.handles = [await journal.open(write=True) for journal in self.kinds]
        now = self.pass_time(1)
        await self.each("recover", idempotent=idempotent, at=now, day=DAY, recent=3)

    def reached(self, number: int, since: float = NEVER, *, pending: bool = False) -> object:
        try:
            pages = self.kinds[number].reached(since, pending=pending)
            return [who for page in pages for who in page]
        except PromoError as error:
            return type(error)

    def people(self, number: int) -> list[Person | None]:
        view = self.kinds[number].reader()
        try:
            return [view.person(seq) for seq, _ in view.people(limit=99).people]
        finally:
            view.close()

    async def end(self) -> None:
        people = [self.people(number) for number in range(len(self.kinds))]
        assert people[1:] == people[:1] * (len(people) - 1)
        streams = [await stream(handle) for handle in self.handles]
        assert streams[1:] == streams[:1] * (len(streams) - 1)
        now = self.pass_time(0)
        for since in (NEVER, (NOW + now) / 2, now):
            for pending in (False, True):
                reached = [
                    self.reached(number, since, pending=pending)
                    for number in range(len(self.kinds))
                ]
                assert reached[1:] == reached[:1] * (len(reached) - 1)
        final = [o for o in await everybody(self.handles[0]) if o.state in FINAL]
        assert sorted(map(repr, streams[0])) == sorted(map(repr, final))
        for handle in self.handles:
            await handle.close()


async def plan(journals: Journals, data: st.DataObject) -> None:
    rows = data.draw(planned_rows())
    half = len(rows) // 2
    await journals.each("add_rows", rows[:half])
    rest = rows[half:]
    if rest and all(one.state == State.PENDING for one in rest):
        guess = data.draw(
            st.none() | st.lists(st.integers(1, 3), min_size=len(rest), max_size=len(rest))
        )
        columns = as_columns(rest)._replace(group_no=None if guess is None else sorted(guess))
        await journals.each("add_columns", columns)
    else:
        await journals.each("add_rows", rest)
    for step in data.draw(st.permutations(["assign", "suppress", "select", "duplicates"])):
        if step == "assign" and data.draw(st.booleans()):
            await journals.each("assign_ids", [("o1", "u1", "11"), ("o2", None, "12")])
        elif step == "suppress":
            columns = data.draw(st.sets(st.sampled_from(UNIQUE)))
            await journals.list_suppressed(data)
            await journals.each("suppress", columns)
            await journals.each("left_out")
        elif step == "select" and data.draw(_few) == 0:
            await journals.each("select", list("abcdefgh"))
        elif step == "duplicates":
            await journals.each("mark_duplicates")
    await journals.each("sample", 3)
    if data.draw(st.booleans()):
        keys = await journals.each("pending_keys", data.draw(st.integers(-1, 3)), 9)
        some = [seq for seq, _, _ in keys if data.draw(st.booleans())]
        await journals.each("set_cohort", some, data.draw(st.integers(0, 3)))
    await group(journals, data)
    if data.draw(_few) == 0:
        await journals.each("add_audience_group", {"roles": [1]}, data.draw(st.integers(1, 9)))
    await journals.compare()
    await journals.each("seal", record(planned_at=NOW), chunk_size=data.draw(st.integers(1, 4)))


async def group(journals: Journals, data: st.DataObject) -> None:
    for message_digest, count, cohort in await journals.each(
        "shared_messages", data.draw(st.integers(1, 4))
    ):
        first = data.draw(st.integers(1, count))
        sizes = [size for size in (first, count - first) if size]
        await journals.each("make_groups", message_digest, sizes, cohort)


async def act(journals: Journals, data: st.DataObject) -> None:
    # Now and then for longer than a lease lives.
    now = journals.pass_time(data.draw(st.sampled_from([1, 1, 1, 1, 1, 1, 1, 200])))
    what = data.draw(
        st.sampled_from(
            [
                "take",
                "take",
                "take",
                "take",
                "intend",
                "intend",
                "intend",
                "settle",
                "settle",
                "settle",
                "release",
                "renew",
                "group",
                "group",
                "group",
                "follow",
                "follow",
                "follow",
                "control",
                "stop",
                "refuse_message",
                "cancel",
                "suppress",
                "retry",
                "restart",
            ]
        )
    )
    lease = data.draw(st.sampled_from(journals.leases)) if journals.leases else None
    if what == "take":
        groups, singles = data.draw(st.sampled_from([(True, False), (False, True), (True, True)]))
        idempotent = data.draw(st.integers(0, 3)) == 0
        taken = await journals.each(
            "take",
            groups=groups,
            singles=singles,
            idempotent=idempotent,
            cohorts=data.draw(st.none() | st.lists(st.integers(0, 3), max_size=3, unique=True)),
        )
        if taken is not None:
            journals.leases.append(taken)
    elif what == "cancel":
        if data.draw(_few) == 0:
            reason = data.draw(st.sampled_from([CANCELLED, FINISHED]))
            await journals.each("cancel_pending", now, reason)
    elif what == "suppress":
        await journals.list_suppressed(data)
        smallest = data.draw(st.integers(1, 4))
        await journals.each("suppress_pending", smallest_group=smallest, at=now)
        await journals.each("left_out")
    elif what == "stop":
        stop = data.draw(st.sampled_from(["halt", "park", "resume"]))
        few = FirstFew(answered_at=now, approved=data.draw(st.none() | st.just("digest")))
        marks = st.none() | st.just(few)
        await journals.each("set_first_few", data.draw(marks), instead_of=data.draw(marks))
        await journals.each("halt_by_first", "FIRST_ASK", "look", seen=data.draw(marks))
        await journals.each(stop, *(("45009", "used up") if stop == "halt" else (now,)))
    elif what == "control":
        control = data.draw(st.sampled_from([Control.RUN, Control.RUN, Control.PAUSE]))
        for journal in journals.kinds:
            await journal.request(control)
    elif what == "refuse_message":
        if data.draw(st.booleans()):
            await journals.each(
                "refuse_message", data.draw(_few), Reason("47003", "no", "rid1"), now
            )
    elif what == "retry":
        state = data.draw(st.sampled_from([State.FAILED, State.UNKNOWN]))
        await journals.each("reopen", state, include_unnamed=data.draw(st.booleans()), at=now)
        await group(journals, data)
        if data.draw(st.booleans()):
            await journals.each("seal_retry", chunk_size=3)
        else:
            await journals.reopen(idempotent=False)
    elif what == "restart":
        await journals.reopen(data.draw(st.booleans()))
    elif what == "follow":
        await follow(journals, data, now)
    elif lease is not None and lease.group_no is not None:
        await group_call(journals, data, lease, now)
    elif lease is not None:
        await single_call(journals, data, lease, what, now)


async def single_call(
    journals: Journals, data: st.DataObject, lease: Lease, what: str, now: float
) -> None:
    seqs = [single_send.seq for single_send in lease.single_sends]
    some = data.draw(st.lists(st.sampled_from(seqs), unique=data.draw(_few) != 0))
    if what == "release":
        await journals.each("release", lease)
    elif what == "renew":
        some_leases = data.draw(st.lists(st.sampled_from(journals.leases), max_size=3))
        await journals.each("renew", [lease, *some_leases])
    elif what == "intend":
        if await journals.each("intend", lease, some, now, DAY) is True:
            journals.intended.update(dict.fromkeys(some, now))
        if data.draw(_few) == 0:  # its answer was lost
            await journals.each("intend", lease, some, now, DAY)
    else:
        results = []
        for seq in some:
            state = data.draw(
                st.sampled_from(["sent", "sent", "sent", "failed", "unknown", "pending"])
            )
            code = "" if state == "sent" else data.draw(st.sampled_from(["40001", "9"]))
            changes: dict[str, Any] = {"at": now + data.draw(st.sampled_from([0.0, 0.5]))}
            if state == "pending":
                changes["maybe_sent"], changes["called"] = data.draw(
                    st.tuples(st.booleans(), st.booleans())
                )
            changes["intended_at"] = journals.intended.get(seq)
            results.append(result(seq, state, code=code, **changes))
        await journals.each("settle", lease, results)
        if data.draw(_few) == 0:  # its answer was lost
            await journals.each("settle", lease, results)


async def group_call(journals: Journals, data: st.DataObject, lease: Lease, now: float) -> None:
    await journals.each("intend_group", lease, now)
    end = data.draw(
        st.sampled_from(["accept", "accept", "accept", "return", "refuse", "lose", "nothing"])
    )
    if end == "accept":
        await journals.each("accept_group", lease, f"m{lease.group_no}", "rid", now, now + 2)
    elif end == "return":
        await journals.each("return_group", lease, Reason("-1", "busy"), data.draw(st.booleans()))
    elif end == "refuse":
        await journals.each("refuse_group", lease, Reason("47001", "no"), now)
    elif end == "lose":
        await journals.each("lose_group", lease, Reason(Code.NO_ANSWER, "reset"), now)
    if data.draw(st.booleans()):
        await journals.each("release", lease)


async def follow(journals: Journals, data: st.DataObject, now: float) -> None:
    groups = await journals.each("groups")
    if not groups:
        return
    group_no = data.draw(st.sampled_from(groups)).group_no
    if data.draw(_few) == 0:
        await journals.each("expire_group", group_no, now)
    elif data.draw(_few) == 0:
        await journals.each("adopt_group", group_no, f"found{group_no}", now, now + 1)
    elif data.draw(_few) == 0:
        polls = data.draw(st.sampled_from([None, 0, 1]))
        seen = dict.fromkeys(("at_100", "given_up", "warned_of_age"), data.draw(st.booleans()))
        await journals.each(
            "poll_group", group_no, GroupCounts(50, 3), now + 1, polls=polls, **seen
        )
    else:
        ids = data.draw(st.lists(st.sampled_from(["1", "2", "3", "11", "stranger"]), max_size=4))
        failures = [Failure(id, data.draw(st.sampled_from(["7", "8"]))) for id in ids]
        await journals.each(
            "complete_group",
            group_no,
            GroupCounts(100, data.draw(st.none() | st.integers(0, 9)), data.draw(st.none() | _few)),
            failures=failures,
            unnamed=data.draw(st.sampled_from([0, 0, 2])),
            at=now,
            warnings=["said once"],
        )


_paths = itertools.count()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("agree")


async def story(journals: Journals, data: st.DataObject) -> None:
    await journals.create()
    try:
        await plan(journals, data)
        for _ in range(data.draw(st.integers(0, 30))):
            await act(journals, data)
            await journals.compare()
        await journals.end()
    finally:
        for handle in journals.handles:
            await handle.close()


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_every_journal_agrees_with_the_model_whatever_is_done(
    folder: Path, data: st.DataObject
) -> None:
    asyncio.run(story(Journals(folder / f"{next(_paths)}.db"), data))


@pytest.fixture(scope="module")
def leases_as_long_as_a_files() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CampaignAccess, "lease_life", SqliteHandle.lease_life)
        yield


@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_a_journal_on_postgresql_agrees_too(
    folder: Path, postgres: str, leases_as_long_as_a_files: None, data: st.DataObject
) -> None:
    asyncio.run(story(Journals(folder / f"{next(_paths)}.db", postgres), data))
