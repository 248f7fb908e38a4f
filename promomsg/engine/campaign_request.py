"""What a caller asks of a campaign: the arguments that sending, resuming and retrying share."""

from __future__ import annotations

import os
from collections.abc import Mapping
from random import Random
from typing import TYPE_CHECKING, Any

import msgspec

from promomsg.channels.base import Channel, Message
from promomsg.clock import SYSTEM_CLOCK, Clock
from promomsg.engine.suppress_argument import Suppress
from promomsg.intake.sources import Recipients
from promomsg.journal.contract import Journal

if TYPE_CHECKING:
    from promomsg.telemetry.hooks import GivenHooks

__all__ = ["CampaignRequest"]


class CampaignRequest(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """The arguments as they were given; nothing is checked, read or opened yet.

    Neither of its reprs says anything: the recipients may be a plain list with user tokens in it,
    and a traceback may show a function's locals.

    Attributes:
        journal: None means a temporary one for a new campaign.
        recipients, message: None in a resume that does not need them.
        options: see `Settings`; those that were not given are missing.
        rng: the randomness of pauses; None: a new one.
        hooks: told what happens, beside those of the channel.
    """

    channel: Channel
    journal: str | os.PathLike[str] | Journal | None
    recipients: Recipients | None = None
    message: Message | None = None
    suppress: Suppress = None
    options: Mapping[str, Any]
    clock: Clock = SYSTEM_CLOCK
    rng: Random | None = None
    hooks: GivenHooks = None

    def __repr__(self) -> str:
        return "CampaignRequest(…)"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return []
