"""What `async with Campaign(…)` keeps open: the run, the task group it lives in, and how it closes."""

from __future__ import annotations

import asyncio
from typing import ClassVar

import anyio

from promomsg.engine.report import Report
from promomsg.engine.run import Run
from promomsg.engine.sending.control_request import ControlRequest
from promomsg.journal.records import Control
from promomsg.shielded import run_shielded

__all__ = ["BlockInTask", "CampaignBlock"]


class CampaignBlock:
    """A run from the beginning of a block to its end.

    Attributes:
        run: the run.
        report: the complete one, once the block is closed.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self.report: Report | None = None
        self._tasks = anyio.create_task_group()
        self._requests: list[ControlRequest] = []

    async def open(self) -> None:
        """Starts to send."""
        await self._tasks.__aenter__()
        self._tasks.start_soon(self.run.drive)

    async def close(self, error: BaseException | None) -> None:
        """Stops what is still to be sent, waits for calls in flight and closes the journal.

        Args:
            error: what the block was left with.

        Raises:
            JournalError: the journal failed in the middle, and `error` is None.
        """
        run = self.run
        run.stop()
        # Calls in flight finish even when the caller is cancelled: an answer not read is a
        # recipient in doubt.
        try:
            await run_shielded(self._end)
        except BaseException as cancelled:
            self._name_journal(cancelled)
            raise
        finally:
            # Without the block's own error: a task group would wrap it up in an exception group.
            await self._tasks.__aexit__(None, None, None)
            self._name_journal(error or run.error)
        if error is None and run.error is not None:
            raise run.error

    async def _end(self) -> None:
        await self.run.ended.wait()
        for request in self._requests:
            await request.done.wait()
        self.report = await self.run.close()

    def _name_journal(self, error: BaseException | None) -> None:
        """An exception that leaves the block takes the report's place: it says what is kept."""
        kept = self.run.kept_warning
        if error is not None and kept and kept not in getattr(error, "__notes__", ()):
            error.add_note(kept)

    def request(self, control: Control) -> ControlRequest:
        """Pauses, goes on or cancels at once; the value returned tells when the journal has it."""
        request = ControlRequest()
        if self.run.ended.is_set():
            request.done.set()
            return request
        self.run.control.request(control)
        self._requests.append(request)
        self._tasks.start_soon(request.write, self.run.write, self.run.control, control)
        return request


class BlockInTask:
    """A block that a task of its own keeps open, so that one task may begin a campaign and another one
    end it. An event loop that is stopped with it open cancels the calls in flight too, as every other
    task: their recipients are unknown."""

    _open: ClassVar[set[asyncio.Task[None]]] = set()
    """The event loop alone would not keep them."""

    def __init__(self, block: CampaignBlock) -> None:
        self._block = block
        self._closing = asyncio.Event()
        self._opened = asyncio.Event()
        self._task = asyncio.create_task(self._keep_open(), name="promomsg campaign")
        self._open.add(self._task)
        self._task.add_done_callback(self._open.discard)

    async def opened(self) -> None:
        """Waits until it sends."""
        await self._opened.wait()

    async def _keep_open(self) -> None:
        block = self._block
        await block.open()
        self._opened.set()
        try:
            await self._closing.wait()
        except BaseException as error:
            await block.close(error)
            raise
        await block.close(None)

    async def close(self) -> None:
        """Ends the block and waits for it; a second call does nothing more.

        Raises:
            JournalError: the journal failed in the middle.
        """
        self._closing.set()
        # A caller who is cancelled meanwhile leaves the block to close by itself.
        await asyncio.shield(self._task)
