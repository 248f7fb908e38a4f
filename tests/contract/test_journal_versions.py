"""A journal that an earlier version has made, in the middle of its campaign: looked at as it is, and
brought to this version by whoever sends it on."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from journal_rows import CLOCK, DAY, NOW, everybody, result, row, sealed, states, stream, take

from promomsg import open_journal
from promomsg.errors import JournalError
from promomsg.journal.records import ClickDay, GroupCounts
from promomsg.journal.sqlite.journal import SqliteJournal
from promomsg.model import Outcome
from promomsg.states import GroupState

pytestmark = pytest.mark.asyncio

EARLIER = (1, 2, 3)


@pytest.fixture(params=EARLIER)
def earlier(request: pytest.FixtureRequest) -> int:
    """A version of the file before this one's."""
    return int(request.param)


async def half_sent(journal: SqliteJournal) -> list[Outcome]:
    """Two of six singles are sent, two more are out, and a group is accepted."""
    handle = await sealed(journal, [row(seq) for seq in range(9)], groups=[3], chunk_size=4)
    group = await take(handle, groups=True)
    assert await handle.intend_group(group, NOW)
    assert await handle.accept_group(group, "m1", "rid", NOW + 1, NOW + 60)
    lease = await take(handle)
    assert await handle.intend(lease, [3, 4, 5, 6], NOW + 1, DAY)
    assert await handle.settle(lease, [result(3), result(4)])
    outcomes = await everybody(handle)
    await handle.close()
    return outcomes


def as_version(earlier: int, path: Path) -> None:
    """Writes the same journal as an earlier version would have."""
    old = path.with_suffix(".old")
    db = sqlite3.connect(old)
    schema = Path(__file__).with_name(f"journal_version_{earlier}.sql")
    db.executescript(schema.read_text("utf-8"))
    db.execute("DELETE FROM control")
    db.execute("ATTACH ? AS new", (str(path),))
    for (table,) in db.execute(
        "SELECT name FROM main.sqlite_schema WHERE type = 'table'"
    ).fetchall():
        columns = ", ".join(name for _, name, *_ in db.execute(f"PRAGMA main.table_info({table})"))
        db.execute(f"INSERT INTO main.{table} ({columns}) SELECT {columns} FROM new.{table}")
    db.commit()
    db.execute("DETACH new")
    db.execute("PRAGMA journal_mode = WAL")
    db.close()
    old.replace(path)


async def test_a_journal_of_an_earlier_version_is_looked_at_and_left_as_it_is(
    journal: SqliteJournal, earlier: int
) -> None:
    outcomes = await half_sent(journal)
    path = Path(journal.path)
    with open_journal(path) as opened:
        before = opened.report()
    as_version(earlier, path)
    file = path.read_bytes()
    with open_journal(path) as opened:
        report = opened.report()
        assert (report.sent, report.unknown, report.pending) == (2, 2, 5)
        assert report.to_dict() == before.to_dict()
        followed = [group.followed_since for group in report.groups]
        assert followed == ([None] if earlier == 1 else [NOW + 1])
        shown = [(outcome.recipient, outcome.code) for outcome in opened.outcomes()]
    assert len(shown) == len(outcomes)
    handle = await journal.open()
    assert (await handle.control()).parked_until is None
    assert await handle.clicks() == []
    await handle.close()
    assert path.read_bytes() == file


async def test_a_campaign_that_an_earlier_version_has_begun_goes_on(
    journal: SqliteJournal, earlier: int
) -> None:
    await half_sent(journal)
    path = Path(journal.path)
    as_version(earlier, path)
    handle = await journal.open(write=True)
    found = await handle.recover(idempotent=False, at=NOW + 9, day=DAY, recent=9)
    await handle.resume(NOW + 9)
    assert (found.unknown, found.singles_today) == (2, 4)
    CLOCK.now = NOW + 9
    lease = await take(handle)
    seqs = [single_send.seq for single_send in lease.single_sends]
    assert await handle.intend(lease, seqs, NOW + 10, DAY)
    assert await handle.settle(lease, [result(seq) for seq in seqs])
    [group] = await handle.groups()
    assert (group.state, group.followed_since) == (GroupState.ACCEPTED, NOW + 9)
    assert await handle.poll_group(1, GroupCounts(50), NOW + 90, at_100=False, given_up=True)
    done = await handle.complete_group(
        1, GroupCounts(100, 3, 0), failures=(), unnamed=0, at=NOW + 99
    )
    assert done == []
    assert await states(handle) == "sssssuuss"
    assert len(await stream(handle)) == 9
    clicks = ClickDay(day=DAY, by_message=True, asked_at=NOW + 99_999)
    await handle.keep_clicks(clicks)
    assert await handle.clicks() == [clicks]
    await handle.close()
    for opened in (await journal.open(), await journal.open(write=True)):
        assert (await opened.counts()).sent == 7
        await opened.close()
    db = sqlite3.connect(path)
    assert db.execute("PRAGMA user_version").fetchone() == (4,)
    db.close()


async def test_a_sender_that_is_killed_while_it_brings_the_file_to_its_version_changes_nothing(
    journal: SqliteJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    await half_sent(journal)
    as_version(1, Path(journal.path))

    def killed(db: sqlite3.Connection) -> None:
        db.execute("BEGIN IMMEDIATE")
        db.execute("ALTER TABLE campaign ADD COLUMN parked_until REAL")
        raise sqlite3.OperationalError("killed")

    with monkeypatch.context() as patch:
        patch.setattr("promomsg.journal.sqlite.journal.bring_up", killed)
        with pytest.raises(JournalError, match="killed"):
            await journal.open(write=True)
    handle = await journal.open(write=True)
    found = await handle.recover(idempotent=False, at=NOW + 9, day=DAY, recent=9)
    assert found.unknown == 2
    await handle.close()
