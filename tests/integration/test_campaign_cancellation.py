"""A cancellation at every await: nothing stays open, nobody is lost, nobody is reached twice."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
from collections.abc import Awaitable, Callable, Coroutine, Generator
from pathlib import Path
from typing import Any

import anyio
import pytest
from campaigning import MESSAGE, QUICK, add_up, honest, ids, journal_at, run_to_end, wechat
from journal_rows import has_campaign
from waiting import real_time, until

import promomsg
from promomsg import Campaign, PollPolicy, Recipient, SqliteJournal, WeChatPromoter
from promomsg.engine.following.reconcile import reconcile
from promomsg.journal.contract import Journal
from promomsg.sandbox import Fault, FaultPlan, Sandbox

pytestmark = pytest.mark.asyncio

ROWS = [*({"id": i} for i in ids(50)), *({"openid": f"o{n}"} for n in range(8))]
MOST_STEPS = 400


class Stepped:
    """Runs a coroutine and cancels its task at its `at`-th suspension."""

    def __init__(self, inner: Coroutine[Any, Any, Any], at: int) -> None:
        self._inner = inner
        self._at = at
        self.steps = 0

    def __await__(self) -> Generator[Any, Any, Any]:
        running = self._inner.__await__()
        task = asyncio.current_task()
        assert task is not None
        value: Any = None
        error: BaseException | None = None
        while True:
            try:
                waited = running.send(value) if error is None else running.throw(error)
            except StopIteration as end:
                return end.value
            self.steps += 1
            if self.steps == self._at:
                task.cancel()
            value = error = None
            try:
                value = yield waited
            except BaseException as thrown:  # noqa: BLE001 - handed on to the inner one
                error = thrown


async def cancelled_at(work: Coroutine[Any, Any, Any], at: int) -> bool:
    """Whether the work was cancelled there; False: it had ended before."""
    stepped = Stepped(work, at)

    async def run() -> None:
        await stepped

    try:
        await asyncio.ensure_future(run())
    except asyncio.CancelledError:
        return True
    assert stepped.steps < at, "a cancellation was swallowed"
    return False


def tasks() -> set[str]:
    """Tasks of ours: all but this one and the sandbox's own."""
    names = set()
    for task in asyncio.all_tasks():
        coroutine = task.get_coro()
        name = getattr(coroutine, "__qualname__", "")
        server = "RequestHandler" in name or "_accept_connection" in name
        if task is not asyncio.current_task() and not server:
            names.add(f"{task.get_name()} {name}")
    return names


def opened(folder: Path) -> list[str]:
    """Files of this folder that this process has open."""
    found = []
    for number in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{number}")
        except OSError:
            continue
        if target.startswith(str(folder)):
            found.append(target)
    return found


def threads() -> list[str]:
    """Threads of ours."""
    return [t.name for t in threading.enumerate() if t.name.startswith("promomsg")]


async def nothing_is_open(folder: Path) -> None:
    """No task, thread, lock or file of ours is left."""
    await asyncio.sleep(0)  # an abandoned generator is closed by the loop
    assert tasks() == set()
    gc.collect()  # a traceback keeps the report, and that the journal's reader
    try:
        await until(lambda: not threads() and not opened(folder), 2.0)
    finally:
        assert (threads(), opened(folder)) == ([], [])
    left = sorted(f.name for f in folder.iterdir())
    assert left in ([], ["campaign.db"]), left


async def nobody_is_lost(box: Sandbox, journal: Journal) -> None:
    """What the journal says is true, and a resume ends what was begun."""
    assert box.ledger.twice() == []
    if not await has_campaign(journal):
        assert box.ledger.total == 0
        return
    async with wechat(box) as channel:
        report = await run_to_end(Campaign.resume(journal, channel, **QUICK))
        assert (report.planned, report.pending, report.unknown) == (58, 0, 0)
        assert report.sent == 58
        honest(report, box)
    assert box.ledger.twice() == []


async def at_every_step(
    work: Callable[[], Coroutine[Any, Any, Any]],
    check: Callable[[], Awaitable[None]],
    *,
    stride: int = 1,
) -> int:
    """Cancels `work` at its first await, its second, …, until it is through before that."""
    for at in range(1, MOST_STEPS, stride):
        cancelled = await cancelled_at(work(), at)
        await check()
        if not cancelled:
            return at
    raise AssertionError("it never came to its end")


