"""Audiences: counted first, then one group call or a list of recipients
(docs/design.md, "Audiences")."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import Any, Final

import msgspec

from promomsg.channels.base import Channel, has_groups
from promomsg.engine.settings import Settings
from promomsg.errors import UsageError
from promomsg.intake.python.iterables import as_source
from promomsg.intake.sources import Source
from promomsg.journal.contract import Handle
from promomsg.journal.records import GroupRow
from promomsg.model import (
    GROUP_THRESHOLD,
    Audience,
    Everyone,
    Promoters,
    Recipient,
    Retailers,
    Roles,
)
from promomsg.plural import counted
from promomsg.states import GroupState

__all__ = [
    "AudienceRoute",
    "audience_from",
    "audience_record",
    "calls_everyone",
    "check_audience",
    "decide_audience",
    "expands",
    "resolve_ids",
]

_PAGE: Final = 2_000


class AudienceRoute(msgspec.Struct, frozen=True):
    """How an audience is sent to.

    Attributes:
        rows: its members, to be planned as recipients; None: it is one group call.
        record: the audience as the journal keeps it; empty for `Promoters`.
        planned: how many members were counted; 0 when they were not.
        notices: what the plan should say of it.
    """

    rows: Source | None
    record: dict[str, Any]
    planned: int
    notices: tuple[str, ...] = ()


def audience_record(audience: Audience) -> dict[str, Any]:
    """An audience as the journal keeps it."""
    if isinstance(audience, Roles):
        return {"roles": list(audience.ids)}
    if isinstance(audience, Retailers):
        return {"retailers": list(audience.ids)}
    if isinstance(audience, Everyone):
        return {"everyone": True}
    raise TypeError("promoters are recipients, not an audience without rows")


def audience_from(record: dict[str, Any]) -> Audience:
    """Undoes `audience_record`."""
    if record.get("everyone") is True:
        return Everyone(confirm=True)
    if "roles" in record:
        return Roles(tuple(record["roles"]))
    return Retailers(tuple(record["retailers"]))


def calls_everyone(groups: Iterable[GroupRow], *, again: bool) -> bool:
    """Whether a campaign that goes on calls every promoter there is.

    Args:
        groups: all of the campaign.
        again: a call that was made already may be made again, too.
    """
    everyone = audience_record(Everyone(confirm=True))
    return any(
        group.audience == everyone and (again or group.state is GroupState.PLANNED)
        for group in groups
    )


def expands(audience: Audience, settings: Settings) -> bool:
    """Whether every promoter of an audience is to be a recipient, however many there are."""
    return isinstance(audience, Promoters) or settings.expand or settings.route == "single"


def check_audience(audience: Audience, kept: dict[str, Any], where: str) -> None:
    """Raises UsageError when an audience is not the one that a journal was planned with.

    Args:
        kept: what the journal keeps of whom it was planned from.
        where: the journal.
    """
    planned = kept.get("audience") or kept.get("expanded")
    if planned is None and "path" not in kept:
        return  # an earlier version kept nothing of one that it expanded
    now = audience_record(_without_repeats(audience))
    if planned is None or _in_order(planned) != _in_order(now):
        then = kept.get("path") if planned is None else msgspec.json.encode(planned).decode()
        raise UsageError(
            f"the audience is not what {where} was planned with ({then} then, "
            f"{msgspec.json.encode(now).decode()} now): put that back, or start a new campaign with a journal "
            "of its own"
        )


def _in_order(record: dict[str, Any]) -> dict[str, Any]:
    return {name: sorted(v) if isinstance(v, list) else v for name, v in record.items()}


async def decide_audience(
    channel: Channel, audience: Audience, settings: Settings
) -> AudienceRoute:
    """Counts an audience: under 50 it is expanded into singles, else it is one group call.

    Raises:
        UsageError: the channel has no audiences, or `route="group"` for fewer than 50.
        ProviderError, TransportError: it cannot be counted, so nothing can be decided.
    """
    if isinstance(audience, Promoters):
        rows = as_source([Recipient(id=i) for i in audience.ids])
        assert not isinstance(rows, Audience)
        return AudienceRoute(rows, {}, len(audience.ids))
    if not has_groups(channel):
        raise UsageError("this channel has no audiences: give it a list of recipients")
    audience = _without_repeats(audience)
    record = audience_record(audience)
    if not expands(audience, settings):
        count = await channel.count_audience(audience)
        if count >= GROUP_THRESHOLD:
            return AudienceRoute(None, record, count)
        if settings.route == "group":
            raise UsageError(
                f'route = "group": the audience has {count} promoters, and a group send needs '
                f'{GROUP_THRESHOLD} or more: leave route out, or say route = "single"'
            )
        notice = (
            f"the audience has {count} promoters, fewer than {GROUP_THRESHOLD}: "
            "they are sent to one by one"
        )
    else:
        notice = "every authorised promoter of the audience is a recipient of its own"
    rows = as_source(channel.iter_audience(audience))
    assert not isinstance(rows, Audience)
    return AudienceRoute(rows, record, 0, (notice,))


def _without_repeats(audience: Audience) -> Audience:
    """An audience that names each role or retailer once, or its people would be counted twice."""
    if isinstance(audience, Roles):
        return Roles(tuple(dict.fromkeys(audience.ids)))
    if isinstance(audience, Retailers):
        return Retailers(tuple(dict.fromkeys(audience.ids)))
    return audience


async def resolve_ids(handle: Handle, channel: Channel) -> list[str]:
    """Gives rows with an openid or a unionid their promoter id (`resolve = true`)."""
    if not has_groups(channel):
        raise UsageError("resolve: this channel has no promoter ids")
    resolved = 0
    async for page in _pages(channel.iter_audience(Everyone(confirm=True))):
        resolved += await handle.assign_ids(
            [(r.openid, r.unionid, r.id) for r in page if r.id is not None]
        )
    return [
        f"{counted(resolved, 'recipient was', 'recipients were')} given their promoter id (resolve = true)"
    ]


async def _pages(promoters: AsyncIterator[Recipient]) -> AsyncIterator[list[Recipient]]:
    page: list[Recipient] = []
    async for promoter in promoters:
        page.append(promoter)
        if len(page) == _PAGE:
            yield page
            page = []
    if page:
        yield page
