"""What is to be done for a campaign, and by which worker: plain values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

__all__ = ["SHIFT", "Job", "Wanted"]

SHIFT: Final = "shift"
"""The task that sends. Several workers may do it for one campaign at once; of every other work one."""


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Work that a campaign has for the workers now.

    Attributes:
        task: a name of `promomsg.fleet.tasks.TASKS`.
        campaign: its number in the database.
        args: what else the task is told, as JSON; with the two above it says which work it is.
        workers: how many more may begin it now.
    """

    task: str
    campaign: int
    args: Mapping[str, Any] = {}
    workers: int = 1

    @property
    def key(self) -> str:
        """Names this work."""
        more = "".join(f":{name}={self.args[name]}" for name in sorted(self.args))
        return f"{self.task}:{self.campaign}{more}"


class Job(msgspec.Struct, frozen=True):
    """Work for one worker, as it is queued.

    Attributes:
        wanted: the work.
        worker: who is to do it.
    """

    wanted: Wanted
    worker: str

    @property
    def key(self) -> str:
        """The queueing lock: no second job with it waits."""
        if self.wanted.task == SHIFT:
            return f"{self.wanted.key}@{self.worker}"
        return self.wanted.key
