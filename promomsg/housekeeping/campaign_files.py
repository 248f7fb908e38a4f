"""The campaigns of a folder: every journal in it, and where its campaign stands."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from promomsg.engine.opened_journal import open_journal
from promomsg.engine.report import ENDED, Progress, Report
from promomsg.errors import PromoError, UsageError
from promomsg.journal.locate import half_plan, half_plans, journal_paths
from promomsg.journal.records import CampaignRecord

__all__ = ["ListedCampaign", "campaign_files", "listed", "look_at"]

_PLANNING: Final = "planning"


class ListedCampaign(msgspec.Struct, frozen=True, kw_only=True):
    """One campaign of a folder, or of a fleet's database.

    Attributes:
        address: the path of its journal's file, or `fleet:NAME`.
        name: the file's name, or the campaign's in the database.
        size: bytes: of a file with those beside it that belong to it, in a database of its recipients.
        progress: where it stands; None: it cannot be read, or its plan is not complete.
        state: as `progress` has it, and with workers at work as they make it; `planning` while its plan is not
            complete; empty when it cannot be read.
        account: whose it is, `wechat wx0123456789`.
        begun_at: Unix seconds at which its plan was complete.
        last_at: Unix seconds of the last thing that happened.
        closing: those of its warnings that say what the provider soon does not say any more.
        trouble: what workers say of why they cannot do it now.
        error: why it cannot be read; empty where it can.
    """

    address: str
    name: str
    size: int
    progress: Progress | None = None
    state: str = ""
    account: str = ""
    begun_at: float | None = None
    last_at: float | None = None
    closing: tuple[str, ...] = ()
    trouble: tuple[str, ...] = ()
    error: str = ""

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to do of it."""
        return self.progress is not None and self.state in ENDED

    @property
    def is_half_plan(self) -> bool:
        """Whether its plan is not complete, so that nothing of it was sent."""
        return self.progress is None and self.state == _PLANNING


def campaign_files(folder: str | os.PathLike[str]) -> Iterator[ListedCampaign]:
    """Every journal of a folder, not of the folders in it, by name, and after them those whose plan is being made,
    or was never completed; other files are passed over.

    Nothing is changed, and no sender is in the way. It takes some milliseconds a journal, however many
    recipients it has.

    Raises:
        UsageError: the folder cannot be read.
    """
    try:
        paths, unfinished = journal_paths(folder), half_plans(folder)
    except OSError as error:
        raise UsageError(f"{os.fspath(folder)}: {error.strerror}; give a folder") from None
    for path in paths:
        yield look_at(path)
    for path in unfinished:
        with suppress(FileNotFoundError):  # it is complete by now
            found = os.stat(half_plan(path))
            yield ListedCampaign(
                address=str(path),
                name=path.name,
                size=found.st_size,
                state=_PLANNING,
                last_at=found.st_mtime,
            )


def look_at(path: Path) -> ListedCampaign:
    """One of them; a journal that cannot be read says why."""
    size = _size(path)
    try:
        with open_journal(path) as opened:
            report, record = opened.report(), opened.record
    except PromoError as error:
        return ListedCampaign(address=str(path), name=path.name, size=size, error=str(error))
    return listed(str(path), path.name, size, report, record, report.state)


def listed(
    address: str,
    name: str,
    size: int,
    report: Report,
    record: CampaignRecord,
    state: str,
    trouble: tuple[str, ...] = (),
) -> ListedCampaign:
    """A campaign whose plan is complete, by its report; the arguments are as `ListedCampaign` has them."""
    begun = record.planned_at
    return ListedCampaign(
        address=address,
        name=name,
        size=size,
        progress=report.progress(),
        state=state,
        account=f"{record.channel} {record.account}",
        begun_at=begun,
        last_at=None if begun is None else begun + report.elapsed_s,
        closing=tuple(report.closing),
        trouble=trouble,
    )


def _size(path: Path) -> int:
    total = 0
    for beside in path.parent.glob(f"{_escaped(path.name)}*"):
        if beside == path or beside.name[len(path.name)] in "-.":
            try:
                total += beside.stat().st_size
            except OSError:
                continue
    return total


def _escaped(name: str) -> str:
    from glob import escape

    return escape(name)
