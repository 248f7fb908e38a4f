"""Each fault, as a client on a real socket sees it, and what the ledger says of it."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import time
from pathlib import Path

import aiohttp
import pytest
from sandbox_client import MESSAGE, ids, wired
from waiting import until

from promomsg.errors import UsageError
from promomsg.sandbox import Fault, FaultPlan, Sandbox, SandboxSettings, read_ledger, serve

pytestmark = pytest.mark.asyncio
SINGLE = "singlesendmsg"


def plan(kind: str, endpoint: str = SINGLE, **more: object) -> FaultPlan:
    return FaultPlan([Fault.from_table({"endpoint": endpoint, "kind": kind, "calls": [1], **more})])


@pytest.mark.parametrize(
    ("kind", "more", "delivered"),
    [
        ("refuse", {}, 0),
        ("reset_before_reading", {}, 0),
        ("drop_after_delivering", {}, 1),
        ("drop_after_delivering", {"reset": False}, 1),
        ("truncate", {}, 1),
    ],
)
async def test_connections_that_break(kind: str, more: dict[str, object], delivered: int) -> None:
    async with wired(faults=plan(kind, **more)) as (box, wire):
        with pytest.raises(aiohttp.ClientError) as caught:
            await wire.single(id="1")
        reset = isinstance(caught.value, aiohttp.ClientOSError) and not isinstance(
            caught.value, aiohttp.ServerDisconnectedError
        )
        assert reset == (kind in ("reset_before_reading", "drop_after_delivering") and not more)
        assert isinstance(caught.value, aiohttp.ClientPayloadError) == (kind == "truncate")
        assert box.ledger.deliveries("1") == delivered
        assert box.ledger.faults == {kind: 1}
        assert (await wire.single(id="1"))["errcode"] == 0
        assert box.calls[SINGLE] == 2


@pytest.mark.parametrize(
    ("kind", "more", "errcode"),
    [
        ("minus_one", {}, -1),
        ("token_invalid", {}, 40001),
        ("throttle", {}, 45011),
        ("daily", {}, 45009),
        ("errcode", {"errcode": 43101}, 43101),
        ("result", {"result": "ONLY_A_WALLETS"}, -1),
    ],
)
@pytest.mark.parametrize("delivered", [False, True])
async def test_answers_that_refuse(
    kind: str, more: dict[str, object], errcode: int, delivered: bool
) -> None:
    async with wired(faults=plan(kind, delivered=delivered, **more)) as (box, wire):
        answer = await wire.single(id="1")
        assert answer["errcode"] == errcode
        assert "rid: " in answer["errmsg"]
        assert box.ledger.deliveries("1") == delivered


@pytest.mark.parametrize(
    ("kind", "more", "status", "body"),
    [
        ("html", {}, 200, b"<html>"),
        ("html", {"body": "<p>"}, 200, b"<p>"),
        ("status", {"body": "down"}, 502, b"down"),
        ("status", {"status": 503}, 503, b""),
        ("garbage", {"body": '{"errcode":"0"}'}, 200, b'{"errcode":"0"}'),
        ("redirect", {"location": "http://10.0.0.1/"}, 302, b""),
    ],
)
async def test_answers_that_are_no_answer(
    kind: str, more: dict[str, object], status: int, body: bytes
) -> None:
    async with wired(faults=plan(kind, **more)) as (box, wire):
        await wire.stable()
        url = f"{box.url}/promoter/{SINGLE}"
        async with wire.http.post(url, data=b"{}", allow_redirects=False) as response:
            assert response.status == status
            assert (await response.read()).startswith(body)
            assert response.headers.get("Location") == more.get("location")
        assert not box.ledger.delivered


async def test_bodies_that_are_too_large() -> None:
    rules = [
        Fault(endpoint=SINGLE, kind="huge", megabytes=2, calls=[1]),
        Fault(endpoint=SINGLE, kind="garbage", gzip_megabytes=8, calls=[2]),
        Fault(endpoint=SINGLE, kind="endless", calls=[3, 4]),
    ]
    async with wired(faults=FaultPlan(rules)) as (box, wire):
        url = f"{box.url}/promoter/{SINGLE}"
        async with wire.http.post(url) as response:
            assert len(await response.read()) == 2 * 1024 * 1024
        async with aiohttp.ClientSession(auto_decompress=False) as raw, raw.post(url) as response:
            packed = await response.read()
            assert len(packed) < 20_000
            assert len(gzip.decompress(packed)) == 8 * 1024 * 1024
        async with wire.http.post(url) as response:
            assert len(await response.content.readexactly(300_000)) == 300_000
        async with wire.http.post(url) as response:
            await response.content.readexactly(1)
            await box.__aexit__(None, None, None)


async def test_answers_that_come_late_or_never() -> None:
    rules = [
        Fault(endpoint=SINGLE, kind="delay", seconds=0.02, calls=[1]),
        Fault(endpoint=SINGLE, kind="slow", seconds=0.02, calls=[2]),
        Fault(endpoint=SINGLE, kind="hang", delivered=True, calls=[3]),
        Fault(endpoint=SINGLE, kind="hang", calls=[4]),
    ]
    async with wired(faults=FaultPlan(rules)) as (box, wire):
        await wire.stable()
        for name in ("1", "2"):
            begun = time.monotonic()
            assert (await wire.single(id=name))["errcode"] == 0
            assert time.monotonic() - begun >= 0.02
        for name in ("3", "4"):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.04):
                    await wire.single(id=name)
        assert [box.ledger.deliveries(str(n)) for n in (1, 2, 3, 4)] == [1, 1, 1, 0]


@pytest.mark.parametrize(("kind", "delivered"), [("delay", 0), ("slow", 1), ("hang", 0)])
async def test_closing_ends_a_call_that_a_fault_holds(kind: str, delivered: int) -> None:
    more = {} if kind == "hang" else {"seconds": 60}
    async with wired(faults=plan(kind, **more)) as (box, wire):
        await wire.promoter("getrole")
        call = asyncio.ensure_future(wire.single(id="1"))
        await until(lambda: box.calls.bodies(SINGLE))
        await box.__aexit__(None, None, None)
        with pytest.raises(aiohttp.ClientError):
            await call
        assert box.ledger.deliveries("1") == delivered


async def test_an_answer_can_be_altered() -> None:
    rules = [
        Fault(endpoint="getmsg", kind="alter", set={"percent": 250}, unset=["fail_cnt"]),
        Fault(endpoint=SINGLE, kind="unsigned"),
    ]
    async with wired(faults=FaultPlan(rules)) as (_, wire):
        answer = await wire.result((await wire.group(ids(50)))["msg_id"])
        assert answer["percent"] == 250
        assert "fail_cnt" not in answer
        assert (await wire.single(id="1"))["errcode"] == 0


async def test_a_failure_file_can_break_too() -> None:
    settings = SandboxSettings(group_fail_fraction=1, failure_threshold=0, poll_steps=(100,))
    async with wired(settings=settings, faults=plan("status", "failure_file")) as (_, wire):
        answer = await wire.result((await wire.group(ids(50)))["msg_id"])
        async with wire.http.get(answer["fail_info_url"]) as response:
            assert response.status == 502
        async with wire.http.get(answer["fail_info_url"]) as response:
            assert (await response.text()).startswith("id,errcode\r\n1,103010")


async def test_a_refused_connection_is_reset_before_anything_is_read() -> None:
    async with wired(faults=plan("refuse", "connect")) as (box, wire):
        with pytest.raises(aiohttp.ClientOSError):
            await wire.stable()
        assert not box.calls
        assert box.ledger.faults == {"refuse": 1}
        assert "access_token" in await wire.stable()


async def test_an_outage_is_the_kernels_own_refusal() -> None:
    async with wired() as (box, wire):
        await wire.single(id="1")
        url = box.url
        await box.stop_listening()
        with pytest.raises(aiohttp.ClientConnectorError):
            async with aiohttp.ClientSession() as http:
                await http.get(url)
        with pytest.raises(aiohttp.ClientError):
            await wire.single(id="2")
        await box.start_listening()
        assert box.url == url
        assert (await wire.single(id="2"))["errcode"] == 0
        await box.stop_listening(drop=False)
        assert (await wire.single(id="3"))["errcode"] == 0


async def test_faults_can_be_replaced_while_it_runs() -> None:
    async with wired(faults=plan("minus_one")) as (box, wire):
        assert (await wire.single(id="1"))["errcode"] == -1
        box.faults = FaultPlan([Fault(endpoint=SINGLE, kind="throttle")])
        assert (await wire.single(id="1"))["errcode"] == 45011
        box.faults = FaultPlan()
        assert (await wire.single(id="1"))["errcode"] == 0


async def test_a_client_that_leaves_in_the_middle_of_its_request_delivers_nothing() -> None:
    async with wired() as (box, wire):
        await wire.promoter("getrole")
        reader, writer = await asyncio.open_connection("127.0.0.1", int(box.url.rpartition(":")[2]))
        head = f"POST /promoter/{SINGLE}?access_token={wire.token} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        body = json.dumps(MESSAGE | {"id": "1"}).encode()
        writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body[:-1])
        await until(lambda: box.calls[SINGLE])
        writer.close()
        await writer.wait_closed()
        assert await reader.read() == b""
        assert (await wire.single(id="2"))["errcode"] == 0
        assert dict(box.ledger.delivered) == {"2": 1}


async def test_a_port_that_is_taken_or_an_address_that_is_not_ours() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=f"port {port} on 127.0.0.1 is already taken"):
            async with Sandbox(port=port):
                pass
    with pytest.raises(UsageError, match=r"cannot listen on 192\.0\.2\.1"):
        async with Sandbox(host="192.0.2.1"):
            pass
    with pytest.raises(UsageError, match="0 to 65535"):
        async with Sandbox(port=70_000):
            pass


async def test_serve_announces_one_line_and_runs_until_cancelled(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    faults = tmp_path / "faults.toml"
    faults.write_text(
        '[settings]\ntoken_life = 60\n[[fault]]\nendpoint = "getrole"\nkind = "minus_one"\n'
    )
    ledger = tmp_path / "ledger.jsonl"
    lines: asyncio.Queue[str] = asyncio.Queue()
    running = asyncio.ensure_future(serve(faults=faults, ledger=ledger, announce=lines.put_nowait))
    line = await lines.get()
    assert line.startswith("listening on http://127.0.0.1:")
    async with aiohttp.ClientSession() as http:
        url = line.removeprefix("listening on ")
        body = {"grant_type": "client_credential", "appid": "a", "secret": "b"}
        async with http.post(f"{url}/cgi-bin/stable_token", json=body) as response:
            token = json.loads(await response.read())
            assert token["expires_in"] == 60
        query = {"access_token": token["access_token"]}
        async with http.post(f"{url}/promoter/getrole", params=query) as response:
            assert json.loads(await response.read())["errcode"] == -1
        async with http.post(
            f"{url}/promoter/{SINGLE}", params=query, json=MESSAGE | {"id": "1"}
        ) as response:
            assert json.loads(await response.read())["errcode"] == 0
        # Another process reads the ledger while the sandbox runs.
        seen = read_ledger(ledger)
        assert (dict(seen.delivered), dict(seen.faults)) == ({"1": 1}, {"minus_one": 1})
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    printing = asyncio.ensure_future(serve())
    said: list[str] = []
    await until(lambda: said.append(capsys.readouterr().out) or any(said))
    assert "".join(said).startswith("listening on http://127.0.0.1:")
    printing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await printing
