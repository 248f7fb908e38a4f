"""Each send endpoint × each fault × each phase: verdict, journal, ledger and report.

Six singles, two groups of 60, or six wallet users; one call goes wrong, on a new connection (the
first call) or on one that has been used (the second).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
from fault_campaigns import GROUP, check, members, resumed, sent, singles, wallet_users

from promomsg import State
from promomsg.sandbox import Fault, FaultPlan, Sandbox

pytestmark = pytest.mark.asyncio

SENT, FAILED, UNKNOWN, HALTED = "sent", "failed", "unknown", "halted"


class Row(NamedTuple):
    """A fault, and what becomes of the call it strikes: WeChat single, WeChat group, wallet."""

    fault: dict[str, Any]
    single: str
    group: str
    wallet: str


def _lost(kind: str, **more: Any) -> Row:
    """Nobody can say whether it was taken; a wallet is asked again with the same requestId."""
    return Row({"kind": kind, **more}, UNKNOWN, UNKNOWN, SENT)


MATRIX: Final = [
    # Phase: while the request is being written or before it is read.
    _lost("refuse"),
    _lost("reset_before_reading"),
    # Phase: taken, and the answer lost on its way.
    _lost("drop_after_delivering"),
    _lost("drop_after_delivering", reset=False),
    _lost("truncate"),
    _lost("hang", delivered=True),
    _lost("hang"),
    # Phase: answered, late.
    Row({"kind": "delay", "seconds": 0.02}, SENT, SENT, SENT),
    Row({"kind": "slow", "seconds": 0.02}, SENT, SENT, SENT),
    # Phase: answered by something else, the call taken or not.
    *(
        _lost(kind, delivered=delivered, **more)
        for delivered in (False, True)
        for kind, more in (
            ("html", {}),
            ("status", {"status": 500}),
            ("status", {"status": 502}),
            ("status", {"status": 503, "body": '{"errcode":0,"errmsg":"ok"}'}),
            ("status", {"status": 504}),
            ("minus_one", {}),
            ("garbage", {"body": ""}),
            ("garbage", {"body": "null"}),
            ("garbage", {"body": "[0]"}),
            ("garbage", {"body": "{"}),
            ("garbage", {"body": '{"errmsg":"ok"}'}),
            ("garbage", {"body": '{"errcode":true,"errmsg":"ok"}'}),
            ("garbage", {"body": '{"errcode":0.5,"errmsg":"ok"}'}),
            ("garbage", {"body": '{"errcode":null}'}),
            ("garbage", {"body": '{"errcode":0,"errcode":40003}'}),
            ("garbage", {"gzip_megabytes": 20}),
            ("huge", {"megabytes": 3}),
            ("endless", {}),
            ("redirect", {"location": "http://127.0.0.1:9/"}),
        )
    ),
    # Phase: answered with a refusal; nothing was sent.
    Row({"kind": "throttle"}, SENT, SENT, SENT),
    Row({"kind": "daily"}, HALTED, HALTED, FAILED),
    Row({"kind": "token_invalid"}, HALTED, HALTED, FAILED),
]
WECHAT: Final = [
    ("43101", FAILED, FAILED),
    ("40003", FAILED, FAILED),
    ("103001", FAILED, FAILED),
    ("99999", FAILED, FAILED),
    ("47003", FAILED, FAILED),
    ("45002", FAILED, FAILED),
    ("45011", SENT, SENT),
    ("45009", HALTED, HALTED),
    ("48001", HALTED, HALTED),
    ("40164", HALTED, HALTED),
    ("50002", HALTED, HALTED),
]
ALIPAY: Final = [
    ("USER_NOT_SUBSCRIBED", None, FAILED),
    ("USER_STATUS_ERROR", None, FAILED),
    ("PARAM_ILLEGAL", None, FAILED),
    ("PROCESS_FAIL", None, FAILED),
    ("PROCESS_FAIL", "U", SENT),
    ("TEMPLATE_NOT_EXIST", None, FAILED),
    ("EXPIRED_ACCESS_TOKEN", None, FAILED),
    ("SOMETHING_NEW", "F", FAILED),
    ("SOMETHING_NEW", "U", SENT),
    ("UNKNOWN_EXCEPTION", None, SENT),
    ("SUCCESS", "F", SENT),
    ("USER_NOT_SUBSCRIBED", "S", SENT),
    ("REQUEST_TRAFFIC_EXCEED_LIMIT", None, SENT),
    ("INVALID_SIGNATURE", None, HALTED),
    ("KEY_NOT_FOUND", None, HALTED),
    ("ACCESS_DENIED", None, HALTED),
    ("INVALID_CLIENT", None, HALTED),
]


def _name(value: object) -> str | None:
    if isinstance(value, Row):
        parts = [str(v)[:24] for v in value.fault.values()]
        return "-".join(parts)
    return None


async def _strike(
    endpoint: str, fault: dict[str, Any], call: int, expected: str, path: Path
) -> None:
    """One campaign with one bad call; `expected` is what becomes of those it was for."""
    kind = "alipay" if endpoint == "alipay.send" else "wechat"
    recipients = {"singlesendmsg": singles, "sendmsg": members, "alipay.send": wallet_users}[
        endpoint
    ]()
    struck = GROUP if endpoint == "sendmsg" else 1
    plan = FaultPlan([Fault(endpoint=endpoint, calls=[call], **fault)])
    # Sent again within a run, or by a resume, it is one call more.
    hung = fault["kind"] in ("hang", "endless")
    async with Sandbox(faults=plan) as box:
        report = await sent(box, kind, recipients, path, timeout=0.15 if hung else 3.0)
        assert box.ledger.faults.total() == 1
        states = check(box, report, path)
        if expected == HALTED:
            assert report.state == "halted"
            assert report.reason
            assert states[State.PENDING] >= struck
            assert states[State.UNKNOWN] == states[State.FAILED] == 0
            report = await resumed(box, kind, recipients, path)
            states = check(box, report, path)
            expected = SENT
        assert report.state == "done"
        everybody = len(recipients)
        wanted = {State.SENT: everybody}
        if expected != SENT:
            wanted = {State.SENT: everybody - struck, State(expected): struck}
        assert states == wanted, report
        reached = everybody if expected == SENT or plan.faults[0].delivered else everybody - struck
        assert len(box.ledger.delivered) == reached
        assert list(box.complaints) == []


@pytest.mark.parametrize("call", [1, 2], ids=["new connection", "used connection"])
@pytest.mark.parametrize("row", MATRIX, ids=_name)
async def test_a_single_send(row: Row, call: int, tmp_path: Path) -> None:
    await _strike("singlesendmsg", row.fault, call, row.single, tmp_path / "a.db")


@pytest.mark.parametrize("call", [1, 2], ids=["new connection", "used connection"])
@pytest.mark.parametrize("row", MATRIX, ids=_name)
async def test_a_group_send(row: Row, call: int, tmp_path: Path) -> None:
    await _strike("sendmsg", row.fault, call, row.group, tmp_path / "a.db")


@pytest.mark.parametrize("call", [1, 2], ids=["new connection", "used connection"])
@pytest.mark.parametrize("row", MATRIX, ids=_name)
async def test_a_wallet_send(row: Row, call: int, tmp_path: Path) -> None:
    await _strike("alipay.send", row.fault, call, row.wallet, tmp_path / "a.db")


@pytest.mark.parametrize(("errcode", "single", "group"), WECHAT)
@pytest.mark.parametrize("endpoint", ["singlesendmsg", "sendmsg"])
async def test_each_errcode(
    endpoint: str, errcode: str, single: str, group: str, tmp_path: Path
) -> None:
    fault = {"kind": "errcode", "errcode": int(errcode)}
    expected = single if endpoint == "singlesendmsg" else group
    await _strike(endpoint, fault, 2, expected, tmp_path / "a.db")


@pytest.mark.parametrize(("result", "status", "expected"), ALIPAY)
async def test_each_result_code(
    result: str, status: str | None, expected: str, tmp_path: Path
) -> None:
    fault = {"kind": "result", "result": result, "result_status": status}
    await _strike("alipay.send", fault, 2, expected, tmp_path / "a.db")


@pytest.mark.parametrize("kind", ["unsigned", "bad_signature"])
async def test_a_success_that_is_not_signed_is_asked_for_again(kind: str, tmp_path: Path) -> None:
    await _strike("alipay.send", {"kind": kind}, 2, SENT, tmp_path / "a.db")


@pytest.mark.parametrize(
    ("endpoint", "kind"),
    [("singlesendmsg", "wechat"), ("sendmsg", "wechat"), ("alipay.send", "alipay")],
)
async def test_a_connection_that_is_refused_costs_nobody(
    endpoint: str, kind: str, tmp_path: Path
) -> None:
    """Phase: before the first byte."""
    recipients = {"singlesendmsg": singles, "sendmsg": members, "alipay.send": wallet_users}[
        endpoint
    ]()
    path = tmp_path / "a.db"
    async with Sandbox() as down:
        await down.stop_listening()
        report = await sent(down, kind, recipients, path)
        assert report.state == "halted"
        assert report.reason.startswith("NOT_SENT")
        assert check(down, report, path) == {State.PENDING: len(recipients)}
    async with Sandbox() as box:
        report = await resumed(box, kind, recipients, path)
        assert check(box, report, path) == {State.SENT: len(recipients)}
        assert len(box.ledger.delivered) == len(recipients)
