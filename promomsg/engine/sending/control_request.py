"""What is said to a running campaign: pause, go on, cancel."""

from __future__ import annotations

from typing import Any

import anyio

from promomsg.engine.run import Run
from promomsg.errors import PromoError
from promomsg.journal.records import Control

__all__ = ["Said"]


class Said:
    """Something said to a running campaign: in effect already, durable once awaited."""

    def __init__(self) -> None:
        self.done = anyio.Event()
        self._error: PromoError | None = None

    async def write(self, run: Run, control: Control) -> None:
        """Writes it into the journal."""
        try:
            await run.write(control)
        except PromoError as error:
            self._error = error
        finally:
            run.steering.said()
            self.done.set()

    def __await__(self) -> Any:
        return self._wait().__await__()

    async def _wait(self) -> None:
        await self.done.wait()
        if self._error is not None:
            raise self._error
