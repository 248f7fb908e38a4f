"""Failure files that nobody should trust: addresses inside, redirects, no end, not what they say."""

from __future__ import annotations

import functools
import json
import stat
import threading
from pathlib import Path
from typing import Any, Final

import pytest
from fault_campaigns import check, members, resumed, sent

import promomsg
from promomsg import State
from promomsg.channels import group_failures
from promomsg.sandbox import Fault, FaultPlan, Sandbox, SandboxSettings
from promomsg.transport.failure_download import fetch_failure_file

pytestmark = pytest.mark.asyncio

REFUSED: Final = {"1003": 43101, "1004": 103010}


def _settings(**more: Any) -> SandboxSettings:
    return SandboxSettings(refuse_group=REFUSED, poll_steps=(100,), failure_threshold=0, **more)


@pytest.mark.parametrize(
    "url",
    [
        "https://10.0.0.1/f",
        "https://192.168.1.1/f",
        "https://169.254.169.254/latest/meta-data",
        "https://[fd00::1]/f",
        "https://[::ffff:10.0.0.1]/f",
        "https://0x0a000001/f",
        "https://167772161/f",
        "https://100.64.0.1/f",
        "http://93.184.216.34/f",
        "file:///etc/passwd",
        "ftp://93.184.216.34/f",
        "https://user:pass@93.184.216.34/f",
        "//10.0.0.1/f",
        "/failures/1.csv",
        "https://",
        "not a url",
        "https://a b/\r\nX: y",
    ],
)
async def test_an_address_that_is_not_to_be_asked(url: str, tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    async with Sandbox(settings=_settings(failure_url=url)) as box:
        report = await sent(box, "wechat", members(1), path)
        assert check(box, report, path) == {State.UNKNOWN: 60}
        assert report.by_code == {"UNNAMED": 60}
        assert report.warnings
        assert box.calls["failure_file"] == 0
        assert not list(tmp_path.glob("*.failures*"))


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "redirect", "location": "/failures/1000001.csv"},
        {"kind": "redirect", "location": "http://169.254.169.254/"},
        {"kind": "endless"},
        {"kind": "huge", "megabytes": 6},
        {"kind": "hang"},
        {"kind": "garbage", "gzip_megabytes": 64},
        {"kind": "garbage", "body": ""},
        {"kind": "garbage", "body": "<html><body>1003,43101</body></html>"},
        {"kind": "garbage", "body": "PK\x03\x04" + "\x00" * 100},
        {"kind": "garbage", "body": "id,errcode\n"},
        {"kind": "garbage", "body": "name,phone\n张三,13800000000\n"},
        {"kind": "garbage", "body": '{"errcode":40001,"errmsg":"no"}'},
        {"kind": "garbage", "body": "[" * 100_000},
        {"kind": "garbage", "body": '[{"id":"1003"},{"errcode":1},3,null]'},
        {"kind": "garbage", "body": "9" * 1_000_000},
        {"kind": "garbage", "body": '"' * 100_000},
        {"kind": "status", "status": 403, "body": "id,errcode\n1003,1\n1004,1\n"},
    ],
    ids=lambda fault: "-".join(str(value)[:16] for value in fault.values()),
)
async def test_a_file_that_is_none_leaves_the_unnamed_unknown(
    fault: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick = functools.partial(fetch_failure_file, limit=2**22, timeout=0.2)
    monkeypatch.setattr(group_failures, "fetch_failure_file", quick)
    plan = FaultPlan([Fault(endpoint="failure_file", **fault)])
    path = tmp_path / "a.db"
    async with Sandbox(faults=plan, settings=_settings()) as box:
        report = await sent(box, "wechat", members(1), path)
        states = check(box, report, path)
        assert states[State.SENT] == 0
        assert states[State.FAILED] + states[State.UNKNOWN] == 60
        assert states[State.FAILED] <= 2
        assert report.warnings
        # Nobody is sent to again by a resume.
        assert (await resumed(box, "wechat", members(1), path)).unknown == states[State.UNKNOWN]
        assert box.calls["sendmsg"] == 1


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        # Strangers, repeats, and codes that clash: the first one stands, nobody else is touched.
        ("id,errcode\n77,1\n1003,43101\n1003,9\n1004,103010\n", (58, 2, 0)),
        ("1003,43101\r\n1004,103010\r\n", (58, 2, 0)),
        ("errcode\tid\n43101\t1003\n103010\t1004\n", (58, 2, 0)),
        ('﻿[{"id":1003,"errcode":"43101"},{"id":"1004","errcode":103010}]', (58, 2, 0)),
        ('{"id":"1003","errcode":43101}\nrubbish\n{"id":"1004","errcode":103010}\n', (58, 2, 0)),
        ('{"fail_info":[{"id":"1003","errcode":43101},{"id":"1004","errcode":1}]}', (58, 2, 0)),
        # Cut: what stands before is believed, the rest is not known.
        ('[{"id":"1003","errcode":43101},{"id":"10', (0, 1, 59)),
        ("id,errcode\n1003,43101\n10", (0, 1, 59)),
        # Everybody: more than were counted. Names are believed.
        ("id,errcode\n" + "".join(f"{1000 + n},1\n" for n in range(60)), (0, 60, 0)),
    ],
    ids=["strangers", "bare", "tsv", "bom", "lines", "wrapped", "cut json", "cut csv", "all"],
)
async def test_what_a_file_names(body: str, expected: tuple[int, int, int], tmp_path: Path) -> None:
    plan = FaultPlan([Fault(endpoint="failure_file", kind="garbage", body=body)])
    settings = _settings()
    path = tmp_path / "a.db"
    if expected == (0, 60, 0):
        # Then they were not delivered either.
        settings.refuse_group = {str(1000 + n): 1 for n in range(60)}
        plan = FaultPlan(
            [
                *plan.faults,
                Fault(endpoint="getmsg", kind="alter", set={"fail_cnt": 2}),
            ]
        )
    async with Sandbox(faults=plan, settings=settings) as box:
        report = await sent(box, "wechat", members(1), path)
        states = check(box, report, path)
        found = (states[State.SENT], states[State.FAILED], states[State.UNKNOWN])
        assert found == expected, report.to_dict()
        raw = Path(f"{path}.group-1.failures")
        assert raw.read_bytes() == body.encode()
        assert stat.S_IMODE(raw.stat().st_mode) == 0o600


