"""What a campaign says in the log: each event by its name and with its values, and no secret."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from campaigning import MESSAGE, QUICK, ids
from cli_campaigns import campaign, promomsg, running
from waiting import until

from promomsg import Campaign, Fleet, MemoryJournal, NotSent, WeChatPromoter, send
from promomsg.log_events import EVENTS
from promomsg.sandbox import Fault, FaultPlan, Sandbox


class Said(logging.Handler):
    """The records of promomsg's log, with their events."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    @property
    def events(self) -> list[str]:
        return [str(getattr(record, "event", "")) for record in self.records]

    def values(self, event: str) -> list[dict[str, Any]]:
        """Those of each time that it happened."""
        return [
            {name: getattr(record, name) for name in EVENTS[event]}
            for record in self.records
            if getattr(record, "event", "") == event
        ]


@pytest.fixture
def said() -> Any:
    log, said = logging.getLogger("promomsg"), Said()
    before = log.level
    log.addHandler(said)
    log.setLevel(logging.DEBUG)
    yield said
    log.removeHandler(said)
    log.setLevel(before)


@pytest.mark.asyncio
async def test_a_group_send_is_told_from_its_plan_to_its_end(
    box: Sandbox, channel: WeChatPromoter, tmp_path: Path, said: Said
) -> None:
    await send(channel, MESSAGE, ids(60), name="autumn", journal=tmp_path / "a.db", **QUICK)
    assert [e for e in said.events if e.startswith("campaign.")] == [
        "campaign.planned", "campaign.started", "campaign.ended",
    ]  # fmt: skip
    [planned] = said.values("campaign.planned")
    assert planned == {
        "campaign": "autumn", "planned": 60, "singles": 0, "groups": 1,
        "journal": str(tmp_path / "a.db"),
    }  # fmt: skip
    assert said.values("token.refreshed")
    [accepted] = said.values("group.accepted")
    assert (accepted["group"], accepted["members"]) == (1, 60)
    percents = [one["percent"] for one in said.values("group.percent")]
    assert percents == [30, 70]
    [done] = said.values("group.done")
    assert (done["msg_id"], done["send_cnt"], done["fail_cnt"]) == (accepted["msg_id"], 60, 0)
    [ended] = said.values("campaign.ended")
    assert (ended["state"], ended["sent"], ended["pending"]) == ("done", 60, 0)


@pytest.mark.asyncio
async def test_a_campaign_without_a_name_has_its_journals(
    channel: WeChatPromoter, tmp_path: Path, postgres: str, said: Said
) -> None:
    journals = {
        tmp_path / "autumn-2026.11.db": "autumn-2026.11",
        Fleet(postgres).journal("unnamed"): "unnamed",
        MemoryJournal(): "campaign",
        None: "campaign",
    }
    for journal, name in journals.items():
        report = await send(channel, MESSAGE, ids(1), journal=journal, **QUICK)
        assert report.to_dict()["campaign"] == name
    assert [ended["campaign"] for ended in said.values("campaign.ended")] == [*journals.values()]
    given = tmp_path / "other.db"
    report = await send(channel, MESSAGE, ids(1), name="winter", journal=given, **QUICK)
    assert report.to_dict()["campaign"] == "winter"


@pytest.mark.asyncio
async def test_a_hold_is_said_within_a_second_and_a_retry_too(
    box: Sandbox, channel: WeChatPromoter, tmp_path: Path, said: Said
) -> None:
    box.faults = FaultPlan([Fault(endpoint="singlesendmsg", kind="throttle", calls=[2])])
    campaign = Campaign(channel, MESSAGE, ids(5), journal=tmp_path / "a.db", **QUICK)
    loop = asyncio.get_running_loop()
    async with campaign:
        await until(lambda: box.ledger.faults["throttle"])
        refused = loop.time()
        await until(lambda: "hold" in said.events)
        assert loop.time() - refused < 1
        await until(lambda: "retry" in said.events)
    [hold] = said.values("hold")
    assert hold["seconds"] == 60.0
    assert said.values("retry")[0]["attempt"] == 2


@pytest.mark.asyncio
async def test_an_outage_and_its_end_are_said(
    box: Sandbox, channel: WeChatPromoter, tmp_path: Path, said: Said
) -> None:
    box.faults = FaultPlan([Fault(endpoint="singlesendmsg", kind="refuse", limit=4)])
    await send(
        channel, MESSAGE, ids(5), name="autumn", journal=tmp_path / "a.db", concurrency=1, **QUICK
    )
    [opened], [closed] = said.values("breaker.opened"), said.values("breaker.closed")
    assert opened["campaign"] == closed["campaign"] == "autumn"
    assert opened["base_url"] == closed["base_url"] == box.url
    assert said.events.index("breaker.opened") < said.events.index("breaker.closed")


