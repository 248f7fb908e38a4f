"""The examples, run as a user runs them: the script in a process, the service through ASGI."""

from __future__ import annotations

import asyncio
import csv
import importlib.util
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
from waiting import real_time, until

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


# service.py

UNLIMITED = promomsg.Pace(unlimited=True)


@asynccontextmanager
async def service(
    box: Sandbox, folder: Path, pace: promomsg.Pace | None = UNLIMITED
) -> AsyncIterator[httpx.AsyncClient]:
    """The service for the time of its lifespan, as an ASGI server would run it."""
    app = load("service").make_app(
        "wx1",
        SECRET,
        folder,
        base_url=box.url,
        pace=pace,
        poll=promomsg.PollPolicy(first_after=0.02, every=0.05),
    )
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://service") as client,
    ):
        yield client


def campaign(name: str, count: int, *, desc: str = "三件五折") -> dict[str, Any]:
    return {
        "name": name,
        "message": {
            "content": {"title": "今日优惠活动", "desc": desc},
            "path": "pages/index/index",
        },
        "recipients": [
            {"key": f"{name}-{i}", "id": str(1000 + i), "name": f"n{i}"} for i in range(count)
        ],
    }


async def finished(client: httpx.AsyncClient, name: str) -> dict[str, Any]:
    async with asyncio.timeout(20):
        while True:
            document: dict[str, Any] = (await client.get(f"/campaigns/{name}")).json()
            # The last member's outcome may be seen just before its group is.
            following = any(g["state"] == "accepted" for g in document["groups"])
            if document["state"] not in ("sending", "following") and not following:
                return document
            await real_time(0.01)


async def sent_at_least(box: Sandbox, count: int) -> None:
    await until(lambda: box.ledger.total >= count, 20)


async def test_service_sends_in_the_background_and_reports(tmp_path: Path) -> None:
    settings = SandboxSettings(refuse_group={"1007": 103010})
    async with Sandbox(settings=settings) as box, service(box, tmp_path) as client:
        answer = await client.post("/campaigns", json=campaign("autumn", 60))
        assert answer.status_code == 202, answer.text
        assert answer.json()["planned"] == 60
        document = await finished(client, "autumn")
        assert (document["state"], document["sent"], document["failed"]) == ("done", 59, 1)
        assert [g["percent"] for g in document["groups"]] == [100]
        rows = (await client.get("/campaigns/autumn/not-reached")).json()
        assert [(r["key"], r["code"]) for r in rows] == [("autumn-7", "103010")]
        assert box.calls["sendmsg"] == 1


async def test_service_shares_one_client(tmp_path: Path) -> None:
    async with Sandbox() as box, service(box, tmp_path) as client:
        names = [f"c{i}" for i in range(5)]
        answers = await asyncio.gather(
            *(client.post("/campaigns", json=campaign(n, 10)) for n in names)
        )
        assert [a.status_code for a in answers] == [202] * 5
        documents = [await finished(client, name) for name in names]
        assert [d["sent"] for d in documents] == [10] * 5
        assert box.calls["stable_token"] == 1


async def test_service_answers_what_is_wrong(tmp_path: Path) -> None:
    async with Sandbox() as box, service(box, tmp_path) as client:
        for name in ("../etc", "a/b", "", "a" * 65, "a\n"):
            assert (await client.post("/campaigns", json=campaign(name, 2))).status_code == 422
        unknown = campaign("c", 2, desc="{naem}")
        answer = await client.post("/campaigns", json=unknown)
        # One recipient without the value would fail alone; here everybody is.
        assert (await finished(client, "c"))["by_code"] == {"MISSING_PARAM": 2}, answer.text
        empty = campaign("d", 2) | {"message": {"content": {}, "path": "p"}}
        answer = await client.post("/campaigns", json=empty)
        assert answer.status_code == 400
        assert "content" in answer.json()["detail"]
        assert (await client.post("/campaigns", json=campaign("c", 2))).status_code == 409
        for path in ("nobody", "nobody/not-reached"):
            assert (await client.get(f"/campaigns/{path}")).status_code == 404
        assert (await client.post("/campaigns/nobody/continue")).status_code == 404
        # It leaves its block a moment after its last outcome.
        async with asyncio.timeout(20):
            while (await client.post("/campaigns/c/pause")).status_code != 409:
                await real_time(0.01)
        assert box.ledger.total == 0


