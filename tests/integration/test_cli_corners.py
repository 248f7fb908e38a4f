"""The terminal in its corners: interrupts in the middle, a journal that fails, audiences, wallets."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cli_campaigns import campaign, conserved, one_document, promomsg, running, wallet_campaign
from waiting import real_time

from promomsg.engine.campaign import Campaign
from promomsg.errors import JournalError
from promomsg.sandbox import Fault, FaultPlan, Sandbox, SandboxSettings

TWO_USERS = "key,access_token,who\nu1,tok-1,A\nu2,tok-2,B\n"
MORE = {"account": 'tokens = "tokens.db"', "message": 'extend_info = { scene = "sale" }'}


def when(what: Callable[[], bool], then: Callable[[], object]) -> threading.Thread:
    """Does something once something is true, while the terminal runs in this thread."""

    def wait() -> None:
        for _ in range(1500):
            if what():
                then()
                return
            threading.Event().wait(0.01)

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def test_an_interrupt_in_the_middle_leaves_the_rest_pending(
    served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = campaign(tmp_path, served.url, 200, title="{name}", pace="singles_per_second = 40")
    thread = when(lambda: served.calls["singlesendmsg"] > 3, interrupt)
    assert promomsg("send", file, "--yes", "--json") == 130
    thread.join()
    out = capsys.readouterr()
    document = json.loads(out.out)
    assert conserved(document)
    assert document["pending"] > 0
    assert document["unknown"] == 0
    assert "in flight" in out.err
    assert "promomsg resume" in out.err


def test_an_interrupt_after_everything_was_sent_has_nothing_to_resume(
    served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    wait = Campaign.wait

    async def wait_and_be_interrupted(self: Campaign) -> Any:
        report = await wait(self)
        interrupt()
        await real_time(0.05)
        return report

    monkeypatch.setattr(Campaign, "wait", wait_and_be_interrupted)
    assert promomsg("send", campaign(tmp_path, served.url, 3), "--yes", "--json") == 0
    assert "nothing is left to resume" in capsys.readouterr().err


def test_an_interrupt_while_planning_leaves_nothing(
    served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = campaign(tmp_path, served.url, 200_000)
    planning = tmp_path / "autumn.db.planning"
    thread = when(lambda: planning.exists() and planning.stat().st_size > 100_000, interrupt)
    assert promomsg("send", file, "--yes", "--json") == 130
    thread.join()
    assert "nothing was sent" in capsys.readouterr().err
    assert not list(tmp_path.glob("autumn.db*"))


def test_a_journal_that_fails_in_the_middle_is_5_and_before_it_1(
    served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    async def fail(self: Campaign) -> Any:
        raise JournalError("autumn.db: disk is full; free some space, then resume")

    file = campaign(tmp_path, served.url, 50, title="{name}", pace="singles_per_second = 5")
    monkeypatch.setattr(Campaign, "wait", fail)
    assert promomsg("send", file, "--yes", "--json") == 5
    out = capsys.readouterr()
    assert conserved(json.loads(out.out))
    assert "disk is full" in out.err

    async def break_off(self: Campaign) -> Any:
        raise ZeroDivisionError("a mistake of ours")

    monkeypatch.setattr(Campaign, "wait", break_off)
    assert promomsg("send", file, "--yes", "--journal", tmp_path / "third.db") == 5
    err = capsys.readouterr().err
    assert "a mistake of ours" in err
    assert "promomsg resume" in err
    assert "Traceback" not in err
    monkeypatch.undo()
    monkeypatch.setattr(Campaign, "__aenter__", fail)
    assert promomsg("send", file, "--yes", "--journal", tmp_path / "other.db") == 1


def test_pause_of_a_sender_in_this_process_and_cancel_when_nobody_sends(
    served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    journal = tmp_path / "autumn.db"
    file = campaign(tmp_path, served.url, 200, title="{name}", pace="singles_per_second = 40")

    def pause() -> None:
        from promomsg.journal.records import Control
        from promomsg.journal.sqlite.journal import SqliteJournal

        asyncio.run(SqliteJournal(journal).request(Control.PAUSE))

    thread = when(lambda: served.calls["singlesendmsg"] > 3, pause)
    assert promomsg("send", file, "--yes", "--json") == 5
    thread.join()
    assert one_document(capsys)["state"] == "paused"
    assert promomsg("pause", journal) == 0
    assert "nobody is sending" in capsys.readouterr().err
    assert promomsg("cancel", journal) == 0
    assert promomsg("resume", journal, "--json") == 3
    assert one_document(capsys)["cancelled"] > 0


def test_progress_and_results_of_many_groups_and_a_person_reading_a_resume(
    served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    served.settings.poll_step_seconds = 10_000
    file = campaign(tmp_path, served.url, 250, campaign="max_group_size = 100")
    assert promomsg("send", file, "--yes", "--no-wait") == 5
    out = capsys.readouterr()
    assert "3 (of 83 to 84)" in out.out
    assert "send_cnt" in out.out
    served.settings.poll_step_seconds = None
    assert promomsg("resume", tmp_path / "autumn.db", "--yes") == 0
    assert "250 are pending" in capsys.readouterr().out


@pytest.mark.parametrize(("audience", "list_type"), [("roles = [1]", 1), ('retailers = ["r1"]', 2)])
def test_an_audience_is_one_group_call(
    served: Sandbox,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    audience: str,
    list_type: int,
) -> None:
    file = campaign(tmp_path, served.url, who="", sections=f"[audience]\n{audience}")
    assert promomsg("plan", file) == 0
    assert "audience" in capsys.readouterr().out
    assert promomsg("send", file, "--yes", "--everyone") == 1
    capsys.readouterr()
    assert promomsg("send", file, "--yes", "--json") == 0
    assert served.ledger.groups[0].list_type == list_type
    assert promomsg("doctor", file) == 0


def test_a_report_says_whom_of_an_audience_it_cannot_list(
    served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    served.faults = FaultPlan([Fault(endpoint="sendmsg", kind="drop_after_delivering", calls=[1])])
    file = campaign(tmp_path, served.url, who="", sections="[audience]\nroles = [1]")
    assert promomsg("send", file, "--yes", "--json") == 4
    unknown = one_document(capsys)["unknown"]
    words = ("report", tmp_path / "autumn.db", "--format")
    for more in ((), ("--all",)):
        assert promomsg(*words, "csv", *more) == 0
        out = capsys.readouterr()
        assert out.out.count("\n") == 1
        assert f"{unknown} recipients of an audience have no rows" in out.err
    assert promomsg(*words, "json") == 0
    assert capsys.readouterr().err == ""


def test_everyone_that_did_not_go_out_needs_the_word_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = SandboxSettings(daily_quota={"sendmsg": 0})
    with running(settings=settings) as served:
        file = campaign(tmp_path, served.url, who="", sections="[audience]\neveryone = true")
        assert promomsg("send", file, "--yes", "--everyone", "--json") == 5
        assert "--everyone" in capsys.readouterr().err
        served.settings.daily_quota = {}
        assert promomsg("resume", tmp_path / "autumn.db", "--yes") == 1
        assert "--everyone" in capsys.readouterr().err
        assert not served.ledger.groups
        assert promomsg("resume", tmp_path / "autumn.db", "--yes", "--everyone") == 0
        assert served.ledger.groups[0].everyone


def test_a_wallet_campaign_keeps_its_tokens_in_a_private_file(
    served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = wallet_campaign(tmp_path, served.url, TWO_USERS, **MORE)
    capsys.readouterr()
    assert promomsg("plan", file, "--json") == 0
    plan = one_document(capsys)
    assert plan["single_calls"] == 2
    assert any("verify = false" in note for note in plan["notices"])
    assert "tok-1" not in json.dumps(plan)
    assert promomsg("send", file, "--yes", "--json") == 0
    assert one_document(capsys)["sent"] == 2
    assert (tmp_path / "tokens.db").stat().st_mode & 0o777 == 0o600
    assert promomsg("reconcile", tmp_path / "wallet.db") == 1
    assert "only WeChat" in capsys.readouterr().err


def test_the_same_campaign_file_a_month_later_reaches_everybody_again(
    served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = wallet_campaign(tmp_path, served.url, TWO_USERS, **MORE)
    assert promomsg("send", file, "--yes", "--json") == 0
    served.clock.advance(30 * 86_400)
    assert promomsg("send", file, "--journal", tmp_path / "next.db", "--yes", "--json") == 0
    assert [served.ledger.deliveries(token) for token in ("tok-1", "tok-2")] == [2, 2]
    assert len(served.ledger.requests) == 4
    capsys.readouterr()


def test_a_campaign_of_python_has_no_file_to_resume_from(
    served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import promomsg as package

    async def submit() -> None:
        served.settings.poll_step_seconds = 10_000
        async with package.WeChatPromoter(
            "wx0123456789abcdef", "s", base_url=served.url, pace=package.Pace(unlimited=True)
        ) as wechat:
            message = package.WeChatMessage(1, {"title": "优惠"}, "pages/index/index")
            ids = [str(1000 + n) for n in range(60)]
            journal = tmp_path / "own.db"
            poll = package.PollPolicy(first_after=0.02, every=0.04)
            async with Campaign(wechat, message, ids, journal=journal, poll=poll) as run:
                await run.submit()

    asyncio.run(submit())
    assert promomsg("resume", tmp_path / "own.db", "--yes") == 1
    assert "--campaign FILE" in capsys.readouterr().err
    served.settings.poll_step_seconds = None
    file = campaign(tmp_path, served.url, "id\n" + "".join(f"{1000 + n}\n" for n in range(60)))
    assert promomsg("resume", tmp_path / "own.db", "--campaign", file, "--yes", "--json") == 0
    assert one_document(capsys)["sent"] == 60


def test_the_sandbox_command_in_this_process(capsys: pytest.CaptureFixture[str]) -> None:
    threading.Timer(0.3, interrupt).start()
    assert promomsg("sandbox") == 0
    assert capsys.readouterr().out.startswith("listening on http://127.0.0.1:")


def test_watching_a_campaign_until_an_interrupt(
    served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert promomsg("send", campaign(tmp_path, served.url, 3), "--yes") == 0
    from promomsg.journal.sqlite.lock import SenderLock

    lock = SenderLock(str(tmp_path / "autumn.db"))
    threading.Timer(0.2, interrupt).start()
    try:
        assert promomsg("status", tmp_path / "autumn.db", "--watch") == 130
    finally:
        lock.release()


def test_follow_interrupted_says_to_ask_again(
    served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    served.settings.poll_step_seconds = 10_000
    file = campaign(tmp_path, served.url, 60)
    assert promomsg("send", file, "--yes", "--json", "--no-wait") == 5
    [group] = one_document(capsys)["groups"]
    threading.Timer(0.2, interrupt).start()
    assert promomsg("follow", group["msg_id"], "--campaign", file) == 130
    assert "the same command" in capsys.readouterr().err


def test_promoters_interrupted_go_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = SandboxSettings(promoters=120, page_size=50)
    with running(settings=settings) as served:
        file = campaign(tmp_path, served.url)
        words = ("promoters", "--campaign", file, "--output", tmp_path / "all.csv")
        from promomsg.sandbox import Fault, FaultPlan

        served.faults = FaultPlan([Fault(endpoint="getpromoter", kind="hang", calls=[2])])
        thread = when(lambda: served.calls["getpromoter"] >= 2, interrupt)
        assert promomsg(*words) == 130
        thread.join()
        assert "the same command goes on" in capsys.readouterr().err
        assert promomsg(*words) == 0
    assert len((tmp_path / "all.csv").read_text().splitlines()) == 121


def test_clicks_of_a_day_without_any(
    served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from promomsg.clock import SYSTEM_CLOCK, china_day

    day = china_day(SYSTEM_CLOCK.time() - 3 * 86_400)
    file = campaign(tmp_path, served.url)
    assert promomsg("clicks", "--campaign", file, "--date", day, "--dimension", 0) == 0
    assert "no clicks" in capsys.readouterr().err


def test_doctor_of_a_folder_a_disk_and_a_clock_that_will_not_do(
    served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    from promomsg.clock import SystemClock

    now = SystemClock().time
    file = campaign(tmp_path, served.url, sections='[templates.2]\nx = "thing"')
    monkeypatch.setattr(SystemClock, "time", lambda self: now() + 3600)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(9, 9, 0))  # type: ignore[attr-defined]
    assert promomsg("doctor", file, "--json") == 1
    levels = {(f["what"], f["level"]) for f in one_document(capsys)["findings"]}
    assert {("clock", "fail"), ("journal", "warn"), ("campaign file", "warn")} <= levels
    file.write_text(file.read_text().replace('"autumn.db"', '"gone/autumn.db"'))
    assert promomsg("doctor", file) == 1
    assert "make it" in capsys.readouterr().out
    file.write_text(file.read_text().replace('title = "优惠"', 'title = "{oops"'))
    assert promomsg("doctor", file, "--json") == 1
    assert "fail" in capsys.readouterr().out


def test_a_retry_that_reaches_everyone_needs_the_word_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with running() as served:
        served.faults = FaultPlan(
            [Fault(endpoint="sendmsg", kind="errcode", errcode=45002, every=1, limit=1)]
        )
        file = campaign(
            tmp_path, "http://127.0.0.1:9", who="", sections="[audience]\neveryone = true"
        )
        words = ("--yes", "--everyone", "--base-url", served.url)
        assert promomsg("send", file, *words) == 3
        calls = served.calls["sendmsg"]
        journal = tmp_path / "autumn.db"
        assert promomsg("retry", journal, "--failed", "--yes") == 1
        assert "--everyone" in capsys.readouterr().err
        assert served.calls["sendmsg"] == calls
        again = ("retry", journal, "--failed", "--yes", "--everyone")
        assert promomsg(*again, "--base-url", served.url) == 0
        assert served.calls["sendmsg"] == calls + 1


def test_a_plan_lists_every_row_it_leaves_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with running() as served:
        file = campaign(tmp_path, served.url)
        people = tmp_path / "people.csv"
        people.write_text(people.read_text() + "odd,1.2E+17,x\n")
        assert promomsg("plan", file) == 0
        shown = capsys.readouterr().out
        assert promomsg("plan", file, "--json") == 0
        document = json.loads(capsys.readouterr().out)
    assert "odd  BAD_ADDRESS" in shown
    assert [(r["key"], r["code"]) for r in document["rows_not_sent"]] == [("odd", "BAD_ADDRESS")]
