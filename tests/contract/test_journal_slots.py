"""Who is in doubt after a kill: those whose call may have begun, by the wire slots; all who were
intended where those say nothing.
"""

from __future__ import annotations

import os
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from journal_process import child, end
from journal_rows import (
    DAY,
    NOW,
    Make,
    beside,
    everybody,
    nothing_to_take,
    result,
    row,
    sealed,
    states,
    take,
)
from killed_senders import kill, left, resumed, sending, slots_of

from promomsg.errors import JournalError
from promomsg.journal.locate import open_reader
from promomsg.journal.records import Lease
from promomsg.journal.sqlite.crash_safety import sender_slots
from promomsg.journal.sqlite.crash_safety.in_doubt import intended_in
from promomsg.journal.sqlite.crash_safety.side_files import SLOTS, WAL
from promomsg.journal.sqlite.journal import SqliteJournal
from promomsg.states import GroupState

pytestmark = pytest.mark.asyncio


@pytest.mark.parametrize("durability", ["power", "process"])
async def test_after_a_kill_only_those_are_unknown_whose_call_had_begun(
    journal: SqliteJournal, durability: str
) -> None:
    code = """
    handle = await sealed(journal, [row(seq) for seq in range(10)], chunk_size=10)
    await handle.make_slots(16)
    lease = await take(handle)
    assert await handle.intend(lease, range(8), NOW, DAY)
    for seq in (0, 2, 4):
        handle.mark_leaving(lease, seq)
    assert await handle.settle(lease, [result(2), result(5, "pending", called=False)])
    os.kill(os.getpid(), signal.SIGKILL)
    """
    end(child(code, journal.path, DURABILITY=durability), kill=False)
    assert f"autumn.db{SLOTS}" in beside(journal)
    assert os.stat(f"{journal.path}{SLOTS}").st_mode & 0o777 == 0o600
    with open_reader(journal.path) as reader:
        assert intended_in(reader).in_doubt == (2, 0, 0)
    handle, found = await resumed(journal)
    assert (found.unknown, found.uncalled) == (2, 4)
    # As if they had never been intended: three calls were made on that day.
    assert found.singles_today == 3
    assert await states(handle) == "upspuppppp"
    tried = [outcome.attempts for outcome in await everybody(handle)]
    assert tried == [1, 0, 1, 0, 1, 0, 0, 0, 0, 0]
    again = await take(handle, at=NOW + 10)
    assert [single_send.seq for single_send in again.single_sends] == [1, 3, 5, 6, 7, 8, 9]
    await handle.close()
    assert beside(journal) == ["autumn.db"]


async def test_on_an_idempotent_channel_only_they_are_maybe_sent(journal: SqliteJournal) -> None:
    handle, _ = await sending(journal, 4, marked=2)
    await kill(handle)
    handle, found = await resumed(journal, idempotent=True)
    assert (found.again, found.uncalled) == (2, 2)
    assert await states(handle) == "pppp"
    lease = await take(handle, at=NOW + 10)
    assert [s.maybe_sent for s in lease.single_sends] == [True, True, False, False]
    assert [s.attempts for s in lease.single_sends] == [1, 1, 0, 0]
    codes = [outcome.code for outcome in await everybody(handle)]
    assert codes == ["INTERRUPTED", "INTERRUPTED", "", ""]
    await handle.close()


async def test_who_was_maybe_sent_before_keeps_that_and_its_reason(journal: SqliteJournal) -> None:
    handle, lease = await sending(journal, 2, marked=1)
    doubtful = result(0, "pending", code="NO_ANSWER", detail="reset", maybe_sent=True)
    assert await handle.settle(lease, [doubtful])
    assert await handle.intend(lease, [0], NOW + 1, DAY)
    await kill(handle)
    handle, found = await resumed(journal, idempotent=True)
    assert (found.again, found.uncalled) == (0, 2)
    lease = await take(handle, at=NOW + 10)
    assert [(s.maybe_sent, s.attempts) for s in lease.single_sends] == [(True, 1), (False, 0)]
    assert [outcome.code for outcome in await everybody(handle)] == ["NO_ANSWER", ""]
    await handle.close()


