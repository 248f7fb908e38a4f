"""The examples, run as a user runs them: the script in a process, the services on real sockets."""

from __future__ import annotations

import asyncio
import csv
import importlib.util
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest
import pytest_asyncio
import uvicorn
from aiohttp import web
from waiting import until

import promomsg
from promomsg.sandbox import Fault, FaultPlan, Sandbox, SandboxSettings

pytestmark = pytest.mark.asyncio

ROOT = Path(__file__).parents[2]
SECRET = "an-appsecret-that-nobody-prints"


def load(name: str) -> ModuleType:
    """An example as a module: the folder is no package."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "examples" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


# batch.py


def people(path: Path, count: int, *, first: int = 1000) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("key", "id", "name"))
        writer.writerows((f"p{i}", first + i, f"n{i}") for i in range(count))
    return path


async def run_batch(
    box: Sandbox, recipients: Path, *args: str, interrupt_at: int | None = None
) -> tuple[int, str, str]:
    """Runs the script; with `interrupt_at`, Ctrl-C after so many single sends."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, ROOT / "examples" / "batch.py", recipients, "--appid", "wx1",
        "--base-url", box.url, "--failures", recipients.with_name("failures.csv"),
        "--first-look", "0.05", *args,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT), "WECHAT_SECRET": SECRET},
    )  # fmt: skip
    if interrupt_at is not None:
        await until(lambda: box.calls["singlesendmsg"] >= interrupt_at, 20)
        process.send_signal(signal.SIGINT)
    out, err = await process.communicate()
    assert process.returncode is not None
    assert SECRET not in (out + err).decode()
    return process.returncode, out.decode(), err.decode()


def failures(recipients: Path) -> list[dict[str, str]]:
    with recipients.with_name("failures.csv").open(encoding="utf-8-sig") as file:
        return list(csv.DictReader(file))


async def test_batch_sends_and_names_who_was_not_reached(tmp_path: Path) -> None:
    recipients = people(tmp_path / "promoters.csv", 20)
    async with Sandbox(settings=SandboxSettings(refuse_single={"1003": 43101})) as box:
        status, out, err = await run_batch(box, recipients, "--per-second", "1000")
        assert status == 3, err
        assert "20 planned, 19 sent, 1 failed" in out
        assert [(f["key"], f["state"], f["code"]) for f in failures(recipients)] == [
            ("p3", "failed", "43101")
        ]
        assert box.ledger.total == 19


async def test_batch_started_again_goes_on_where_ctrl_c_stopped_it(tmp_path: Path) -> None:
    recipients = people(tmp_path / "promoters.csv", 60)
    settings = SandboxSettings(refuse_single={"1000": 43101})
    async with Sandbox(settings=settings) as box:
        status, _, err = await run_batch(box, recipients, "--per-second", "25", interrupt_at=3)
        assert status == 130, err
        assert "start it again" in err
        assert 2 <= box.ledger.total < 60
        status, out, err = await run_batch(box, recipients, "--per-second", "1000")
        assert status == 3, err
        assert "60 planned, 59 sent, 1 failed" in out
        assert box.ledger.total == 59
        assert box.ledger.twice() == []
        # Also the one who failed in the run before.
        assert [f["key"] for f in failures(recipients)] == ["p0"]
        # And once more changes nothing.
        status, _, _ = await run_batch(box, recipients)
        assert status == 3
        assert box.ledger.total == 59


async def test_batch_says_in_one_line_what_is_wrong(tmp_path: Path) -> None:
    async with Sandbox() as box:
        status, _, err = await run_batch(box, tmp_path / "nobody.csv")
        assert status == 1
        assert err.startswith("batch: ")
        assert "nobody.csv" in err
        assert err.count("\n") == 1
        recipients = people(tmp_path / "promoters.csv", 2)
        status, _, err = await run_batch(box, recipients, "--secret-env", "UNSET_HERE")
        assert (status, err) == (1, "batch: UNSET_HERE is not set; put the appsecret there\n")
        assert box.calls.total() == 0


