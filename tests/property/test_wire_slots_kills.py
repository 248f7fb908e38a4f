"""Wire slots against a plain set: whatever a sender did before it was killed, the next one sends again
to exactly those whose call had not begun.
"""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from journal_rows import DAY, NOW, adds_up, everybody, result, row, sealed, states

from promomsg.engine.opened_journal import open_journal
from promomsg.errors import JournalError
from promomsg.journal.contract import Handle
from promomsg.journal.locate import open_reader
from promomsg.journal.records import Counts, GroupRow, Lease, Reason
from promomsg.journal.sqlite.crash_safety.in_doubt import intended_in
from promomsg.journal.sqlite.journal import SqliteJournal
from promomsg.model import Outcome
from promomsg.states import GroupState

_GROUPS, _SINGLES = 3, 12
_MEMBERS = 2 * _GROUPS


def _row(outcome: Outcome) -> tuple[object, ...]:
    """Without the time, which is that of the resume."""
    return msgspec.structs.astuple(msgspec.structs.replace(outcome, at=None))


def _group(group: GroupRow) -> tuple[object, ...]:
    return group.group_no, group.state, group.attempts, group.code, group.detail


def _shown(path: str) -> tuple[Counts, list[tuple[object, ...]], list[tuple[object, ...]]]:
    """What a look shows of a journal whose sender has died."""
    with open_journal(path) as opened:
        found = opened.report()
        names = Counts.__struct_fields__
        return (
            Counts(**{name: getattr(found, name) for name in names}),
            [_group(group) for group in found.groups],
            [_row(outcome) for outcome in opened.outcomes()],
        )