@pytest.mark.parametrize("durability", ["power", "process"])
async def test_a_group_that_was_not_called_is_planned_again(
    journal: SqliteJournal, durability: str
) -> None:
    code = """
    handle = await sealed(journal, [row(seq) for seq in range(9)], groups=[3, 3, 3])
    await handle.make_slots(4)
    for number in range(3):
        lease = await take(handle, groups=True)
        assert await handle.intend_group(lease, NOW)
        if number < 2:
            handle.mark_leaving(lease)
        if number == 0:
            assert await handle.accept_group(lease, "m1", None, NOW, NOW + 60)
    os.kill(os.getpid(), signal.SIGKILL)
    """
    end(child(code, journal.path, DURABILITY=durability), kill=False)
    with open_reader(journal.path) as reader:
        assert intended_in(reader).in_doubt == (0, 1, 3)
    handle, found = await resumed(journal)
    assert (found.lost_groups, found.uncalled_groups) == (1, 1)
    groups = await handle.groups()
    accepted, unknown, planned = GroupState.ACCEPTED, GroupState.UNKNOWN, GroupState.PLANNED
    assert [group.state for group in groups] == [accepted, unknown, planned]
    assert [group.attempts for group in groups] == [1, 1, 0]
    assert await states(handle) == "pppuuuppp"
    lease = await take(handle, groups=True, at=NOW + 10)
    assert lease.group_no == 3
    await handle.close()


BREAKS = """
import signal
from promomsg.journal.sqlite.crash_safety import commit_mark, slot_file
def die(*args, **named):
    os.kill(os.getpid(), signal.SIGKILL)
class Words:
    left = LEFT
    def __init__(self, words):
        self.words = words
    def __setitem__(self, at, value):
        self.words[at] = value
        Words.left -= at >= 32
        if not Words.left:
            die()
"""

RUN = """
    handle = await sealed(journal, [row(seq) for seq in range(7)], groups=[3], chunk_size=4)
    await handle.make_slots(8)
    slots = handle._slot_file
    PREPARE
    lease = await take(handle)
    assert await handle.intend(lease, range(3, 7), NOW, DAY)
    handle.mark_leaving(lease, 3)
    handle.mark_leaving(lease, 4)
    print(3, 4, flush=True)
    assert await handle.settle(lease, [result(3)])
    handle.mark_leaving(lease, 5)
    print(5, flush=True)
    group = await take(handle, groups=True)
    assert await handle.intend_group(group, NOW)
    handle.mark_leaving(group)
    print(0, 1, 2, flush=True)
    assert await handle.accept_group(group, "m1", None, NOW, NOW + 60)
    assert await handle.settle(lease, [result(4), result(5)])
    die()
"""


@pytest.mark.parametrize("durability", ["power", "process"])
@pytest.mark.parametrize(
    ("point", "prepare"),
    [
        *((f"results-durable:{number}", "") for number in (1, 2)),
        ("group-result-durable:1", ""),
        *(
            (f"store {number}", f"slots._words = Words(slots._words); Words.left = {number}")
            for number in range(1, 15)
        ),
        ("between the commit and its mark", "commit_mark.CommitMark.write = die"),
        ("between the mark and the slots' own", "slot_file.SlotFile.committed = die"),
    ],
)
async def test_a_kill_at_any_seam_takes_nobody_out_of_doubt_who_was_called(
    journal: SqliteJournal, durability: str, point: str, prepare: str
) -> None:
    code = f"exec({BREAKS.replace('LEFT', '0')!r}, globals())\n" + RUN.replace("PREPARE", prepare)
    crash = {"PROMOMSG_CRASH_AT": point} if ":" in point else {}
    process = child(code.replace("\n    ", "\n"), journal.path, DURABILITY=durability, **crash)
    said, _ = process.communicate()
    assert process.returncode == -signal.SIGKILL
    called = {int(word) for word in said.split()}
    handle, _ = await resumed(journal)
    [group] = await handle.groups()
    after = await states(handle)
    out = group.state in (GroupState.ACCEPTED, GroupState.UNKNOWN)
    again = {seq for seq in range(7) if after[seq] == "p" and (seq > 2 or not out)}
    assert not again & called
    # And nearly all the others are sent to again: one may have been marked, and not called yet.
    assert len({seq for seq in range(7) if seq not in again | called}) <= 3
    await handle.close()


async def test_a_call_that_sent_nothing_and_waits_for_its_next_one_was_not_made(
    journal: SqliteJournal,
) -> None:
    handle, lease = await sending(journal, 3, marked=3)
    assert await handle.settle(lease, [result(seq, "pending") for seq in range(3)])
    assert await handle.intend(lease, [0, 1], NOW + 1, DAY)
    handle.mark_leaving(lease, 1)
    await kill(handle)
    handle, found = await resumed(journal)
    assert (await states(handle), found.uncalled) == ("pup", 1)
    assert [outcome.attempts for outcome in await everybody(handle)] == [1, 2, 1]
    await handle.close()


async def test_a_result_that_is_not_kept_leaves_its_slot(journal: SqliteJournal) -> None:
    handle, lease = await sending(journal, 3, marked=1)
    assert await nothing_to_take(handle)
    stale = Lease(lease.chunk_no, lease.epoch - 1)
    assert not await handle.settle(stale, [result(0)])
    await kill(handle)
    assert await left(journal) == "upp"


