"""One campaign sent by several machines under fire, compared with the ledger once it has ended."""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter
from functools import partial
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Final, Literal

import msgspec
import psycopg
from waiting import until

from promomsg import Campaign, Fleet, Pace, PollPolicy, RetryPolicy, WeChatPromoter
from promomsg.journal.contract import Journal
from promomsg.journal.records import Standing
from promomsg.model import Outcome, State
from promomsg.sandbox import Sandbox

from .child_campaign import AREA, SMALL_AREA, address, expected_groups, message, people
from .fleet_machines import LIFE, Machine, Machines, passed
from .trial import Counted, faults, settings

if TYPE_CHECKING:
    from postgres_server import PostgresServer

__all__ = ["FleetResult", "FleetTrial", "check_campaign", "hand_over"]

Kind = Literal["singles", "groups"]
_COUNTS: Final = {"singles": 1500, "groups": 12 * AREA + SMALL_AREA}
_CONCURRENCY: Final = 8
_ANSWERS_AFTER: Final = 0.1
"""Seconds: long enough for much to happen while a campaign is sent."""
_LONGEST: Final = 90.0
"""Seconds in which a campaign has to end once nobody is killed any more."""


class FleetResult(msgspec.Struct, kw_only=True):
    """What a campaign came to.

    Attributes:
        kills, freezes: of machines; crashes: of the database's server; emptied: how often its queue was.
        unknown: calls of which nobody knows what came of them; bound: so many at the most.
        sent, failed: recipients; faults: of the provider.
    """

    name: str
    kills: int = 0
    freezes: int = 0
    crashes: int = 0
    emptied: int = 0
    unknown: int = 0
    bound: int = 0
    sent: int = 0
    failed: int = 0
    faults: int = 0


async def hand_over(
    journal: Journal, box: Sandbox, kind: Kind, count: int, *, concurrency: int = _CONCURRENCY
) -> None:
    """Plans a campaign, and leaves it to whoever sends."""
    async with WeChatPromoter(
        "wx1", "s3cret", base_url=box.url, pace=Pace(unlimited=True)
    ) as planner:
        await Campaign(
            planner,
            message(kind),
            people(kind, count),
            name="chaos",
            journal=journal,
            concurrency=concurrency,
            poll=PollPolicy(first_after=0.05, every=0.1, give_up_after=1e6),
            retry=RetryPolicy(first_pause=0.01, longest_pause=0.05),
        ).hand_over()


def check_campaign(journal: Journal, box: Sandbox, kind: Kind, count: int) -> list[Outcome]:
    """Every recipient's outcome; what it says is what the sandbox did, and nobody got it twice."""
    view = journal.reader()
    try:
        counts, rows = view.standing().counts, list(view.rows())
    finally:
        view.close()
    parts = (counts.sent, counts.failed, counts.unknown, counts.skipped, counts.cancelled)
    assert sum(parts) + counts.pending == counts.planned == count == len(rows), counts
    states = Counter(row.state for row in rows)
    assert parts[:3] == tuple(states[s] for s in (State.SENT, State.FAILED, State.UNKNOWN))
    assert not box.ledger.twice(), f"delivered twice: {box.ledger.twice()[:5]}"
    assert {row.recipient.id for row in rows} == {address(kind, n) for n in range(count)}
    for row in rows:
        reached = box.ledger.deliveries(row.recipient.id or "")
        if row.state is State.SENT:
            assert reached == 1, f"{row} was not delivered"
        elif row.state is not State.UNKNOWN:
            assert reached == 0, f"{row} was delivered"
    return rows


def _is_there(machine: Machine) -> bool:
    return "ready" in machine.said() or machine.has_ended()


