"""One invocation: its options, its responder, and the measured processes that it starts."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from benchmarks.certificates import CERTIFICATE, write_certificate
from benchmarks.child import Sample
from benchmarks.job import Job
from benchmarks.machine import cores

__all__ = ["Options", "Responder", "Session"]

ROOT = Path(__file__).resolve().parent.parent
_LONGEST_RUN = 3600
"""Seconds that one measured process may take."""


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What the command line asked for.

    Attributes:
        rounds: how often everything is run.
        messages: of `fanout`.
        scale: what the sizes of the other suites are multiplied with.
        concurrency: calls in flight.
        loops: event loops to run on; the bars are judged on the first.
        only: contenders of `fanout` that take part; empty: all.
        folder: where journals are written.
    """

    rounds: int = 5
    messages: int = 20_000
    scale: float = 1.0
    concurrency: int = 64
    loops: tuple[str, ...] = ("asyncio",)
    only: tuple[str, ...] = ()
    folder: str = ""

    def scaled(self, size: int, least: int = 100) -> int:
        """A suite's size, scaled."""
        return max(least, round(size * self.scale))


class Responder:
    """The responder's process and its control endpoint."""

    def __init__(self, core: int | None, certificates: Path | None = None) -> None:
        told = [] if core is None else ["--core", str(core)]
        if certificates is not None:
            told += ["--certificates", str(certificates)]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.responder", *told],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the responder did not start; its error is above")
        ports = json.loads(line)
        self._port = ports["port"]
        self.url = f"http://127.0.0.1:{self._port}"
        self.tls_url = f"https://127.0.0.1:{ports['tls_port']}"

    def ask(self, name: str, body: bytes = b"", **query: float) -> dict[str, Any]:
        """`reset`, `counts`, or `wallet` (whose body is the answer to every wallet call)."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        told = "&".join(f"{key}={value}" for key, value in query.items())
        connection.request("POST", f"/_bench/{name}?{told}", body)
        answer: dict[str, Any] = json.loads(connection.getresponse().read())
        connection.close()
        return answer

    def close(self) -> None:
        """Ends it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(timeout=30)
        self._process.stdout.close()


class Session:
    """What the suites run on."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self._kept: dict[str, list[Sample]] = {}

    def __enter__(self) -> Self:
        self._core, other = cores()
        self.folder = Path(tempfile.mkdtemp(prefix="benchmark-", dir=self.options.folder or None))
        write_certificate(self.folder)
        self.responder = Responder(other, self.folder)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.responder.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def say(self, text: str) -> None:
        """Progress, on stderr."""
        print(text, file=sys.stderr, flush=True)

    def new_folder(self) -> Path:
        """An empty folder; the caller removes it."""
        return Path(tempfile.mkdtemp(dir=self.folder))

    def measure(
        self,
        module: str,
        *,
        messages: int = 0,
        loop: str | None = None,
        warm_up: int = 0,
        server: Mapping[str, float] | None = None,
        folder: Path | None = None,
        under: Sequence[str] = (),
        **options: Any,
    ) -> Sample:
        """Runs a module of this package once, in a fresh process.

        Args:
            server: what the responder is told (`ResponderState.reset`).
            under: a command that the process is run by, like strace and its options.
            options: for the module, and `job`'s.

        Raises:
            RuntimeError: it failed; its error is on stderr.
            subprocess.TimeoutExpired: it took over an hour.
        """
        self.responder.ask("reset", **(server or {}))
        own = folder or self.new_folder()
        job = self.job(own, messages=messages, loop=loop, warm_up=warm_up, **options)
        try:
            return self._run(f"benchmarks.{module}", job, under)
        finally:
            if folder is None:
                shutil.rmtree(own, ignore_errors=True)

    def job(
        self,
        folder: Path,
        *,
        messages: int = 0,
        loop: str | None = None,
        warm_up: int = 0,
        concurrency: int | None = None,
        tls: bool = False,
        pinned: bool = True,
        **options: Any,
    ) -> Job:
        """What a measured process is told.

        Args:
            concurrency: in flight; None: as the command line says.
            tls: whether it calls the responder by https.
            pinned: whether it stays on the client's core.
        """
        return Job(
            base_url=self.responder.tls_url if tls else self.responder.url,
            messages=messages,
            concurrency=concurrency or self.options.concurrency,
            warm_up=min(warm_up, messages),
            loop=loop or self.options.loops[0],
            core=self._core if pinned else None,
            folder=str(folder),
            options=options,
        )

    def begin(self, module: str, job: Job, under: Sequence[str] = ()) -> subprocess.Popen[bytes]:
        """Starts a measured process, whose output is its caller's to read and to close."""
        told = [sys.executable, "-m", "benchmarks.child", module, msgspec.json.encode(job).decode()]
        own = {
            "SSL_CERT_FILE": str(self.folder / CERTIFICATE),
            "PROMOMSG_STATE": str(self.folder / "state"),
        }
        return subprocess.Popen(
            [*under, *told], cwd=ROOT, stdout=subprocess.PIPE, env={**os.environ, **own}
        )

    def _run(self, module: str, job: Job, under: Sequence[str]) -> Sample:
        return self.sample_of(self.begin(module, job, under))

    def sample_of(self, started: subprocess.Popen[bytes]) -> Sample:
        """What a process that `begin` started has measured, when it has ended.

        Raises:
            RuntimeError, subprocess.TimeoutExpired: as `measure` does.
        """
        with started as process:
            try:
                output, _ = process.communicate(timeout=_LONGEST_RUN)
            except BaseException:
                process.kill()
                raise
        if process.returncode:
            raise RuntimeError(
                f"{' '.join(map(str, process.args))}: status {process.returncode}; see above"  # type: ignore[arg-type]
            )
        return msgspec.json.decode(output.splitlines()[-1], type=Sample)

    def kept(self, name: str) -> list[Sample]:
        """Samples that two suites share, by name; an empty list until somebody fills it."""
        return self._kept.setdefault(name, [])
