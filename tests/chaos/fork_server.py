"""A warm process that has imported everything and forks one child a job: no import cost per kill.

It has no thread and no event loop of its own, so a fork of it is a clean beginning. It also does
the killing, since only a parent knows that a process number still means its child.

One JSON line in (a `Job`), one out (an `Ending`).
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
import traceback
from asyncio.subprocess import PIPE, Process
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from promomsg import crashpoints

from .child_campaign import Job, main

__all__ = ["Ending", "ForkServer"]

_HUNG = 90.0
"""Seconds after which a child that nobody was to kill counts as hung."""


class Ending(msgspec.Struct):
    """How a child ended: `killed` by SIGKILL, as ordered or at its crash point, or by itself."""

    killed: bool
    status: int
    seconds: float
    hung: bool = False


class ForkServer:
    """The parent's end; an async context manager. One job at a time."""

    def __init__(self, **environment: str) -> None:
        self._environment = environment
        self._process: Process | None = None

    async def __aenter__(self) -> Self:
        tests = Path(__file__).parents[1]
        env = {**os.environ, **self._environment}
        env[crashpoints.VARIABLE] = "armed later:1"
        paths = [str(tests), str(tests.parent), env.get("PYTHONPATH", "")]
        env["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
        # Coverage would begin anew in every child.
        env.pop("COV_CORE_SOURCE", None)
        env.pop("COVERAGE_PROCESS_START", None)
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "chaos.fork_server", env=env, stdin=PIPE, stdout=PIPE
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.close()
        await self._process.wait()

    async def run(self, job: Job) -> Ending:
        """Forks a child for this job and waits for its end.

        Raises:
            AssertionError: it hung, or the fork server is gone.
        """
        process = self._process
        assert process is not None
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(msgspec.json.encode(job) + b"\n")
        await process.stdin.drain()
        line = await process.stdout.readline()
        assert line, "the fork server ended"
        ending = msgspec.json.decode(line, type=Ending)
        assert not ending.hung, f"a child hung: {Path(job.log).read_text()}"
        return ending


def _child(job: Job) -> None:
    """In the child: never returns."""
    status = 70
    try:
        null = os.open(os.devnull, os.O_RDONLY)
        log = os.open(job.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(null, 0)
        os.dup2(log, 1)
        os.dup2(log, 2)
        if job.crash is not None:
            name, _, count = job.crash.partition(":")
            crashpoints._name, crashpoints._left = name, int(count)
        status = main(job)
    except BaseException:  # noqa: BLE001 - the log has it, and nothing may escape into the fork server
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


def _wait(pid: int, job: Job) -> Ending:
    began = time.monotonic()
    ordered = False
    hung = False
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        seconds = time.monotonic() - began
        if done:
            code = os.waitstatus_to_exitcode(status)
            return Ending(code == -signal.SIGKILL and not hung, code, seconds, hung)
        due = job.kill_after is not None and seconds >= job.kill_after
        due = due or (job.kill_when is not None and os.path.exists(job.kill_when))
        if not ordered and due:
            os.kill(pid, job.signal)
            ordered = True
        if seconds > _HUNG:
            os.kill(pid, signal.SIGKILL)
            hung = True
        time.sleep(0.001)  # it has no event loop: between looks at its child


def serve() -> None:
    """Until stdin ends."""
    for line in sys.stdin.buffer:
        job = msgspec.json.decode(line, type=Job)
        pid = os.fork()
        if pid == 0:
            _child(job)
        sys.stdout.buffer.write(msgspec.json.encode(_wait(pid, job)) + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    serve()
