"""A journal that lost its last commits (moved, copied, cut, a flipped bit): nobody gets it twice."""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from cli_campaigns import campaign, conserved, one_document, promomsg, started
from waiting import wait_for

from promomsg.cli import resume_journal
from promomsg.journal.sqlite import journal as sqlite_journal
from promomsg.journal.sqlite.crash_safety.commit_mark import read_mark
from promomsg.journal.sqlite.crash_safety.open_flag import check_whole
from promomsg.journal.sqlite.crash_safety.side_files import MARK
from promomsg.journal.sqlite.journal import JournalReader
from promomsg.model import State
from promomsg.sandbox import Sandbox

PEOPLE = 300


def killed(served: Sandbox, folder: Path, *, calls: int = 60, rows: int = PEOPLE) -> Path:
    """A campaign whose sender was killed in the middle; its journal."""
    file = campaign(folder, served.url, rows, title="{name}", pace="singles_per_second = 200")
    journal = folder / "autumn.db"
    sender = started("send", file, "--yes")
    wait_for(lambda: served.calls["singlesendmsg"] >= calls)
    sender.kill()
    sender.communicate()
    while not has_commits_in_wal(journal):  # it was killed right behind a merge
        more = served.calls["singlesendmsg"] + 5
        sender = started("resume", journal, "--yes")
        wait_for(lambda more=more: served.calls["singlesendmsg"] >= more)
        sender.kill()
        sender.communicate()
    file.write_text(file.read_text().replace("singles_per_second = 200", "unlimited = true"))
    read_all(served)
    return journal


def read_all(served: Sandbox) -> None:
    """Returns when the server has read, and counted, the calls that a killed sender left in its
    sockets: each question to it takes another round of its loop."""
    for _ in range(20):
        with suppress(HTTPError):
            urlopen(served.url).close()


def has_commits_in_wal(journal: Path) -> bool:
    """Whether the main file alone is behind the commit mark."""
    alone = journal.with_name("alone.db")
    shutil.copy(journal, alone)
    db = sqlite3.connect(alone)
    (number,) = db.execute("SELECT coalesce(max(log_no), 0) FROM commit_log").fetchone()
    (run_id,) = db.execute("SELECT run_id FROM campaign").fetchone()
    db.close()
    mark = read_mark(str(journal), run_id)
    for end in ("", "-wal", "-shm"):
        Path(f"{alone}{end}").unlink(missing_ok=True)
    assert mark is not None
    return bool(number < mark.number)


def content(folder: Path) -> dict[str, bytes]:
    """Name → bytes of the journal's files but the index of its log, which any reader makes."""
    return {
        path.name: path.read_bytes()
        for path in folder.iterdir()
        if path.name.startswith("autumn.db") and not path.name.endswith("-shm")
    }


def moved(journal: Path, *ends: str) -> Path:
    """The journal in another folder, with those of its files."""
    there = journal.parent / "elsewhere"
    there.mkdir()
    for end in ("", *ends):
        shutil.move(f"{journal}{end}", there / f"{journal.name}{end}")
    return there / journal.name


def nobody_twice(served: Sandbox) -> None:
    assert not served.ledger.twice()


def truth(served: Sandbox, journal: Path) -> None:
    """Everybody has the outcome that the ledger says, or is unknown."""
    with JournalReader(journal) as reader:
        for outcome in reader.rows():
            times = served.ledger.deliveries(outcome.recipient.id or "")
            assert times <= 1
            assert outcome.state in (State.SENT, State.UNKNOWN)
            assert outcome.state is State.UNKNOWN or times == 1


@pytest.mark.parametrize("along", [(), (MARK,), ("-shm",), ("-shm", MARK, ".lock")])
@pytest.mark.parametrize("how", ["moved", "copied"])
def test_a_journal_without_its_wal_is_refused_until_the_word_is_given(
    served: Sandbox,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    along: tuple[str, ...],
    how: str,
) -> None:
    journal = killed(served, tmp_path)
    if how == "moved":
        journal = moved(journal, *along)
    else:
        for end in ("-wal", "-shm", ".lock", MARK):
            if end not in along:
                Path(f"{journal}{end}").unlink(missing_ok=True)
    calls = served.calls["singlesendmsg"]
    before = content(journal.parent)
    words = ("resume", journal, "--campaign", tmp_path / "autumn.toml", "--yes", "--json")
    for _ in range(2):
        assert promomsg(*words) == 1
        said = capsys.readouterr().err
        assert "moved, copied" in said
        assert "another program has merged" in said
        assert "--after-lost-wal" in said
        assert said.count("\n") == 1
    assert promomsg("status", journal, "--json") == 0
    assert "may be older" in one_document(capsys)["warnings"][0]
    left = content(journal.parent)
    left.pop("autumn.db.lock", None)
    before.pop("autumn.db.lock", None)
    assert left == before
    assert served.calls["singlesendmsg"] == calls
    status = promomsg(*words, "--after-lost-wal")
    document = one_document(capsys)
    assert status == 4
    assert conserved(document)
    assert document["pending"] == 0
    assert document["unknown"] >= calls - 2
    assert any("not sent to again" in text for text in document["warnings"])
    nobody_twice(served)
    truth(served, journal)
    assert promomsg(*words) == 4


