"""What one measured process is told to do."""

from __future__ import annotations

from typing import Any

import msgspec

__all__ = ["Job"]


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """One run of one contender.

    Attributes:
        base_url: the responder.
        messages: how many recipients.
        concurrency: connections, workers, threads: what is in flight at once.
        warm_up: messages sent before the clock starts.
        loop: `asyncio` or `uvloop`.
        core: the core to stay on; None: any.
        folder: an empty folder for files.
        options: what else the contender takes.
    """

    base_url: str = ""
    messages: int = 0
    concurrency: int = 64
    warm_up: int = 0
    loop: str = "asyncio"
    core: int | None = None
    folder: str = ""
    options: dict[str, Any] = {}
