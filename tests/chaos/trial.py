"""One campaign under fire: killed again and again, resumed until done, compared with the ledger."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from random import Random
from typing import Final

import msgspec

from promomsg.alipay.signing import KeyPair, make_key_pair
from promomsg.journal.sqlite.journal import JournalReader
from promomsg.model import Outcome, State
from promomsg.sandbox import Fault, FaultPlan, Ledger, Sandbox, SandboxSettings
from promomsg.states import GroupState

from .child_campaign import AREA, SMALL_AREA, Job, address, expected_groups
from .fork_server import Ending, ForkServer
from .power_cut import PowerCut

__all__ = [
    "CRASH_POINTS",
    "Counted",
    "Result",
    "Trial",
    "faults",
    "keys",
    "read_rows",
    "settings",
]

_PLANNING: Final = ("plan-batch", "plan-sealed")
_SENDING: Final = (
    "after-intend-commit",
    "before-settle-commit",
    "results-durable",
    "after-settle-commit",
)
_GROUPS: Final = ("group-intended", "group-result-durable", "group-accepted", "poll", "merge")
CRASH_POINTS: Final = {
    "singles": (*_PLANNING, *_SENDING),
    "alipay": (*_PLANNING, *_SENDING),
    "groups": (*_PLANNING, *_SENDING, *_GROUPS),
}
"""The crash points that each kind of campaign passes."""

_TIMES: Final = {
    "plan-batch": 1,
    "plan-sealed": 1,
    "merge": 2,
    "poll": 4,
    "group-intended": 2,
    "group-result-durable": 2,
    "group-accepted": 2,
}
_LOSING: Final = frozenset(
    {
        "refuse",
        "reset_before_reading",
        "drop_after_delivering",
        "truncate",
        "html",
        "status",
        "minus_one",
        "garbage",
        "hang",
    }
)
"""Faults after which nobody can say whether the message was taken."""
_SENDS: Final = frozenset({"singlesendmsg", "sendmsg", "alipay.send"})
_COUNTS: Final = {"singles": 2000, "groups": 8 * AREA + SMALL_AREA, "alipay": 400}
_LONGEST: Final = {"singles": 0.25, "groups": 0.12, "alipay": 0.25}
"""Seconds after its start by which a process is killed: less than a campaign takes."""
_MOST_RUNS: Final = 60


class Counted(Ledger):
    """A ledger that also counts the faults that lose the answer of a send."""

    def __init__(self) -> None:
        super().__init__()
        self.lost: Counter[str] = Counter()

    def fault(self, kind: str, *, endpoint: str, call: int) -> None:
        super().fault(kind, endpoint=endpoint, call=call)
        # A connection that is reset as soon as it is made may take a request with it.
        if kind in _LOSING and (endpoint in _SENDS or endpoint == "connect"):
            self.lost[endpoint] += 1


class Result(msgspec.Struct, kw_only=True):
    """What one trial came to."""

    name: str
    kills: int = 0
    by_point: Counter[str] = msgspec.field(default_factory=Counter)
    runs: int = 0
    unknown: int = 0
    bound: int = 0
    sent: int = 0
    failed: int = 0
    faults: int = 0
    seconds: float = 0.0


@cache
def keys() -> KeyPair:
    """The merchant's key pair: the same one all over a process, since making one takes long."""
    return make_key_pair()


def faults(
    kind: str, rng: Random, *, throttles: bool = True, answers_after: float = 0.0
) -> FaultPlan:
    """Seeded faults on everything that this kind of campaign calls.

    Args:
        throttles: whether the provider holds senders for a minute, which a clock has to hurry.
        answers_after: seconds that an answer to a single send takes when nothing goes wrong.
    """
    sends = "alipay.send" if kind == "alipay" else "singlesendmsg"
    rules: list[Fault] = [Fault(endpoint="connect", kind="refuse", probability=0.02)]
    rules += _each(sends, 0.01, "reset_before_reading", "drop_after_delivering", "minus_one")
    rules += _each(sends, 0.01, "truncate", "html")
    rules += [
        Fault(endpoint=sends, kind="status", status=502, probability=0.005),
        Fault(endpoint=sends, kind="status", status=502, probability=0.005, delivered=True),
        Fault(endpoint=sends, kind="throttle", probability=0.002, limit=3 if throttles else 0),
        Fault(endpoint=sends, kind="slow", seconds=0.02, probability=0.03),
    ]
    if kind == "groups":
        kinds = ("reset_before_reading", "drop_after_delivering", "truncate", "minus_one")
        rules += _each("sendmsg", 0.03, *kinds)
        rules.append(
            Fault(endpoint="sendmsg", kind="throttle", probability=0.05, limit=int(throttles))
        )
        rules += _each("getmsg", 0.04, *kinds, "html", "status")
        rules += _each("failure_file", 0.1, "reset_before_reading", "truncate", "status", limit=2)
    if kind != "alipay":
        rules.append(Fault(endpoint="token", kind="status", status=502, probability=0.1, limit=2))
    if answers_after:
        rules.append(Fault(endpoint=sends, kind="slow", seconds=answers_after))
    return FaultPlan(rules, seed=rng.randrange(2**32))


