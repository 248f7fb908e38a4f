"""Processes that send: each runs one documented command, and goes on when the console ends.

What a process prints goes into a file without a name, of which the last lines are shown. It has a session of
its own, so that neither Ctrl-C nor a closed terminal reaches it; nothing of it is waited for at the console's
end.
"""

from __future__ import annotations

import locale
import os
import re
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import IO, Final, NamedTuple
from urllib.parse import urlsplit

from promomsg.console.console_types import SenderNews
from promomsg.control_characters import escaped
from promomsg.errors import UsageError
from promomsg.masking import Mask, Masker

__all__ = ["CampaignName", "SenderProcesses"]

MOST_ALIVE: Final = 32
"""Processes that run at once; who wants more has a terminal."""
MOST_KEPT: Final = 64
"""Processes that are remembered, those that have ended first to be forgotten."""
MOST_LINES: Final = 20
_MOST_BYTES: Final = 32_768
"""Of the end of what a process printed, to look for its last lines in."""
_LONGEST_LINE: Final = 500
_SECRET: Final = re.compile("SECRET|TOKEN|PASSWORD|KEY", re.IGNORECASE)
"""In the names of environment variables whose values are not shown."""


class CampaignName(NamedTuple):
    """A campaign as its URL names it."""

    place: str
    name: str


class _Started(NamedTuple):
    command: str
    process: subprocess.Popen[bytes]
    output: IO[bytes]
    at: float


class SenderProcesses:
    """The processes that this console has started: one a campaign, at the most.

    Args:
        words: what their command lines begin with: `[sys.executable, "-P", "-m", "promomsg"]`.
        statuses: what an exit status means.
        environment: what they have beside the console's own environment; the URL of a fleet's database
            is there, since everybody can read a command line.
    """

    def __init__(
        self,
        words: Sequence[str],
        statuses: Mapping[int, str],
        *,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._words = list(words)
        self._statuses = statuses
        self._environment = {**os.environ, **(environment or {})}
        # The commands mask what they know; this is for what they were started with.
        self._mask = Masker(_secrets_of(self._environment))
        self._started: dict[CampaignName, _Started] = {}

    def __repr__(self) -> str:
        return f"<SenderProcesses: {len(self.running())} running>"

    def start(self, campaign: CampaignName, arguments: Sequence[str], shown: str) -> bool:
        """Starts a process for a campaign; False: one is running, and no second one is started.

        Args:
            arguments: of the command line.
            shown: the command as people type it.

        Raises:
            UsageError: too many are running, or the system starts none.
        """
        if self.running_for(campaign) is not None:
            return False
        if len(self.running()) >= MOST_ALIVE:
            raise UsageError(
                f"{MOST_ALIVE} processes that this console has started are running: wait for one of "
                f"them to end, or give the command at a terminal: {shown}"
            )
        output = tempfile.TemporaryFile()  # noqa: SIM115 - it is read while the process writes
        try:
            process = subprocess.Popen(  # noqa: S603 - the words are ours, no shell reads them
                [*self._words, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                env=self._environment,
            )
        except OSError as error:
            output.close()
            raise UsageError(f"no process could be started: {error.strerror}") from None
        # Waits for its end, so that it is no zombie when nobody looks.
        threading.Thread(
            target=process.wait, name=f"promomsg-process-{process.pid}", daemon=True
        ).start()
        self._keep(campaign, _Started(shown, process, output, time.time()))
        return True

    def _keep(self, campaign: CampaignName, started: _Started) -> None:
        self.forget(campaign)
        self._started[campaign] = started
        ended = [name for name, one in self._started.items() if one.process.poll() is not None]
        for name in ended[: max(len(self._started) - MOST_KEPT, 0)]:
            self.forget(name)

    def running_for(self, campaign: CampaignName) -> int | None:
        """The process that runs for a campaign; None: none does."""
        started = self._started.get(campaign)
        if started is None or started.process.poll() is not None:
            return None
        return started.process.pid

    def running(self) -> list[str]:
        """The commands that run, each with its process: what is said when the console ends."""
        return [
            f"{one.command} (process {one.process.pid})"
            for one in self._started.values()
            if one.process.poll() is None
        ]

    def news(self, campaign: CampaignName) -> SenderNews | None:
        """What the process of a campaign has said so far, and how it ended; None: there is none."""
        started = self._started.get(campaign)
        if started is None:
            return None
        status = started.process.poll()  # before the lines: what it says at its end is among them
        return SenderNews(
            command=started.command,
            process=started.process.pid,
            at=started.at,
            lines=tuple(_last_lines(started.output, self._mask)),
            status=status,
            meaning="" if status is None else self._meaning(status),
        )

    def _meaning(self, status: int) -> str:
        if status < 0:
            return f"a signal ended it (number {-status}); resume goes on with it"
        return self._statuses.get(status, "it crashed; resume goes on with it")

    def forget(self, campaign: CampaignName) -> None:
        """Its end was looked at. One that runs goes on, and is still known."""
        started = self._started.get(campaign)
        if started is not None and started.process.poll() is not None:
            del self._started[campaign]
            started.output.close()

    def close(self) -> None:
        """Lets go of all of them, at the console's end: those that run go on."""
        for started in self._started.values():
            started.output.close()
        self._started.clear()


def _secrets_of(environment: Mapping[str, str]) -> Iterator[str]:
    """What an environment has of secrets: values by their names, and the passwords in URLs."""
    for name, value in environment.items():
        with suppress(ValueError):
            if password := urlsplit(value).password:
                yield password
            elif _SECRET.search(name) and not os.path.exists(value):
                yield value


def _last_lines(output: IO[bytes], mask: Mask) -> list[str]:
    """The last lines, as a terminal would show them."""
    # The process writes where the descriptor that it shares stands: it must not be moved.
    descriptor = output.fileno()
    size = os.fstat(descriptor).st_size
    start = max(size - _MOST_BYTES, 0)
    text = os.pread(descriptor, _MOST_BYTES, start).decode(locale.getencoding(), "replace")
    lines = text.split("\n")
    if start:
        del lines[:1]  # its beginning is not there
    shown = [escaped(mask(line.rstrip())) for line in lines if line.strip()]
    return [line[:_LONGEST_LINE] for line in shown[-MOST_LINES:]]
