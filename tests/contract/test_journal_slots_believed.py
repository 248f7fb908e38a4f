"""Which wire slots are believed after a kill: those of the last sender of this journal, since the last start
of the machine, in a file that nobody else has touched; else everybody who was intended is in doubt.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from journal_process import child, end
from journal_rows import (
    DAY,
    NOW,
    beside,
    result,
    row,
    sealed,
    states,
    take,
)
from killed_senders import kill, left, resumed, sending, slots_of

from promomsg.journal.locate import open_reader
from promomsg.journal.sqlite.crash_safety import slot_file
from promomsg.journal.sqlite.crash_safety.in_doubt import intended_in
from promomsg.journal.sqlite.crash_safety.side_files import MARK
from promomsg.journal.sqlite.crash_safety.wire_slots import SLOTS_AT
from promomsg.journal.sqlite.journal import SqliteJournal

pytestmark = pytest.mark.asyncio


def copied(path: Path) -> None:
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content)
    path.chmod(0o600)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-16])


def damaged(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def emptied(path: Path) -> None:
    """The slots alone, as of a file that was cut and made as long as it was."""
    size = path.stat().st_size
    os.truncate(path, SLOTS_AT * 8)
    os.truncate(path, size)


def linked(path: Path) -> None:
    other = path.with_name("other")
    path.rename(other)
    path.symlink_to(other)


CHANGES: dict[str, Callable[[SqliteJournal], Any]] = {
    "missing": lambda journal: slots_of(journal).unlink(),
    "a copy": lambda journal: copied(slots_of(journal)),
    "cut": lambda journal: cut(slots_of(journal)),
    "empty": lambda journal: slots_of(journal).write_bytes(b""),
    "damaged": lambda journal: damaged(slots_of(journal)),
    "zeros": lambda journal: slots_of(journal).write_bytes(bytes(slots_of(journal).stat().st_size)),
    "slots of zeros": lambda journal: emptied(slots_of(journal)),
    "a link": lambda journal: linked(slots_of(journal)),
    "a second name": lambda journal: os.link(slots_of(journal), f"{journal.path}.other"),
    "others can write it": lambda journal: slots_of(journal).chmod(0o666),
    "the journal is a copy": lambda journal: copied(Path(journal.path)),
    "no commit mark": lambda journal: os.unlink(f"{journal.path}{MARK}"),
}


@pytest.mark.parametrize("change", CHANGES)
async def test_nothing_but_the_last_senders_own_file_is_believed(
    journal: SqliteJournal, change: str
) -> None:
    code = """
    handle = await sealed(journal, [row(seq) for seq in range(4)])
    await handle.make_slots(8)
    lease = await take(handle)
    assert await handle.intend(lease, range(4), NOW, DAY)
    handle.mark_leaving(lease, 0)
    os.kill(os.getpid(), signal.SIGKILL)
    """
    end(child(code, journal.path), kill=False)
    CHANGES[change](journal)
    with open_reader(journal.path) as reader:
        assert intended_in(reader).in_doubt == (4, 0, 0)
    handle, found = await resumed(journal)
    assert (await states(handle), found.uncalled) == ("uuuu", 0)
    await handle.close()


async def test_a_folder_of_that_name_is_left_alone_and_puts_everybody_in_doubt(
    journal: SqliteJournal, caplog: pytest.LogCaptureFixture
) -> None:
    slots_of(journal).mkdir()
    handle, _ = await sending(journal, 3, marked=1)
    assert "sending goes on" in caplog.text
    await kill(handle)
    handle, found = await resumed(journal)
    assert (await states(handle), found.uncalled) == ("uuu", 0)
    await handle.close()
    assert slots_of(journal).is_dir()


@pytest.mark.parametrize("boot", ["c" * 36, None])
async def test_after_a_new_start_of_the_machine_everybody_is_in_doubt(
    journal: SqliteJournal, monkeypatch: pytest.MonkeyPatch, boot: str | None
) -> None:
    handle, _ = await sending(journal)
    await kill(handle)
    monkeypatch.setattr(slot_file, "boot_id", lambda: boot)
    assert await left(journal) == "uuuuuuuu"


async def test_where_the_system_has_no_boot_id_there_are_no_slots(
    journal: SqliteJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("promomsg.boot_id._FILE", f"{journal.path}.none")
    handle, _ = await sending(journal, 3, marked=1)
    assert not slots_of(journal).exists()
    await kill(handle)
    assert await left(journal) == "uuu"


async def test_a_full_disk_costs_the_slots_and_not_the_campaign(
    journal: SqliteJournal, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(fd: int, offset: int, size: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    handle, lease = await sending(journal, 3, marked=1)
    assert "No space left on device; sending goes on" in caplog.text
    assert await handle.settle(lease, [result(0)])
    assert not any("slots" in name for name in beside(journal))
    await kill(handle)
    assert await left(journal) == "suu"


async def test_without_slots_everybody_who_is_intended_is_in_doubt(
    journal: SqliteJournal,
) -> None:
    handle = await sealed(journal, [row(seq) for seq in range(3)])
    assert await handle.intend(await take(handle), range(3), NOW, DAY)
    await kill(handle)
    assert await left(journal) == "uuu"


async def test_of_a_sender_without_slots_those_of_an_earlier_one_say_nothing(
    journal: SqliteJournal,
) -> None:
    handle, lease = await sending(journal, 4, marked=1)
    assert await handle.settle(lease, [result(seq, "pending", called=False) for seq in (2, 3)])
    await kill(handle)
    later = await journal.open(write=True)  # and it does not recover what was left
    assert await later.intend(await take(later, at=NOW + 900), [2, 3], NOW + 900, DAY)
    await kill(later)
    assert await left(journal) == "uuuu"


async def test_of_a_sender_that_left_others_intended_its_slots_say_nothing(
    journal: SqliteJournal,
) -> None:
    handle, _ = await sending(journal, 2, marked=1, more=2)
    await kill(handle)
    later = await journal.open(write=True)
    await later.make_slots(8)
    assert await later.intend(await take(later), [2, 3], NOW + 9, DAY)
    await kill(later)
    assert await left(journal) == "uuuu"


async def test_what_a_sender_intends_itself_is_not_told_by_earlier_slots(
    journal: SqliteJournal,
) -> None:
    handle, lease = await sending(journal, 4, marked=1)
    assert await handle.settle(lease, [result(seq, "pending", called=False) for seq in (2, 3)])
    await kill(handle)
    later = await journal.open(write=True)
    assert await later.intend(await take(later, at=NOW + 900), [2, 3], NOW + 900, DAY)
    found = await later.recover(idempotent=False, at=NOW + 901, day=DAY, recent=0)
    assert (await states(later), found.uncalled) == ("uuuu", 0)
    await later.close()
