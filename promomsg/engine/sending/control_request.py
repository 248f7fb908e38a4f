"""What the user asks of a running campaign: in effect at once, and durable once it is awaited."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import anyio

from promomsg.errors import PromoError
from promomsg.journal.records import Control

if TYPE_CHECKING:
    from promomsg.engine.sending.run_control import RunControl

__all__ = ["ControlRequest"]


class ControlRequest:
    """A pause, a continuation or a cancellation that was asked for: in effect already, and in the
    journal once awaited.

    Raises (when awaited):
        JournalError: it could not be written.
    """

    def __init__(self) -> None:
        self.done = anyio.Event()
        self._error: PromoError | None = None

    async def write(
        self, set_control: Callable[[Control], Awaitable[None]], run: RunControl, control: Control
    ) -> None:
        """Writes it into the journal by `set_control`, and has `run` know that it is there."""
        try:
            await set_control(control)
        except PromoError as error:
            self._error = error
        finally:
            run.written()
            self.done.set()

    def __await__(self) -> Any:
        return self._wait().__await__()

    async def _wait(self) -> None:
        await self.done.wait()
        if self._error is not None:
            raise self._error
