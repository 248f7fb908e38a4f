"""What the open flag and the commit mark say together, and whom a loss takes into doubt."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from journal_rows import DAY, NOW, adds_up, everybody, record, result, row, sealed, states, take

from promomsg.errors import JournalError
from promomsg.journal.sqlite.crash_safety.commit_mark import CommitMark, Position, read_mark
from promomsg.journal.sqlite.crash_safety.lost_commits import Finding, judge
from promomsg.journal.sqlite.crash_safety.side_files import MARK
from promomsg.journal.sqlite.journal import SqliteJournal
from promomsg.model import State
from promomsg.states import GroupState

RUN = "0" * 32


def at(number: int) -> Position:
    return Position(RUN, number, 3, 0)


@pytest.mark.parametrize(
    ("flag", "wal", "mark", "finding"),
    [
        (False, None, None, Finding.WHOLE),
        (False, 5000, None, Finding.WHOLE),
        (False, None, at(7), Finding.WHOLE),
        (False, None, at(8), Finding.LOST),  # an older journal was put back
        (False, 5000, at(8), Finding.LOST),
        (True, 5000, at(7), Finding.WHOLE),
        (True, 5000, at(6), Finding.WHOLE),  # killed between a commit and its mark
        (True, 5000, None, Finding.WHOLE),
        (True, 5000, at(8), Finding.BEHIND),
        (True, 0, at(8), Finding.BEHIND),
        (True, 0, at(7), Finding.WHOLE),
        (True, 0, None, Finding.LOST),  # an empty one, as another program leaves it
        (True, 32, None, Finding.LOST),
        (True, None, at(7), Finding.WHOLE),
        (True, None, at(6), Finding.WHOLE),
        (True, None, at(8), Finding.LOST),
        (True, None, None, Finding.LOST),
    ],
)
def test_what_flag_wal_and_mark_say_of_a_journal_at_commit_7(
    flag: bool, wal: int | None, mark: Position | None, finding: Finding
) -> None:
    assert judge(flag=flag, wal=wal, number=7, mark=mark) is finding


def test_a_mark_is_read_as_it_was_written_or_not_at_all(tmp_path: Path) -> None:
    journal = str(tmp_path / "a.db")
    mark = CommitMark(journal, Position(RUN, 0, 0, 0), durable=True)
    mark.write(1, 4, 0, sync=True)
    mark.write(2, 0, 2, sync=True)
    mark.write(123_456_789, 3, 1, sync=False)
    assert read_mark(journal, RUN) == Position(RUN, 123_456_789, 4, 2)
    assert read_mark(journal, "f" * 32) is None
    path = Path(mark.path)
    whole = path.read_bytes()
    assert whole.decode().startswith("promomsg-mark 1 ")
    assert path.stat().st_mode & 0o777 == 0o600
    for index in range(len(whole)):
        path.write_bytes(whole[:index])
        assert read_mark(journal, RUN) is None
        path.write_bytes(whole[:index] + bytes([whole[index] ^ 4]) + whole[index + 1 :])
        assert read_mark(journal, RUN) is None
    path.write_bytes(whole + b"x")
    assert read_mark(journal, RUN) is None
    mark.close(remove=True)
    assert not path.exists()
    path.mkdir()
    assert read_mark(journal, RUN) is None


def test_a_mark_of_somebody_else_at_that_name_is_not_removed(tmp_path: Path) -> None:
    journal = str(tmp_path / "a.db")
    old = CommitMark(journal, Position(RUN, 5, 0, 0), durable=False)
    new = CommitMark(journal, Position(RUN, 9, 0, 0), durable=False)
    old.close(remove=True)
    assert read_mark(journal, RUN) == Position(RUN, 9, 0, 0)
    new.close(remove=True)


@pytest.fixture
def journal(tmp_path: Path) -> SqliteJournal:
    return SqliteJournal(tmp_path / "a.db", durability="process")


class Copy:
    """A journal's files as they stand now, to be put back as a kill and a loss would leave them."""

    def __init__(self, journal: SqliteJournal) -> None:
        self.path = Path(journal.path)
        self.folder = self.path.parent / "copy"
        self.folder.mkdir()
        for end in ("", "-wal", MARK):
            if Path(f"{self.path}{end}").exists():
                shutil.copy(f"{self.path}{end}", self.folder / f"a.db{end}")

    def put_back(self, *ends: str) -> None:
        for end in ("-wal", "-shm", MARK):
            Path(f"{self.path}{end}").unlink(missing_ok=True)
        for end in ("", *ends):
            shutil.copy(self.folder / f"a.db{end}", f"{self.path}{end}")


async def lose(journal: SqliteJournal, old: Copy, mark: bytes | None, *ends: str) -> None:
    """The journal is what it was, and its mark what it is."""
    old.put_back(*ends)
    if mark is not None:
        Path(f"{journal.path}{MARK}").write_bytes(mark)


