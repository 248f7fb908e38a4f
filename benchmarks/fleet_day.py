"""A day of a fleet, simulated: `python -m benchmarks.fleet_day`. It sends nothing and needs no server.

Second by second: workers take chunks of recipients by lease, send at what one core, their concurrency
and the account's quota allow, are killed and come back; the database is restarted. It says when the
campaign would end, and what it would cost. The costs are measured ones (`COSTS`); docs/fleet.md has the
same as arithmetic, and the two are held together by a test.
"""

from __future__ import annotations

import argparse
import heapq
import sys
from collections.abc import Sequence
from random import Random
from typing import Final

import msgspec

from benchmarks.table import render

__all__ = ["COSTS", "Costs", "Day", "Outcome", "main", "simulate", "table"]


class Costs(msgspec.Struct, frozen=True, kw_only=True):
    """What a message costs, as the suite `fleet` measured it (docs/performance.md, "fleet"): workers with 16
    calls in flight each and answers of 50 ms, on a machine with other work, so rather too much.

    Attributes:
        worker_us, server_us: CPU of a worker, and of the PostgreSQL server, in µs a message.
        statements: commits a thousand messages. With more calls in flight each has more results.
        idle_statements: a second and worker, whether it sends or not: heartbeat, renewals, sweep, quota.
        disk, wal: bytes a recipient, from planning to the last result.
    """

    worker_us: float = 220.0
    server_us: float = 140.0
    statements: float = 200.0
    idle_statements: float = 5.0
    disk: int = 350
    wal: int = 530


COSTS: Final = Costs()

_CHUNK: Final = 512
_LEASE: Final = (10.0, 15.0)
"""Seconds for which the leases of a killed worker still live: 15, less the time since the last renewal."""
_RESTARTS_IN: Final = 5
"""Seconds until a killed worker is back (systemd's RestartSec)."""