@pytest.mark.parametrize(("kind", "stride"), [("sqlite", 1), ("memory", 3)])
async def test_a_campaign_cancelled_at_any_await_leaves_nothing_open(
    box: Sandbox, tmp_path: Path, kind: str, stride: int
) -> None:
    number = 0
    folder = memory = None

    def journal() -> Journal:
        if memory is not None:
            return memory
        assert folder is not None
        return journal_at("sqlite", folder)

    async def work() -> None:
        async with (
            wechat(box) as channel,
            Campaign(channel, MESSAGE, ROWS, journal=journal(), concurrency=2, **QUICK) as run,
        ):
            async for _ in run:
                pass

    def begin() -> Coroutine[Any, Any, None]:
        nonlocal number, folder, memory
        number += 1
        folder = tmp_path / str(number)
        folder.mkdir()
        memory = journal_at(kind, folder) if kind == "memory" else None
        box.ledger.delivered.clear()
        box.ledger._twice.clear()
        return work()

    async def check() -> None:
        assert folder is not None
        await nothing_is_open(folder)
        await nobody_is_lost(box, journal())
        await nothing_is_open(folder)

    assert await at_every_step(begin, check, stride=stride) > 10


async def test_a_resume_cancelled_at_any_await_lets_go_of_the_journal(
    box: Sandbox, tmp_path: Path
) -> None:
    box.settings.poll_steps = (10,)
    path = tmp_path / "campaign.db"
    async with wechat(box) as channel:
        async with Campaign(channel, MESSAGE, ROWS, journal=path, **QUICK) as run:
            await run.submit()
        del run

        async def work() -> None:
            await run_to_end(
                Campaign.resume(
                    path,
                    channel,
                    recipients=ROWS,
                    message=MESSAGE,
                    **{**QUICK, "poll": PollPolicy(first_after=0.01, every=0.01, give_up_after=0)},
                )
            )

        async def check() -> None:
            await nothing_is_open(tmp_path)

        assert await at_every_step(work, check) > 3
    box.settings.poll_steps = (100,)
    await nobody_is_lost(box, SqliteJournal(path))


@pytest.mark.parametrize("calls", [0, 1, 2, 3, 5, 9, 17, 30])
async def test_a_task_cancelled_while_sending_finishes_what_is_in_flight(
    box: Sandbox, channel: WeChatPromoter, journal: Journal, calls: int
) -> None:
    box.faults = FaultPlan([Fault(endpoint="singlesendmsg", kind="slow", seconds=0.004)])
    runs: list[Campaign] = []

    async def work() -> None:
        async with Campaign(
            channel, MESSAGE, ids(40), journal=journal, concurrency=3, **QUICK
        ) as run:
            runs.append(run)
            await run.wait()

    task = asyncio.create_task(work())
    await until(lambda: bool(runs) and box.calls["singlesendmsg"] >= calls)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    report = runs[0].report
    assert report.unknown == 0
    assert report.sent == box.ledger.total
    honest(report, box)
    assert tasks() == set()
    assert (await run_to_end(Campaign.resume(journal, channel, **QUICK))).sent == 40
    assert box.ledger.twice() == []