async def test_no_credential_goes_with_the_request(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    async with Sandbox(settings=_settings()) as box:
        await sent(box, "wechat", members(1), path)
        [call] = [c for c in box.calls.requests if c.endpoint == "failure_file"]
        assert not call.query
        names = {name.lower() for name in call.headers}
        assert not names & {"authorization", "cookie", "referer", "signature"}
        said = json.dumps(dict(call.headers))
        assert "SBX" not in said


async def test_a_file_far_larger_than_its_group_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    body = "id,errcode\n" + "1003,43101\n" * 150_000  # 1.6 MB about 60 people
    plan = FaultPlan([Fault(endpoint="failure_file", kind="garbage", body=body)])
    async with Sandbox(faults=plan, settings=_settings()) as box:
        report = await sent(box, "wechat", members(1), path)
        assert check(box, report, path) == {State.UNKNOWN: 60}
    assert any("bytes" in warning for warning in report.warnings)


async def test_a_file_is_parsed_away_from_the_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[bool] = []
    parse = group_failures.parse_failures

    def watched(raw: bytes) -> Any:
        threads.append(threading.current_thread() is threading.main_thread())
        return parse(raw)

    monkeypatch.setattr(group_failures, "parse_failures", watched)
    async with Sandbox(settings=_settings()) as box:
        report = await sent(box, "wechat", members(1), tmp_path / "a.db")
    assert report.by_code == {"43101": 1, "103010": 1}
    assert threads == [False]


async def test_a_secret_that_a_failure_file_says_back_is_not_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    secret = "an-appsecret-of-thirty-two-chars"
    async with Sandbox() as box:
        body = f"id,errcode\n1003,43101\n{secret},1\n1004,43101\n"
        box.faults = FaultPlan([Fault(endpoint="failure_file", kind="garbage", body=body)])
        box.settings = _settings()
        async with promomsg.WeChatPromoter("wx1", secret, base_url=box.url) as client:
            report = await promomsg.send(
                client,
                promomsg.WeChatMessage(1, {"title": "t"}, "p"),
                [str(i) for i in range(1000, 1060)],
                journal=path,
                poll=promomsg.PollPolicy(first_after=0.01, every=0.02),
            )
    assert report.by_code["43101"] == 2
    [kept] = tmp_path.glob("*.failures")
    assert secret.encode() not in kept.read_bytes()
    assert kept.read_bytes().startswith(b"id,errcode\n1003,43101\n")