class Day(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be sent, by whom, and what goes wrong.

    Attributes:
        rate: messages a second that the account's quota allows; None: as the workers can.
        concurrency: calls in flight of one worker.
        answer: seconds until a call is answered.
        kills: workers killed, over the whole day.
        restarts: of the database, each with `away` seconds without it.
    """

    recipients: int = 100_000_000
    rate: float | None = None
    workers: int = 4
    concurrency: int = 256
    answer: float = 0.05
    kills: int = 24
    restarts: int = 2
    away: int = 5
    hours: float = 12.0
    seed: int = 1


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How it ended; CPU in cores, sizes in bytes.

    Attributes:
        seconds: until the last recipient had an outcome.
        sent, unknown: recipients; together all of them.
        in_doubt_at_most: the bound of the promise: twice the concurrency for each kill.
        statements: a second, while it sends.
    """

    seconds: int
    sent: int
    unknown: int
    in_doubt_at_most: int
    worker_cores: float
    server_cores: float
    statements: float
    disk: int
    wal: int


class _Worker:
    __slots__ = ("back_at", "held")

    def __init__(self) -> None:
        self.held = 0
        """Recipients of its leased chunks who are pending."""
        self.back_at = 0


class _Fleet:
    """The state of the simulation between two seconds."""

    def __init__(self, day: Day, costs: Costs) -> None:
        self.day = day
        self.left = day.recipients
        self.sent = self.unknown = 0
        self.workers = [_Worker() for _ in range(day.workers)]
        self.returning: list[tuple[float, int]] = []
        """When the leases of killed workers end, and how many recipients come back with them."""
        self.capacity = min(day.concurrency / day.answer, 1e6 / costs.worker_us)

    @property
    def over(self) -> bool:
        return self.sent + self.unknown == self.day.recipients

    def step(self, now: int, budget: int) -> None:
        """One second, in which `budget` calls may be made."""
        while self.returning and self.returning[0][0] <= now:
            self.left += heapq.heappop(self.returning)[1]
        alive = [worker for worker in self.workers if worker.back_at <= now]
        for at, worker in enumerate(alive):
            share = budget // (len(alive) - at)
            wanted = int(min(self.capacity, share))
            while worker.held < wanted and self.left:
                taken = min(_CHUNK, self.left)
                self.left -= taken
                worker.held += taken
            done = min(wanted, worker.held)
            worker.held -= done
            self.sent += done
            budget -= done

    def kill(self, worker: _Worker, now: int, lease: float, rate: float) -> None:
        """What it had out is unknown, what it had leased comes back when the leases end."""
        out = min(int(rate * self.day.answer), self.day.concurrency, worker.held)
        self.unknown += out
        heapq.heappush(self.returning, (now + lease, worker.held - out))
        worker.held = 0
        worker.back_at = now + _RESTARTS_IN


def simulate(day: Day, costs: Costs = COSTS) -> Outcome:
    """Runs a day to the last outcome.

    Raises:
        ValueError: nobody would send.
    """
    if day.workers < 1 or day.recipients < 1 or (day.rate is not None and day.rate <= 0):
        raise ValueError("recipients, workers and the rate have to be above 0")
    rng = Random(day.seed)
    span = max(int(day.hours * 3600), 1)
    kills = sorted(rng.randrange(span) for _ in range(day.kills))
    restarts = {second for _ in range(day.restarts) for second in _while_away(rng, span, day.away)}
    fleet = _Fleet(day, costs)
    most = fleet.capacity * day.workers
    rate = most if day.rate is None else min(day.rate, most)
    now, owed, killed = 0, 0.0, 0
    while not fleet.over:
        if now not in restarts:
            owed += rate
            fleet.step(now, int(owed))
            owed -= int(owed)
        while killed < len(kills) and kills[killed] <= now:
            killed += 1
            victim = fleet.workers[rng.randrange(day.workers)]
            if victim.back_at <= now:
                fleet.kill(victim, now, rng.uniform(*_LEASE), rate / day.workers)
        now += 1
    mean = day.recipients / now
    return Outcome(
        seconds=now,
        sent=fleet.sent,
        unknown=fleet.unknown,
        in_doubt_at_most=2 * day.concurrency * killed,
        worker_cores=mean * costs.worker_us / 1e6,
        server_cores=mean * costs.server_us / 1e6,
        statements=mean * costs.statements / 1000 + costs.idle_statements * day.workers,
        disk=day.recipients * costs.disk,
        wal=day.recipients * costs.wal,
    )


def _while_away(rng: Random, span: int, seconds: int) -> range:
    begins = rng.randrange(span)
    return range(begins, begins + seconds)


def table(day: Day, found: Outcome) -> str:
    """The day as lines of text."""
    rows = [
        ("recipients", f"{day.recipients:,}"),
        ("workers", f"{day.workers}, each with {day.concurrency} calls in flight"),
        ("rate", "as they can" if day.rate is None else f"{day.rate:,.0f} a second"),
        ("killed", f"{day.kills} times in {day.hours:g} hours"),
        ("database restarted", f"{day.restarts} times, {day.away} s each"),
        ("ends after", f"{found.seconds / 3600:.2f} hours"),
        ("sent", f"{found.sent:,}"),
        ("unknown", f"{found.unknown:,} (at most {found.in_doubt_at_most:,})"),
        ("workers' CPU", f"{found.worker_cores:.2f} cores together"),
        ("server's CPU", f"{found.server_cores:.2f} cores"),
        ("statements", f"{found.statements:.0f} a second"),
        ("disk", f"{found.disk / 1e9:.1f} GB"),
        ("WAL", f"{found.wal / 1e9:.1f} GB"),
    ]
    return render(("what", "how much"), rows)


def main(argv: Sequence[str] | None = None) -> int:
    """The command."""
    default = Day()
    parser = argparse.ArgumentParser("python -m benchmarks.fleet_day", description=__doc__)
    parser.add_argument("--recipients", type=int, default=default.recipients)
    parser.add_argument("--rate", type=float, help="messages a second of the account's quota")
    parser.add_argument("--workers", type=int, default=default.workers)
    parser.add_argument("--concurrency", type=int, default=default.concurrency)
    parser.add_argument("--answer", type=float, default=default.answer, help="seconds")
    parser.add_argument("--kills", type=int, default=default.kills)
    parser.add_argument("--restarts", type=int, default=default.restarts)
    parser.add_argument("--away", type=int, default=default.away, help="seconds of each restart")
    parser.add_argument("--hours", type=float, default=default.hours, help="in which they happen")
    parser.add_argument("--seed", type=int, default=default.seed)
    day = Day(**vars(parser.parse_args(argv)))
    print(table(day, simulate(day)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
