"""The regression gate: counts, not times, so that a busy machine cannot fail it.

`python -m benchmarks.gate` compares with `gate.json`; `--update` writes what it counted there.
The calls of Python functions a message stand for instructions: they grow with them, and a
profiler's hook counts them nearly the same in every run. Sends are answered at once inside the
process, in lockstep with the journal, but for `client calls`, which go to a responder.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import sqlite3
import sys
import tempfile
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple
from unittest import mock

from benchmarks import lockstep
from benchmarks.contenders.promomsg_client import run as run_client
from benchmarks.contenders.promomsg_engine import recipients
from benchmarks.contenders.promomsg_setup import journal, message
from benchmarks.job import Job
from benchmarks.session import Responder
from benchmarks.table import render
from promomsg.channels.wechat import WeChatPromoter
from promomsg.engine.campaign import Campaign
from promomsg.journal.sqlite.handle import SqliteHandle
from promomsg.model import Answer, SingleSend, Verdict
from promomsg.transport.last_check import LastCheck, asks_last_check
from promomsg.transport.pace import Pace
from promomsg.wechat.message import CompiledWeChatMessage

__all__ = ["COUNTS", "LINGER", "STATED", "Finding", "compare", "count_all", "main"]

STATED: Final = Path(__file__).with_name("gate.json")
_SENT: Final = Answer(Verdict.SENT)
LINGER: Final = 0.02
"""Of a journal on PostgreSQL, for which nothing but the standard library is needed here."""

COUNTS: Final = {
    "client calls": "function calls a message, client alone",
    "memory calls": "function calls a message, engine with the memory journal, planning included",
    "sqlite calls": "function calls a message, engine with SQLite, planning included",
    "planning calls": "function calls a row, planning into SQLite",
    "statements": "SQL statements a thousand recipients, sending",
    "planning statements": "SQL statements a thousand recipients, planning (without row inserts)",
    "paced wake-ups": "wake-ups a message, at 50 a second with answers of 30 ms",
    "paced commits": "commits a message, at 50 a second with answers of 30 ms",
    "slow commits": "commits a thousand messages, answers of 40 to 60 ms, a journal with the linger of PostgreSQL's",
    "held bytes": "bytes of Python memory held a recipient at the peak of a campaign, SQLite",
}
"""What is counted, by the names of gate.json."""


class Instant(WeChatPromoter):
    """An account whose single sends are answered inside the process, one iteration of the event loop later."""

    pace = Pace(unlimited=True)

    async def connect_ahead(self, calls: int) -> int:
        return calls

    @asks_last_check
    async def deliver(
        self,
        compiled: CompiledWeChatMessage,
        single_send: SingleSend,
        last_check: LastCheck | None = None,
    ) -> Answer:
        if last_check is not None and not last_check.passes():
            raise RuntimeError("without a pace nothing is withheld")
        compiled.single_body(single_send.values, openid=single_send.openid)
        await asyncio.sleep(0)
        return _SENT


class Spread(Instant):
    """The same, answered after 5 to 12 ms of the loop's time, as a provider would: one by one."""

    @asks_last_check
    async def deliver(
        self,
        compiled: CompiledWeChatMessage,
        single_send: SingleSend,
        last_check: LastCheck | None = None,
    ) -> Answer:
        await asyncio.sleep((50 + single_send.seq * 37 % 71) * 1e-4)
        return await super().deliver(compiled, single_send, last_check)


class Slow(Instant):
    """The same, answered after 40 to 60 ms."""

    @asks_last_check
    async def deliver(
        self,
        compiled: CompiledWeChatMessage,
        single_send: SingleSend,
        last_check: LastCheck | None = None,
    ) -> Answer:
        await asyncio.sleep((400 + single_send.seq * 37 % 201) * 1e-4)
        return await super().deliver(compiled, single_send, last_check)


class Paced(Instant):
    """The same at the default pace, answered after 30 ms; its quota is its own, since what processes
    share is told by a clock that passes, and the one here is moved."""

    pace = Pace(singles_per_second=50, shared_quota=False)

    @asks_last_check
    async def deliver(
        self,
        compiled: CompiledWeChatMessage,
        single_send: SingleSend,
        last_check: LastCheck | None = None,
    ) -> Answer:
        if last_check is not None and not last_check.passes() and not await last_check.wait():
            raise RuntimeError("nobody waits for a second at the gate")
        await asyncio.sleep(0.03)
        return await super().deliver(compiled, single_send)


