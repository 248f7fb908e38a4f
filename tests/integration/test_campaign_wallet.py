"""Wallet campaigns where something takes time: a user's token that is refreshed, a wallet that is down."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from campaigning import QUICK
from fault_campaigns import check, client, message, resumed, singles, wallet_users
from waiting import until

from promomsg import Campaign, Secret, State
from promomsg.alipay.models import UserToken
from promomsg.engine.sending.result_batches import ResultWriter
from promomsg.sandbox import Fault, FaultPlan, Sandbox
from promomsg.sandbox.sandbox_settings import SandboxUser

pytestmark = pytest.mark.asyncio

EXPIRED = [SandboxUser(access_token="old-token", refresh_token="refresh-1", expired=True)]
LATE = [{"key": "u1", "access_token": "old-token", "who": "A"}]


class Store:
    """A `UserTokens` in memory."""

    def __init__(self) -> None:
        self.tokens = {"u1": UserToken(Secret("old-token"), refresh_token=Secret("refresh-1"))}

    async def get(self, key: str) -> UserToken | None:
        return self.tokens.get(key)

    async def save(self, key: str, token: UserToken) -> None:
        self.tokens[key] = token


def states(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as db:
        return [state for (state,) in db.execute("SELECT state FROM outcomes ORDER BY seq")]


async def test_a_user_whose_token_is_being_refreshed_is_pending(tmp_path: Path) -> None:
    """Whatever happens to the process meanwhile, nobody is in doubt: nothing was sent."""
    path = tmp_path / "w.db"
    async with Sandbox() as box:
        box.settings.users = EXPIRED
        box.faults = FaultPlan([Fault(endpoint="alipay.apply_token", kind="hang")])
        async with (
            client(box, "alipay", tokens=Store(), timeout=1.0) as channel,
            Campaign(channel, message("alipay"), LATE, journal=path, **QUICK) as run,
        ):
            await until(lambda: box.calls["alipay.apply_token"] == 1)
            assert states(path) == ["pending"]
            box.faults = FaultPlan()
            report = await run.wait()
        assert (report.sent, report.outcomes().__next__().attempts) == (1, 3)
        assert box.ledger.total == 1


async def test_a_refresh_that_is_refused_is_final_and_costs_no_call(tmp_path: Path) -> None:
    path = tmp_path / "w.db"
    async with Sandbox() as box:
        box.settings.users = EXPIRED
        box.faults = FaultPlan(
            [Fault(endpoint="alipay.apply_token", result="USED_REFRESH_TOKEN", result_status="F")]
        )
        async with (
            client(box, "alipay", tokens=Store()) as channel,
            Campaign(channel, message("alipay"), LATE, journal=path, **QUICK) as run,
        ):
            report = await run.wait()
        [outcome] = report.failures()
        assert (outcome.code, outcome.attempts) == ("EXPIRED_ACCESS_TOKEN", 1)
        assert "USED_REFRESH_TOKEN" in outcome.detail
        assert box.calls["alipay.send"] == 1
        assert box.ledger.total == 0


async def test_a_wallet_that_knows_nothing_for_a_while_costs_nobody_their_outcome(
    tmp_path: Path,
) -> None:
    """Every answer is UNKNOWN_EXCEPTION: the campaign stops asking, and goes on when it is over."""
    path, people = tmp_path / "w.db", wallet_users(400)
    async with Sandbox() as box:
        box.faults = FaultPlan(
            [Fault(endpoint="alipay.send", kind="minus_one", delivered=True, after=20)]
        )
        async with (
            client(box, "alipay") as channel,
            Campaign(
                channel, message("alipay"), people, journal=path, **{**QUICK, "concurrency": 8}
            ) as run,
        ):
            report = await run.wait()
        assert (report.state, report.sent, report.unknown) == ("halted", 20, 0)
        assert report.pending == 380
        assert box.calls["alipay.send"] < 60
        box.faults = FaultPlan()
        report = await resumed(box, "alipay", people, path)
        assert report.sent == 400
        assert check(box, report, path)[State.SENT] == 400
        assert box.ledger.total == 400
        assert box.ledger.twice() == []


async def test_a_few_whose_outcome_never_comes_end_unknown_when_their_attempts_are_spent(
    tmp_path: Path,
) -> None:
    path, people = tmp_path / "w.db", wallet_users(10)
    async with Sandbox() as box:
        box.faults = FaultPlan([Fault(endpoint="alipay.send", kind="minus_one")])
        async with (
            client(box, "alipay") as channel,
            Campaign(
                channel, message("alipay"), people, journal=path, **{**QUICK, "concurrency": 4}
            ) as run,
        ):
            report = await run.wait()
        assert (report.state, report.unknown) == ("done", 10)
        assert {(o.code, o.attempts) for o in report.unknowns()} == {("UNKNOWN_EXCEPTION", 8)}


@pytest.mark.parametrize("answers", ["bad_signature", "unsigned"])
async def test_a_wallet_that_changes_its_key_on_the_way_costs_nobody_their_outcome(
    tmp_path: Path, answers: str
) -> None:
    """Or stops to sign. What was sent meanwhile is asked for again, once the new key is given."""
    path, people = tmp_path / "w.db", wallet_users(400)
    async with Sandbox() as box:
        box.faults = FaultPlan([Fault(endpoint="alipay.send", kind=answers, after=100)])
        async with (
            client(box, "alipay") as channel,
            Campaign(
                channel, message("alipay"), people, journal=path, **{**QUICK, "concurrency": 8}
            ) as run,
        ):
            report = await run.wait()
        assert (report.state, report.sent, report.unknown) == ("halted", 100, 0)
        assert report.pending == 300
        assert "public_key" in report.reason
        assert box.calls["alipay.send"] < 200
        box.faults = FaultPlan()
        report = await resumed(box, "alipay", people, path)
        assert check(box, report, path)[State.SENT] == 400
        assert box.ledger.total == 400
        assert box.ledger.twice() == []


@pytest.mark.parametrize(("channel_name", "longest"), [("alipay", 0.02), ("single", 0.004)])
async def test_results_wait_longer_for_others_where_a_lost_one_is_asked_for_again(
    channel_name: str, longest: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wallet says the same again by the same requestId; a promoter message's would be unknown."""
    asked: list[float] = []

    class Noting(ResultWriter):
        def push(self, *result: Any) -> None:
            asked.append(self._linger())
            super().push(*result)

    monkeypatch.setattr("promomsg.engine.sending.dispatcher.ResultWriter", Noting)
    people = wallet_users(60) if channel_name == "alipay" else singles(60)
    async with (
        Sandbox() as box,
        client(box, channel_name) as channel,
        Campaign(channel, message(channel_name), people, journal=tmp_path / "c.db", **QUICK) as run,
    ):
        report = await run.wait()
    assert report.sent == 60
    assert set(asked) == {longest}  # seconds