@pytest.mark.asyncio
async def test_a_group_that_was_begun_is_unknown_and_one_that_was_not_is_still_sent(
    journal: SqliteJournal,
) -> None:
    handle = await sealed(journal, [row(seq) for seq in range(9)], groups=[3, 3])
    old = Copy(journal)
    lease = await take(handle, groups=True)
    assert await handle.intend_group(lease, NOW)
    mark = Path(f"{journal.path}{MARK}").read_bytes()
    await handle.close()
    await lose(journal, old, mark)
    with pytest.raises(JournalError, match="after-lost-wal"):
        await journal.open(write=True)
    again = await journal.open(write=True, after_lost_wal=True)
    found = await again.recover(idempotent=False, at=NOW + 9, day=DAY, recent=9)
    assert found.lost_groups == 1
    assert [group.state for group in await again.groups()] == [
        GroupState.UNKNOWN,
        GroupState.PLANNED,
    ]
    assert await states(again) == "uuupppppp"
    details = {outcome.detail for outcome in await everybody(again) if outcome.state == "unknown"}
    assert details == {"the last commits of the journal are lost: it may have been sent"}
    assert adds_up(await again.counts())
    assert again.record.warnings
    assert "3 people who may have been sent to" in again.record.warnings[0]
    await again.close()


@pytest.mark.asyncio
@pytest.mark.parametrize("marked", [True, False])
async def test_who_was_sent_to_again_by_a_retry_that_is_lost_is_unknown(
    journal: SqliteJournal, marked: bool
) -> None:
    """They look failed in what is left: a second retry would send to them twice."""
    handle = await sealed(journal, [row(seq) for seq in range(4)], chunk_size=4)
    lease = await take(handle)
    assert await handle.intend(lease, [0, 1], NOW, DAY)
    failed = [result(seq, "failed", code="43101") for seq in (0, 1)]
    assert await handle.settle(lease, failed)
    await handle.release(lease)
    old = Copy(journal)
    await handle.reopen(State.FAILED, include_unnamed=False, at=NOW)
    await handle.seal_retry(chunk_size=4)
    lease = await take(handle)
    assert lease.chunk_no > 1
    mark = Path(f"{journal.path}{MARK}").read_bytes()
    await handle.close()
    await lose(journal, old, mark if marked else None, "-wal")
    again = await journal.open(write=True, after_lost_wal=True)
    await again.recover(idempotent=False, at=NOW + 9, day=DAY, recent=9)
    # Without a mark a -wal that is there is believed: a power cut may have taken the mark.
    assert await states(again) == ("uuuu" if marked else "ffpp")
    assert adds_up(await again.counts())
    await again.close()


@pytest.mark.asyncio
async def test_a_resume_that_comes_to_nothing_does_not_forget_who_is_in_doubt(
    journal: SqliteJournal,
) -> None:
    """Opened and closed without `recover`: the next one finds them all the same."""
    handle = await sealed(journal, [row(seq) for seq in range(4)], chunk_size=4)
    old = Copy(journal)
    lease = await take(handle)
    assert await handle.intend(lease, [0], NOW, DAY)
    await handle.close()
    await lose(journal, old, None)
    Path(f"{journal.path}{MARK}").unlink(missing_ok=True)
    await (await journal.open(write=True, after_lost_wal=True)).close()
    again = await journal.open(write=True)
    found = await again.recover(idempotent=False, at=NOW + 9, day=DAY, recent=9)
    assert found.unknown == 4
    assert await states(again) == "uuuu"
    await again.close()


@pytest.mark.asyncio
async def test_an_idempotent_channel_asks_again_with_the_same_key(journal: SqliteJournal) -> None:
    handle = await sealed(journal, [row(seq) for seq in range(4)], chunk_size=4)
    old = Copy(journal)
    await take(handle)
    mark = Path(f"{journal.path}{MARK}").read_bytes()
    await handle.close()
    await lose(journal, old, mark)
    again = await journal.open(write=True, after_lost_wal=True)
    found = await again.recover(idempotent=True, at=NOW + 9, day=DAY, recent=9)
    assert found.again == 4
    lease = await take(again, at=NOW + 10)
    assert [single_send.maybe_sent for single_send in lease.single_sends] == [True] * 4
    await again.close()


@pytest.mark.asyncio
async def test_a_mark_that_cannot_be_written_stops_the_journal(
    journal: SqliteJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What would be sent from then on could not be told from what was not."""
    handle = await sealed(journal, [row(0)])
    lease = await take(handle)

    def full(fd: int, content: bytes, offset: int) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.pwrite", full)
    with pytest.raises(JournalError, match="free some space, then resume"):
        await handle.intend(lease, [0], NOW, DAY)
    monkeypatch.undo()
    await handle.close()
    again = await journal.open(write=True)
    await again.recover(idempotent=False, at=NOW + 9, day=DAY, recent=9)
    assert await states(again) == "u"
    await again.close()


@pytest.mark.asyncio
async def test_the_log_of_a_small_journal_does_not_grow_to_megabytes(
    journal: SqliteJournal,
) -> None:
    handle = await sealed(journal, [row(seq) for seq in range(600)], chunk_size=600)
    lease = await take(handle)
    largest = 0
    for seq in range(600):
        assert await handle.intend(lease, [seq], NOW, DAY)
        assert await handle.settle(lease, [result(seq)])
        largest = max(largest, Path(f"{journal.path}-wal").stat().st_size)
    assert largest < 1024 * 1024
    await handle.close()
    assert record().run_id == RUN