def _account(kind: type[Instant]) -> Instant:
    async def token(stale: str | None) -> str:
        return "t"

    return kind("wx0123456789", token=token, pace=kind.pace)


async def _campaign(
    count: int, kind: str, folder: str, planned: Callable[[], None], account: type[Instant]
) -> None:
    async with _account(account) as wechat:
        campaign = Campaign(wechat, message(), recipients(count), **journal(kind, folder))
        async with campaign as run:
            planned()
            await run.wait()
        if campaign.report.sent != count:
            raise RuntimeError(f"{campaign.report.sent} of {count} were sent")


def _run(
    count: int,
    kind: str,
    planned: Callable[[], None] = lambda: None,
    account: type[Instant] = Instant,
) -> int:
    """Sends a whole campaign; returns how often its event loop slept."""
    with tempfile.TemporaryDirectory() as folder:
        return lockstep.run(_campaign(count, kind, folder, planned, account))


class _Calls:
    """Counts calls, Python's and C's, in all threads that start while it counts."""

    def __init__(self) -> None:
        self.total = 0

    def _hook(self, frame: Any, event: str, argument: Any) -> None:
        if event in ("call", "c_call"):
            self.total += 1

    @contextmanager
    def counting(self) -> Iterator[None]:
        """In here."""
        threading.setprofile(self._hook)
        sys.setprofile(self._hook)
        try:
            yield
        finally:
            sys.setprofile(None)
            threading.setprofile(None)


def _calls(count: int, kind: str) -> tuple[float, float]:
    """Calls of a whole campaign and of its planning. The first run warms caches up."""
    _run(64, kind)
    calls = _Calls()
    at_plan = 0

    def planned() -> None:
        nonlocal at_plan
        at_plan = calls.total

    with calls.counting():
        _run(count, kind, planned)
    return calls.total, at_plan


def engine_calls(kind: str, small: int, large: int) -> tuple[float, float]:
    """Calls a message in all, and of planning: the slope between two sizes, so without the start."""
    low, low_plan = _calls(small, kind)
    high, high_plan = _calls(large, kind)
    span = large - small
    return (high - low) / span, (high_plan - low_plan) / span


def client_calls(count: int) -> float:
    """Calls a message of the client alone, one after the other, over a real connection."""
    responder = Responder(None)
    try:
        job = Job(base_url=responder.url, messages=count, concurrency=1)
        asyncio.run(run_client(job))
        calls = _Calls()
        with calls.counting():
            asyncio.run(run_client(job))
        return calls.total / count
    finally:
        responder.close()


@contextmanager
def _noting(note: Callable[[str], None]) -> Iterator[None]:
    """In here, each SQL statement is told to `note`."""
    connect = sqlite3.connect

    def traced(*args: Any, **kwargs: Any) -> sqlite3.Connection:
        base: sqlite3.Connection = connect(*args, **kwargs)
        base.set_trace_callback(note)
        return base

    with mock.patch("sqlite3.connect", traced):
        yield


def _statements(count: int) -> tuple[int, int]:
    """SQL statements of a campaign: (sending, planning without the inserts of rows)."""
    seen = {"sending": 0, "planning": 0}
    phase = "planning"

    def note(text: str) -> None:
        if not text.lstrip().startswith("INSERT INTO recipient"):
            seen[phase] += 1

    def planned() -> None:
        nonlocal phase
        phase = "sending"

    with _noting(note):
        _run(count, "power", planned, Spread)
    return seen["sending"], seen["planning"]


def statements(small: int, large: int) -> tuple[float, float]:
    """SQL statements a thousand recipients, sending and planning: the slope between two sizes."""
    _statements(16)  # what is only done once in a process
    low, high = _statements(small), _statements(large)
    sending, planning = (
        (most - least) / (large - small) for least, most in zip(low, high, strict=True)
    )
    return sending * 1e3, planning * 1e3


def _commits(count: int, account: type[Instant]) -> tuple[int, int]:
    """How often a campaign slept, and its commits."""
    commits = 0

    def note(text: str) -> None:
        nonlocal commits
        commits += text == "COMMIT"

    with _noting(note):
        sleeps = _run(count, "power", account=account)
    return sleeps, commits


