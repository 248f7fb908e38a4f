"""A campaign that a process of its own is sending, slowly enough to be watched."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from integration.cli_campaigns import campaign, finished, started
from waiting import wait_for

import promomsg
from promomsg.sandbox import Sandbox

__all__ = ["RunningSender", "sending"]

PEOPLE = 2_000


@dataclass(frozen=True)
class RunningSender:
    """It.

    Attributes:
        folder, name: of its journal.
        process: the sender, which began it.
        served: the provider, which counts what was sent.
    """

    folder: Path
    name: str
    process: subprocess.Popen[str]
    served: Sandbox

    @property
    def report(self) -> promomsg.Report:
        """Where it stands."""
        return promomsg.open_journal(self.folder / self.name).report()


@contextmanager
def sending(folder: Path, served: Sandbox, *, a_second: int = 40) -> Iterator[RunningSender]:
    """Sends to 2,000 people, one by one, while the block runs."""
    file = campaign(
        folder,
        served.url,
        PEOPLE,
        campaign='route = "single"',
        pace=f"singles_per_second = {a_second}",
    )
    process = started("send", file, "--yes", "--json")
    try:
        wait_for(lambda: served.ledger.total > 0 or process.poll() is not None)
        assert process.poll() is None, finished(process)
        yield RunningSender(folder, "autumn.db", process, served)
    finally:
        process.terminate()
        finished(process)
