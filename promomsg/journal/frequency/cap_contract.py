"""What every journal promises of a cap on messages per person (`max_per_person`; docs/design.md,
"Messages per person").

A message is a call that was made, or may have been, within the window, or one that is still to be made: a
pending recipient of another campaign whose plan is complete. They are counted over the other campaigns of
the same account that the journal knows: those of its folder, or of its database. A person is who shares the
key or an address.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from promomsg.journal.records import Reason
from promomsg.model import Code

__all__ = ["CapCounter", "MessageCap", "OverCap", "over_cap_reason"]


class MessageCap(NamedTuple):
    """How many messages a person may have at the most.

    Attributes:
        most: messages, this campaign's own one included.
        since: Unix seconds; who had a message before may have another one.
        text: as it was written (`2 in 7d`), for reasons.
    """

    most: int
    since: float
    text: str


class OverCap(NamedTuple):
    """What a count came to.

    Attributes:
        skipped: recipients that were pending and are skipped now.
        campaigns: other campaigns that were counted.
        where: what they were looked for in, for people.
    """

    skipped: int
    campaigns: int
    where: str


def over_cap_reason(cap: MessageCap) -> Reason:
    """Why a recipient is left out."""
    return Reason(
        Code.MAX_PER_PERSON.value, f"one more message would be over {cap.text}, sent and to come"
    )


class CapCounter(Protocol):
    """Counting, as a part of a campaign's handle."""

    async def hold_cap(self) -> bool:
        """Keeps every other campaign of this journal's folder or account from counting and completing a
        plan; False: another one does that just now, so ask again. It ends with the process.

        Raises:
            UsageError: the journal is neither in a folder nor in a database.
            JournalError: the folder cannot be locked.
        """
        ...

    async def release_cap(self) -> None:
        """Lets the others count again; nothing is done where it is not held."""
        ...

    async def is_cap_counted(self, since: float) -> bool:
        """Whether this campaign was counted (`skip_over_cap`) at that moment or later, by whichever of its
        senders. Of a journal with one sender at a time: by this one."""
        ...

    async def skip_over_cap(self, cap: MessageCap, *, smallest_group: int, at: float) -> OverCap:
        """Skips (`MAX_PER_PERSON`) pending recipients who have had, or will have, `cap.most` messages by
        other campaigns; before the plan is complete, and after.

        Who is in a planned group leaves it; a group that would have fewer than `smallest_group` then is
        dissolved, and its others become singles. Groups that are out keep theirs. Who may have been sent to
        by an earlier attempt becomes unknown.

        Args:
            at: when that was, Unix seconds.

        Raises:
            UsageError: a recipient has neither key nor address, so nobody knows who it is.
            JournalError: another campaign cannot be counted in full; nothing is skipped.
        """
        ...
