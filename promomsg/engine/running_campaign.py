"""A campaign from its first call on: begun and ended, watched, paused and cancelled."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from types import TracebackType
from typing import TYPE_CHECKING, Self

from promomsg.engine.campaign_block import BlockInTask, CampaignBlock
from promomsg.engine.report import Progress, Report
from promomsg.engine.sending.control_request import ControlRequest
from promomsg.errors import UsageError
from promomsg.journal.records import Control
from promomsg.model import Outcome
from promomsg.shielded import run_shielded

if TYPE_CHECKING:
    from promomsg.campaign_events import CampaignEvent

__all__ = ["RunningCampaign"]


class RunningCampaign(ABC):
    """What can be asked of a campaign once it sends; how it begins is `Campaign`'s."""

    _block: CampaignBlock | None = None
    _task: BlockInTask | None = None

    @abstractmethod
    async def _begin(self) -> CampaignBlock:
        """Its block, planned and ready to be opened."""

    async def start(self) -> Self:
        """Plans it and starts to send, for a service that begins a campaign in one request and looks
        at it in another: the block without a block. `aclose` has to follow, in whatever task, before
        the event loop ends: otherwise calls in flight are cut off, and their recipients `unknown`.

        Returns:
            Itself, once the plan is durable.

        Raises:
            UsageError, JournalError: as the class says; nothing was sent.
        """
        self._task = task = BlockInTask(await self._begin())
        try:
            await task.opened()
        except BaseException:  # whoever called does not get it, and so cannot close it
            await run_shielded(task.close)
            raise
        return self

    async def aclose(self) -> None:
        """Ends what `start` began: nothing more goes out, calls in flight finish, the rest stays
        `pending` in the journal. A campaign that has come to its end is only closed.

        Raises:
            JournalError: the journal failed in the middle; the campaign can be resumed.
        """
        if self._task is None:
            raise UsageError("the campaign has not started: `run = await campaign.start()`")
        await self._task.close()

    async def __aenter__(self) -> Self:
        block = await self._begin()
        await block.open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._opened().close(error)

    def _opened(self) -> CampaignBlock:
        if self._block is None:
            raise UsageError(
                "the campaign has not started: use it as `async with Campaign(…) as run`, or "
                "`run = await campaign.start()`"
            )
        return self._block

    async def wait(self) -> Report:
        """Waits until every recipient has an outcome, or the campaign cannot go on (see `state`).

        Raises:
            JournalError: the journal failed in the middle; the campaign can be resumed.
        """
        run = self._opened().run
        await run.ended.wait()
        if run.error is not None:
            raise run.error
        return run.report_now()

    async def submit(self) -> None:
        """Waits until every call is answered; groups that were taken may still be pending.

        Raises:
            JournalError: the journal failed in the middle; the campaign can be resumed.
        """
        run = self._opened().run
        await run.submitted.wait()
        if run.error is not None:
            raise run.error

    def __aiter__(self) -> AsyncIterator[Outcome]:
        return self._opened().run.stream()

    @property
    def progress(self) -> Progress:
        """Where it stands now: the document of `--json`, typed (`to_dict()` gives it plain)."""
        return self._opened().run.progress()

    def events(self, *, every: float = 0.5) -> AsyncIterator[CampaignEvent]:
        """What happens to it, as it happens, until it ends: first where it stands now, then what
        changed. Any number may follow at once; a slow reader slows nobody.

        Args:
            every: seconds between two looks at it.
        """
        return self._opened().run.events(every)

    @property
    def in_flight(self) -> int:
        """Calls under way: their connection, the gate or their answer is awaited."""
        return self._opened().run.in_flight

    @property
    def report(self) -> Report:
        """The result; complete after the block."""
        block = self._opened()
        return block.report or block.run.report_now()

    def pause(self) -> ControlRequest:
        """Nothing more goes out until `resume_sending`; calls in flight finish.

        It takes effect at once; `await` it to know that the journal has it too.
        """
        return self._opened().request(Control.PAUSE)

    def resume_sending(self) -> ControlRequest:
        """Ends a pause."""
        return self._opened().request(Control.RUN)

    def cancel(self) -> ControlRequest:
        """Who was not sent to becomes `cancelled`; calls in flight finish, groups are followed."""
        return self._opened().request(Control.CANCEL)