@pytest.mark.asyncio
async def test_a_token_that_cannot_be_had_is_said_while_it_is_tried_again(
    box: Sandbox, tmp_path: Path, said: Said
) -> None:
    given = iter([NotSent("the token command sh ended with status 3")] * 3)

    async def token(stale: str | None) -> str:
        for error in given:
            raise error
        return str(box.wechat.tokens.plain_token("wx0001")["access_token"])

    async with (
        WeChatPromoter("wx0001", token=token, base_url=box.url) as channel,
        Campaign(
            channel, MESSAGE, ids(5), name="autumn", journal=tmp_path / "a.db", **QUICK
        ) as run,
    ):
        reasons = {
            event.data["reason"]
            async for event in run.events(every=0.001)
            if "reason" in event.data
        }
        assert (await run.wait()).sent == 5
    assert (
        "nothing can be sent yet: the token command sh ended with status 3; it is tried again"
        in reasons
    )
    told = said.values("not_ready")
    assert {(values["campaign"], values["detail"]) for values in told} == {
        ("autumn", "the token command sh ended with status 3")
    }
    assert all(0 < values["seconds"] <= 0.02 for values in told)


@pytest.mark.asyncio
async def test_a_halt_is_a_warning_with_its_code(
    box: Sandbox, channel: WeChatPromoter, tmp_path: Path, said: Said
) -> None:
    box.faults = FaultPlan([Fault(endpoint="singlesendmsg", kind="daily")])
    await send(channel, MESSAGE, ids(5), name="autumn", journal=tmp_path / "a.db", **QUICK)
    [halted] = said.values("campaign.halted")
    assert (halted["campaign"], halted["code"]) == ("autumn", "45009")
    [record] = [r for r in said.records if getattr(r, "event", "") == "campaign.halted"]
    assert record.levelno == logging.WARNING
    assert said.values("campaign.ended")[0]["state"] == "halted"


@pytest.mark.asyncio
async def test_every_record_can_be_formatted_and_has_no_secret(
    box: Sandbox, channel: WeChatPromoter, tmp_path: Path, said: Said
) -> None:
    box.faults = FaultPlan([Fault(endpoint="singlesendmsg", kind="token_invalid", calls=[2])])
    await send(channel, MESSAGE, ids(60), journal=tmp_path / "a.db", route="single", **QUICK)
    tokens = {call.query["access_token"] for call in box.calls.requests if call.query}
    assert tokens
    shown = "\n".join(f"{r.getMessage()} {vars(r)}" for r in said.records)
    assert not [token for token in tokens if token in shown]
    assert {r.pathname.rpartition("/")[2] for r in said.records}.isdisjoint({"log_events.py"})


TIME = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d "


def test_the_terminal_says_with_v_what_happens(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with running() as box:
        file = campaign(tmp_path, box.url, 3)
        assert promomsg("send", file, "--yes", "-v") == 0
    err = capsys.readouterr().err
    assert re.search(f"^{TIME}campaign.started: autumn: sending, 3 of 3", err, re.M), err
    assert re.search(f"^{TIME}campaign.ended: autumn: done", err, re.M), err


def test_the_terminal_says_it_in_json_lines(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with running() as box:
        file = campaign(tmp_path, box.url, 3)
        assert promomsg("send", file, "--yes", "--log-json") == 0
    lines = [
        json.loads(line)
        for line in capsys.readouterr().err.splitlines()
        if line.startswith('{"at"')
    ]
    events = {line["event"]: line for line in lines}
    assert {"campaign.planned", "campaign.started", "campaign.ended"} <= set(events)
    ended = events["campaign.ended"]
    assert (ended["level"], ended["sent"], ended["state"]) == ("info", 3, "done")
    assert datetime.fromisoformat(ended["at"]).tzinfo is not None
    for line in lines:
        if line["event"]:
            assert set(EVENTS[line["event"]]) <= set(line)


def test_without_either_the_terminal_is_as_quiet_as_before(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with running() as box:
        assert promomsg("send", campaign(tmp_path, box.url, 3), "--yes") == 0
    assert "campaign.started" not in capsys.readouterr().err
