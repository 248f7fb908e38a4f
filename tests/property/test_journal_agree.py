"""Two journals, one contract: whatever is done to both, they say the same."""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from journal_rows import DAY, NOW, adds_up, everybody, record, result, row, stream

from promomsg.errors import PromoError
from promomsg.journal.contract import Handle, Journal
from promomsg.journal.memory import MemoryJournal
from promomsg.journal.records import UNIQUE, Control, Lease, PlannedRow
from promomsg.journal.sqlite.journal import SqliteJournal
from promomsg.model import Code, Failure, State
from promomsg.states import FINAL

_few = st.integers(0, 5)


@st.composite
def planned_rows(draw: st.DrawFn) -> list[PlannedRow]:
    rows = []
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
            )
        )
    return rows


class Pair:
    """Both journals, and the leases taken so far; every call goes to both."""

    def __init__(self, path: Path) -> None:
        self.journals: list[Journal] = [
            MemoryJournal(),
            SqliteJournal(path, durability="process"),
        ]
        self.handles: list[Handle] = []
        self.leases: list[Lease] = []
        self.time = NOW

    async def create(self) -> None:
        self.handles = [await journal.create(record()) for journal in self.journals]

    async def both(self, name: str, *args: Any, **named: Any) -> Any:
        answers = []
        for handle in self.handles:
            try:
                answers.append(await getattr(handle, name)(*args, **named))
            except PromoError as error:
                answers.append(type(error))
        assert answers[0] == answers[1], name
        return answers[0]

    async def list_suppressed(self, data: st.DataObject) -> None:
        secret = data.draw(st.booleans())
        some = ["a", "2", "o3", "u2"][: data.draw(_few)]
        some_inside = st.sampled_from((None, "a", "2", "o3", "none"))
        doubted = [
            (key, f"{key}?", data.draw(some_inside), data.draw(st.booleans()))
            for key in data.draw(st.permutations("abx"))
        ]
        await self.both("list_suppressed", some, first=True, secret=secret)
        await self.both("list_suppressed", ["a", "w"], ["2", "v"], doubted, secret=secret)
        await self.both("absent_key")

    async def compare(self) -> None:
        tally = await self.both("tally")
        assert adds_up(tally)
        await self.both("groups")
        await self.both("plan_counts")
        one, two = [await everybody(handle) for handle in self.handles]
        assert one == two

    async def reopen(self, idempotent: bool) -> None:
        for handle in self.handles:
            await handle.close()
        self.handles = [await journal.open(write=True) for journal in self.journals]
        self.time += 1
        await self.both("recover", idempotent=idempotent, at=self.time, day=DAY, recent=3)

    def reached(self, number: int) -> object:
        try:
            return [who for page in self.journals[number].reached() for who in page]
        except PromoError as error:
            return type(error)

    async def end(self) -> None:
        one, two = [await stream(handle) for handle in self.handles]
        assert one == two
        assert self.reached(0) == self.reached(1)
        final = [o for o in await everybody(self.handles[0]) if o.state in FINAL]
        assert sorted(map(repr, one)) == sorted(map(repr, final))
        for handle in self.handles:
            await handle.close()


async def plan(pair: Pair, data: st.DataObject) -> None:
    rows = data.draw(planned_rows())
    half = len(rows) // 2
    await pair.both("add_rows", rows[:half])
    await pair.both("add_rows", rows[half:])
    for step in data.draw(st.permutations(["assign", "suppress", "select", "duplicates"])):
        if step == "assign" and data.draw(st.booleans()):
            await pair.both("assign_ids", [("o1", "u1", "11"), ("o2", None, "12")])
        elif step == "suppress":
            columns = data.draw(st.sets(st.sampled_from(UNIQUE)))
            await pair.list_suppressed(data)
            await pair.both("suppress", columns)
            await pair.both("left_out")
        elif step == "select" and data.draw(_few) == 0:
            await pair.both("select", list("abcdefgh"))
        elif step == "duplicates":
            await pair.both("mark_duplicates")
    await pair.both("sample", 3)
    await group(pair, data)
    if data.draw(_few) == 0:
        await pair.both("add_audience_group", {"roles": [1]}, data.draw(st.integers(1, 9)))
    await pair.compare()
    await pair.both("seal", record(planned_at=NOW), chunk_size=data.draw(st.integers(1, 4)))


async def group(pair: Pair, data: st.DataObject) -> None:
    for message_digest, count in await pair.both("shared_messages", data.draw(st.integers(1, 4))):
        first = data.draw(st.integers(1, count))
        sizes = [size for size in (first, count - first) if size]
        await pair.both("make_groups", message_digest, sizes)


