"""What one opening of a journal has to do with wire slots: those that an earlier sender left, and its own."""

from __future__ import annotations

import logging
import secrets
import sqlite3

from promomsg.boot_id import boot_id
from promomsg.journal.sqlite.crash_safety.commit_mark import Position
from promomsg.journal.sqlite.crash_safety.lost_commits import Finding
from promomsg.journal.sqlite.crash_safety.side_files import SLOTS
from promomsg.journal.sqlite.crash_safety.slot_file import (
    SlotFile,
    read_slot_file,
    remove_slot_file,
)
from promomsg.journal.sqlite.crash_safety.wire_slots import Marked
from promomsg.journal.sqlite.readers.journal_reader import JournalReader
from promomsg.journal.sqlite.writer import Writer

__all__ = ["SenderSlots", "left_slots"]

log = logging.getLogger("promomsg.journal")


class SenderSlots:
    """The wire slots of one opening of a journal by a sender.

    Attributes:
        opening: what this opening is called in the journal once it has intended anybody.
        left: who may have been called of those that an earlier sender left intended; None: all.
        file: its own slots; None while, or because, there are none.
    """

    def __init__(
        self,
        journal: str,
        left: Marked | None = None,
        found: tuple[int, int] | None = None,
    ) -> None:
        self._journal = journal
        self._found = found
        self.left = left
        self.opening = secrets.token_hex(16)
        self.file: SlotFile | None = None

    def make(self, writer: Writer, run_id: str, most: int) -> None:
        """In the writer thread: makes the file, if it can be made, for so many calls at once."""
        if self.file is not None or boot_id() is None:
            return
        try:
            self.file = writer.slots = SlotFile(self._journal, run_id, self.opening, most)
        except OSError as error:
            log.warning(
                "%s: %s: %s; sending goes on, and after a kill all who were intended are in doubt",
                f"{self._journal}{SLOTS}",
                type(error).__name__,
                error.strerror or error,
            )

    def intends(self) -> None:
        """From now on somebody may be intended of whom an earlier sender's file says nothing."""
        self.left = None

    def forget_earlier(self) -> None:
        """Nobody is intended of whom an earlier sender's file says anything: it goes."""
        self.left, found = None, self._found
        self._found = None
        if found is not None:
            remove_slot_file(f"{self._journal}{SLOTS}", found)


def left_slots(
    reader: JournalReader, finding: Finding, mark: Position | None
) -> tuple[Marked | None, tuple[int, int] | None]:
    """What the slots beside a journal that nobody sends say, and which file that is.

    None of it is believed when the journal may be behind what was sent: without a commit mark, or when
    it is behind that.

    Args:
        reader: of the journal.
        finding, mark: what is known of its last commits.
    """
    flag, at = reader.position()
    kept = mark is not None or not flag
    opening = reader.read(_opening) if finding is Finding.WHOLE and kept else None
    return read_slot_file(reader.path, at.run_id, opening, at.number)


def _opening(db: sqlite3.Connection) -> str | None:
    (opening,) = db.execute("SELECT opening FROM campaign").fetchone()
    return opening if isinstance(opening, str) else None