async def test_service_pauses_goes_on_and_cancels(tmp_path: Path) -> None:
    slow = promomsg.Pace(singles_per_second=40)
    async with Sandbox() as box, service(box, tmp_path, slow) as client:
        await client.post("/campaigns", json=campaign("c", 49))
        await sent_at_least(box, 2)
        assert (await client.post("/campaigns/c/pause")).json()["state"] == "paused"
        document = (await client.get("/campaigns/c")).json()
        assert document["pending"] > 0
        assert (await client.post("/campaigns/c/continue")).json()["state"] == "sending"
        await sent_at_least(box, document["sent"] + 2)
        await client.post("/campaigns/c/cancel")
        document = await finished(client, "c")
        assert document["state"] == "cancelled"
        assert document["sent"] == box.ledger.total
        assert document["sent"] + document["cancelled"] == 49


async def test_service_stopped_in_the_middle_goes_on_at_the_next_start(tmp_path: Path) -> None:
    slow = promomsg.Pace(singles_per_second=40)
    async with Sandbox() as box:
        async with service(box, tmp_path, slow) as client:
            await client.post("/campaigns", json=campaign("half", 45))
            await client.post("/campaigns", json=campaign("held", 45))
            await sent_at_least(box, 3)
            await client.post("/campaigns/held/pause")
        before = box.ledger.total
        assert before < 90
        report = promomsg.open_journal(tmp_path / "half.db").report()
        assert report.unknown == 0
        assert report.pending > 0
        async with service(box, tmp_path) as client:
            document = await finished(client, "half")
            assert (document["sent"], document["unknown"]) == (45, 0)
            # What a person paused waits for a person's word.
            assert (await client.get("/campaigns/held")).json()["state"] == "paused"
            assert (await client.post("/campaigns/held/continue")).status_code == 200
            assert (await finished(client, "held"))["sent"] == 45
        assert box.ledger.total == 90
        # Each campaign reaches everybody once, and there are two of them.
        assert set(box.ledger.twice()) == {str(1000 + i) for i in range(45)}


async def test_a_cancelled_request_harms_no_other(tmp_path: Path) -> None:
    # Without a pace, planning asks for the account's quota first: here it waits for that.
    faults = FaultPlan((Fault(endpoint="quota_get", kind="delay", seconds=0.2),))
    async with Sandbox(faults=faults) as box, service(box, tmp_path, None) as client:
        first = asyncio.create_task(client.post("/campaigns", json=campaign("first", 30)))
        second = asyncio.create_task(client.post("/campaigns", json=campaign("second", 30)))
        await until(lambda: box.calls["quota_get"] >= 2, 20)
        second.cancel()
        assert (await first).status_code == 202
        with pytest.raises(asyncio.CancelledError):
            await second
        asking = [asyncio.create_task(client.get("/campaigns/first")) for _ in range(10)]
        await asyncio.sleep(0)
        for task in asking[::2]:
            task.cancel()
        answers = await asyncio.gather(*asking, return_exceptions=True)
        assert {a.status_code for a in answers if isinstance(a, httpx.Response)} == {200}
        assert (await finished(client, "first"))["sent"] == 30
        # The campaign whose request was cancelled is the service's, not the request's.
        async with asyncio.timeout(20):
            while (await client.get("/campaigns/second")).status_code == 404:
                await real_time(0.01)
        assert (await finished(client, "second"))["sent"] == 30
        assert box.ledger.total == 60
