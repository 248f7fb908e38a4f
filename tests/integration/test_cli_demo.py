"""`demo`, `keys` and `sandbox`: what a newcomer runs first."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import time
from pathlib import Path

import pytest
from cli_campaigns import conserved, finished, promomsg, started
from waiting import wait_for

from promomsg.alipay.signing import load_private_key, load_public_key


def test_the_demo_shows_the_whole_way_and_leaves_its_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    began = time.monotonic()
    assert promomsg("demo") == 0
    assert time.monotonic() - began < 20
    text = capsys.readouterr().out
    folder = tmp_path / "promomsg-demo"
    for name in ("autumn", "vip", "wallet"):
        assert f"{name}: done" in text
        assert (folder / f"{name}.toml").exists()
        assert (folder / f"demo-{name}.db").exists()
    report = json.loads((folder / "report.json").read_text())
    assert conserved(report)
    assert report["planned"] == len(report["outcomes"]) == 1200
    assert len(report["groups"]) == 1
    assert report["failed"] > 0
    assert {"DUPLICATE_KEY", "SUPPRESSED", "103010"} <= set(report["by_code"])
    failures = list(csv.DictReader((folder / "failures.csv").read_text().splitlines()))
    assert len(failures) == report["failed"] + report["skipped"]
    for secret in ("appsecret.txt", "key.pem"):
        assert (folder / secret).stat().st_mode & 0o777 == 0o600


def test_the_printed_next_step_works_and_an_edited_file_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert promomsg("demo", "--channel", "wechat") == 0
    assert promomsg("demo", "--channel", "wechat") == 0  # unedited: the same folder again
    assert [p.name for p in tmp_path.iterdir()] == ["promomsg-demo"]
    folder = tmp_path / "promomsg-demo"
    file = folder / "autumn.toml"
    edited = file.read_text().replace("双十一大促", "我的活动")
    file.write_text(edited)
    process = started("sandbox", "--port", 0, "--faults", folder / "sandbox.toml")
    try:
        assert process.stdout is not None
        line = process.stdout.readline().strip()
        assert line.startswith("listening on http://127.0.0.1:")
        url = line.removeprefix("listening on ")
        assert promomsg("send", file, "--base-url", url, "--yes") == 3
    finally:
        process.send_signal(signal.SIGINT)
        finished(process)
    assert process.returncode == 0
    capsys.readouterr()
    assert promomsg("demo", "--channel", "wechat") == 0
    out = capsys.readouterr()
    assert "autumn.toml is yours and stays" in out.err
    assert file.read_text() == edited
    assert (folder / "autumn.db").exists()
    assert (tmp_path / "promomsg-demo-2" / "report.json").exists()


def test_the_demo_of_one_channel_and_somebody_elses_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "report.json").write_text("mine")
    assert promomsg("demo", "--channel", "alipay", "--dir", mine) == 0
    assert (mine / "report.json").read_text() == "mine"
    report = json.loads((tmp_path / "mine-2" / "report.json").read_text())
    assert (report["planned"], report["failed"]) == (30, 1)
    blocked = tmp_path / "blocked"
    blocked.mkdir()
    blocked.chmod(0o500)
    (tmp_path / "file").touch()
    assert promomsg("demo", "--dir", tmp_path / "file" / "x") == 1
    assert capsys.readouterr().err.count("promomsg:") == 1


def test_keys_are_never_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert promomsg("keys", "--output", tmp_path / "new") == 0
    out = capsys.readouterr()
    private = tmp_path / "new" / "key.pem"
    assert private.stat().st_mode & 0o777 == 0o600
    load_private_key(private.read_text())
    [line] = out.out.splitlines()
    load_public_key(line)
    before = private.read_bytes()
    assert promomsg("keys", "--output", tmp_path / "new") == 1
    assert private.read_bytes() == before
    assert "PRIVATE" not in out.out + out.err


def test_the_sandbox_says_where_it_is_and_a_taken_port_is_one_line(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.jsonl"
    process = started("sandbox", "--ledger", ledger, "--seed", 3)
    assert process.stdout is not None
    url = process.stdout.readline().strip().removeprefix("listening on ")
    port = url.rsplit(":", 1)[1]
    second: subprocess.Popen[str] = started("sandbox", "--port", port)
    _, err = finished(second)
    assert second.returncode == 1
    assert "already taken" in err
    assert err.count("\n") == 1
    wait_for(ledger.exists)
    process.terminate()
    finished(process)
    assert process.returncode == 0