async def act(pair: Pair, data: st.DataObject) -> None:
    pair.time = now = pair.time + 1
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
                "refuse_message",
                "cancel",
                "suppress",
                "retry",
                "restart",
            ]
        )
    )
    lease = data.draw(st.sampled_from(pair.leases)) if pair.leases else None
    if what == "take":
        groups, singles = data.draw(st.sampled_from([(True, False), (False, True), (True, True)]))
        ttl = data.draw(st.sampled_from([2.0, 1000.0]))
        taken = await pair.both("take", groups=groups, singles=singles, now=now, ttl=ttl)
        if taken is not None:
            pair.leases.append(taken)
    elif what == "cancel":
        if data.draw(_few) == 0:
            await pair.both("cancel_pending", now)
    elif what == "suppress":
        await pair.list_suppressed(data)
        smallest = data.draw(st.integers(1, 4))
        await pair.both("suppress_pending", smallest_group=smallest, at=now)
        await pair.both("left_out")
    elif what == "control":
        control = data.draw(st.sampled_from([Control.RUN, Control.RUN, Control.PAUSE]))
        for journal in pair.journals:
            await journal.request(control)
    elif what == "refuse_message":
        if data.draw(st.booleans()):
            await pair.both("refuse_message", data.draw(_few), "47003", "no", "rid1", now)
    elif what == "retry":
        state = data.draw(st.sampled_from([State.FAILED, State.UNKNOWN]))
        await pair.both("reopen", state, include_unnamed=data.draw(st.booleans()), at=now)
        await group(pair, data)
        if data.draw(st.booleans()):
            await pair.both("seal_retry", chunk_size=3)
        else:
            await pair.reopen(idempotent=False)
    elif what == "restart":
        await pair.reopen(data.draw(st.booleans()))
    elif what == "follow":
        await follow(pair, data, now)
    elif lease is not None and lease.group_no is not None:
        await group_call(pair, data, lease, now)
    elif lease is not None:
        await single_call(pair, data, lease, what, now)


async def single_call(pair: Pair, data: st.DataObject, lease: Lease, what: str, now: float) -> None:
    seqs = [single_send.seq for single_send in lease.single_sends]
    some = data.draw(st.lists(st.sampled_from(seqs), unique=data.draw(_few) != 0))
    if what == "release":
        await pair.both("release", lease)
    elif what == "renew":
        await pair.both("renew", lease, now=now, ttl=50.0)
    elif what == "intend":
        await pair.both("intend", lease, some, now, DAY)
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
            results.append(result(seq, state, code=code, **changes))
        await pair.both("settle", lease, results)


async def group_call(pair: Pair, data: st.DataObject, lease: Lease, now: float) -> None:
    await pair.both("intend_group", lease, now)
    end = data.draw(
        st.sampled_from(["accept", "accept", "accept", "return", "refuse", "lose", "nothing"])
    )
    if end == "accept":
        await pair.both("accept_group", lease, f"m{lease.group_no}", "rid", now, now + 2)
    elif end == "return":
        await pair.both("return_group", lease, "-1", "busy", data.draw(st.booleans()))
    elif end == "refuse":
        await pair.both("refuse_group", lease, "47001", "no", None, now)
    elif end == "lose":
        await pair.both("lose_group", lease, Code.NO_ANSWER, "reset", now)
    if data.draw(st.booleans()):
        await pair.both("release", lease)


async def follow(pair: Pair, data: st.DataObject, now: float) -> None:
    await pair.both("due_groups", now)
    groups = await pair.both("groups")
    if not groups:
        return
    group_no = data.draw(st.sampled_from(groups)).group_no
    if data.draw(_few) == 0:
        await pair.both("expire_group", group_no, now)
    elif data.draw(_few) == 0:
        await pair.both("adopt_group", group_no, f"found{group_no}", now, now + 1)
    elif data.draw(_few) == 0:
        await pair.both(
            "poll_group", group_no, percent=50, send_cnt=3, fail_cnt=None, next_poll_at=now + 1
        )
    else:
        ids = data.draw(st.lists(st.sampled_from(["1", "2", "3", "11", "stranger"]), max_size=4))
        failures = [Failure(id, data.draw(st.sampled_from(["7", "8"]))) for id in ids]
        await pair.both(
            "complete_group",
            group_no,
            percent=100,
            send_cnt=data.draw(st.none() | st.integers(0, 9)),
            fail_cnt=data.draw(st.none() | _few),
            failures=failures,
            unnamed=data.draw(st.sampled_from([0, 0, 2])),
            at=now,
            warnings=["said once"],
        )


_paths = itertools.count()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("agree")


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_memory_and_sqlite_agree_whatever_is_done(folder: Path, data: st.DataObject) -> None:
    async def story() -> None:
        pair = Pair(folder / f"{next(_paths)}.db")
        await pair.create()
        try:
            await plan(pair, data)
            for _ in range(data.draw(st.integers(0, 30))):
                await act(pair, data)
                await pair.compare()
            await pair.end()
        finally:
            for handle in pair.handles:
                await handle.close()

    asyncio.run(story())
