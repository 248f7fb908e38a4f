"""`follow`, `clicks`, `promoters`, `reconcile` and `doctor` against a sandbox."""

from __future__ import annotations

import csv
import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from cli_campaigns import campaign, one_document, promomsg, running

from promomsg.clock import SystemClock, china_day
from promomsg.sandbox import Fault, FaultPlan, Sandbox, SandboxSettings

DAY = 86_400.0
Later = Callable[[Sandbox], None]


@pytest.fixture
def a_day_later(monkeypatch: pytest.MonkeyPatch) -> Later:
    """Moves the sandbox's clock and the terminal's on by a day."""

    def move(served: Sandbox) -> None:
        served.clock.advance(DAY)
        monkeypatch.setattr(SystemClock, "time", lambda self: time.time() + DAY)

    return move


def read(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))


def test_follow_needs_no_campaign_of_its_own(
    served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    served.settings.refuse_group = {"1003": 103010}
    file = campaign(tmp_path, served.url, 60)
    assert promomsg("send", file, "--yes", "--json", "--no-wait") == 5
    [group] = one_document(capsys)["groups"]
    assert promomsg("follow", group["msg_id"], "--campaign", file, "--json") == 3
    found = one_document(capsys)
    assert (found["percent"], found["send_cnt"], found["fail_cnt"]) == (100, 60, 1)
    assert found["failures"] == [{"id": "1003", "code": "103010"}]
    assert promomsg("follow", group["msg_id"], "--campaign", file) == 3
    said = capsys.readouterr().out
    assert "1003" in said
    # The words of `status` and `report`.
    assert "103010: not delivered to this recipient (reason not published)" in said
    assert "promomsg explain CODE" in said
    assert promomsg("follow", "999", "--campaign", file) == 1


def test_an_account_alone_is_enough_to_look_at_the_provider(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with running(settings=SandboxSettings(promoters=3)) as served:
        file = campaign(tmp_path, served.url, 60)
        assert promomsg("send", file, "--yes", "--json", "--no-wait") == 5
        [group] = one_document(capsys)["groups"]
        account = tmp_path / "account.toml"
        account.write_text(
            '[wechat]\nappid = "wx0123456789abcdef"\nsecret = "file:secret.txt"\n'
            f'base_url = "{served.url}"\n[poll]\nfirst_after = "20ms"\nevery = "40ms"\n'
        )
        assert promomsg("follow", group["msg_id"], "--campaign", account) == 0
        output = tmp_path / "all.csv"
        assert promomsg("promoters", "--campaign", account, "--output", output) == 0
        assert len(read(output)) == 3
        day = china_day(time.time() - 3 * DAY)
        clicks = ("clicks", "--campaign", account, "--date", day, "--dimension", 1)
        capsys.readouterr()
        assert promomsg(*clicks) == 1
        assert "--msg-type" in capsys.readouterr().err
        assert promomsg(*clicks, "--msg-type", 1) == 0
        assert promomsg("doctor", account) == 1  # that one is of a campaign


def test_follow_gives_up_with_5(
    served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    served.settings.poll_step_seconds = 10_000
    file = campaign(tmp_path, served.url, 60)
    file.write_text(file.read_text().replace('"20s"', '"100ms"'))
    assert promomsg("send", file, "--yes", "--json") == 5
    [group] = one_document(capsys)["groups"]
    assert promomsg("follow", group["msg_id"], "--campaign", file) == 5
    assert "ask again later" in capsys.readouterr().err


def test_clicks_of_yesterday_in_both_dimensions(
    served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str], a_day_later: Later
) -> None:
    served.settings.click_rate = 1.0
    file = campaign(tmp_path, served.url, 60)
    assert promomsg("send", file, "--yes") == 0
    day = china_day(time.time())
    capsys.readouterr()
    assert promomsg("clicks", "--campaign", file, "--date", day, "--dimension", 0) == 1
    assert "day after" in capsys.readouterr().err
    a_day_later(served)
    words = ("clicks", "--campaign", file, "--date", day)
    assert promomsg(*words, "--dimension", 0, "--json") == 0
    [row] = one_document(capsys)["clicks"]
    assert row["msg_id"] == served.ledger.groups[0].msg_id
    assert promomsg(*words, "--dimension", 1, "--msg-type", 1) == 0
    assert "people" in capsys.readouterr().out
    assert promomsg("clicks", "--campaign", file, "--date", "2020-01-01", "--dimension", 0) == 1
    assert "90 days" in capsys.readouterr().err
    assert promomsg(*words, "--dimension", 1, "--msg-id", 3) == 1


def test_promoters_are_pulled_and_gone_on_with(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = SandboxSettings(promoters=130, page_size=50)
    plan = FaultPlan([Fault(endpoint="getpromoter", kind="errcode", errcode=48001, calls=[3])])
    output = tmp_path / "all.csv"
    with running(settings=settings, faults=plan) as served:
        words = ("promoters", "--campaign", campaign(tmp_path, served.url), "--output", output)
        assert promomsg(*words) == 1
        assert not output.exists()
        assert promomsg(*words, "--role", 2) == 1
        assert "other filters" in capsys.readouterr().err
        assert promomsg(*words) == 0
        assert "continuing after 100100" in capsys.readouterr().err
        assert promomsg(*words) == 1
        assert "not overwritten" in capsys.readouterr().err
        again = tmp_path / "two.csv"
        assert promomsg(*words[:-1], again, "--role", 2, "--retailer", "r1") == 0
    rows = read(output)
    assert [r["id"] for r in rows] == [str(100_001 + n) for n in range(130)]
    assert rows[0]["unionid"]
    assert {r["role_id"] for r in read(again)} == {"2"}
    assert output.stat().st_mode & 0o777 == 0o600
    assert not list(tmp_path.glob("*.partial*"))


def test_reconcile_finds_a_lost_group_and_adopt_lets_resume_follow_it(
    served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str], a_day_later: Later
) -> None:
    served.settings.click_rate = 1.0
    served.faults = FaultPlan([Fault(endpoint="sendmsg", kind="drop_after_delivering")])
    file = campaign(tmp_path, served.url, 60)
    journal = tmp_path / "autumn.db"
    assert promomsg("send", file, "--yes", "--json") == 4
    capsys.readouterr()
    assert promomsg("reconcile", journal) == 0
    assert "day after" in capsys.readouterr().out
    a_day_later(served)
    assert promomsg("reconcile", journal) == 0
    out = capsys.readouterr()
    assert served.ledger.groups[0].msg_id in out.out
    assert "--adopt" in out.err
    assert promomsg("resume", journal, "--json") == 4
    capsys.readouterr()
    assert promomsg("reconcile", journal, "--adopt", "--json") == 0
    [match] = one_document(capsys)["matches"]
    assert match["adopted"] is True
    assert promomsg("resume", journal, "--yes", "--json") == 0
    assert one_document(capsys)["sent"] == 60
    assert served.calls["sendmsg"] == 1


def test_reconcile_of_a_campaign_that_lost_nothing(
    served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert promomsg("send", campaign(tmp_path, served.url, 3), "--yes") == 0
    capsys.readouterr()
    assert promomsg("reconcile", tmp_path / "autumn.db") == 0
    assert "no group send" in capsys.readouterr().out
    assert promomsg("reconcile", tmp_path / "autumn.db", "--json") == 0
    assert one_document(capsys)["matches"] == []


def findings(capsys: pytest.CaptureFixture[str], level: str) -> dict[str, str]:
    found = one_document(capsys)["findings"]
    return {f["what"]: f["detail"] for f in found if f["level"] == level}


def test_doctor_says_what_it_could_not_check(
    served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert promomsg("doctor", campaign(tmp_path, served.url), "--json") == 0
    assert "[templates.1] declares no kind for 'title'" in findings(capsys, "warn")["message"]
    declared = '[templates.1]\ntitle = "thing"'
    assert promomsg("doctor", campaign(tmp_path, served.url, sections=declared), "--json") == 0
    assert "message" not in findings(capsys, "warn")


def test_doctor_compares_the_concurrency_with_the_open_files_allowed(
    served: Sandbox,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("resource.getrlimit", lambda kind: (256, 4096))
    file = campaign(tmp_path, served.url, pace="unlimited = true\nconcurrency = 500")
    assert promomsg("doctor", file, "--json") == 0
    assert "128 connections that half of ulimit -n (256)" in findings(capsys, "warn")["descriptors"]
    assert promomsg("doctor", campaign(tmp_path, served.url), "--json") == 0
    assert "ulimit -n: 256" in findings(capsys, "ok")["descriptors"]


def test_doctor_says_which_proxy_is_used(
    served: Sandbox,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.setenv("HTTPS_PROXY", "http://me:pa55@127.0.0.1:1")
    file = campaign(tmp_path, served.url)
    assert promomsg("doctor", file, "--json") == 0
    assert "called directly" in findings(capsys, "ok")["proxy"]  # this machine
    assert promomsg("doctor", file, "--base-url", "https://wechat.example", "--json") == 1
    said = capsys.readouterr().out
    assert "127.0.0.1:1 (of the environment)" in said
    assert "pa55" not in said


def test_doctor_says_what_is_well(
    served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "blocked.csv").write_text("id\n5\n")
    file = campaign(tmp_path, served.url, campaign='suppress = "blocked.csv"')
    assert promomsg("doctor", file, "--json") == 0
    found = {f["what"]: f["level"] for f in one_document(capsys)["findings"] if f["level"] == "ok"}
    assert {"campaign file", "message", "recipients", "suppression", "journal", "token"} <= set(
        found
    )
    assert served.calls["singlesendmsg"] == 0
    assert promomsg("doctor", file) == 0
    assert "clock" in capsys.readouterr().out


def test_doctor_says_what_is_wrong_and_how_to_mend_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = campaign(tmp_path, "http://127.0.0.1:9", campaign='suppress = "no.csv"')
    (tmp_path / "people.csv").write_text("name\nAnn\n")
    (tmp_path / "autumn.db").touch()
    assert promomsg("doctor", file, "--json") == 1
    found = {f["what"]: f["level"] for f in one_document(capsys)["findings"]}
    assert found["provider"] == found["recipients"] == found["suppression"] == "fail"
    assert found["journal"] == "warn"
    assert promomsg("doctor", tmp_path / "no.toml") == 1
    with running(settings=SandboxSettings(accounts={"wx1": "x"})) as served:
        file = campaign(tmp_path, served.url)
        assert promomsg("doctor", file, "--json") == 1
    out = capsys.readouterr().out
    findings = json.loads(out[out.index("{") :])["findings"]
    assert [f["what"] for f in findings if f["level"] == "fail"] == ["token"]
    assert "a-secret-of-nobody" not in out


def test_what_only_wechat_has_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert promomsg("keys", "--output", tmp_path) == 0
    (tmp_path / "w.csv").write_text("key,access_token\nu,t\n")
    file = tmp_path / "w.toml"
    file.write_text(
        '[campaign]\nchannel = "alipay"\nrecipients = "w.csv"\n'
        '[alipay]\nclient_id = "c"\napp_id = "a"\nprivate_key = "file:key.pem"\nverify = false\n'
        'base_url = "http://127.0.0.1:9/api"\n'
        '[message]\ntemplate_code = "T"\n[[message.templates]]\nparameters = { a = "b" }\n'
    )
    capsys.readouterr()
    assert promomsg("follow", "1", "--campaign", file) == 1
    assert "only WeChat" in capsys.readouterr().err
    with running() as served:
        assert promomsg("doctor", file, "--base-url", f"{served.url}/api") == 0
    assert "both keys load" in capsys.readouterr().out