async def test_slots_are_given_again_after_the_result_and_no_earlier(
    journal: SqliteJournal,
) -> None:
    handle = await sealed(journal, [row(seq) for seq in range(40)], chunk_size=40)
    await handle.make_slots(2)
    lease = await take(handle)
    for seq in range(0, 40, 2):
        assert await handle.intend(lease, [seq, seq + 1], NOW, DAY)
        handle.mark_leaving(lease, seq)
        handle.mark_leaving(lease, seq + 1)
        if seq < 38:
            assert await handle.settle(lease, [result(seq), result(seq + 1)])
    await kill(handle)
    assert await left(journal) == "s" * 38 + "uu"


async def test_more_calls_than_slots_put_everybody_in_doubt(journal: SqliteJournal) -> None:
    handle = await sealed(journal, [row(seq) for seq in range(4)])
    await handle.make_slots(2)
    lease = await take(handle)
    assert await handle.intend(lease, range(4), NOW, DAY)
    for seq in range(3):
        handle.mark_leaving(lease, seq)
    await kill(handle)
    assert await left(journal) == "uuuu"


@pytest.mark.parametrize("number", [None, -9, 2**45])
async def test_what_no_slot_can_hold_puts_everybody_in_doubt(
    journal: SqliteJournal, number: Any
) -> None:
    handle, lease = await sending(journal, 3, marked=0)
    handle.mark_leaving(lease, number)
    handle.mark_leaving(lease, 0)
    await kill(handle)
    assert await left(journal) == "uuu"


async def test_a_resume_that_went_no_further_takes_nothing_away(journal: SqliteJournal) -> None:
    handle, _ = await sending(journal)
    await kill(handle)
    for again in (True, False):
        refused = await journal.open(write=True)
        await refused.list_suppressed(["k1"], first=True)
        await (refused.close() if again else kill(refused))
    assert await left(journal) == "uuuppppp"


async def test_a_second_kill_in_the_same_way_is_told_by_the_second_senders_slots(
    journal: SqliteJournal,
) -> None:
    handle, _ = await sending(journal)
    await kill(handle)
    handle, _ = await resumed(journal)
    await handle.make_slots(16)
    lease = await take(handle, at=NOW + 10)
    assert await handle.intend(lease, [3, 4, 5], NOW + 10, DAY)
    handle.mark_leaving(lease, 4)
    await kill(handle)
    assert await left(journal) == "uuupuppp"


async def test_a_journal_that_was_moved_with_all_beside_it_is_told_the_same(
    journal: SqliteJournal, tmp_path: Path
) -> None:
    handle, _ = await sending(journal)
    await kill(handle)
    (tmp_path / "new").mkdir()
    for name in beside(journal):
        (tmp_path / name).rename(tmp_path / "new" / name)
    assert await left(SqliteJournal(tmp_path / "new" / "autumn.db")) == "uuuppppp"


