"""Processes that send one campaign of a database together, to be killed, frozen and replaced.

A warm parent that has imported everything forks one child a machine, so that a start costs no import.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final, Literal, Self

import msgspec
import psycopg

if TYPE_CHECKING:
    from promomsg import WeChatPromoter

__all__ = ["LIFE", "Machine", "Machines", "Setup", "passed"]

LIFE: Final = 2.0
"""Seconds that a lease lives on these machines, instead of 15."""
_LOOKS: Final = 0.2
"""Seconds between two looks of a worker at what is to be done, instead of 2."""


class Setup(msgspec.Struct, kw_only=True):
    """What a machine does.

    Attributes:
        role: "worker" sends whatever campaign there is; "resume" sends one as `promomsg resume` does.
        database: the URL, as this machine reaches it.
        provider: the sandbox's.
        log: where it writes what it says; state: its state folder.
        campaign: of a "resume": its name.
        account: the appid that it sends for.
        concurrency: calls at once.
        life: seconds that its leases live.
    """

    role: Literal["worker", "resume"] = "worker"
    database: str
    provider: str
    log: str
    state: str
    campaign: str = ""
    account: str = "wx1"
    concurrency: int = 8
    life: float = LIFE


class Machine:
    """One process. It is reaped by its parent alone, so that its number stays its own until then.

    Attributes:
        status: its exit status, once it is known to have ended.
    """

    def __init__(self, machines: Machines, number: int, setup: Setup) -> None:
        self._machines = machines
        self.pid = number
        self.setup = setup
        self.status: int | None = None

    def said(self) -> str:
        """What it has written."""
        return Path(self.setup.log).read_text()

    def kill(self) -> None:
        """Ends it as `kill -9` does; returns when it has ended."""
        self._signal(signal.SIGKILL)
        self._signal(signal.SIGCONT)
        self.wait()

    def freeze(self) -> None:
        """It stands still, as a machine does that swaps, or is moved."""
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """It goes on from where it was frozen."""
        self._signal(signal.SIGCONT)

    def end(self) -> None:
        """Asks it to finish its calls and to end, as a service manager does."""
        self._signal(signal.SIGTERM)

    def wait(self, seconds: float = 60.0) -> int:
        """Its exit status, once it has ended."""
        return self._machines._ended(self, seconds)

    def has_ended(self) -> bool:
        """Whether it has, by itself or by a kill."""
        return self._machines._reaped(self) is not None

    def _signal(self, number: int) -> None:
        if self.pid in self._machines.alive:
            os.kill(self.pid, number)


class Machines:
    """A context manager; whatever is left of them is killed with it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.alive: dict[int, Machine] = {}
        self._number = 0
        self._turn = threading.Lock()

    def __enter__(self) -> Self:
        tests = Path(__file__).parents[1]
        env = dict(os.environ)
        paths = [str(tests), str(tests.parent), env.get("PYTHONPATH", "")]
        env["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
        # Coverage would begin anew in every child.
        env.pop("COV_CORE_SOURCE", None)
        env.pop("COVERAGE_PROCESS_START", None)
        self._parent = subprocess.Popen(
            [sys.executable, "-m", "chaos.fleet_machines"],
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for machine in list(self.alive.values()):
            machine.kill()
        assert self._parent.stdin is not None
        assert self._parent.stdout is not None
        self._parent.stdin.close()
        self._parent.wait()
        self._parent.stdout.close()

    def start(self, **setup: object) -> Machine:
        """Starts one; see `Setup`."""
        self._number += 1
        given = {
            "log": str(self._folder / f"log-{self._number}"),
            "state": str(self._folder / f"state-{self._number}"),
            **setup,
        }
        ordered = msgspec.convert(given, Setup)
        Path(ordered.log).touch()
        machine = Machine(self, int(self._ask({"start": msgspec.to_builtins(ordered)})), ordered)
        self.alive[machine.pid] = machine
        return machine

    def said(self) -> str:
        """What all of them have written."""
        logs = sorted(self._folder.glob("log-*"))
        return "\n".join(f"{log.name}: {log.read_text()[-2000:]}" for log in logs)

    def _ended(self, machine: Machine, seconds: float) -> int:
        end = time.monotonic() + seconds
        while (status := self._reaped(machine)) is None:
            assert time.monotonic() < end, f"it did not end: {machine.said()[-3000:]}"
            time.sleep(0.005)  # it has no event loop: between looks at its child
        return status

    def _reaped(self, machine: Machine) -> int | None:
        if machine.pid in self.alive:
            machine.status = self._ask({"ended": machine.pid})
            if machine.status is not None:
                del self.alive[machine.pid]
        return machine.status

    def _ask(self, question: dict[str, object]) -> int | None:
        parent = self._parent
        assert parent.stdin is not None
        assert parent.stdout is not None
        with self._turn:
            parent.stdin.write(msgspec.json.encode(question) + b"\n")
            parent.stdin.flush()
            answer: int | None = msgspec.json.decode(parent.stdout.readline())
        return answer


def passed(database: str, machine: Machine) -> None:
    """The 15 seconds after which a worker that says nothing more counts as gone have passed for this
    one: in the database, not on anybody's clock."""
    with psycopg.connect(database, autocommit=True) as db:
        db.execute(
            "UPDATE promomsg.worker SET seen_at = seen_at - 15 WHERE name LIKE %s",
            (f"%:{machine.pid}",),
        )


# In the child.


def _channel(setup: Setup) -> WeChatPromoter:
    from promomsg import WeChatPromoter

    return WeChatPromoter(setup.account, "s3cret", base_url=setup.provider, timeout=5.0)


async def _work(setup: Setup) -> None:
    from promomsg.fleet.accounts import GivenChannels
    from promomsg.fleet.worker import Worker

    async with _channel(setup) as channel:
        worker = Worker(
            setup.database,
            GivenChannels(channel),
            concurrency=setup.concurrency,
            started=lambda name: print("ready", name, flush=True),
        )
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, worker.stop)
        await worker.run()


async def _resume(setup: Setup) -> None:
    from promomsg import Campaign, Fleet

    async with _channel(setup) as channel:
        journal = Fleet(setup.database).journal(setup.campaign)
        async with Campaign.resume(journal, channel) as run:
            await run.wait()


def _child(setup: Setup) -> None:
    """Never returns."""
    status = 70
    try:
        null = os.open(os.devnull, os.O_RDONLY)
        log = os.open(setup.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(null, 0)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.environ["PROMOMSG_STATE"] = setup.state
        from promomsg.fleet import worker
        from promomsg.journal.postgres.access import CampaignAccess

        CampaignAccess.lease_life = setup.life
        worker._LOOKS = _LOOKS
        asyncio.run(_work(setup) if setup.role == "worker" else _resume(setup))
        status = 0
    except BaseException:  # noqa: BLE001 - the log has it, and nothing may escape into the parent
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


def serve() -> None:
    """Forks and reaps as it is asked, until stdin ends; the parent has no thread and no event loop."""
    import promomsg.fleet.worker  # once, for all children
    import promomsg.journal.postgres.journal  # noqa: F401

    for line in sys.stdin.buffer:
        question = msgspec.json.decode(line)
        answer: int | None = None
        if "start" in question:
            answer = os.fork()
            if answer == 0:
                _child(msgspec.convert(question["start"], Setup))
        else:
            with suppress(ChildProcessError):
                done, status = os.waitpid(question["ended"], os.WNOHANG)
                answer = os.waitstatus_to_exitcode(status) if done else None
        sys.stdout.buffer.write(msgspec.json.encode(answer) + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    serve()
