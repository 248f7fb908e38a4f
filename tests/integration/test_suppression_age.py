"""`suppress = "autumn.db since 7d"`: whom an earlier campaign sent to lately, and nobody else of it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from campaigning import MESSAGE, QUICK, ids, run_to_end
from cli_campaigns import campaign, one_document, running
from cli_campaigns import promomsg as terminal
from clocks import Later

import promomsg
from promomsg import Campaign, JournalError, UsageError, WeChatPromoter
from promomsg.journal.postgres.journal import PostgresJournal
from promomsg.sandbox import Fault, FaultPlan, Sandbox


@pytest.fixture
def begun(tmp_path: Path) -> Path:
    return tmp_path / "autumn.db"


async def sent_to(channel: WeChatPromoter, suppress: Any, days: float, count: int = 4) -> list[str]:
    report = await promomsg.send(
        channel,
        MESSAGE,
        ids(count, 1000),
        suppress=suppress,
        clock=Later(days),
        route="single",
        **QUICK,
    )
    assert report.planned == report.sent + report.skipped
    return [o.recipient.key for o in report.outcomes() if o.state == "sent"]


@pytest.mark.asyncio
@pytest.mark.parametrize("kind", ["file", "fleet"])
async def test_only_who_was_sent_to_or_may_have_been_lately_is_left_out(
    box: Sandbox, channel: WeChatPromoter, begun: Path, kind: str,
    postgres: str, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """1000 is sent to now, 1001 is refused, 1002's answer is lost, and 1003 six days later."""
    monkeypatch.setenv("PROMOMSG_FLEET", postgres)
    journal: Any = begun if kind == "file" else PostgresJournal(postgres, "autumn")
    named = str(begun) if kind == "file" else "fleet:autumn"
    box.faults = FaultPlan(
        [
            Fault(endpoint="singlesendmsg", calls=[2], errcode=43101),
            Fault(endpoint="singlesendmsg", calls=[3], kind="drop_after_delivering"),
            Fault(endpoint="singlesendmsg", calls=[4], errcode=48001),
        ]
    )
    await promomsg.send(channel, MESSAGE, ids(4, 1000), journal=journal, concurrency=1, **QUICK)
    box.faults = FaultPlan()
    await run_to_end(Campaign.resume(journal, channel, clock=Later(6), **QUICK))
    everybody = [str(n) for n in range(1000, 1004)]
    assert await sent_to(channel, f"{named} since 7d", 6.9) == ["1001"]
    assert await sent_to(channel, f"{named} since 7d", 7.1) == everybody[:3]
    assert await sent_to(channel, [f"{named} since 24h", "1001"], 6.5) == ["1000", "1002"]
    assert await sent_to(channel, f"{named} since 1w", 13.5) == everybody
    assert await sent_to(channel, named, 13.5) == ["1001"]
    if kind == "fleet":
        journal.discard()  # the database is this process's, for other tests too


@pytest.mark.asyncio
async def test_members_of_a_group_that_is_out_count_from_its_call_on(
    channel: WeChatPromoter, begun: Path
) -> None:
    async with Campaign(channel, MESSAGE, ids(50, 1000), journal=begun, **QUICK) as run:
        await run.submit()
    assert await sent_to(channel, f"{begun} since 7d", 6.9, 51) == ["1050"]
    assert len(await sent_to(channel, f"{begun} since 7d", 7.1, 51)) == 51


@pytest.mark.asyncio
async def test_an_audience_that_was_sent_to_before_that_time_is_in_nobodys_way(
    channel: WeChatPromoter, begun: Path
) -> None:
    await promomsg.send(channel, MESSAGE, promomsg.Roles([1]), journal=begun, **QUICK)
    assert len(await sent_to(channel, f"{begun} since 7d", 8)) == 4
    with pytest.raises(JournalError, match="it sent to an audience as one group"):
        await sent_to(channel, f"{begun} since 7d", 6)


@pytest.mark.asyncio
async def test_an_age_that_cannot_be_kept_to_is_refused(
    box: Sandbox, channel: WeChatPromoter, tmp_path: Path
) -> None:
    listed = tmp_path / "blocked.csv"
    listed.write_text("id\n1000\n", encoding="utf-8")
    for given, why in {
        f"{listed} since 7d": "is a list, which does not say when",
        f"{tmp_path}/autumn.db since 7d": "No such file",
        f"{listed} since 7 moons": "is not a duration",
        f"{listed} since 0d": "an age of nothing",
    }.items():
        for shape in (given, [given]):
            with pytest.raises(UsageError, match=why):
                await promomsg.send(channel, MESSAGE, ids(4, 1000), suppress=shape, **QUICK)
    assert box.ledger.total == 0


@pytest.mark.asyncio
async def test_a_file_whose_name_ends_like_an_age_is_that_file_when_no_other_can_be_meant(
    channel: WeChatPromoter, tmp_path: Path
) -> None:
    odd = tmp_path / "blocked since 7d"
    odd.write_text("1000\n", encoding="utf-8")
    assert await sent_to(channel, str(odd), 0) == ["1001", "1002", "1003"]
    (tmp_path / "blocked").write_text("1001\n", encoding="utf-8")
    with pytest.raises(UsageError, match="which is meant cannot be told"):
        await sent_to(channel, str(odd), 0)
    assert await sent_to(channel, odd, 0) == ["1001", "1002", "1003"]
    plain = tmp_path / "left since 2024.txt"
    os.rename(odd, plain)
    assert await sent_to(channel, str(plain), 0) == ["1001", "1002", "1003"]


def test_a_campaign_file_takes_ages_beside_lists(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with running() as box:
        campaign(tmp_path, box.url, 3, name="autumn")
        winter = campaign(
            tmp_path, box.url, 4, name="winter", campaign='suppress = ["autumn.db since 7d"]'
        )
        assert terminal("send", tmp_path / "autumn.toml", "--yes", "--json") == 0
        one_document(capsys)
        assert terminal("send", winter, "--yes", "--json") == 0
        document = one_document(capsys)
    assert (document["sent"], document["by_code"]) == (0, {"SUPPRESSED": 4})
    assert "suppression list: 8 values, 4 rows of this list left out" in document["warnings"]
