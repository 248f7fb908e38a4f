"""The campaigns of a folder: every journal in it, and where its campaign stands."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from promomsg.engine.opened_journal import open_journal
from promomsg.engine.report import ENDED, Progress
from promomsg.errors import PromoError, UsageError
from promomsg.journal.locate import journal_paths

__all__ = ["FolderCampaign", "campaign_files", "look_at"]


class FolderCampaign(msgspec.Struct, frozen=True, kw_only=True):
    """One journal of a folder.

    Attributes:
        path: of its file.
        size: bytes, with the files beside it that belong to it.
        progress: where its campaign stands; None: it cannot be read.
        account: whose it is, `wechat wx0123456789`.
        begun_at: Unix seconds at which its plan was complete.
        last_at: Unix seconds of the last thing that happened.
        closing: those of its warnings that say what the provider soon does not say any more.
        error: why it cannot be read; empty where it can.
    """

    path: Path
    size: int
    progress: Progress | None = None
    account: str = ""
    begun_at: float | None = None
    last_at: float | None = None
    closing: tuple[str, ...] = ()
    error: str = ""

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to do of it."""
        return self.progress is not None and self.progress.state in ENDED


def campaign_files(folder: str | os.PathLike[str]) -> Iterator[FolderCampaign]:
    """Every journal of a folder, not of the folders in it, by name; other files are passed over.

    Nothing is changed, and no sender is in the way. It takes some milliseconds a journal, however many
    recipients it has.

    Raises:
        UsageError: the folder cannot be read.
    """
    try:
        paths = journal_paths(folder)
    except OSError as error:
        raise UsageError(f"{os.fspath(folder)}: {error.strerror}; give a folder") from None
    for path in paths:
        yield look_at(path)


def look_at(path: Path) -> FolderCampaign:
    """One of them; a journal that cannot be read says why."""
    size = _size(path)
    try:
        with open_journal(path) as opened:
            report, record = opened.report(), opened.record
    except PromoError as error:
        return FolderCampaign(path=path, size=size, error=str(error))
    begun = record.planned_at
    return FolderCampaign(
        path=path,
        size=size,
        progress=report.progress(),
        account=f"{record.channel} {record.account}",
        begun_at=begun,
        closing=tuple(report.closing),
        last_at=None if begun is None else begun + report.elapsed_s,
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
