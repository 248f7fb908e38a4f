"""A campaign as an action on it finds it: its numbers, its times, and who would do it."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

import msgspec

from promomsg.code_meanings import OWN_CODES, explain
from promomsg.console.console_types import Look
from promomsg.engine.prepare.audience import calls_everyone
from promomsg.engine.prepare.default_pace import pace_of
from promomsg.engine.report import Report
from promomsg.engine.schedule.schedule import Opening
from promomsg.engine.schedule.waiting import schedule_of
from promomsg.errors import JournalError
from promomsg.journal.records import CampaignRecord
from promomsg.model import Code, State
from promomsg.states import GroupState
from promomsg.transport.pace import Pace

__all__ = ["ActedOn", "Senders", "Way"]


class Senders(msgspec.Struct, frozen=True, kw_only=True):
    """Who sends a campaign, or would.

    Attributes:
        being_sent: somebody has it in hand now.
        names: who, as far as it is known: `process 12`, `host:12`.
        workers: of a fleet, those that new work may be given to.
        find_the_file: a process that is started here would find the campaign file: beside the journal, or of
            a campaign in a database in the folder that the console was started in.
    """

    being_sent: bool = False
    names: tuple[str, ...] = ()
    workers: tuple[str, ...] = ()
    find_the_file: bool = True

    @property
    def are_there(self) -> bool:
        """Whether somebody follows what is asked, or will do so by itself."""
        return self.being_sent or bool(self.workers)


class Way(StrEnum):
    """How an action is done."""

    REQUEST = "request"
    """It is written into the journal, and whoever sends the campaign follows."""
    HERE = "here"
    """In the journal, under the sender's lock: nobody is sending."""
    PROCESS = "process"
    """A process of its own runs the command."""


class ActedOn(msgspec.Struct, frozen=True, kw_only=True):
    """A campaign that an action is about.

    Attributes:
        address: its journal, as a command takes it.
        record, report: its own, of one look.
        senders: who sends it.
        now: Unix seconds.
        pause_asked: as `Look.pause_asked`.
    """

    address: str
    record: CampaignRecord
    report: Report
    senders: Senders
    now: float
    pause_asked: bool = False

    @classmethod
    def of(cls, look: Look, senders: Senders, now: float) -> ActedOn | None:
        """None: it cannot be read, or its plan is not complete."""
        if look.report is None or look.record is None:
            return None
        return cls(
            address=look.journal,
            record=look.record,
            report=look.report,
            senders=senders,
            now=now,
            pause_asked=look.pause_asked,
        )

    @property
    def members_out(self) -> int:
        """Pending people of group sends that were taken and are not complete."""
        return sum(g.planned for g in self.report.groups if g.state is GroupState.ACCEPTED)

    @property
    def to_send(self) -> int:
        """Who is still to be sent to."""
        return max(self.report.pending - self.members_out, 0)

    @property
    def failed_calls(self) -> int:
        """Who failed by the provider's word, to whom `retry --failed` sends again. What planning refused
        stays refused."""
        return max(self.report.failed - _refused_by_planning(self.report.by_code), 0)

    @property
    def unknown_named(self) -> int:
        """Who may have been reached, without members of groups whose failures nobody named."""
        return max(self.report.unknown - self.report.by_code.get(Code.UNNAMED.value, 0), 0)

    @property
    def opening(self) -> Opening | None:
        """Who may be sent to now, by its times; None: it has none."""
        schedule = schedule_of(self.record)
        return None if schedule is None else schedule.opening(self.now)

    @property
    def pace(self) -> Pace | None:
        """The one that was in force when it was sent last; None: it is not known."""
        try:
            return pace_of(self.record)
        except JournalError:
            return None  # the command that needs it says what is wrong with it

    def way(self, name: str) -> Way:
        """How an action is done, by its name."""
        if name == "pause":
            return Way.REQUEST
        if name == "cancel":
            return Way.REQUEST if self.senders.being_sent else Way.HERE
        if name == "resume" and self.report.state == "paused" and self.senders.are_there:
            return Way.REQUEST
        return Way.PROCESS

    def calls_everyone(self, name: str) -> bool:
        """Whether an action calls every promoter there is."""
        if self.way(name) is not Way.PROCESS:
            return False
        return calls_everyone(self.report.groups, again=name.startswith("retry"))


def _refused_by_planning(by_code: Mapping[str, int]) -> int:
    """How many rows failed before anything was sent: by promomsg, and not by the provider."""
    return sum(
        number
        for code, number in by_code.items()
        if code in OWN_CODES and explain(code)[0].outcome == State.FAILED.value
    )
