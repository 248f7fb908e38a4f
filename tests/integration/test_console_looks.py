"""Which campaigns are shown, in which order, and what is read of them."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from console_serving import campaign, serving

from promomsg.console import one_look
from promomsg.console.campaign_looks import PAGE, CampaignLooks
from promomsg.console.console_types import CampaignPage, Listed, Look
from promomsg.console.journal_folder import JournalFolder
from promomsg.console.look_cache import LookCache
from promomsg.engine.opened_journal import open_journal
from promomsg.journal.records import GroupRow
from promomsg.states import GroupState

pytestmark = pytest.mark.asyncio


@pytest.fixture(scope="module")
def journal_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The journal of a campaign that is over."""
    path = tmp_path_factory.mktemp("made") / "autumn.db"
    asyncio.run(campaign(path))
    return path


@pytest.fixture
def looked_at(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The journals that are opened."""
    found: list[str] = []
    real = one_look.look_at_file

    def counted(place: str, path: str, size: int) -> Look:
        found.append(os.path.basename(path))
        return real(place, path, size)

    monkeypatch.setattr("promomsg.console.folder_looks.look_at_file", counted)
    return found


def many(folder: Path, journal_file: Path, number: int) -> list[str]:
    """So many journals, each a second newer than the one before; their names, the newest first."""
    names = [f"c{at:03}.db" for at in range(number)]
    for at, name in enumerate(names):
        shutil.copy(journal_file, folder / name)
        os.utime(folder / name, (1_700_000_000 + at, 1_700_000_000 + at))
    return names[::-1]


def names(page: CampaignPage) -> list[str]:
    return [look.name for look in page.looks]


async def test_a_page_has_the_newest_and_opens_no_other(
    tmp_path: Path, journal_file: Path, looked_at: list[str]
) -> None:
    there = many(tmp_path, journal_file, 2 * PAGE + 5)
    looks = CampaignLooks([tmp_path])
    first = await looks.page()
    assert names(first) == there[:PAGE]
    assert sorted(looked_at) == sorted(there[:PAGE])
    assert (first.campaigns, first.is_first) == (len(there), True)
    second = await looks.page(Listed.read(first.after))
    third = await looks.page(Listed.read(second.after))
    assert names(first) + names(second) + names(third) == there
    assert third.after == ""
    # What has not changed is not read again.
    looked_at.clear()
    assert names(await looks.page()) == there[:PAGE]
    assert looked_at == []


async def test_journals_of_one_moment_are_each_on_one_page(
    tmp_path: Path, journal_file: Path
) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        for name in many(tmp_path / folder, journal_file, PAGE):
            os.utime(tmp_path / folder / name, (1_700_000_000.25, 1_700_000_000.25))
    looks = CampaignLooks([tmp_path / "one", tmp_path / "two"])
    first = await looks.page()
    second = await looks.page(Listed.read(first.after))
    shown = {(look.place, look.name) for page in (first, second) for look in page.looks}
    assert len(shown) == 2 * PAGE
    assert [place.campaigns for place in first.places] == [PAGE, PAGE]


@pytest.mark.parametrize(
    "text", ["", "x", "1.0", "1.0~1", "1.0~1~", "~1~a", "x~1~a", "1.0~~a", "nan~1~a", "inf~1~a"]
)
async def test_where_a_page_begins_is_read_or_it_is_the_first(text: str) -> None:
    assert Listed.read(text) is None
    one = Listed(1_700_000_000.123456789, "1", "a~b%2f.db")
    assert Listed.read(one.text()) == one


async def test_a_journal_that_cannot_be_read_is_there_with_the_reason(
    tmp_path: Path, journal_file: Path
) -> None:
    data = journal_file.read_bytes()
    (tmp_path / "broken.db").write_bytes(data[:100] + b"\xff" * (len(data) - 100))
    (tmp_path / "short.db").write_bytes(data[:100])
    (tmp_path / "no-journal.db").write_bytes(b"SQLite format 3\0" + bytes(200))
    (tmp_path / "empty.db").write_bytes(b"")
    (tmp_path / "autumn.db").write_bytes(data)
    page = await CampaignLooks([tmp_path]).page()
    found = {look.name: look.error for look in page.looks}
    assert set(found) == {"broken.db", "short.db", "autumn.db"}
    assert found["autumn.db"] == ""
    assert found["broken.db"]
    assert found["short.db"]
    async with serving(tmp_path) as console:
        assert (await console.get("/")).status == 200
        for name in ("broken.db", "short.db"):
            assert (await console.get(f"/campaigns/1/{name}")).status == 200
            for part in ("recipients", "recipients/0", "rate", "groups"):
                assert (await console.get(f"/campaigns/1/{name}/{part}")).status == 503


async def test_a_folder_that_is_gone_is_said_so(tmp_path: Path) -> None:
    folder = tmp_path / "campaigns"
    folder.mkdir()
    looks = CampaignLooks([folder])
    folder.rmdir()
    page = await looks.page()
    assert page.looks == ()
    assert "cannot be read" in page.places[0].error
    assert await looks.campaign("1", "autumn.db") is None
    assert await looks.journal("1", "autumn.db") is None


async def test_a_size_is_of_a_journal_with_its_own_files(
    tmp_path: Path, journal_file: Path
) -> None:
    size = journal_file.stat().st_size
    for name in ("autumn.db", "autumn.dbx"):
        shutil.copy(journal_file, tmp_path / name)
    (tmp_path / "autumn.db-wal").write_bytes(b"x" * 10)
    (tmp_path / "autumn.db.group-1.failures").write_bytes(b"x" * 5)
    files = JournalFolder(tmp_path).files()
    assert {name: file.size for name, file in files.items()} == {
        "autumn.db": size + 15,
        "autumn.dbx": size,
    }


class Now:
    """Monotonic seconds that are set."""

    def __init__(self) -> None:
        self.at = 1000.0

    def __call__(self) -> float:
        return self.at


def a_look(journal_file: Path, **changed: Any) -> Look:
    with open_journal(journal_file) as opened:
        report = opened.report()
    for name in ("planned", "pending", "groups"):
        if name in changed:
            setattr(report, name, changed.pop(name))
    return Look(**{"place": "1", "name": "a.db", "journal": "a.db", "at": 0.0, "report": report, "state": "done"} | changed)  # fmt: skip


async def test_what_is_over_is_good_until_its_files_change(journal_file: Path) -> None:
    now = Now()
    cache = LookCache(now)
    kept = cache.keep(a_look(journal_file), "as it is")
    now.at += 1e6
    assert cache.good(("1", "a.db"), "as it is") is kept
    assert cache.good(("1", "a.db"), "changed") is None
    assert cache.good(("1", "b.db"), "as it is") is None
    # Where somebody sends, time counts too: a sender may have died.
    cache.keep(a_look(journal_file, state="sending"), "as it is")
    assert cache.good(("1", "a.db"), "as it is") is not None
    now.at += 1.5
    assert cache.good(("1", "a.db"), "as it is") is None


async def test_rate_and_time_left_are_of_looks_that_follow_each_other(journal_file: Path) -> None:
    now = Now()
    cache = LookCache(now)
    rates = []
    for second in range(6):
        now.at = 1000.0 + second
        look = a_look(journal_file, state="sending", planned=1000, pending=1000 - 20 * second)
        rates.append(cache.keep(look).rate)
    assert rates[:2] == [None, None]
    assert rates[5] == pytest.approx(20)
    # Nobody looked for a minute: it is measured anew, and not over that minute.
    now.at += 60
    assert cache.keep(a_look(journal_file, state="sending", planned=1000, pending=1)).rate is None
    assert cache.keep(a_look(journal_file, state="done")).rate is None


async def test_a_group_that_is_over_makes_the_rest_no_faster(journal_file: Path) -> None:
    now = Now()
    cache = LookCache(now)
    for second in range(6):
        now.at = 1000.0 + second
        pending, state = 1000 - 20 * second, GroupState.ACCEPTED
        if second == 5:
            pending, state = pending - 500, GroupState.DONE
        groups = [GroupRow(group_no=1, state=state, planned=500)]
        look = a_look(journal_file, state="sending", planned=1000, pending=pending, groups=groups)
        kept = cache.keep(look)
    assert kept.rate == pytest.approx(20)
    assert kept.seconds_left == pytest.approx(20)


async def test_memory_is_bounded(journal_file: Path) -> None:
    cache = LookCache(Now())
    look = a_look(journal_file)
    for number in range(1000):
        cache.keep(msgspec.structs.replace(look, name=str(number)))
    assert len(cache) == 400
    large = a_look(journal_file)
    assert large.report is not None
    large.report.groups = [None] * 15_000  # type: ignore[list-item]
    for number in range(3):
        cache.keep(msgspec.structs.replace(large, name=f"many {number}"))
    assert len(cache) <= 2
