"""A campaign in a database that workers send: who they are, and watching it until it ends."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import anyio
import msgspec
from anyio import to_thread

from promomsg.cli.command_errors import Interrupted
from promomsg.cli.exit_status import INTERRUPTED, status_of
from promomsg.cli.interrupts import Interrupts
from promomsg.cli.journal_place import FleetPlace, words_for
from promomsg.cli.language.terminal_language import _
from promomsg.cli.output.live_view import make_view
from promomsg.cli.output.printing import command_line, print_to_stderr
from promomsg.engine.joining import standing_of
from promomsg.engine.opened_journal import open_journal
from promomsg.engine.report import CANNOT_BE_REACHED, ENDED, Report
from promomsg.engine.schedule.first_few import FirstProgress
from promomsg.engine.schedule.waiting import waiting_of
from promomsg.engine.settings import Settings
from promomsg.errors import JournalError
from promomsg.journal.contract import Handle
from promomsg.journal.records import CampaignRecord
from promomsg.journal.unreachable import JournalUnreachable

if TYPE_CHECKING:
    from promomsg.fleet.worker_table import FleetWorker

__all__ = [
    "RunResult",
    "look_on",
    "report_among_workers",
    "watch_workers",
    "who_sends",
    "workers_of",
]

_LOOK_EVERY: Final = 0.5
"""Seconds between two looks at the campaign."""
_WORKERS_EVERY: Final = 5.0
"""Seconds between two looks at the workers."""
_STANDS_STILL: Final = ENDED | {"halted", "paused"}
"""States that no worker changes."""


class RunResult(msgspec.Struct, frozen=True):
    """How a run ended: its document, where it was sent, the exit status, over which channel, and what there
    is to say of those who are left."""

    document: dict[str, Any]
    host: str
    status: int
    channel: str
    left: str = ""


async def workers_of(place: FleetPlace) -> list[FleetWorker]:
    """The workers that new work may be given to."""
    from promomsg.fleet.fleet import Fleet

    return [worker for worker in await Fleet(place.url).workers() if worker.takes_work]


def who_sends(workers: Sequence[FleetWorker]) -> str:
    """`2 workers send it (host:12, host:13)`."""
    names = ", ".join(worker.name for worker in workers)
    if len(workers) == 1:
        return f"1 worker sends it ({names})"
    return f"{len(workers):,} workers send it ({names})"


async def watch_workers(
    place: FleetPlace, interrupts: Interrupts, *, resume_with: str, submit: bool
) -> RunResult:
    """Shows progress until the campaign ends, stands still, or the user has seen enough.

    Args:
        resume_with: the command that goes on with it.
        submit: leave when every call is answered: the workers follow the group sends.
    """
    watching = _Watching(place, resume_with, submit=submit)
    await _watch(watching, interrupts)
    return await watching.result(interrupted=interrupts.asked and not watching.is_over)


async def look_on(place: FleetPlace, interrupts: Interrupts) -> None:
    """Shows progress until the campaign ends or stands still, nobody is there any more who sends it, or
    the user has seen enough."""
    resume = command_line("resume", *words_for(place))
    await _watch(_Watching(place, resume, with_workers_only=True), interrupts)


async def report_among_workers(place: FleetPlace) -> Report | None:
    """Where a campaign stands that workers go on with, also when none of them has work of it at this
    moment; what keeps all of them off is said. None: no worker is alive."""
    if not await workers_of(place):
        return None
    watching = _Watching(place, command_line("resume", *words_for(place)))
    try:
        return await watching.look()
    finally:
        await watching.close()


async def _watch(watching: _Watching, interrupts: Interrupts) -> None:
    view = make_view()
    try:
        while not watching.is_over:
            report = await interrupts.unless(watching.look())
            if report is not None:
                view.show(report.to_dict(), 0)
            if not watching.is_over:
                with anyio.move_on_after(_LOOK_EVERY):
                    await interrupts.wait()
    except Interrupted:
        pass
    finally:
        view.close()
        with anyio.CancelScope(shield=True):
            await watching.close()


class _Watching:
    """What a person who watches has been shown and told so far.

    Args:
        place, resume_with, submit: as `watch_workers` has them.
        with_workers_only: it is over, too, when no worker is there and nobody else sends.

    Attributes:
        is_over: nothing more is to be seen.
    """

    def __init__(
        self,
        place: FleetPlace,
        resume_with: str,
        *,
        submit: bool = False,
        with_workers_only: bool = False,
    ) -> None:
        self._place = place
        self._journal = place.journal()
        self._resume_with = resume_with
        self._submit = submit
        self._with_workers_only = with_workers_only
        self._handle: Handle | None = None
        self._report: Report | None = None
        self._following_since: float | None = None
        """Monotonic seconds since when nothing but group sends is waited for."""
        self._workers_at = 0.0
        self._workers_there = True
        self._is_left = False
        self._said: set[str] = set()
        self.is_over = False

    async def look(self) -> Report | None:
        """Where the campaign stands; None: its database cannot be reached now."""
        try:
            await self._look_at_workers()
            if self._handle is None:
                self._handle = await self._journal.open()
            self._report = await self._read(self._handle)
        except JournalUnreachable as error:
            self._say(f"{error}; this goes on looking, and the workers wait too")
            return None
        return self._report

    async def _read(self, handle: Handle) -> Report:
        """The report as of now. Between two pieces of work nobody has anything in hand, and the campaign
        goes on all the same: whom a dead worker had out is pending until another takes over."""
        row, counts, groups = await handle.control(), await handle.counts(), await handle.groups()
        record, elapsed, first = await to_thread.run_sync(self._record)
        waiting = waiting_of(record, row.parked_until, time.time(), first)
        state, reason = standing_of(row, counts, groups, waiting.why)
        if state == "sending" and record.outage is not None:
            reason = CANNOT_BE_REACHED
        if state != "following":
            self._following_since = None
        elif self._following_since is None:
            self._following_since = time.monotonic()
        self.is_over = (
            self._is_left
            or state in _STANDS_STILL
            or (self._submit and state == "waiting")
            or self._has_followed_long_enough(record)
        )
        return Report(
            record,
            counts,
            groups,
            state=state,
            reason=reason,
            rows=self._journal.rows_later(),
            elapsed_s=elapsed,
            waits_until=waiting.until,
            first=first,
            journal=self._journal.address,
        )

    def _record(self) -> tuple[CampaignRecord, float, FirstProgress | None]:
        """What the campaign is by now, its warnings and an outage, for how many seconds it is sent, and
        how its first few stand."""
        with open_journal(self._journal) as opened:
            report = opened.report()
            return opened.record, report.elapsed_s, report.first

    def _has_followed_long_enough(self, record: CampaignRecord) -> bool:
        """Whether only groups are followed, for as long as a process would that sends by itself."""
        if self._following_since is None:
            return False
        longest = Settings.from_snapshot(record.settings).poll.give_up_after
        return self._submit or time.monotonic() - self._following_since > longest

    async def _look_at_workers(self) -> None:
        """Says it, now and then, when nobody is there to send it, or nobody that can."""
        if time.monotonic() < self._workers_at:
            return
        self._workers_at = time.monotonic() + _WORKERS_EVERY
        workers = await workers_of(self._place)
        if self._workers_there and not workers:
            print_to_stderr(
                "no worker is alive any more: it goes on once one is started, or here, with: "
                f"{self._resume_with}"
            )
        self._workers_there = bool(workers)
        if not workers and self._with_workers_only:
            self._is_left = not await to_thread.run_sync(self._journal.is_being_sent)
        troubles = [
            [one.text for one in worker.trouble if one.name == self._place.name]
            for worker in workers
        ]
        if all(troubles):
            for text in dict.fromkeys(text for texts in troubles for text in texts):
                self._say(text)

    def _say(self, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            print_to_stderr(text)

    async def result(self, *, interrupted: bool) -> RunResult:
        """The document as of now, with what there is to say of what is left."""
        report = await to_thread.run_sync(self._final)
        document = report.to_dict()
        left = self._what_is_left(report, interrupted) if report.pending else ""
        status = INTERRUPTED if interrupted and report.pending else status_of(document)
        return RunResult(document, report.host, status, report.channel, left)

    def _final(self) -> Report:
        """As it was seen last, or as it is now when it was not seen."""
        if self._report is not None:
            return self._report
        with open_journal(self._journal) as opened:
            return opened.report()

    def _what_is_left(self, report: Report, interrupted: bool) -> str:
        words = words_for(self._place)
        look = f"look again with: {command_line('status', *words, '--watch')}"
        if interrupted:
            stop = command_line("pause", *words)
            return f"this was the watching only, the workers go on; {look}; stop them with: {stop}"
        left = f"{_(report.state)}: {report.pending:,} are pending"
        if report.state == "following":
            return f"{left}, and the workers follow their groups; {look}"
        if report.state == "waiting":
            return f"{left} ({report.reason}), and the workers go on then; {look}"
        needs_a_word = report.first is not None and report.first.needs_a_word
        go_on = f"{self._resume_with} --approve" if needs_a_word else self._resume_with
        return f"{left}; go on with: {go_on}"

    async def close(self) -> None:
        """Lets go of the journal."""
        if self._handle is not None:
            try:
                await self._handle.close()
            except JournalError:
                self._handle = None
