"""All campaigns of a database at a glance: each as it is by itself, and thousands in seconds."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from campaigning import MESSAGE, QUICK, ids
from fleet_working import new_fleet

import promomsg
from promomsg import Campaign, WeChatPromoter
from promomsg.sandbox import Fault, FaultPlan, Sandbox

pytestmark = pytest.mark.asyncio


async def test_each_campaign_stands_in_the_list_as_it_is_by_itself(
    postgres: str, box: Sandbox, channel: WeChatPromoter
) -> None:
    with new_fleet(postgres) as url:
        fleet = promomsg.Fleet(url)
        await fleet.prepare()
        refused = {"1001": 43101}
        box.settings.refuse_single = refused

        def options(name: str, **more: Any) -> dict[str, Any]:
            return {"journal": fleet.journal(name), **QUICK, **more}

        await promomsg.send(channel, MESSAGE, ids(3, 1000), **options("singles"))
        await promomsg.send(channel, MESSAGE, ids(60), **options("group"))
        first = options("first", route="single", first=2, first_ask=True, first_wait=0)
        assert (await promomsg.send(channel, MESSAGE, ids(9), **first)).state == "halted"
        await Campaign(channel, MESSAGE, ids(4), **options("planned")).hand_over()
        box.faults = FaultPlan([Fault(endpoint="singlesendmsg", kind="drop_after_delivering")])
        assert (await promomsg.send(channel, MESSAGE, ids(1), **options("lost"))).unknown == 1
        at_work = await fleet.journal("singles").open(write=True)
        found = {one.name: one for one in await fleet.campaigns()}
        assert list(found) == ["singles", "group", "first", "planned", "lost"]
        for name, one in found.items():
            with promomsg.open_journal(fleet.journal(name)) as opened:
                alone = opened.report()
            assert one.report is not None
            assert one.state == alone.state
            assert one.report.to_dict() == alone.to_dict()
            assert list(one.report.outcomes()) == list(alone.outcomes())
            assert list(one.report.failures()) == list(alone.failures())
        await at_work.close()


async def test_thousands_of_campaigns_that_have_ended_are_read_together(
    postgres: str, channel: WeChatPromoter, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []
    execute = psycopg.Connection.execute

    def counted(db: Any, text: Any, *args: Any, **more: Any) -> Any:
        asked.append(text)
        return execute(db, text, *args, **more)

    with new_fleet(postgres) as url:
        fleet = promomsg.Fleet(url)
        await fleet.prepare()
        taken = []
        for number in range(12):
            journal = fleet.journal(f"c{number}")
            await promomsg.send(channel, MESSAGE, ids(1), journal=journal, **QUICK)
            if number in (1, 11):
                with monkeypatch.context() as patch:
                    patch.setattr(psycopg.Connection, "execute", counted)
                    assert len(await fleet.campaigns()) == number + 1
                taken.append(len(asked))
                asked.clear()
        assert taken[0] == taken[1] > 0
