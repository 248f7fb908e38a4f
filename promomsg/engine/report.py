"""What a campaign came to: counts that add up, and everybody who was not reached by name."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

from promomsg.clock import china_day
from promomsg.engine.schedule.first_few import FirstProgress
from promomsg.errors import Halted, PromoError
from promomsg.journal.contract import Rows
from promomsg.journal.records import CampaignRecord, ClickDay, Control, Counts, GroupRow
from promomsg.model import Code, Outcome, State
from promomsg.report_formats.outcome_list import Outcomes
from promomsg.states import GroupState
from promomsg.url_origins import origin

if TYPE_CHECKING:
    from promomsg.report_formats.contents import ClickSummary, ReportContents

__all__ = [
    "CANCEL_ASKED",
    "CANNOT_BE_REACHED",
    "ENDED",
    "GroupProgress",
    "Progress",
    "Report",
    "SomeFailed",
    "campaign_state",
]


class SomeFailed(PromoError):
    """`raise_for_failures`: somebody was not reached. The report is at `.report`."""

    def __init__(self, report: Report) -> None:
        super().__init__(
            f"{report.failed} failed and {report.unknown} unknown of {report.planned}; "
            "report.failures() and report.unknowns() name them"
        )
        self.report = report


class GroupProgress(msgspec.Struct, frozen=True):
    """One group send, as it was seen last.

    Attributes:
        msg_id: the provider's; None before it was accepted.
        planned: how many members it was planned for.
        percent, send_cnt, fail_cnt: the provider's; None before the first poll.
        state: see `promomsg.states.GroupState`.
        next_poll_at: Unix seconds of the next look at it; None when none is to come.
    """

    msg_id: str | None
    planned: int
    percent: int | None
    send_cnt: int | None
    fail_cnt: int | None
    state: str
    next_poll_at: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """As in the document of `--json`: `next_poll_at` only while a look is to come."""
        document = msgspec.structs.asdict(self)
        if self.next_poll_at is None:
            del document["next_poll_at"]
        return document


class Progress(msgspec.Struct, frozen=True):
    """Where a campaign stands: the document of `--json`, typed. `progress["sent"]` is the same as
    `progress.sent`.

    Attributes:
        campaign: its name.
        state, reason: where it stands (`sending`, `done`, `halted`, …), and why.
        planned, sent, failed, unknown, skipped, cancelled, pending: how many recipients.
        by_code: of those not sent, how many by code.
        groups: the group sends.
        warnings: what a person should know.
        elapsed_s: seconds that this run took so far.
        waits_until: while it waits, Unix seconds of when it goes on; None: it does not wait.
        first: how the first few stand (`first`); None: it has none, or they were not looked at yet.
    """

    campaign: str
    state: str
    reason: str
    planned: int
    sent: int
    failed: int
    unknown: int
    skipped: int
    cancelled: int
    pending: int
    by_code: dict[str, int]
    groups: list[GroupProgress]
    warnings: list[str]
    elapsed_s: float
    waits_until: float | None = None
    first: FirstProgress | None = None

    def to_dict(self) -> dict[str, Any]:
        """The document that `send`, `resume` and `status` share
        (docs/design.md, "The document"): plain JSON values; `waits_until` only while it waits,
        `first` only where there are first few, once they were looked at."""
        document = msgspec.structs.asdict(self)
        document["groups"] = [group.to_dict() for group in self.groups]
        if self.first is None:
            del document["first"]
        else:
            document["first"] = self.first.to_dict()
        if self.waits_until is None:
            del document["waits_until"]
        return document

    def __getitem__(self, name: str) -> Any:
        return self.to_dict()[name]


CANNOT_BE_REACHED: Final = "the provider cannot be reached; one call at a time is tried"
"""The reason shown with `sending` during an outage, when only probes go out
(docs/design.md, "A provider that cannot be reached")."""


CANCEL_ASKED: Final = "it was asked to be cancelled, and its sender ended before that was done"
ENDED: Final = frozenset({"done", "cancelled"})
"""The states of a campaign of which nothing is left to do."""


def campaign_state(
    counts: Counts,
    groups: Iterable[GroupRow],
    *,
    control: Control,
    halted: str | None,
    running: bool,
    waiting: str = "",
    in_doubt: bool = False,
) -> tuple[str, str]:
    """One word for where a campaign stands, and why.

    `done`, `cancelled` · running: `sending`, `following`, `paused`, `waiting` (for its start, its
    hours, or the next China-time day) · not running and resumable: `halted`, `paused`, `following`,
    `waiting`, `stopped`.

    Args:
        waiting: until when nothing may go out, and why; empty: it may.
        in_doubt: its sender died and calls were out, which only a resume can end.
    """
    if counts.pending == 0 and not in_doubt:
        if counts.cancelled:
            late = counts.by_code.get(Code.FINISH_BY.value, 0)
            if late:
                return "cancelled", f"{late} were not sent by finish_by"
            return "cancelled", "it was cancelled before its end"
        return "done", ""
    out = sum(g.planned for g in groups if g.state is GroupState.ACCEPTED)
    only_groups = out > 0 and out >= counts.pending
    if running:
        if only_groups:
            return "following", ""
        if control is Control.PAUSE:
            return "paused", "paused by request"
        return ("waiting", waiting) if waiting else ("sending", "")
    if halted is not None:
        return "halted", halted
    if control is Control.PAUSE:
        return "paused", "paused by request"
    if control is Control.CANCEL and not only_groups:
        return "stopped", CANCEL_ASKED
    if only_groups:
        return "following", "group sends are not complete yet; resume follows them on"
    if waiting:
        return "waiting", waiting
    return "stopped", "it was stopped before its end"


class Report:
    """A campaign's result. The counts add up:
    `planned = sent + failed + unknown + skipped + cancelled + pending`.

    A report takes little memory: outcomes are read from the journal when they are asked for, and it
    is closed again. Only the report of a temporary journal with some thousand recipients keeps a
    file descriptor, until `close` or until nothing refers to it.

    Attributes:
        planned, sent, failed, unknown, skipped, cancelled, pending: how many recipients.
        by_code: of those not sent, how many by code.
        groups: the group sends (`msg_id`, `percent`, `send_cnt`, `fail_cnt`, `state`).
        warnings: what a person should know.
        clicks: what was kept of clicks, by day; `click_summary` says what they come to.
        closing: those of the warnings that say what the provider soon does not say any more (clicks, the
            result of a group send), and the command that asks for it.
        campaign, state, reason: its name, and where it stands (`done`, `halted`, …) and why.
        elapsed_s: seconds this run took.
        waits_until: while it waits, Unix seconds of when it goes on.
        first: how the first few stand; None: it has none, or they were not looked at yet.
        host: where it was sent, `https://api.weixin.qq.com`.
        channel: over what: `"wechat"`, `"alipay"`, or the name of another one.
        journal: the journal's path, or `fleet:NAME`; None when it was kept in memory or was a temporary one that
            is gone.
    """

    def __init__(
        self,
        record: CampaignRecord,
        counts: Counts,
        groups: Sequence[GroupRow],
        *,
        state: str,
        reason: str,
        rows: Rows,
        elapsed_s: float = 0.0,
        journal: str | None = None,
        warnings: Iterable[str] = (),
        waits_until: float | None = None,
        first: FirstProgress | None = None,
        clicks: Iterable[ClickDay] = (),
        closing: Iterable[str] = (),
        sent_days: Sequence[str] | None = None,
    ) -> None:
        self._record = record
        self._counts = counts
        self.clicks = list(clicks)
        self.campaign = record.name
        self.state = state
        self.reason = reason
        self.planned = counts.planned
        self.sent = counts.sent
        self.failed = counts.failed
        self.unknown = counts.unknown
        self.skipped = counts.skipped
        self.cancelled = counts.cancelled
        self.pending = counts.pending
        self.by_code = dict(counts.by_code)
        self.groups = list(groups)
        self.closing = list(closing)
        more = [*warnings, *self.closing]
        self.warnings = [*record.warnings, *(w for w in more if w not in record.warnings)]
        self._sent_days = sent_days
        self.elapsed_s = elapsed_s
        self.waits_until = waits_until if state == "waiting" else None
        self.first = first
        self.journal = journal
        self.host = origin(record.base_url)
        self.channel = record.channel
        self._rows = rows

    def failures(self) -> Outcomes:
        """Everybody who was refused, in the order of the recipients."""
        return Outcomes(self._rows, (State.FAILED,), self.failed)

    def unknowns(self) -> Outcomes:
        """Everybody who may or may not have been reached."""
        return Outcomes(self._rows, (State.UNKNOWN,), self.unknown)

    def outcomes(self) -> Iterator[Outcome]:
        """One outcome per row read, in the order of the recipients."""
        return self._rows.rows(None)

    def close(self) -> None:
        """Closes what is kept open to read the outcomes of a temporary journal; they are gone then."""
        self._rows.close()

    def progress(self) -> Progress:
        """The same without the single outcomes."""
        return Progress(
            campaign=self.campaign,
            state=self.state,
            reason=self.reason,
            planned=self.planned,
            sent=self.sent,
            failed=self.failed,
            unknown=self.unknown,
            skipped=self.skipped,
            cancelled=self.cancelled,
            pending=self.pending,
            by_code=dict(sorted(self.by_code.items())),
            groups=[
                GroupProgress(
                    g.msg_id,
                    g.planned,
                    g.percent,
                    g.send_cnt,
                    g.fail_cnt,
                    g.state.value,
                    g.next_poll_at,
                )
                for g in self.groups
            ],
            warnings=list(self.warnings),
            elapsed_s=round(self.elapsed_s, 3),
            waits_until=self.waits_until,
            first=self.first,
        )

    def to_dict(self) -> dict[str, Any]:
        """The one document that `send`, `resume` and `status` share
        (docs/design.md, "The document")."""
        return self.progress().to_dict()

    def raise_for_failures(self) -> None:
        """Raises when not everybody was reached: nothing of the report is lost by calling it.

        Raises:
            Halted: it stopped before the end.
            SomeFailed: somebody is failed or unknown.
        """
        if self.pending:
            code, _, detail = self.reason.partition(": ")
            raise Halted(code or self.state, detail or f"{self.pending} are pending; resume it")
        if self.failed or self.unknown:
            raise SomeFailed(self)

    def to_html(self, *, most_rows: int = 500) -> str:
        """The report as one HTML page, to look at, to print and to pass on: nothing in it is fetched from
        elsewhere.

        Args:
            most_rows: people who were not sent to that are listed by name; the CSV has them all.

        Raises:
            UsageError: Jinja2 is not installed: `pip install 'promomsg[reports]'`.
        """
        from promomsg.report_formats.html_report import to_html

        return to_html(self.contents(), most_rows=most_rows)

    def to_frame(self) -> Any:
        """A pandas DataFrame with one row per row read: key, verdict, code, detail, attempts, group, at
        (UTC), rid.

        Raises:
            UsageError: pyarrow or pandas is not installed.
        """
        from promomsg.report_formats.parquet_report import to_frame

        return to_frame(self.outcomes())

    def to_parquet(self, path: str | os.PathLike[str]) -> int:
        """Writes the columns of `to_frame` to a Parquet file that only its owner can read; an earlier one
        is replaced once the new one is complete. Memory does not grow with the recipients.

        Returns:
            How many rows it has.

        Raises:
            UsageError: pyarrow is not installed, or the file cannot be written.
        """
        from promomsg.report_formats.parquet_report import save_parquet

        return save_parquet(self.outcomes(), path)

    def click_summary(self) -> ClickSummary:
        """How many of those whom the group sends reached clicked, and what to know of that: which clicks
        are still to come, which nobody has, and what the provider does not say."""
        from promomsg.engine.later_days.provider_windows import click_notes
        from promomsg.report_formats.contents import summary_of_clicks

        days = self._days_of_run() if self._sent_days is None else self._sent_days
        notes = click_notes(
            self._record, self.groups, self.clicks, days, journal=self.journal, now=time.time()
        )
        return summary_of_clicks(self.clicks, self.groups, notes)

    def _days_of_run(self) -> list[str]:
        """The days on which a run that was not looked at in its journal made single sends."""
        began = self._record.planned_at
        in_groups = sum(group.planned for group in self.groups if group.sent_at is not None)
        if began is None or self.sent + self.unknown <= in_groups:
            return []
        return sorted({china_day(began), china_day(began + self.elapsed_s)})

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        from promomsg.report_formats.notebook_report import counts_table

        return counts_table(self.campaign, self.state, self.reason, self._counts)

    def contents(self) -> ReportContents:
        """All that the report's formats are made of, as it stands now."""
        from promomsg.report_formats.contents import ReportContents

        return ReportContents(
            record=self._record,
            state=self.state,
            reason=self.reason,
            counts=self._counts,
            groups=tuple(self.groups),
            warnings=tuple(self.warnings),
            elapsed_s=self.elapsed_s,
            host=self.host,
            journal=self.journal,
            made_at=time.time(),
            timeline=self._rows.timeline(60),
            clicks=self.click_summary(),
            outcomes=self._rows.rows,
        )

    def __repr__(self) -> str:
        return (
            f"<Report {self.campaign!r} {self.state}: {self.planned} planned, {self.sent} sent, "
            f"{self.failed} failed, {self.unknown} unknown, {self.skipped} skipped, "
            f"{self.cancelled} cancelled, {self.pending} pending>"
        )
