"""Each read × each fault: polling, the failure file, the token and the count change no recipient.

Two groups of 60 of which six members fail; the right outcome for every one of them is known.
"""

from __future__ import annotations

import functools
import itertools
from pathlib import Path
from typing import Any, Final

import pytest
from fault_campaigns import check, client, members, resumed, sent, singles

from promomsg import PromoError, Report, Roles, State, WeChatMessage, send
from promomsg.channels import group_failures
from promomsg.sandbox import Fault, FaultPlan, Sandbox, SandboxSettings
from promomsg.transport.failure_download import fetch_failure_file

pytestmark = pytest.mark.asyncio

REFUSED: Final = {
    "1003": 43101,
    "1004": 103010,
    "1059": 43101,
    "1060": 103010,
    "1100": 1,
    "1119": 2,
}

CONNECTION: Final[list[dict[str, Any]]] = [
    {"kind": "refuse"},
    {"kind": "reset_before_reading"},
    {"kind": "drop_after_delivering"},
    {"kind": "truncate"},
    {"kind": "hang"},
    {"kind": "slow", "seconds": 0.02},
]
UNREADABLE: Final[list[dict[str, Any]]] = [
    {"kind": "html"},
    {"kind": "status", "status": 500},
    {"kind": "status", "status": 502},
    {"kind": "redirect", "location": "http://127.0.0.1:9/"},
    {"kind": "garbage", "body": ""},
    {"kind": "garbage", "body": "{"},
    {"kind": "garbage", "body": "null"},
    {"kind": "garbage", "body": '{"percent":"a","send_cnt":[]}'},
    {"kind": "garbage", "gzip_megabytes": 64},
    {"kind": "huge", "megabytes": 40},
    {"kind": "endless"},
]
REFUSALS: Final[list[dict[str, Any]]] = [
    {"kind": "minus_one"},
    {"kind": "throttle"},
    {"kind": "daily"},
    {"kind": "errcode", "errcode": 48001},
    {"kind": "errcode", "errcode": 103001},
]


def _name(fault: dict[str, Any]) -> str:
    return "-".join(str(value)[:20] for value in fault.values())


def _settings(**more: Any) -> SandboxSettings:
    return SandboxSettings(refuse_group=REFUSED, poll_steps=(40, 100), **more)


def _right(box: Sandbox, report: Report, path: Path) -> None:
    """Every member has the outcome that the ledger knows."""
    states = check(box, report, path)
    assert states == {State.SENT: 114, State.FAILED: 6}, report
    codes = {o.recipient.id: o.code for o in report.failures()}
    assert codes == {name: str(code) for name, code in REFUSED.items()}
    assert box.calls["sendmsg"] == 2


@pytest.mark.parametrize("call", [1, 2, 3], ids=["first poll", "second", "third"])
@pytest.mark.parametrize("fault", [*CONNECTION, *UNREADABLE, *REFUSALS], ids=_name)
async def test_a_poll_that_goes_wrong_changes_nobody(
    fault: dict[str, Any], call: int, tmp_path: Path
) -> None:
    plan = FaultPlan([Fault(endpoint="getmsg", calls=[call], **fault)])
    path = tmp_path / "a.db"
    async with Sandbox(faults=plan, settings=_settings()) as box:
        hung = fault["kind"] in ("hang", "endless")
        report = await sent(box, "wechat", members(), path, timeout=0.15 if hung else 3.0)
        assert box.ledger.faults.total() == 1
        _right(box, report, path)


async def test_a_token_refused_once_in_a_poll_is_taken_for_a_hiccup(tmp_path: Path) -> None:
    """The refresh gives the same token back; a read may be tried with it again."""
    plan = FaultPlan([Fault(endpoint="getmsg", kind="token_invalid", calls=[1])])
    path = tmp_path / "a.db"
    async with Sandbox(faults=plan, settings=_settings()) as box:
        report = await sent(box, "wechat", members(), path)
        _right(box, report, path)


@pytest.mark.parametrize("call", [1, 2])
@pytest.mark.parametrize("fault", [*CONNECTION, *UNREADABLE], ids=_name)
async def test_a_failure_file_that_goes_wrong_is_read_again(
    fault: dict[str, Any], call: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Its own time-out and size cap are of minutes and hundreds of megabytes.
    quick = functools.partial(fetch_failure_file, limit=2**22, timeout=0.2)
    monkeypatch.setattr(group_failures, "fetch_failure_file", quick)
    plan = FaultPlan([Fault(endpoint="failure_file", calls=[call], **fault)])
    path = tmp_path / "a.db"
    async with Sandbox(faults=plan, settings=_settings(failure_threshold=0)) as box:
        report = await sent(box, "wechat", members(), path)
        _right(box, report, path)


@pytest.mark.parametrize("fault", [*CONNECTION, *UNREADABLE, *REFUSALS], ids=_name)
@pytest.mark.parametrize("what", ["singles", "groups"])
async def test_a_token_call_that_goes_wrong_costs_nobody(
    fault: dict[str, Any], what: str, tmp_path: Path
) -> None:
    plan = FaultPlan([Fault(endpoint="stable_token", calls=[1], **fault)])
    recipients = singles() if what == "singles" else members()
    path = tmp_path / "a.db"
    async with Sandbox(faults=plan) as box:
        hung = fault["kind"] in ("hang", "endless")
        report = await sent(box, "wechat", recipients, path, timeout=0.15 if hung else 3.0)
        if report.pending:
            assert report.state == "halted"
            assert check(box, report, path) == {State.PENDING: len(recipients)}
            report = await resumed(box, "wechat", recipients, path)
        assert check(box, report, path) == {State.SENT: len(recipients)}
        assert len(box.ledger.delivered) == len(recipients)


COUNTS: Final = [
    fault
    for fault in itertools.chain(CONNECTION, UNREADABLE, REFUSALS)
    if fault["kind"] not in ("slow",)
]


@pytest.mark.parametrize("fault", COUNTS, ids=_name)
async def test_an_audience_that_cannot_be_counted_is_refused_before_anything_goes_out(
    fault: dict[str, Any], tmp_path: Path
) -> None:
    plan = FaultPlan([Fault(endpoint="getpromoter", **fault)])
    path = tmp_path / "a.db"
    async with Sandbox(faults=plan) as box:
        hung = fault["kind"] in ("hang", "endless")
        message = WeChatMessage(1, {"title": "a"}, "p/i")
        async with client(box, "wechat", timeout=0.15 if hung else 3.0) as channel:
            with pytest.raises(PromoError) as caught:
                await send(channel, message, Roles([1]), journal=path)
        assert "\n" not in str(caught.value)
        assert box.ledger.total == 0
        assert not path.exists()
