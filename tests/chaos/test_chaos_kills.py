"""Killed at random and at every named point, resumed until done, and compared with the ledger."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from random import Random

import msgspec
import pytest
from chaos.child_campaign import Job, address
from chaos.fork_server import ForkServer
from chaos.trial import CRASH_POINTS, Trial, read_rows

from promomsg.model import State
from promomsg.sandbox import Sandbox, SandboxSettings

pytestmark = pytest.mark.asyncio


@pytest.mark.parametrize(("kind", "kills"), [("singles", 90), ("groups", 70), ("alipay", 60)])
async def test_nothing_is_lost_and_nothing_goes_out_twice(
    kind: str, kills: int, tmp_path: Path
) -> None:
    done = 0
    async with ForkServer() as fork_server:
        for number in range(80):
            folder = tmp_path / str(number)
            folder.mkdir()
            result = await Trial(kind, f"ci/{number}", folder).run(fork_server)
            done += result.kills
            if done >= kills:
                break
    assert done >= kills


@pytest.mark.parametrize("kind", sorted(CRASH_POINTS))
async def test_every_crash_point_kills_and_is_survived(kind: str, tmp_path: Path) -> None:
    died: Counter[str] = Counter()
    async with ForkServer() as fork_server:
        for number, point in enumerate(CRASH_POINTS[kind]):
            folder = tmp_path / str(number)
            folder.mkdir()
            trial = Trial(kind, f"point/{point}", folder, kills=1, crash=f"{point}:1", count=260)
            died += (await trial.run(fork_server)).by_point
    assert died == Counter(dict.fromkeys(CRASH_POINTS[kind], 1))


async def test_a_retry_that_is_killed_loses_nobody_and_doubles_nobody(tmp_path: Path) -> None:
    rng, count, failing = Random("retry"), 400, 120
    refused = {address("groups", n): 43101 for n in range(failing)}
    settings = SandboxSettings(refuse_single=refused, refuse_group=refused, poll_steps=(100,))
    kills = 0
    async with Sandbox(settings=settings) as box, ForkServer() as fork_server:
        job = Job(
            kind="groups",
            url=box.url,
            journal=str(tmp_path / "a.db"),
            count=count,
            log=str(tmp_path / "log"),
            result=str(tmp_path / "result"),
        )
        assert (await fork_server.run(job)).status == 0
        box.settings.refuse_single = box.settings.refuse_group = {}
        failed, pending = failing, 0
        while failed or pending:
            # A kill before the retry was on disk leaves them failed: it is said again.
            after = rng.uniform(0.005, 0.06) if kills < 12 else None
            again = msgspec.structs.replace(job, retry=failed > 0, kill_after=after)
            ending = await fork_server.run(again)
            assert ending.killed or ending.status == 0, Path(job.log).read_text()
            kills += ending.killed
            rows, reader = read_rows(tmp_path / "a.db")
            with reader:
                counts = reader.counts()
                out = {g.msg_id or str(g.group_no) for g in reader.groups() if g.state != "planned"}
            failed, pending = counts.failed, counts.pending
            assert counts.planned == count == len(rows)
            assert counts.sent + failed + counts.unknown + pending == count
            assert not box.ledger.twice()
            for row in rows:
                times = box.ledger.deliveries(row.recipient.id or "")
                assert (row.state is State.SENT) <= (times == 1), row
                assert (row.state is State.FAILED) <= (times == 0), row
                if row.state is State.PENDING and row.group not in out:
                    assert times == 0, row
        assert kills >= 2
        assert counts.sent >= count - 60 * kills
