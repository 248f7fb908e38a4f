"""Answers that no honest provider gives: each ends in the right verdict, and nothing falls over."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import pytest
from fault_campaigns import check, members, resumed, sent, singles, wallet_users

from promomsg import PollPolicy, State
from promomsg.sandbox import Fault, FaultPlan, Sandbox, SandboxSettings

pytestmark = pytest.mark.asyncio

DEEP: Final = "[" * 100_000
NUMBER: Final = "9" * 5_000

# What a single send's answer says, and what has to become of its recipient.
ANSWERS: Final[list[tuple[str, str]]] = [
    ('{"errcode":0,"errmsg":"ok"}', "sent"),
    ('{"errcode":"0","errmsg":"ok"}', "sent"),
    ('{"errcode":0}', "sent"),
    ('{"errcode":0,"errcode":0}', "sent"),
    ('{"errcode":0,"errmsg":"a","errmsg":"b"}', "sent"),
    ('{"errcode":0,"extra":{"errcode":-1}}', "sent"),
    ('\ufeff{"errcode":0,"errmsg":"ok"}', "sent"),
    ('  {"errcode" : 0}  \n', "sent"),
    ('{"errcode":"43101","errmsg":"no"}', "failed"),
    ('{"errcode":43101,"errmsg":["not","text"]}', "failed"),
    ('{"errcode":43101,"errmsg":null}', "failed"),
    ('{"errcode":43101,"errmsg":"' + "长" * 50_000 + '"}', "failed"),
    ('{"errcode":43101,"errmsg":"\\u0000\\u001b[31m\\n\\r\\ud800"}', "failed"),
    ('{"errcode":-1}', "unknown"),
    ('{"errcode":"-1"}', "unknown"),
    ('{"errcode":0,"errcode":43101}', "unknown"),
    ('{"errcode":43101,"errcode":0}', "unknown"),
    ('{"errcode":"ok"}', "unknown"),
    ('{"errcode":""}', "unknown"),
    ('{"errcode":[0]}', "unknown"),
    ('{"errcode":{"errcode":0}}', "unknown"),
    ('{"errcode":false}', "unknown"),
    ('{"errcode":1e400}', "unknown"),
    ('{"errcode":NaN}', "unknown"),
    ('{"Errcode":0}', "unknown"),
    ('[{"errcode":0}]', "unknown"),
    ('"errcode:0"', "unknown"),
    ("0", "unknown"),
    ("ok", "unknown"),
    ('{"errcode":0', "unknown"),
    ('{"errcode":0}{"errcode":43101}', "unknown"),
    ("{'errcode':0}", "unknown"),
    ("\x00" * 1000, "unknown"),
    (DEEP, "unknown"),
    ('{"errcode":' + DEEP, "unknown"),
    ('{"a":' * 50_000, "unknown"),
    ("<html>errcode:0</html>", "unknown"),
    ('<?xml version="1.0"?><errcode>0</errcode>', "unknown"),
]


@pytest.mark.parametrize(
    ("body", "expected"), ANSWERS, ids=[body[:28].encode().hex()[:24] for body, _ in ANSWERS]
)
async def test_a_single_sends_answer(body: str, expected: str, tmp_path: Path) -> None:
    """Delivered each time: what the answer says decides, and a refusal is believed."""
    delivered = expected != "failed"
    fault = Fault(
        endpoint="singlesendmsg", kind="garbage", body=body, delivered=delivered, calls=[2]
    )
    path = tmp_path / "a.db"
    async with Sandbox(faults=FaultPlan([fault])) as box:
        report = await sent(box, "wechat", singles(), path)
        states = check(box, report, path)
        assert states[State(expected)] == (6 if expected == "sent" else 1), report.to_dict()
        for outcome in report.outcomes():
            assert len(outcome.detail) < 1000
            assert outcome.detail.isprintable()


@pytest.mark.parametrize(
    "body",
    [
        '{"errcode":0,"errmsg":"ok"}',
        '{"errcode":0,"msg_id":""}',
        '{"errcode":0,"msg_id":null}',
        '{"errcode":0,"msg_id":[]}',
        '{"errcode":0,"msg_id":true}',
        '{"errcode":0,"msg_id":1.5}',
        '{"errcode":0,"msg_id":"1","msg_id":"2"}',
        '{"msg_id":"1000001"}',
    ],
)
async def test_a_group_without_a_usable_msg_id_is_unknown_and_never_sent_again(
    body: str, tmp_path: Path
) -> None:
    fault = Fault(endpoint="sendmsg", kind="garbage", body=body, delivered=True)
    path = tmp_path / "a.db"
    async with Sandbox(faults=FaultPlan([fault])) as box:
        report = await sent(box, "wechat", members(1), path)
        assert check(box, report, path) == {State.UNKNOWN: 60}
        report = await resumed(box, "wechat", members(1), path)
        assert report.unknown == 60
        assert box.calls["sendmsg"] == 1


# What getmsg says at the end: (changed, removed) → how many of 60 are sent, failed, unknown.
# Members 1003 and 1004 really failed.
LOOKS: Final[list[tuple[dict[str, Any], list[str], tuple[int, int, int]]]] = [
    ({"percent": "100"}, [], (58, 2, 0)),
    ({"percent": 100.0}, [], (58, 2, 0)),
    ({"send_cnt": "60", "fail_cnt": "2"}, [], (58, 2, 0)),
    # Over 100 and negative are no progress: the counts alone say that it is done.
    ({"percent": 250}, [], (58, 2, 0)),
    ({"percent": -1}, [], (58, 2, 0)),
    ({"percent": None}, [], (58, 2, 0)),
    ({"percent": int("9" * 400)}, [], (58, 2, 0)),
    # Counted and not named: nobody unnamed is known to have been reached.
    ({"fail_cnt": 3}, [], (0, 2, 58)),
    ({"fail_cnt": 60}, [], (0, 2, 58)),
    ({"fail_cnt": 10**30}, [], (0, 2, 58)),
    ({}, ["fail_cnt"], (0, 2, 58)),
    ({"fail_cnt": "two"}, [], (0, 2, 58)),
    ({"fail_cnt": -2}, [], (0, 2, 58)),
    ({}, ["fail_info"], (0, 0, 60)),
    ({"fail_info": {"id": "1003"}}, [], (0, 0, 60)),
    ({"fail_info": "1003"}, [], (0, 0, 60)),
    # Named and not counted: a name is believed.
    ({"fail_cnt": 0}, [], (58, 2, 0)),
    ({"fail_cnt": 1}, [], (58, 2, 0)),
    # Under the planned number: somebody was left out, and nobody says who.
    ({"send_cnt": 59}, [], (0, 2, 58)),
    ({"send_cnt": 0}, [], (0, 2, 58)),
    ({}, ["send_cnt"], (0, 2, 58)),
    # Over it: nothing is missing.
    ({"send_cnt": 61}, [], (58, 2, 0)),
    # Strangers change nobody, and are no failures of members.
    (
        {"fail_info": [{"id": "77", "errcode": 1}, {"id": "1003", "errcode": 2}]},
        [],
        (0, 1, 59),
    ),
    (
        {
            "fail_info": [
                {"id": "77", "errcode": 1},
                {"id": "1003", "errcode": 2},
                {"id": "1004", "errcode": 2},
            ],
            "fail_cnt": 3,
        },
        [],
        (0, 2, 58),
    ),
    # Named twice: once is enough, and it does not stand for another.
    (
        {"fail_info": [{"id": "1003", "errcode": 1}, {"id": "1003", "errcode": 1}]},
        [],
        (0, 1, 59),
    ),
    (
        {
            "fail_info": [
                {"id": "1003", "errcode": 43101},
                {"id": "1004", "errcode": 1},
                {"id": "1003", "errcode": 40003},
            ]
        },
        [],
        (58, 2, 0),
    ),
    # Ids as numbers are ids; rows that are none are left aside.
    (
        {"fail_info": [{"id": 1003, "errcode": "43101"}, {"id": 1004, "errcode": 1}]},
        [],
        (58, 2, 0),
    ),
    (
        {"fail_info": [{"id": "1003", "errcode": 43101}, {"errcode": 1}, None, 7, [], "x"]},
        [],
        (0, 1, 59),
    ),
    ({"fail_info": [{"id": "1003", "errcode": 0}, {"id": "1004", "errcode": 1}]}, [], (0, 1, 59)),
]


@pytest.mark.parametrize(
    ("changed", "removed", "expected"),
    LOOKS,
    ids=[f"{json.dumps(c)[:40]} {' '.join(r)}" for c, r, _ in LOOKS],
)
async def test_what_getmsg_says_at_the_end(
    changed: dict[str, Any], removed: list[str], expected: tuple[int, int, int], tmp_path: Path
) -> None:
    fault = Fault(endpoint="getmsg", kind="alter", set=changed, unset=removed)
    settings = SandboxSettings(refuse_group={"1003": 43101, "1004": 1}, poll_steps=(100,))
    path = tmp_path / "a.db"
    async with Sandbox(faults=FaultPlan([fault]), settings=settings) as box:
        report = await sent(box, "wechat", members(1), path)
        states = check(box, report, path)
        found = (states[State.SENT], states[State.FAILED], states[State.UNKNOWN])
        assert found == expected, report.to_dict()
        if expected[2]:
            assert set(report.by_code) <= {"UNNAMED", "43101", "1", "2"}
        if expected != (58, 2, 0):
            assert report.warnings


async def test_a_percent_that_goes_down_and_up_ends_at_100(tmp_path: Path) -> None:
    settings = SandboxSettings(
        refuse_group={"1003": 43101}, poll_steps=(90, 10, 0, 99, None, 30, 100)
    )
    path = tmp_path / "a.db"
    async with Sandbox(settings=settings) as box:
        report = await sent(box, "wechat", members(1), path)
        assert check(box, report, path) == {State.SENT: 59, State.FAILED: 1}
        assert box.calls["getmsg"] == 7


async def test_a_percent_that_never_gets_there_leaves_the_group_to_a_resume(
    tmp_path: Path,
) -> None:
    settings = SandboxSettings(poll_steps=(99,))
    path = tmp_path / "a.db"
    poll = PollPolicy(first_after=0.01, every=0.02, give_up_after=60.0)
    async with Sandbox(settings=settings) as box:
        report = await sent(box, "wechat", members(1), path, poll=poll)
        assert report.state == "following"
        assert check(box, report, path) == {State.PENDING: 60}
        box.settings.poll_steps = (100,)
        report = await resumed(box, "wechat", members(1), path)
        assert check(box, report, path) == {State.SENT: 60}
        assert box.calls["sendmsg"] == 1


WALLET: Final[list[tuple[dict[str, Any], list[str], str]]] = [
    ({}, ["result"], "sent"),
    ({"result": None}, [], "sent"),
    ({"result": []}, [], "sent"),
    ({"result": {"resultCode": 0, "resultStatus": 1}}, [], "sent"),
    ({"result": {"resultCode": "SUCCESS"}}, [], "sent"),
    ({"result": {"resultStatus": "S"}}, [], "sent"),
    ({"result": {"resultCode": "SUCCESS", "resultStatus": "S", "resultMessage": 7}}, [], "sent"),
    ({"messageId": ["x"], "extendInfo": {"a": 1}}, [], "sent"),
]


@pytest.mark.parametrize(("changed", "removed", "expected"), WALLET)
async def test_a_wallets_answer(
    changed: dict[str, Any], removed: list[str], expected: str, tmp_path: Path
) -> None:
    """The first answer is odd; the wallet, asked again with the same requestId, says it well."""
    fault = Fault(endpoint="alipay.send", kind="alter", set=changed, unset=removed, calls=[2])
    path = tmp_path / "a.db"
    async with Sandbox(faults=FaultPlan([fault])) as box:
        report = await sent(box, "alipay", wallet_users(), path)
        assert check(box, report, path) == {State(expected): 6}


async def test_a_wallet_that_never_answers_well_is_unknown_and_delivered_once(
    tmp_path: Path,
) -> None:
    fault = Fault(endpoint="alipay.send", kind="alter", unset=["result"])
    path = tmp_path / "a.db"
    async with Sandbox(faults=FaultPlan([fault])) as box:
        report = await sent(box, "alipay", wallet_users(), path)
        assert check(box, report, path) == {State.UNKNOWN: 6}
        assert len(box.ledger.delivered) == 6
        assert not box.ledger.twice()


async def test_numbers_that_no_machine_holds(tmp_path: Path) -> None:
    """Python refuses to read an integer of so many digits: it must cost one outcome at most."""
    body = f'{{"errcode":{NUMBER},"errmsg":"x"}}'
    fault = Fault(endpoint="singlesendmsg", kind="garbage", body=body, delivered=True, calls=[2])
    path = tmp_path / "a.db"
    async with Sandbox(faults=FaultPlan([fault])) as box:
        report = await sent(box, "wechat", singles(), path)
        states = check(box, report, path)
        assert states == {State.SENT: 5, State.UNKNOWN: 1}