# fastapi_service.py and aiohttp_service.py


@asynccontextmanager
async def fastapi_server() -> AsyncIterator[str]:
    """The FastAPI service under uvicorn."""
    app = load("fastapi_service").make_app()
    config = uvicorn.Config(
        app, port=0, log_config=None, lifespan="on", timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    await until(lambda: server.started or serving.done(), 20)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    await serving


@asynccontextmanager
async def aiohttp_server() -> AsyncIterator[str]:
    """The aiohttp service, as `python -m aiohttp.web` runs it."""
    runner = web.AppRunner(load("aiohttp_service").make_app())
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


SERVERS = {"fastapi": fastapi_server, "aiohttp": aiohttp_server}


class Webhook:
    """Somebody who is told of each campaign's end."""

    def __init__(self) -> None:
        self.told: list[dict[str, Any]] = []

    async def post(self, request: web.Request) -> web.Response:
        self.told.append(await request.json())
        return web.Response()


@pytest_asyncio.fixture
async def webhook(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Webhook]:
    hook = Webhook()
    app = web.Application()
    app.router.add_post("/", hook.post)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    monkeypatch.setenv("WEBHOOK", f"http://127.0.0.1:{runner.addresses[0][1]}/")
    yield hook
    await runner.cleanup()


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Starts one of the services for a sandbox: `async with server(box) as client`."""
    monkeypatch.setenv("WECHAT_APPID", "wx1")
    monkeypatch.setenv("WECHAT_SECRET", SECRET)
    monkeypatch.setenv("CAMPAIGNS", str(tmp_path))

    @asynccontextmanager
    async def start(box: Sandbox) -> AsyncIterator[httpx.AsyncClient]:
        monkeypatch.setenv("WECHAT_URL", box.url)
        async with (
            SERVERS[request.param]() as url,
            httpx.AsyncClient(base_url=url, timeout=20) as client,
        ):
            yield client

    return start


def wanted(count: int, **more: Any) -> dict[str, Any]:
    return {"title": "今日优惠活动", "ids": [str(1000 + i) for i in range(count)], **more}


async def events(client: httpx.AsyncClient, name: str) -> list[tuple[str, dict[str, Any]]]:
    """What the service tells of a campaign, to its end."""
    answer = await client.get(f"/campaigns/{name}/events")
    assert answer.headers["content-type"].startswith("text/event-stream")
    found = []
    for text in answer.text.removesuffix("\n\n").split("\n\n"):
        kind, data = text.split("\n")
        found.append((kind.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return found


async def test_each_service_is_short() -> None:
    for name in ("fastapi_service", "aiohttp_service"):
        assert len((ROOT / "examples" / f"{name}.py").read_text("utf-8").splitlines()) <= 60


async def test_a_service_sends_tells_what_happens_and_how_it_ended(
    server: Any, webhook: Webhook
) -> None:
    async with Sandbox(settings=SandboxSettings(refuse_single={"1003": 43101})) as box:
        async with server(box) as client:
            answer = await client.post("/campaigns/autumn", json=wanted(20))
            assert answer.status_code == 202, answer.text
            assert answer.json()["planned"] == 20
            told = await events(client, "autumn")
            await until(lambda: webhook.told)
        assert [data["state"] for kind, data in told if kind == "state"][-1] == "done"
        last = [data for kind, data in told if kind == "progress"][-1]
        assert (last["sent"], last["failed"]) == (19, 1)
        [document] = webhook.told
        assert (document["campaign"], document["sent"]) == ("autumn", 19)
        assert box.ledger.total == 19
        assert box.calls["stable_token"] == 1


async def test_a_service_answers_what_is_wrong_with_a_list(server: Any, tmp_path: Path) -> None:
    async with Sandbox() as box, server(box) as client:
        answer = await client.post("/campaigns/autumn", json=wanted(2, ids=["1001", "no id"]))
        assert answer.status_code == 400
        assert "item 2" in answer.text
        assert list(tmp_path.iterdir()) == []
        assert (await client.post("/campaigns/autumn", json=wanted(2))).status_code == 202
        await events(client, "autumn")
        assert box.ledger.total == 2


@pytest.mark.parametrize(
    "body",
    ["{no JSON", "[1]", '{"ids": ["1001"]}', '{"title": "x", "ids": "1001"}', '{"title": 5}'],
)
async def test_a_service_answers_what_is_wrong_with_a_body(
    server: Any, tmp_path: Path, body: str
) -> None:
    async with Sandbox() as box, server(box) as client:
        for _ in range(2):
            answer = await client.post("/campaigns/autumn", content=body)
            assert answer.status_code in (400, 422), answer.text
        wrong = await client.post("/campaigns/autumn", json=wanted(2, title="a lone {"))
        assert (wrong.status_code, "lone" in wrong.text) == (400, True)
    assert list(tmp_path.iterdir()) == []


async def test_a_campaign_that_is_asked_for_twice_is_sent_once(server: Any) -> None:
    async with Sandbox() as box, server(box) as client:
        box.faults = FaultPlan([Fault(endpoint="singlesendmsg", kind="slow", seconds=0.2)])
        asked = [client.post("/campaigns/twice", json=wanted(40, title="{key}")) for _ in range(3)]
        answers = await asyncio.gather(*asked)
        assert sorted(answer.status_code for answer in answers) == [202, 409, 409]
        assert "open already" in max(answers, key=lambda answer: answer.status_code).text
        await events(client, "twice")
        assert box.ledger.total == 40
        assert box.ledger.twice() == []


async def test_a_service_goes_on_with_the_same_list_alone(server: Any, tmp_path: Path) -> None:
    async with Sandbox() as box:
        async with promomsg.WeChatPromoter("wx1", SECRET, base_url=box.url) as wechat:
            message = promomsg.WeChatMessage(1, {"title": "今日优惠活动"}, "pages/index/index")
            people = wanted(40)["ids"]
            journal = tmp_path / "half.db"
            await promomsg.Campaign(wechat, message, people, journal=journal).hand_over()
        async with server(box) as client:
            answer = await client.post("/campaigns/half", json=wanted(41))
            assert (answer.status_code, "40 rows then, 41 now" in answer.text) == (400, True)
            assert box.ledger.total == 0
            assert (await client.post("/campaigns/half", json=wanted(40))).status_code == 202
            await events(client, "half")
        assert box.ledger.total == 40


async def test_a_listener_who_goes_away_changes_nothing(server: Any) -> None:
    async with Sandbox() as box, server(box) as client:
        box.faults = FaultPlan([Fault(endpoint="singlesendmsg", kind="slow", seconds=0.05)])
        await client.post("/campaigns/heard", json=wanted(49, title="{key}"))
        async with client.stream("GET", "/campaigns/heard/events") as answer:
            assert "event" in await anext(answer.aiter_lines())
        told = await events(client, "heard")
        assert [data["sent"] for kind, data in told if kind == "progress"][-1] == 49
        assert box.ledger.total == 49


async def test_a_campaign_whose_journal_failed_stops_no_other_at_the_services_end(
    server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[promomsg.Campaign] = []
    start = promomsg.Campaign.start

    async def kept(self: promomsg.Campaign) -> promomsg.Campaign:
        begun.append(await start(self))
        return begun[-1]

    async def full(*_: object, **__: object) -> bool:
        raise promomsg.JournalError("no room on the disk")

    monkeypatch.setattr(promomsg.Campaign, "start", kept)
    faults = FaultPlan([Fault(endpoint="singlesendmsg", kind="slow", seconds=0.05)])
    async with Sandbox(faults=faults) as box:
        async with server(box) as client:
            for name in ("broken", "whole"):
                await client.post(f"/campaigns/{name}", json=wanted(5_000, title="{key}"))
            assert begun[0]._block is not None
            monkeypatch.setattr(begun[0]._block.run._handle, "intend", full)
            failed = asyncio.create_task(begun[0].wait())
            await asyncio.wait([failed])
            assert isinstance(failed.exception(), promomsg.JournalError)
            assert (await client.post("/campaigns/whole/pause")).json()["state"] == "paused"
            assert (await client.post("/campaigns/whole/continue")).status_code == 200
        with promomsg.open_journal(tmp_path / "whole.db") as opened:
            report = opened.report()
        assert report.state == "stopped"
        assert report.unknown == 0


async def test_a_service_pauses_goes_on_and_cancels(server: Any) -> None:
    faults = FaultPlan([Fault(endpoint="singlesendmsg", kind="slow", seconds=0.05)])
    async with Sandbox(faults=faults) as box, server(box) as client:
        await client.post("/campaigns/c", json=wanted(49))
        await until(lambda: box.ledger.total >= 2, 20)
        answer = await client.post("/campaigns/c/pause")
        assert answer.json()["state"] == "paused"
        assert (await client.post("/campaigns/c/continue")).json()["state"] in ("sending", "done")
        await client.post("/campaigns/c/cancel")
        told = await events(client, "c")
        last = [data for kind, data in told if kind == "progress"][-1]
        assert last["sent"] == box.ledger.total
        assert last["sent"] + last["cancelled"] == 49


async def test_a_service_that_is_stopped_in_the_middle_leaves_nobody_in_doubt(
    server: Any, tmp_path: Path, webhook: Webhook
) -> None:
    faults = FaultPlan([Fault(endpoint="singlesendmsg", kind="slow", seconds=0.05)])
    async with Sandbox(faults=faults) as box:
        async with server(box) as client:
            await client.post("/campaigns/half", json=wanted(49))
            await until(lambda: box.ledger.total >= 3, 20)
        with promomsg.open_journal(tmp_path / "half.db") as opened:
            report = opened.report()
        assert report.unknown == 0
        assert report.sent == box.ledger.total
        assert webhook.told[0]["pending"] == report.pending
        if report.pending:
            async with server(box) as client:
                await client.post("/campaigns/half", json=wanted(49))
                await events(client, "half")
            assert box.ledger.total == 49
        assert box.ledger.twice() == []


async def test_a_service_stops_though_somebody_listens_to_its_campaign(
    server: Any, tmp_path: Path
) -> None:
    faults = FaultPlan([Fault(endpoint="singlesendmsg", kind="slow", seconds=0.5)])
    async with Sandbox(faults=faults) as box, httpx.AsyncClient(timeout=20) as listener:
        async with server(box) as client:
            await client.post("/campaigns/long", json=wanted(5_000, title="{key}"))
            url = f"{client.base_url}/campaigns/long/events"
            listening = asyncio.create_task(listener.get(url))
            await until(lambda: box.ledger.total >= 3, 20)
        await asyncio.gather(listening, return_exceptions=True)
        with promomsg.open_journal(tmp_path / "long.db") as opened:
            report = opened.report()
        assert report.pending > 4_000
        assert (report.sent, report.unknown) == (box.ledger.total, 0)


async def test_a_service_says_when_there_is_no_such_campaign(server: Any) -> None:
    async with Sandbox() as box, server(box) as client:
        assert (await client.post("/campaigns/none/pause")).status_code == 404
        answer = await client.get("/campaigns/none/events")
        assert answer.status_code == 404
        assert "there is no" in answer.text


async def test_the_name_of_a_campaign_is_no_path(server: Any, tmp_path: Path) -> None:
    (tmp_path / "campaigns").mkdir()
    async with Sandbox() as box, server(box) as client:
        for name in ("..%2Fabove", "campaigns%2Fbelow", "..%2F..%2Fabove"):
            answer = await client.post(f"/campaigns/{name}", json=wanted(2))
            assert answer.status_code in (404, 405, 422)
        assert box.calls.total() == 0
    assert not list(tmp_path.rglob("*.db"))
