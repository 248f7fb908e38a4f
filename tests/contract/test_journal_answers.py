"""What the provider says after a campaign's calls, kept with it: failure files, and clicks."""

from __future__ import annotations

import os
from pathlib import Path

import psycopg
import pytest
from journal_rows import DAY, NOW, Make, result, row, sealed, take

from promomsg.errors import JournalError
from promomsg.journal import answers_contract
from promomsg.journal.contract import Journal
from promomsg.journal.postgres.journal import PostgresJournal
from promomsg.journal.records import ClickDay
from promomsg.journal.sqlite.journal import SqliteJournal
from promomsg.model import ClickCount

pytestmark = pytest.mark.asyncio

LONG = os.urandom(700_000)


def keeps_files(journal: Journal) -> bool:
    return isinstance(journal, (SqliteJournal, PostgresJournal))


async def test_a_failure_file_is_given_out_as_it_came_until_the_campaign_is_gone(
    make: Make,
) -> None:
    journal = make()
    handle = await sealed(journal, [row(seq) for seq in range(6)], groups=[3, 3])
    await handle.keep_failure_file(1, b"\xff\x00not text")
    await handle.keep_failure_file(2, LONG)  # a first one, which is longer than the second
    await handle.keep_failure_file(2, b"")
    await handle.close()
    view = journal.reader()
    kept = [view.failure_file(group_no) for group_no in (1, 2, 3)]
    view.close()
    assert kept == ([b"\xff\x00not text", b"", None] if keeps_files(journal) else [None] * 3)


async def test_a_long_failure_file_comes_back_whole(make: Make) -> None:
    journal = make()
    handle = await sealed(journal, [row(seq) for seq in range(3)], groups=[3])
    await handle.keep_failure_file(1, LONG)
    await handle.close()
    view = journal.reader()
    assert view.failure_file(1) == (LONG if keeps_files(journal) else None)
    view.close()


async def test_a_failure_file_of_which_a_piece_is_missing_is_none(postgres: str) -> None:
    """Who kept it was killed in the middle: whoever polls the group next keeps it anew."""
    journal = PostgresJournal(postgres, "half-a-file")
    handle = await sealed(journal, [row(seq) for seq in range(3)], groups=[3])
    await handle.keep_failure_file(1, LONG)
    with psycopg.connect(postgres, autocommit=True) as db:
        db.execute("DELETE FROM promomsg.failure_file WHERE piece_no = 2")
    view = journal.reader()
    assert view.failure_file(1) is None
    await handle.keep_failure_file(1, LONG)
    assert view.failure_file(1) == LONG
    view.close()
    await handle.close()
    journal.discard()


@pytest.mark.parametrize("make", ["sqlite", "postgres"], indirect=True)
async def test_a_failure_file_over_the_limit_is_not_kept(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = make()
    for module in (
        "promomsg.journal.sqlite.handle",
        "promomsg.journal.postgres.statements.provider_answers",
    ):
        monkeypatch.setattr(f"{module}.FAILURE_FILE_LIMIT", 10)
    assert answers_contract.FAILURE_FILE_LIMIT == 64 * 1024 * 1024
    handle = await sealed(journal, [row(seq) for seq in range(3)], groups=[3])
    with pytest.raises(JournalError, match="failure file is over 10 bytes"):
        await handle.keep_failure_file(1, b"12345678901")
    await handle.close()


async def test_the_failure_file_of_a_journal_in_a_file_is_its_owners_only(tmp_path: Path) -> None:
    journal = SqliteJournal(tmp_path / "autumn.db", durability="process")
    handle = await sealed(journal, [row(seq) for seq in range(3)], groups=[3])
    await handle.keep_failure_file(1, b"1001,103010\n")
    kept = tmp_path / "autumn.db.group-1.failures"
    assert kept.stat().st_mode & 0o077 == 0
    tmp_path.joinpath("autumn.db.group-2.failures.partial").mkdir()
    with pytest.raises(JournalError, match=r"group-2\.failures: .*make room"):
        await handle.keep_failure_file(2, b"x")
    await handle.close()
    kept.unlink()
    kept.symlink_to("/etc/passwd")
    view = journal.reader()
    with pytest.raises(JournalError, match="it is a link"):
        view.failure_file(1)
    view.close()


async def test_clicks_are_kept_by_day_and_kind_and_the_latest_count_stands(make: Make) -> None:
    journal = make()
    handle = await sealed(journal, [row(0)])
    assert await handle.clicks() == []
    first = ClickDay(
        day="2023-11-15",
        by_message=True,
        asked_at=NOW,
        counts=(ClickCount(msg_id="m1", people=3, clicks=5), ClickCount(msg_id="m2")),
    )
    later = ClickDay(
        day="2023-11-15",
        by_message=True,
        asked_at=NOW + 86_400,
        counts=(ClickCount(msg_id="m1", people=4, clicks=9),),
    )
    by_type = ClickDay(
        day="2023-11-15",
        by_message=False,
        asked_at=NOW,
        counts=(ClickCount(people=70, clicks=80),),
    )
    before = ClickDay(day="2023-11-14", by_message=False, asked_at=NOW)
    for found in (by_type, first, later, first, before):
        await handle.keep_clicks(found)
    assert await handle.clicks() == [before, later, by_type]
    await handle.close()
    view = journal.reader()
    assert view.clicks() == [before, later, by_type]
    view.close()
    handle = await journal.open()
    assert await handle.clicks() == [before, later, by_type]
    with pytest.raises(JournalError):
        await handle.keep_clicks(first)
    await handle.close()


async def test_the_days_of_single_sends_are_those_of_their_intents(make: Make) -> None:
    journal = make()
    handle = await sealed(journal, [row(seq) for seq in range(4)])
    assert await handle.sent_days() == []
    lease = await take(handle)
    assert await handle.intend(lease, [0, 1], NOW, DAY)
    assert await handle.settle(lease, [result(0), result(1)])
    assert await handle.intend(lease, [2], NOW + 86_400, "2023-11-16")
    assert await handle.settle(lease, [result(2)])
    assert await handle.sent_days() == [DAY, "2023-11-16"]
    await handle.close()
    view = journal.reader()
    assert view.sent_days() == [DAY, "2023-11-16"]
    view.close()