def _each(endpoint: str, probability: float, *kinds: str, limit: int | None = None) -> list[Fault]:
    return [
        Fault(endpoint=endpoint, kind=kind, probability=probability, limit=limit) for kind in kinds
    ]


def settings(kind: str, count: int, rng: Random) -> SandboxSettings:
    """A provider that refuses a few, and whose groups fail in part."""
    refused = rng.sample(range(count), count // 50)
    if kind == "alipay":
        return SandboxSettings(
            client_public_key=keys().public_pem,
            keep_requests=0,
            user_results={address(kind, n): "USER_NOT_SUBSCRIBED" for n in refused},
        )
    return SandboxSettings(
        keep_requests=0,
        refuse_single={address(kind, n): 43101 for n in refused},
        group_fail_fraction=0.1,
        failure_threshold=rng.choice([0, 3, 1000]),
        failure_format=rng.choice(["csv", "tsv", "json", "jsonl"]),
        poll_steps=rng.choice([(30, 70, 100), (100,), (None, None, None), (10, 10, 100)]),
    )


def read_rows(path: Path) -> tuple[list[Outcome], JournalReader]:
    """Every row, and the reader it came from."""
    reader = JournalReader(path)
    return list(reader.rows()), reader


class Trial:
    """One campaign from its first process to its last.

    Args:
        kind: "singles", "groups" or "alipay".
        seed: of everything: faults, kills, settings.
        folder: where the journal is to be; empty.
        power: each kill is a power cut as well; the fork server has to be its `fork_server()`.
        kills: how often to kill, if the campaign lasts that long.
        crash: the crash point of every kill; None draws by lot between points and times.
        count: how many recipients; None: 2,000 singles, 500 in groups, 400 wallet users.
    """

    def __init__(
        self,
        kind: str,
        seed: str,
        folder: Path,
        *,
        power: PowerCut | None = None,
        kills: int = 12,
        crash: str | None = None,
        count: int | None = None,
    ) -> None:
        self.kind = kind
        self.count = count or _COUNTS[kind]
        self._power = power
        self._always = crash
        self.folder = folder
        self.kills = kills
        self._rng = Random(f"{kind}/{seed}")
        self.journal = folder / "chaos.db"
        self.ledger = Counted()
        self.result = Result(name=f"{kind}/{seed}")

    async def run(self, fork_server: ForkServer) -> Result:
        """Kills, resumes, checks.

        Raises:
            AssertionError: a promise was broken; the text names the trial.
        """
        rng, result = self._rng, self.result
        async with Sandbox(
            seed=rng.randrange(2**32),
            faults=faults(self.kind, rng),
            ledger=self.ledger,
            settings=settings(self.kind, self.count, rng),
        ) as box:
            while True:
                assert result.runs < _MOST_RUNS, f"{result.name}: not done after {result.runs} runs"
                job = self._job(box)
                ending = await fork_server.run(job)
                result.runs += 1
                result.seconds += ending.seconds
                if ending.killed and self._power is not None:
                    self._power.cut(rng)
                if ending.killed:
                    result.kills += 1
                    result.by_point[job.crash.partition(":")[0] if job.crash else "time"] += 1
                with self._explained(job, ending):
                    assert ending.killed or ending.status == 0
                    done = self._check_step()
                    if not ending.killed and done:
                        self._check_end()
                        assert not list(box.complaints)
                        break
                if rng.random() < 0.2:
                    box.expire_tokens()
        result.faults = self.ledger.faults.total()
        return result

    def _job(self, box: Sandbox) -> Job:
        rng = self._rng
        crash: str | None = None
        after: float | None = None
        if self.result.kills < self.kills:
            if self._always is not None:
                crash = self._always
            elif rng.random() < 0.5:
                # What comes once is passed in the first process only.
                points = CRASH_POINTS[self.kind]
                if self.journal.exists():
                    points = tuple(p for p in points if p not in _PLANNING)
                    points = _GROUPS if self.kind == "groups" and rng.random() < 0.6 else points
                elif rng.random() < 0.5:
                    points = _PLANNING
                point = rng.choice(points)
                crash = f"{point}:{rng.randint(1, _TIMES.get(point, 12))}"
            else:
                after = rng.uniform(0.002, _LONGEST[self.kind])
        return Job(
            kind=self.kind,
            url=box.url,
            journal=str(self.journal),
            count=self.count,
            kill_after=after,
            crash=crash,
            durability="power" if self._power else rng.choice(["power", "process"]),
            keys=(keys().private_pem.reveal(), box.alipay_public_key)
            if self.kind == "alipay"
            else None,
            log=str(self.folder / "log"),
            result=str(self.folder / "result.json"),
        )

    @contextmanager
    def _explained(self, job: Job, ending: Ending) -> Iterator[None]:
        try:
            yield
        except AssertionError as error:
            log = self.folder / "log"
            said = log.read_text()[-3000:] if log.exists() else ""
            raise AssertionError(
                f"{self.result.name}, run {self.result.runs} ({job.crash or job.kill_after}; "
                f"{ending}): {error}\n{said}"
            ) from error

    # The promises.

    def _check_step(self) -> bool:
        """What has to hold at every moment; whether everybody has an outcome."""
        if not self.journal.exists():
            # Half a plan: nothing can have been sent.
            assert self.ledger.total == 0, "something was sent before the plan was complete"
            return False
        rows, reader = self._read()
        with reader:
            counts, groups = reader.counts(), reader.groups()
        assert counts.planned == self.count == len(rows)
        parts = (counts.sent, counts.failed, counts.unknown, counts.skipped, counts.cancelled)
        assert sum(parts) + counts.pending == counts.planned, f"not conserved: {counts}"
        states = Counter(row.state for row in rows)
        assert parts == tuple(
            states[s]
            for s in (State.SENT, State.FAILED, State.UNKNOWN, State.SKIPPED, State.CANCELLED)
        ), f"{counts} is not {states}"
        assert not self.ledger.twice(), f"delivered twice: {self.ledger.twice()[:5]}"
        out = {g.msg_id or str(g.group_no) for g in groups if g.state is not GroupState.PLANNED}
        for row in rows:
            name, count = self._delivered(row)
            if row.state is State.SENT:
                assert count == 1, f"{name} is sent and was not delivered"
            elif row.state is State.FAILED:
                assert count == 0, f"{name} is failed and was delivered"
            elif row.state is State.PENDING and self.kind != "alipay" and row.group not in out:
                assert count == 0, f"{name} is pending and was delivered"
        return counts.pending == 0

    def _read(self) -> tuple[list[Outcome], JournalReader]:
        """Mostly of a copy: the last reader to close tidies up what the kill has left."""
        if self._rng.random() < 0.3:
            return read_rows(self.journal)
        copy = self.folder / "copy.db"
        for end in ("", "-wal"):
            side = Path(f"{copy}{end}")
            side.unlink(missing_ok=True)
            if Path(f"{self.journal}{end}").exists():
                shutil.copyfile(f"{self.journal}{end}", side)
        Path(f"{copy}-shm").unlink(missing_ok=True)
        return read_rows(copy)

    def _delivered(self, row: Outcome) -> tuple[str, int]:
        who = row.recipient
        name = address(self.kind, int(who.key[1:])) if self.kind == "alipay" else who.id
        assert name is not None
        return name, self.ledger.deliveries(name)

    def _check_end(self) -> None:
        """What has to hold of a finished campaign."""
        rows, reader = read_rows(self.journal)
        with reader:
            groups = reader.groups()
        result = self.result
        states = Counter(row.state for row in rows)
        result.sent, result.failed = states[State.SENT], states[State.FAILED]
        assert {self._delivered(row)[0] for row in rows} == {
            address(self.kind, n) for n in range(self.count)
        }, "somebody is missing"
        assert set(states) <= {State.SENT, State.FAILED, State.UNKNOWN}
        unknown = [row for row in rows if row.state is State.UNKNOWN]
        for row in rows:
            if self._delivered(row)[1]:
                assert row.state in (State.SENT, State.UNKNOWN), f"{row} was delivered"
        # In calls: a lost group counts as one, whatever its members.
        calls = {row.group if row.group is not None else row.recipient.key for row in unknown}
        result.unknown = len(calls)
        result.bound = self.ledger.lost.total() + result.kills * 2 * 8
        assert len(calls) <= result.bound, f"{len(calls)} unknown, over {result.bound}"
        assert len(groups) == expected_groups(self.kind, self.count)
        lost = sum(g.state is GroupState.UNKNOWN for g in groups)
        faults = self.ledger.lost["sendmsg"] + self.ledger.lost["connect"]
        assert lost <= faults + result.kills
        for row in rows:
            group = self.ledger.group(row.group) if row.group is not None else None
            if group is not None and row.state is not State.UNKNOWN:
                name = self._delivered(row)[0]
                expected = "" if name not in group.failed else str(group.failed[name])
                assert row.code == expected, f"{row} of a group that says {expected!r}"
        if self.kind == "alipay":
            for row in rows:
                name, count = self._delivered(row)
                assert (row.state is State.SENT) == (count == 1), f"{row}: {count} deliveries"
        # The journal of a finished campaign has no plan, no lock and no log beside it.
        for end in (".planning", ".lock", "-wal", "-shm"):
            assert not Path(f"{self.journal}{end}").exists(), f"{end} was left"
