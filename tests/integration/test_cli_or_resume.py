"""`send --or-resume`: one command for cron, whatever became of the one before it."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from cli_campaigns import (
    campaign,
    conserved,
    finished,
    one_document,
    promomsg,
    started,
)
from waiting import wait_for

from promomsg.sandbox import Sandbox


def test_it_begins_and_a_finished_campaign_prints_its_document(
    served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    served.settings.refuse_single = {"1003": 43101}
    file = campaign(tmp_path, served.url, title="{name}")
    for _ in range(3):
        assert promomsg("send", file, "--or-resume", "--yes", "--json") == 3
        document = one_document(capsys)
        assert (document["sent"], document["failed"]) == (9, 1)
        assert conserved(document)
    assert served.ledger.total == 9
    assert served.calls["singlesendmsg"] == 10


def test_it_goes_on_after_an_interrupt(
    served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = campaign(tmp_path, served.url, 400, title="{name}", pace="singles_per_second = 200")
    child = started("send", file, "--or-resume", "--yes")
    wait_for(lambda: served.ledger.total >= 20)
    child.send_signal(signal.SIGINT)
    finished(child)
    assert child.returncode == 130
    assert promomsg("send", file, "--or-resume", "--yes", "--json") == 0
    assert one_document(capsys)["sent"] == 400
    assert served.ledger.total == 400
    assert served.ledger.twice() == []


@pytest.mark.parametrize("command", ["send", "plan"])
def test_an_empty_base_url_is_not_taken_for_the_files_own(
    command: str, served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # A shell's variable that is not set, in a command that was to go to the sandbox.
    words = ("--yes",) if command == "send" else ()
    assert promomsg(command, campaign(tmp_path, served.url), "--base-url", "", *words) == 1
    assert "base_url=''" in capsys.readouterr().err
    assert served.ledger.total == 0


def test_a_pause_and_a_sender_at_work_are_left_alone(
    served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = campaign(tmp_path, served.url, 400, title="{name}", pace="singles_per_second = 200")
    journal = tmp_path / "autumn.db"
    child = started("send", file, "--yes")
    wait_for(lambda: served.ledger.total >= 20)
    assert promomsg("send", file, "--or-resume", "--yes") == 5
    assert f"another process is sending it (process {child.pid}, " in capsys.readouterr().err
    assert promomsg("send", file, "--yes") == 1
    assert f"another process is sending it (process {child.pid}, " in capsys.readouterr().err
    assert promomsg("pause", journal) == 0
    finished(child)
    assert child.returncode == 5
    capsys.readouterr()
    sent = served.ledger.total
    assert promomsg("send", file, "--or-resume", "--yes", "--json") == 5
    out = capsys.readouterr()
    assert '"paused"' in out.out
    assert "promomsg resume" in out.err
    assert served.ledger.total == sent
    assert promomsg("resume", journal, "--yes") == 0
    assert served.ledger.total == 400


def test_a_test_is_never_gone_on_with(
    served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = campaign(tmp_path, served.url)
    assert promomsg("send", file, "--or-resume", "--test-to", "k1", "--yes") == 1
    assert "--test-to" in capsys.readouterr().err