def test_a_bare_copy_of_the_plan_takes_everybody_into_doubt(
    served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    journal = killed(served, tmp_path)
    for end in ("-wal", "-shm", MARK):
        Path(f"{journal}{end}").unlink()
    assert promomsg("resume", journal, "--after-lost-wal", "--yes", "--json") == 4
    document = one_document(capsys)
    assert document["unknown"] >= PEOPLE - 120
    assert document["unknown"] + document["sent"] == PEOPLE
    nobody_twice(served)


def test_who_was_never_begun_is_still_sent_to(
    served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The mark says which chunks were begun: what lies behind them is not in doubt."""
    journal = killed(served, tmp_path, rows=3000)
    for end in ("-wal", "-shm"):
        Path(f"{journal}{end}").unlink()
    assert promomsg("resume", journal, "--after-lost-wal", "--yes", "--json") == 4
    document = one_document(capsys)
    assert document["sent"] > 1000
    assert document["unknown"] > 0
    nobody_twice(served)
    truth(served, journal)


def test_another_program_that_merged_the_wal_changes_nothing(
    served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    journal = killed(served, tmp_path)
    db = sqlite3.connect(journal)
    db.execute("SELECT count(*) FROM outcomes").fetchone()
    db.close()
    assert not Path(f"{journal}-wal").exists()
    assert promomsg("resume", journal, "--yes", "--json") in (0, 4)
    document = one_document(capsys)
    assert document["sent"] >= PEOPLE - 128
    nobody_twice(served)
    assert sorted(content(tmp_path)) == ["autumn.db"]


@pytest.mark.parametrize("mark", ["gone", "torn", "another's"])
def test_a_mark_that_a_power_cut_took_is_no_reason_to_refuse(
    served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str], mark: str
) -> None:
    journal = killed(served, tmp_path)
    path = Path(f"{journal}{MARK}")
    if mark == "gone":
        path.unlink()
    elif mark == "torn":
        path.write_bytes(path.read_bytes()[:64] + bytes(64))
    else:
        path.write_bytes(path.read_bytes().replace(b"promomsg-mark 1 ", b"promomsg-mark 1 f"))
    assert promomsg("resume", journal, "--yes", "--json") in (0, 4)
    document = one_document(capsys)
    assert document["pending"] == 0
    nobody_twice(served)
    truth(served, journal)


@pytest.mark.parametrize("kind", ["flip", "cut"])
def test_a_damaged_wal_costs_doubt_and_never_a_second_message(
    served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    """Whatever bit is flipped, wherever it is cut: what each copy would send is what is checked."""
    journal = killed(served, tmp_path, rows=200)
    rng = Random(kind)
    wal = Path(f"{journal}-wal").read_bytes()
    sent = dict(served.ledger.delivered)
    assert len(wal) > 4096
    said = 0
    offsets = [0, 8, 16, 30, *(rng.randrange(len(wal)) for _ in range(20)), len(wal) - 1]
    for number, offset in enumerate(offsets):
        there = tmp_path / str(number)
        there.mkdir()
        for end in ("", "-shm", MARK):
            shutil.copy(f"{journal}{end}", there / f"autumn.db{end}")
        damaged = bytearray(wal)
        if kind == "flip":
            damaged[offset] ^= 1 << rng.randrange(8)
        else:
            del damaged[offset:]
        (there / "autumn.db-wal").write_bytes(damaged)
        for name in ("autumn.toml", "people.csv", "secret.txt"):
            shutil.copy(tmp_path / name, there / name)
        served.ledger.delivered.clear()
        served.ledger.delivered.update(sent)
        status = promomsg(
            "resume", there / "autumn.db", "--campaign", there / "autumn.toml", "--recipients",
            there / "people.csv", "--yes", "--json",
        )  # fmt: skip
        captured = capsys.readouterr()
        assert status in (0, 4), captured.err
        nobody_twice(served)
        truth(served, there / "autumn.db")
        said += "before the commit mark are missing" in captured.out
    assert said >= len(offsets) // 2


@pytest.mark.parametrize("change", ["removed", "cut", "replaced"])
def test_a_wal_that_changes_after_the_first_look_is_judged_as_it_is_then(
    served: Sandbox,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    change: str,
) -> None:
    """`resume` looks at the journal, reads the campaign file, and then opens it as its sender."""
    journal = killed(served, tmp_path)
    wal = Path(f"{journal}-wal")
    load = resume_journal.campaign_of
    looked = []

    def load_meanwhile(*args: Any) -> Any:
        looked.append(journal)
        if change == "cut":
            os.truncate(wal, wal.stat().st_size * 9 // 10)
        elif change == "replaced":
            older = tmp_path / "older"
            older.write_bytes(wal.read_bytes()[: wal.stat().st_size * 2 // 3])
            older.replace(wal)
        else:
            wal.unlink()
        return load(*args)

    monkeypatch.setattr(resume_journal, "campaign_of", load_meanwhile)
    status = promomsg("resume", journal, "--yes", "--json")
    assert looked
    nobody_twice(served)
    if change == "removed":
        assert status == 1
        assert "autumn.db-wal is not beside it" in capsys.readouterr().err
    else:
        assert status == 4
        assert conserved(one_document(capsys))
        truth(served, journal)


def test_a_wal_that_goes_while_it_is_opened_is_refused_both_times(
    served: Sandbox,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    journal = killed(served, tmp_path)

    def check_meanwhile(*args: Any, **options: Any) -> Any:
        found = check_whole(*args, **options)
        Path(f"{journal}-wal").unlink(missing_ok=True)
        return found

    monkeypatch.setattr(sqlite_journal, "check_whole", check_meanwhile)
    calls = served.calls["singlesendmsg"]
    for said in ("was changed or removed just now; resume it again", "-wal is not beside it"):
        assert promomsg("resume", journal, "--yes", "--json") == 1
        assert said in capsys.readouterr().err
    assert served.calls["singlesendmsg"] == calls


def test_readers_change_no_byte_of_a_journal_whose_sender_was_killed(
    served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    journal = killed(served, tmp_path)
    before = content(tmp_path)
    assert len(before["autumn.db-wal"]) > 0
    for words in (
        ("status", journal),
        ("status", journal, "--json"),
        ("status", journal, "--watch"),
        ("report", journal),
        ("report", journal, "--all", "--format", "csv"),
        ("report", journal, "--format", "json", "--output", tmp_path / "report.json"),
    ):
        assert promomsg(*words) == 0
        assert content(tmp_path) == before, words
    Path(f"{journal}-shm").unlink(missing_ok=True)
    assert promomsg("status", journal) == 0
    assert content(tmp_path) == before
    # The request is written behind what was there.
    assert promomsg("pause", journal) == 0
    after = content(tmp_path)
    assert after["autumn.db"] == before["autumn.db"]
    assert len(after["autumn.db-wal"]) >= len(before["autumn.db-wal"])
    capsys.readouterr()
    assert promomsg("resume", journal, "--yes", "--json") in (0, 4)
    assert one_document(capsys)["pending"] == 0
    nobody_twice(served)


def test_the_open_flag_is_in_the_main_file_while_it_is_sent_and_gone_after(
    served: Sandbox, tmp_path: Path
) -> None:
    journal = killed(served, tmp_path)

    def flag() -> int:
        db = sqlite3.connect(f"file:{journal}?mode=ro&immutable=1", uri=True)
        try:
            return int(db.execute("SELECT sender_open FROM campaign").fetchone()[0])
        finally:
            db.close()

    assert flag() == 1
    assert promomsg("resume", journal, "--yes") in (0, 4)
    assert flag() == 0
    assert sorted(content(tmp_path)) == ["autumn.db"]


def test_a_new_journal_is_not_begun_over_the_wal_of_another(
    served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    journal = killed(served, tmp_path)
    os.rename(journal, tmp_path / "old.db")
    assert promomsg("send", tmp_path / "autumn.toml", "--yes") == 1
    assert "autumn.db-wal of an earlier journal" in capsys.readouterr().err
    os.rename(tmp_path / "old.db", journal)
    assert promomsg("resume", journal, "--yes") in (0, 4)
    nobody_twice(served)