class FleetTrial:
    """A campaign from its plan to its end, while its machines are killed, frozen and replaced, the
    queue is emptied and the database's server crashes.

    Args:
        kind: "singles" or "groups".
        seed: of everything: faults, settings, and what happens when.
        folder: for logs; empty.
        server: the database's, to be crashed as well.
        kills: how often to kill, if the campaign lasts that long.
        count: how many recipients; None: 1,500 singles, 740 in groups.
    """

    def __init__(
        self,
        kind: Kind,
        seed: str,
        folder: Path,
        server: PostgresServer,
        *,
        kills: int = 10,
        count: int | None = None,
    ) -> None:
        self.kind: Kind = kind
        self.count = count or _COUNTS[kind]
        self.result = FleetResult(name=f"fleet-{kind}/{seed}")
        self._rng = Random(f"{kind}/{seed}")
        self._folder = folder
        self._server = server
        self._kills = kills
        self._name = f"chaos-{secrets.token_hex(4)}"
        self._journal = Fleet(server.url()).journal(self._name)
        self._senders: list[Machine] = []
        self._thawing: list[tuple[float, Machine]] = []

    async def run(self) -> FleetResult:
        """Returns once the campaign has ended by itself.

        Raises:
            AssertionError: a promise was broken; the text names the trial.
        """
        rng, result, ledger = self._rng, self.result, Counted()
        await Fleet(self._server.url()).prepare()
        async with Sandbox(
            seed=rng.randrange(2**32),
            faults=faults(self.kind, rng, throttles=False, answers_after=_ANSWERS_AFTER),
            ledger=ledger,
            settings=settings(self.kind, self.count, rng),
        ) as box:
            await hand_over(self._journal, box, self.kind, self.count)
            with Machines(self._folder) as machines:
                try:
                    await self._under_fire(machines, box)
                    rows = check_campaign(self._journal, box, self.kind, self.count)
                    self._check_end(rows, ledger)
                except AssertionError as error:
                    raise AssertionError(f"{result}: {error}\n{machines.said()}") from error
            assert not list(box.complaints)
        self._journal.discard()
        result.faults = ledger.faults.total()
        return result

    async def _under_fire(self, machines: Machines, box: Sandbox) -> None:
        rng, loop = self._rng, asyncio.get_running_loop()
        for _ in range(rng.randint(2, 4)):
            self._begin(machines, box)
        last = loop.time()
        while not self._has_ended():
            await asyncio.sleep(rng.uniform(0.05, 0.4))  # the machines work meanwhile
            if self.result.kills < self._kills:
                last = loop.time()
                await self._happen(machines, box)
            for at, machine in [one for one in self._thawing if one[0] <= loop.time()]:
                machine.go_on()
                self._thawing.remove((at, machine))
            for machine in [one for one in self._senders if one.has_ended()]:
                # The database was away when it began. It is started anew, as a service manager does.
                assert "cannot be reached now" in machine.said()
                self._senders.remove(machine)
                self._begin(machines, box)
            assert loop.time() - last < _LONGEST, "it does not end"
        for _, machine in self._thawing:
            machine.go_on()
        for machine in self._senders:
            await until(partial(_is_there, machine), 30)
            machine.end()
        for machine in self._senders:
            status = await asyncio.to_thread(machine.wait)
            assert status == 0 or "ready" not in machine.said(), machine.said()

    def _begin(self, machines: Machines, box: Sandbox) -> None:
        self._senders.append(
            machines.start(database=self._server.url(), provider=box.url, concurrency=_CONCURRENCY)
        )

    async def _happen(self, machines: Machines, box: Sandbox) -> None:
        """One thing that goes wrong, by lot."""
        rng, result = self._rng, self.result
        frozen = [machine for _, machine in self._thawing]
        what = rng.choices(("kill", "freeze", "crash", "empty", "expire"), (60, 15, 5, 10, 10))[0]
        if what == "kill":
            victim = rng.choice(self._senders)
            victim.kill()
            self._senders.remove(victim)
            self._thawing = [one for one in self._thawing if one[1] is not victim]
            passed(self._server.url(), victim)
            result.kills += 1
            self._begin(machines, box)
        elif what == "freeze" and len(frozen) + 1 < len(self._senders):
            victim = rng.choice([one for one in self._senders if one not in frozen])
            victim.freeze()
            until = asyncio.get_running_loop().time() + rng.uniform(0.1, 2 * LIFE)
            self._thawing.append((until, victim))
            result.freezes += 1
        elif what == "crash":
            await asyncio.to_thread(self._server.stop, "immediate")
            await asyncio.to_thread(self._server.start)
            result.crashes += 1
        elif what == "empty":
            with psycopg.connect(self._server.url(), autocommit=True) as db:
                db.execute("SET search_path = promomsg")
                db.execute("DELETE FROM procrastinate_jobs")
            result.emptied += 1
        elif what == "expire":
            box.expire_tokens()

    def _has_ended(self) -> bool:
        """In the database: a report counts as unknown who is still out at a machine that died."""
        with psycopg.connect(self._server.url(), autocommit=True) as db:
            rows = db.execute(
                "SELECT FROM promomsg.recipient JOIN promomsg.campaign USING (campaign)"
                " WHERE journal = %s AND state <= 1 LIMIT 1",
                (self._name,),
            )
            return rows.fetchone() is None

    def _standing(self) -> Standing:
        view = self._journal.reader()
        try:
            return view.standing()
        finally:
            view.close()

    def _check_end(self, rows: list[Outcome], ledger: Counted) -> None:
        """What has to hold of a finished campaign."""
        result = self.result
        states = Counter(row.state for row in rows)
        result.sent, result.failed = states[State.SENT], states[State.FAILED]
        assert set(states) <= {State.SENT, State.FAILED, State.UNKNOWN}
        # In calls: a lost group counts as one, whatever its members.
        unknown = [row for row in rows if row.state is State.UNKNOWN]
        result.unknown = len(
            {row.group if row.group is not None else row.recipient.key for row in unknown}
        )
        ends = result.kills + result.freezes
        result.bound = ledger.lost.total() + ends * 2 * _CONCURRENCY
        assert result.unknown <= result.bound
        assert len(self._standing().groups) == expected_groups(self.kind, self.count)
        for row in rows:
            group = ledger.group(row.group) if row.group is not None else None
            if group is not None and row.state is not State.UNKNOWN:
                expected = str(group.failed.get(row.recipient.id or "", ""))
                assert row.code == expected, f"{row} of a group that says {expected!r}"