class Sender:
    """A journal with a sender, and what is known of each call by plain sets."""

    def __init__(self, folder: Path, slots: int) -> None:
        self.journal = SqliteJournal(folder / "a.db", durability="process")
        self.slots = slots
        self.now = NOW
        self.state = dict.fromkeys(range(_MEMBERS, _MEMBERS + _SINGLES), "p")
        self.groups = dict.fromkeys(range(1, _GROUPS + 1), "p")
        self.out: set[tuple[str, int]] = set()
        """Called, and without a durable result."""
        self.crowded = False
        """Whether there were ever more calls out than slots."""

    async def begin(self, handle: Handle) -> None:
        self.handle = handle
        self.leases: list[Lease] = []
        self.group_leases: dict[int, Lease] = {}
        await handle.make_slots(self.slots)
        while lease := await handle.take(groups=False, singles=True, idempotent=False):
            self.leases.append(lease)
        while lease := await handle.take(groups=True, singles=False, idempotent=False):
            assert lease.group_no is not None
            self.group_leases[lease.group_no] = lease

    def lease_of(self, seq: int) -> Lease:
        chunk = (seq - _MEMBERS) // 4
        first = [lease.single_sends[0].seq for lease in self.leases]
        [lease] = [self.leases[at] for at, seq in enumerate(first) if seq in self.of(chunk)]
        return lease

    @staticmethod
    def of(chunk: int) -> range:
        return range(_MEMBERS + 4 * chunk, _MEMBERS + 4 * chunk + 4)

    def in_state(self, *wanted: str) -> list[int]:
        return [seq for seq, state in self.state.items() if state in wanted]

    def called(self, who: tuple[str, int]) -> None:
        self.out.add(who)
        self.crowded = self.crowded or len(self.out) > self.slots

    async def intend(self, data: st.DataObject) -> None:
        pending = self.in_state("p")
        for chunk in range(_SINGLES // 4):
            some = [seq for seq in pending if seq in self.of(chunk) and data.draw(st.booleans())]
            if some:
                assert await self.handle.intend(self.lease_of(some[0]), some, self.now, DAY)
                self.state.update(dict.fromkeys(some, "i"))

    async def call(self, data: st.DataObject) -> None:
        for seq in self.in_state("i"):
            if data.draw(st.booleans()):
                self.handle.mark_leaving(self.lease_of(seq), seq)
                self.called(("single", seq))

    async def settle(self, data: st.DataObject) -> None:
        for chunk in range(_SINGLES // 4):
            results = []
            for seq in self.in_state("i"):
                if seq in self.of(chunk) and data.draw(st.booleans()):
                    called = ("single", seq) in self.out
                    ends = ("sent", "failed", "unknown", "pending") if called else ("pending",)
                    results.append(result(seq, data.draw(st.sampled_from(ends)), called=called))
            if results:
                assert await self.handle.settle(self.lease_of(results[0].seq), results)
                for one in results:
                    self.state[one.seq] = one.state[0]
                    self.out.discard(("single", one.seq))

    async def group(self, data: st.DataObject) -> None:
        group_no = data.draw(st.sampled_from(sorted(self.groups)))
        lease = self.group_leases.get(group_no)
        state = self.groups[group_no]
        if lease is None or state == "a":
            return
        if state == "p":
            assert await self.handle.intend_group(lease, self.now)
            self.groups[group_no] = "i"
        elif ("group", group_no) not in self.out and data.draw(st.booleans()):
            self.handle.mark_leaving(lease)
            self.called(("group", group_no))
        elif ("group", group_no) in self.out and data.draw(st.booleans()):
            assert await self.handle.accept_group(lease, "m", None, self.now, self.now)
            self.groups[group_no] = "a"
            self.out.discard(("group", group_no))
        else:
            called = ("group", group_no) in self.out
            assert await self.handle.return_group(lease, Reason(), called)
            self.groups[group_no] = "p"
            self.out.discard(("group", group_no))

    async def kill(self, data: st.DataObject) -> None:
        """The next sender: whoever was out is unknown, the others that were intended are not."""
        self.handle._access.writer._broken = JournalError("killed")  # type: ignore[attr-defined]
        await self.handle.close()
        doubted = self.crowded
        singles = {seq for seq in self.in_state("i") if doubted or ("single", seq) in self.out}
        lost = {
            group_no
            for group_no, state in self.groups.items()
            if state == "i" and (doubted or ("group", group_no) in self.out)
        }
        with open_reader(self.journal.path) as reader:
            assert intended_in(reader).in_doubt == (len(singles), len(lost), 2 * len(lost))
        shown = _shown(self.journal.path)
        self.now += 100
        handle = await self.journal.open(write=True)
        found = await handle.recover(idempotent=False, at=self.now, day=DAY, recent=0)
        assert (found.unknown, found.lost_groups) == (len(singles), len(lost))
        assert shown == (
            await handle.counts(),
            [_group(group) for group in await handle.groups()],
            [_row(outcome) for outcome in await everybody(handle)],
        )
        for seq in self.in_state("i"):
            self.state[seq] = "u" if seq in singles else "p"
        for group_no, state in self.groups.items():
            if state == "i":
                self.groups[group_no] = "a" if group_no in lost else "p"
        expected = "".join(self.state[seq] for seq in sorted(self.state))
        assert (await states(handle))[_MEMBERS:] == expected
        for group in await handle.groups():
            is_planned = group.state is GroupState.PLANNED
            assert is_planned == (self.groups[group.group_no] == "p")
        assert adds_up(await handle.counts())
        self.out, self.crowded = set(), False
        await self.begin(handle)


async def run(data: st.DataObject, steps: list[str], slots: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        sender = Sender(Path(folder), slots)
        rows: list[Any] = [row(seq) for seq in range(_MEMBERS + _SINGLES)]
        handle = await sealed(sender.journal, rows, groups=[2] * _GROUPS, chunk_size=4)
        await sender.begin(handle)
        for step in [*steps, "kill"]:
            await getattr(sender, step)(data)
        await sender.handle.close()


STEPS = st.sampled_from(["intend", "intend", "call", "call", "settle", "group", "group", "kill"])


@given(
    data=st.data(), steps=st.lists(STEPS, min_size=3, max_size=25), slots=st.sampled_from([5, 30])
)
@settings(max_examples=40, deadline=None)
def test_after_any_kill_exactly_those_are_in_doubt_who_were_called(
    data: st.DataObject, steps: list[str], slots: int
) -> None:
    asyncio.run(run(data, steps, slots))