async def test_when_commits_are_lost_everybody_is_in_doubt_also_a_kill_later(
    journal: SqliteJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = """
    handle = await sealed(journal, [row(seq) for seq in range(6)])
    await handle.make_slots(8)
    lease = await take(handle)
    assert await handle.intend(lease, range(4), NOW, DAY)
    for seq in range(3):
        handle.mark_leaving(lease, seq)
    print(os.path.getsize(journal.path + "-wal"), flush=True)
    assert await handle.settle(lease, [result(seq) for seq in range(3)])
    os.kill(os.getpid(), signal.SIGKILL)
    """
    size, _ = child(code, journal.path).communicate()
    os.truncate(f"{journal.path}{WAL}", int(size))
    with open_reader(journal.path) as reader:
        assert intended_in(reader).in_doubt == (4, 0, 0)
    # It is killed before it has recovered them, and before it has removed the earlier slots.
    monkeypatch.setattr(sender_slots, "remove_slot_file", lambda path, inode: None)
    handle = await journal.open(write=True)
    await kill(handle)
    monkeypatch.undo()
    assert slots_of(journal).exists()
    assert await left(journal) == "uuuuuu"


async def test_a_journal_behind_its_mark_is_told_also_where_the_slots_do_not_know(
    journal: SqliteJournal,
) -> None:
    code = """
    from promomsg.journal.sqlite.crash_safety.slot_file import SlotFile
    handle = await sealed(journal, [row(seq) for seq in range(6)])
    await handle.make_slots(8)
    lease = await take(handle)
    assert await handle.intend(lease, range(4), NOW, DAY)
    handle.mark_leaving(lease, 0)
    print(os.path.getsize(journal.path + "-wal"), flush=True)
    SlotFile.committed = lambda *args: None
    assert await handle.settle(lease, [result(0)])
    os.kill(os.getpid(), signal.SIGKILL)
    """
    size, _ = child(code, journal.path).communicate()
    os.truncate(f"{journal.path}{WAL}", int(size))
    handle, found = await resumed(journal)
    # All of a chunk that was begun: whom the lost commits intended is not known.
    assert (await states(handle), found.uncalled) == ("uuuuuu", 0)
    await handle.close()


async def test_readers_and_a_second_sender_leave_the_slots_as_they_are(
    journal: SqliteJournal,
) -> None:
    handle, _ = await sending(journal)
    before = slots_of(journal).read_bytes(), slots_of(journal).stat().st_ino
    with open_reader(journal.path) as reader:
        assert intended_in(reader).in_doubt.singles == 3
    with pytest.raises(JournalError, match="a sender has it open"):
        await journal.open(write=True)
    reading = await journal.open()
    await reading.make_slots(8)
    reading.mark_leaving(Lease(1, 1), 5)
    await reading.close()
    assert (slots_of(journal).read_bytes(), slots_of(journal).stat().st_ino) == before
    await kill(handle)
    with open_reader(journal.path) as reader:
        assert intended_in(reader).in_doubt == (3, 0, 0)
        assert intended_in(reader).in_doubt == (3, 0, 0)
    assert await left(journal) == "uuuppppp"


async def test_what_a_forked_child_does_is_no_call_of_its_parents(journal: SqliteJournal) -> None:
    handle, lease = await sending(journal)
    pid = os.fork()
    if pid == 0:
        handle.mark_leaving(lease, 6)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert (await states(handle)).count("i") == 8
    await kill(handle)
    assert await left(journal) == "uuuppppp"


async def test_slots_take_no_descriptor(journal: SqliteJournal) -> None:
    handle, lease = await sending(journal, 3, marked=2)
    open_files = {
        os.path.realpath(f"/proc/self/fd/{number}") for number in os.listdir("/proc/self/fd")
    }
    assert journal.path in open_files
    assert not any(SLOTS in name for name in open_files)
    await kill(handle)
    handle.mark_leaving(lease, 2)  # it does not raise, and touches nothing
    assert await left(journal) == "uup"


async def test_a_clean_end_and_discard_leave_no_slots(journal: SqliteJournal) -> None:
    handle, lease = await sending(journal, 2, marked=2)
    await handle.make_slots(4)  # a second call does nothing
    assert await handle.settle(lease, [result(0), result(1)])
    await handle.close()
    assert beside(journal) == ["autumn.db"]
    slots_of(journal).touch()
    journal.discard()
    assert beside(journal) == []


async def test_intents_of_the_day_before_do_not_lower_the_count_of_today(
    journal: SqliteJournal,
) -> None:
    handle, lease = await sending(journal, 4, marked=0)
    assert await handle.settle(lease, [result(3, "pending", called=False)])
    later = NOW + 86_400
    assert await handle.intend(lease, [3], later, "2023-11-16")
    handle.mark_leaving(lease, 3)
    await kill(handle)
    handle = await journal.open(write=True)
    found = await handle.recover(idempotent=False, at=later, day="2023-11-16", recent=0)
    assert (found.uncalled, found.singles_today) == (3, 1)
    await handle.close()


async def test_in_its_own_process_a_journal_puts_all_who_are_intended_in_doubt(make: Make) -> None:
    journal = make()
    handle = await sealed(journal, [row(seq) for seq in range(4)], groups=[2])
    await handle.make_slots(4)
    lease, group = await take(handle), await take(handle, groups=True)
    assert await handle.intend(lease, [2, 3], NOW, DAY)
    assert await handle.intend_group(group, NOW)
    handle.mark_leaving(lease, 2)
    found = await handle.recover(idempotent=False, at=NOW, day=DAY, recent=0)
    assert (found.unknown, found.lost_groups, found.uncalled) == (2, 1, 0)
    assert Counter(await states(handle)) == {"u": 4}
    await handle.close()


async def test_whom_an_earlier_sender_left_stays_in_doubt_though_the_next_one_recovers_nobody(
    journal: SqliteJournal,
) -> None:
    """The next one sends a part, and its slots know nothing of the first one's calls."""
    handle, _ = await sending(journal, 4, marked=4, more=4)
    await kill(handle)
    handle = await journal.open(write=True)
    await handle.make_slots(8)
    lease = await take(handle)
    assert await handle.intend(lease, [s.seq for s in lease.single_sends], NOW + 1, DAY)
    handle.mark_leaving(lease, 4)
    await kill(handle)
    assert await left(journal) == "uuuuuuuu"