def slow_commits(small: int, large: int) -> float:
    """Commits a thousand messages of slow answers, as an engine asks for them whose journal lingers like
    one in a database: the slope between two sizes. A server is not needed for that."""
    with mock.patch.object(SqliteHandle, "linger", LINGER):
        low, high = _commits(small, Slow), _commits(large, Slow)
    return (high[1] - low[1]) / (large - small) * 1e3


def at_a_pace(small: int, large: int) -> tuple[float, float]:
    """Wake-ups and commits a message at 50 a second: the slope between two sizes."""
    low, high = _commits(small, Paced), _commits(large, Paced)
    wake_ups, commits = (
        (most - least) / (large - small) for least, most in zip(low, high, strict=True)
    )
    return wake_ups, commits


def held_bytes(small: int, large: int) -> float:
    """How much higher Python's memory peaks for each recipient more.

    Args:
        small: enough to fill what a run has at hand at once, which does not grow with the list.
    """
    peaks = []
    _run(64, "process")
    for count in (small, large):
        gc.collect()
        tracemalloc.start()
        try:
            _run(count, "process")
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
    return (peaks[1] - peaks[0]) / (large - small)


def count_all() -> dict[str, float]:
    """Everything of COUNTS; some seconds."""
    memory, _ = engine_calls("memory", 1_024, 5_120)
    sqlite, planning = engine_calls("process", 1_024, 5_120)
    sending, made = statements(1_024, 6_144)
    wake_ups, commits = at_a_pace(500, 2_000)
    return {
        "client calls": client_calls(500),
        "memory calls": memory,
        "sqlite calls": sqlite,
        "planning calls": planning,
        "statements": sending,
        "planning statements": made,
        "paced wake-ups": wake_ups,
        "paced commits": commits,
        "slow commits": slow_commits(1_024, 6_144),
        "held bytes": held_bytes(8_000, 24_000),
    }


class Finding(NamedTuple):
    """One count beside what was stated. `verdict` is ok, worse or better."""

    name: str
    counted: float
    stated: float
    allowed: float
    verdict: str


def compare(counted: dict[str, float], stated: dict[str, Any]) -> list[Finding]:
    """Judges counts by the document of gate.json.

    Args:
        stated: `{"tolerance": 0.1, "counts": {name: number}, "slack": {name: number}}`: a count may
            be above its number by the tolerance (a share) and the slack (in its own unit).

    Raises:
        ValueError: the document states other counts than there are.
    """
    numbers = stated["counts"]
    if set(numbers) != set(counted):
        odd = ", ".join(sorted(set(numbers) ^ set(counted)))
        raise ValueError(f"gate.json and gate.py do not count the same: {odd}; run with --update")
    findings = []
    for name, value in counted.items():
        slack = stated.get("slack", {}).get(name, 0.0)
        room = abs(numbers[name]) * stated["tolerance"] + slack
        verdict = "ok"
        if value > numbers[name] + room:
            verdict = "worse"
        elif value < numbers[name] - room:
            verdict = "better"
        findings.append(Finding(name, value, numbers[name], numbers[name] + room, verdict))
    return findings


def main(arguments: list[str] | None = None) -> int:
    """Prints the counts; returns 1 when one is worse than stated."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gate", description=__doc__)
    parser.add_argument("--update", action="store_true", help="state what is counted now")
    told = parser.parse_args(arguments)
    counted = count_all()
    stated = json.loads(STATED.read_text())
    if told.update:
        stated["counts"] = {name: round(value, 2) for name, value in counted.items()}
        STATED.write_text(json.dumps(stated, indent=2) + "\n")
    findings = compare(counted, stated)
    rows = [
        [COUNTS[f.name], f"{f.counted:.2f}", f"{f.stated:.2f}", f"{f.allowed:.2f}", f.verdict]
        for f in findings
    ]
    print(render(["count", "now", "stated", "allowed", ""], rows))
    if any(finding.verdict == "better" for finding in findings):
        print("better than stated: run `python -m benchmarks.gate --update` and commit gate.json")
    return int(any(finding.verdict == "worse" for finding in findings))


if __name__ == "__main__":
    sys.exit(main())