async def test_a_second_cancellation_does_not_lose_what_is_in_flight(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    box.faults = FaultPlan([Fault(endpoint="singlesendmsg", kind="slow", seconds=0.05)])
    runs: list[Campaign] = []

    async def work() -> None:
        async with Campaign(
            channel, MESSAGE, ids(40), journal=journal, concurrency=3, **QUICK
        ) as run:
            runs.append(run)
            await run.wait()

    task = asyncio.create_task(work())
    await until(lambda: box.calls["singlesendmsg"] >= 3)
    for _ in range(5):
        task.cancel()
        await real_time(0.003)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert runs[0].report.unknown == 0
    honest(runs[0].report, box)
    assert tasks() == set()


async def test_an_anyio_scope_that_is_cancelled_around_a_campaign_ends_it_cleanly(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    box.faults = FaultPlan([Fault(endpoint="singlesendmsg", kind="slow", seconds=0.01)])
    with anyio.CancelScope() as scope:
        async with Campaign(
            channel, MESSAGE, ids(45), journal=journal, concurrency=2, **QUICK
        ) as run:
            await until(lambda: box.calls["singlesendmsg"] >= 5)
            scope.cancel()
            await run.wait()
    assert scope.cancelled_caught
    assert run.report.unknown == 0
    honest(run.report, box)
    assert tasks() == set()
    assert (await run_to_end(Campaign.resume(journal, channel, **QUICK))).sent == 45
    assert box.ledger.twice() == []


async def test_a_scope_within_the_block_leaves_the_campaign_running(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    box.faults = FaultPlan([Fault(endpoint="singlesendmsg", kind="slow", seconds=0.01)])
    async with Campaign(channel, MESSAGE, ids(30), journal=journal, concurrency=2, **QUICK) as run:
        with anyio.move_on_after(0.03) as scope:
            await run.wait()
        assert scope.cancelled_caught
        with anyio.move_on_after(0.001):
            async for _ in run:
                pass
        report = await run.wait()
    assert report.sent == 30


async def test_a_task_group_that_fails_beside_a_campaign_ends_it_cleanly(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    box.faults = FaultPlan([Fault(endpoint="singlesendmsg", kind="slow", seconds=0.01)])
    runs: list[Campaign] = []

    async def campaign() -> None:
        async with Campaign(
            channel, MESSAGE, ids(45), journal=journal, concurrency=2, **QUICK
        ) as run:
            runs.append(run)
            await run.wait()

    async def failing() -> None:
        await until(lambda: box.calls["singlesendmsg"] >= 3)
        raise ZeroDivisionError

    async def both() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(campaign)
            group.start_soon(failing)

    with pytest.raises(BaseExceptionGroup) as caught:
        await both()
    assert caught.group_contains(ZeroDivisionError)
    assert runs[0].report.unknown == 0
    honest(runs[0].report, box)
    assert tasks() == set()


async def test_a_paused_campaign_can_be_left_by_cancellation(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    runs: list[Campaign] = []

    async def work() -> None:
        async with Campaign(channel, MESSAGE, ids(45), journal=journal, **QUICK) as run:
            run.pause()
            runs.append(run)
            await run.wait()

    task = asyncio.create_task(work())
    await until(lambda: runs and runs[0].progress["state"] == "paused")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert tasks() == set()


async def test_calls_of_the_channel_cancelled_at_any_await_leave_no_task(
    box: Sandbox, channel: WeChatPromoter, tmp_path: Path
) -> None:
    msg_id = await channel.send_group(MESSAGE, promomsg.Promoters(ids(50)))
    polls = PollPolicy(first_after=0.001, every=0.001)

    async def check() -> None:
        assert tasks() == set()

    async def work() -> None:
        async with wechat(box) as client:
            await client.send_one(MESSAGE, Recipient(id="1"))
            await client.get_roles()
            await client.follow(msg_id, poll=polls)
            assert [p async for p in client.iter_promoters(role_id=1)]

    await at_every_step(work, check)
    assert len(await channel.get_roles()) == 3


async def test_a_plan_cancelled_at_any_await_leaves_no_file(
    box: Sandbox, channel: WeChatPromoter, tmp_path: Path
) -> None:
    async def work() -> None:
        campaign = Campaign(
            channel, MESSAGE, ROWS, journal=tmp_path / "campaign.db", resolve=True, **QUICK
        )
        try:
            await campaign.plan()
        finally:
            with anyio.CancelScope(shield=True):
                await campaign.discard()

    async def check() -> None:
        await nothing_is_open(tmp_path)
        assert list(tmp_path.iterdir()) == []

    await at_every_step(work, check)
    assert box.calls["sendmsg"] == 0


async def test_reconcile_cancelled_at_any_await_lets_go_of_the_journal(
    box: Sandbox, channel: WeChatPromoter, tmp_path: Path
) -> None:
    box.faults = FaultPlan([Fault(endpoint="sendmsg", kind="drop_after_delivering")])
    path = tmp_path / "campaign.db"
    report = await promomsg.send(channel, MESSAGE, ids(50), journal=path, **QUICK)
    assert report.unknown == 50
    del report

    async def work() -> None:
        await reconcile(SqliteJournal(path), channel, adopt=True)

    async def check() -> None:
        await nothing_is_open(tmp_path)

    await at_every_step(work, check)
    with promomsg.open_journal(path) as seen:
        add_up(seen.report().to_dict())
