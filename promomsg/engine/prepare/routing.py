"""One group send or many single sends: the 50-recipient threshold, and the sizes of what is sent.

Recipients who get the same text form a set. A set of 50 or more (`GROUP_THRESHOLD`) whose members
have a promoter id goes out as group sends; everybody else gets a single send
(docs/design.md, "Group or single").
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from promomsg.channels.base import Channel
from promomsg.engine.settings import Settings
from promomsg.errors import UsageError
from promomsg.journal.contract import Handle
from promomsg.model import GROUP_THRESHOLD
from promomsg.plural import counted

__all__ = ["chunk_size", "group_sizes", "make_groups"]

_SMALLEST_CHUNK: Final = 512
"""Singles in one leased chunk: a few hundred are one short transaction of the journal."""


async def make_groups(
    handle: Handle, channel: Channel, settings: Settings, first: Collection[int] = ()
) -> None:
    """Makes the group sends of a plan or of a retry; who is in none of them is sent to singly.

    Args:
        first: the numbers of the cohorts that are sent to first: each of them is seen by itself, in a
            single send, unless `route="group"` asks for groups alone.

    Raises:
        UsageError: `route="group"`, and the channel has no group send, or somebody has no promoter
            id or is in a set of fewer than 50.
    """
    if not channel.groups:
        if settings.route == "group":
            raise UsageError(f'route = "group": {channel.name} has no group send')
        return
    if settings.route == "single":
        return
    for message_digest, members, cohort in await handle.shared_messages(GROUP_THRESHOLD):
        if cohort in first and settings.route != "group":
            continue
        sizes = group_sizes(members, settings.max_group_size)
        await handle.make_groups(message_digest, sizes, cohort)
    if settings.route == "group":
        singles, _ = await handle.plan_counts()
        if singles:
            who = counted(singles, "recipient has", "recipients have")
            raise UsageError(
                f'route = "group": {who} no promoter id or share their '
                f"rendered message with fewer than {GROUP_THRESHOLD}; a group send needs "
                f'{GROUP_THRESHOLD} or more: leave route out, or say route = "single"'
            )


def group_sizes(members: int, max_group_size: int) -> list[int]:
    """The sizes of a set's groups: balanced, none over the limit, and from 50 members on none under
    50.

    A limit of 99 or more makes that possible for every number of members
    (docs/design.md, "Group or single"): cut off at the limit, 10,020 members would be 10,000 and
    20; balanced they are 5,010 twice.
    """
    groups = -(-members // max_group_size)
    small, larger = divmod(members, groups)
    return [small + 1] * larger + [small] * (groups - larger)


def chunk_size(concurrency: int) -> int:
    """Singles in one leased chunk: enough to keep every worker busy while the next one is taken."""
    return max(_SMALLEST_CHUNK, 4 * concurrency)
