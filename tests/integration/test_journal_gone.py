"""A journal or lock that is moved, removed or replaced under a living sender halts it at once."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from cli_campaigns import campaign, conserved, finished, promomsg, started
from waiting import wait_for

from promomsg.journal.sqlite.crash_safety.side_files import MARK
from promomsg.sandbox import Sandbox


def _remove(path: Path) -> None:
    path.unlink()


def _move(path: Path) -> None:
    path.rename(path.with_name("away.db"))


def _replace(path: Path) -> None:
    copy = path.with_name("copy")
    shutil.copy(path, copy)
    os.replace(copy, path)


@pytest.mark.parametrize("end", ["", ".lock", "-wal", MARK])
@pytest.mark.parametrize("what", [_remove, _move, _replace])
def test_a_sender_whose_files_are_gone_halts_within_a_second(
    served: Sandbox, tmp_path: Path, end: str, what: Callable[[Path], None]
) -> None:
    file = campaign(tmp_path, served.url, 2000, title="{name}", pace="singles_per_second = 60")
    sender = started("send", file, "--yes", "--json")
    wait_for(lambda: served.calls["singlesendmsg"] >= 20)
    what(tmp_path / f"autumn.db{end}")
    at = time.monotonic()
    out, err = finished(sender)
    assert time.monotonic() - at < 3  # a second, and the end of a process on a busy machine
    assert sender.returncode == 5, err
    document = json.loads(out)
    assert document["state"] == "halted"
    assert document["reason"].startswith("JOURNAL_GONE: ")
    assert f"autumn.db{end} was moved, removed or replaced" in document["reason"]
    assert conserved(document)
    # Calls in flight finish, and their results are told.
    assert document["unknown"] == 0
    assert document["sent"] == len(served.ledger.delivered) < 2000
    assert not served.ledger.twice()


def test_a_journal_that_was_moved_while_it_was_sent_is_whole_where_it_is(
    served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = campaign(tmp_path, served.url, 300, title="{name}", pace="singles_per_second = 60")
    sender = started("send", file, "--yes", "--json")
    wait_for(lambda: served.calls["singlesendmsg"] >= 20)
    away = tmp_path / "away.db"
    (tmp_path / "autumn.db").rename(away)
    finished(sender)
    file.write_text(file.read_text().replace("singles_per_second = 60", "unlimited = true"))
    capsys.readouterr()
    assert promomsg("resume", away, "--campaign", file, "--yes", "--json") == 0
    assert json.loads(capsys.readouterr().out)["sent"] == 300
    assert not served.ledger.twice()
