"""A journal is data, not authority: where to send and with which secret is the campaign file's word."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from cli_campaigns import campaign, one_document, promomsg, running

from promomsg.sandbox import Fault, FaultPlan, Sandbox


def halted(folder: Path, served: Sandbox, url: str | None = None) -> Path:
    """A campaign of 10 of whom one was sent to; returns its journal."""
    served.faults = FaultPlan([Fault(endpoint="singlesendmsg", kind="daily", after=1)])
    file = campaign(folder, url or served.url)
    assert (
        promomsg("send", file, "--yes", "--json", *(("--base-url", served.url) if url else ())) == 5
    )
    served.faults = FaultPlan()
    return folder / "autumn.db"


def changed(journal: Path, column: str, value: str) -> None:
    with sqlite3.connect(journal) as db:
        db.execute(f"UPDATE campaign SET {column} = ?", (value,))
    db.close()


@pytest.mark.parametrize(
    "planted", ["https://evil.example", "http://evil.example", "https://api.weixin.qq.com:8443", ""]
)
@pytest.mark.parametrize("words", [("resume",), ("retry", "--failed"), ("reconcile",)])
def test_a_journal_of_another_host_is_refused_and_both_are_named(
    planted: str,
    words: tuple[str, ...],
    served: Sandbox,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    journal = halted(tmp_path, served)
    changed(journal, "base_url", planted)
    calls = sum(served.calls.values())
    capsys.readouterr()
    command, *options = words
    asked = [command, journal, *options, *([] if command == "reconcile" else ["--yes"])]
    assert promomsg(*asked) == 1
    said = capsys.readouterr().err
    assert planted or "an unknown host" in said
    assert planted in said
    assert served.url in said
    assert sum(served.calls.values()) == calls  # nothing was asked of anybody, no secret left


def test_base_url_says_yes_and_nothing_goes_where_the_journal_says(
    served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with running() as evil:
        journal = halted(tmp_path, served)
        changed(journal, "base_url", evil.url)
        capsys.readouterr()
        # From one port of this machine to another it is only said.
        assert promomsg("resume", journal, "--yes", "--json") == 0
        out = capsys.readouterr()
        assert evil.url in out.err
        assert sum(evil.calls.values()) == 0
    assert served.ledger.total == 10


def test_the_command_line_names_the_place_of_a_campaign_begun_elsewhere(
    served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    journal = halted(tmp_path, served, "https://wechat.example")
    capsys.readouterr()
    assert promomsg("resume", journal, "--yes") == 1
    said = capsys.readouterr().err
    assert "https://wechat.example" in said
    assert served.url in said
    assert promomsg("resume", journal, "--yes", "--json", "--base-url", served.url) == 0
    assert one_document(capsys)["sent"] == 10


def test_a_campaign_file_elsewhere_is_not_used_by_a_journals_word(
    served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with running() as evil:
        journal = halted(tmp_path, served)
        planted = tmp_path / "planted"
        planted.mkdir()
        file = campaign(planted, evil.url, name="winter")
        changed(journal, "campaign_file", str(file))
        capsys.readouterr()
        assert promomsg("resume", journal, "--yes") == 1
        said = capsys.readouterr().err
        assert str(file) in said
        assert "--campaign" in said
        assert sum(evil.calls.values()) == 0
    assert promomsg("resume", journal, "--campaign", tmp_path / "autumn.toml", "--yes") == 0
    assert served.ledger.total == 10


def test_the_command_to_go_on_with_names_a_campaign_file_that_lies_elsewhere(
    served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    served.faults = FaultPlan([Fault(endpoint="singlesendmsg", kind="daily", after=1)])
    file = campaign(tmp_path, served.url)
    (tmp_path / "sent").mkdir()
    assert promomsg("send", file, "--journal", tmp_path / "sent" / "a.db", "--yes") == 5
    assert f"--campaign {file}" in capsys.readouterr().err


def test_the_host_is_in_plan_question_result_and_report(
    served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = campaign(tmp_path, served.url)
    for words in (
        ("plan", file),
        ("plan", file, "--json"),
        ("send", file, "--yes"),
        ("status", tmp_path / "autumn.db"),
        ("report", tmp_path / "autumn.db"),
        ("report", tmp_path / "autumn.db", "--format", "json"),
    ):
        promomsg(*words)
        assert served.url in capsys.readouterr().out


@pytest.mark.parametrize("command", ["send", "plan", "doctor"])
def test_a_secret_outside_of_the_campaign_files_folder_needs_a_word(
    command: str, served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "campaign"
    folder.mkdir()
    file = campaign(folder, served.url)
    (tmp_path / "id_rsa").write_text("a-key-of-mine")
    text = file.read_text()
    (folder / "link.txt").symlink_to(tmp_path / "id_rsa")
    yes = ("--yes",) if command == "send" else ()
    for secret in ("../id_rsa", str(tmp_path / "id_rsa"), "link.txt"):
        file.write_text(text.replace("file:secret.txt", f"file:{secret}"))
        assert promomsg(command, file, *yes) == 1
        out = capsys.readouterr()
        assert "--allow-file-secrets" in out.err + out.out
        assert "a-key-of-mine" not in out.err + out.out
    assert not served.calls["stable_token"]
    assert promomsg(command, file, *yes, "--allow-file-secrets") == 0


@pytest.mark.parametrize("words", [("resume",), ("retry", "--failed")])
def test_the_command_to_go_on_with_has_the_permission_that_was_given(
    words: tuple[str, ...], served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "campaign"
    folder.mkdir()
    file = campaign(folder, served.url)
    (tmp_path / "elsewhere.txt").write_text("a-secret-of-nobody")
    file.write_text(file.read_text().replace("file:secret.txt", "file:../elsewhere.txt"))
    refused = Fault(endpoint="singlesendmsg", kind="refuse", errcode=43101, calls=[1])
    halts = Fault(endpoint="singlesendmsg", kind="daily", after=1)
    served.faults = FaultPlan([refused, halts])
    assert promomsg("send", file, "--yes", "--allow-file-secrets") == 5
    served.faults = FaultPlan([Fault(endpoint="singlesendmsg", kind="daily")])
    capsys.readouterr()
    command, *options = words
    journal = folder / "autumn.db"
    assert promomsg(command, journal, *options, "--yes", "--allow-file-secrets") == 5
    said = capsys.readouterr().err
    assert f"go on with: promomsg resume {journal} --allow-file-secrets" in said
