"""Clicks that are due when a campaign is resumed: asked for then, and kept.

They are something to know and no more: whatever goes wrong with them is a warning, and changes neither the
campaign nor the exit status.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import anyio

from promomsg.cli.campaign.campaign_of_journal import Overrides, campaign_of
from promomsg.cli.command_errors import Interrupted
from promomsg.cli.interrupts import Interrupts, run_async
from promomsg.cli.journal_place import JournalPlace, in_database, to_open, words_for
from promomsg.cli.output.printing import command_line, print_to_stderr
from promomsg.engine.opened_journal import OpenedJournal, open_journal
from promomsg.errors import PromoError

if TYPE_CHECKING:
    from promomsg.channels.base import Channel

__all__ = ["keep_clicks_after", "keep_clicks_of_ended", "may_have_clicks_due"]

_PATIENCE: Final = 60.0
"""Seconds that somebody who resumes waits for clicks, when the provider does not answer."""


def keep_clicks_of_ended(
    journal: JournalPlace, opened: OpenedJournal, overrides: Overrides
) -> bool:
    """Asks for the clicks of a campaign that is over, when some are due.

    Args:
        opened: the journal; closed when it was asked.

    Returns:
        Whether something may have been kept: then the report has to be read again.
    """
    try:
        if not opened.has_clicks_due():
            return False
        record = opened.record
    except PromoError as error:
        _warn(journal, str(error))
        return False
    opened.close()

    async def keep(interrupts: Interrupts) -> int:
        from promomsg.cli.campaign.to_engine import open_wechat

        if await _workers_ask(journal):
            return 0
        try:
            file = campaign_of(journal, record, overrides)
            async with open_wechat(file, "clicks") as channel:
                await _keep(journal, channel, interrupts)
        except PromoError as error:
            _warn(journal, str(error))
        return 0

    run_async(keep)
    return True


def may_have_clicks_due(opened: OpenedJournal) -> bool:
    """Whether a look after the run is worth it; what cannot be read is looked at again then."""
    try:
        return opened.has_clicks_due()
    except PromoError:
        return True


async def keep_clicks_after(
    journal: JournalPlace, channel: Channel, interrupts: Interrupts
) -> None:
    """The same after a run of a campaign, with its channel."""
    if interrupts.asked:
        return
    try:
        place = to_open(journal)
        with open_journal(place) as opened:
            if not opened.has_clicks_due() or opened.journal.is_being_sent():
                return
        if not await _workers_ask(journal):
            await _keep(journal, channel, interrupts)
    except PromoError as error:
        _warn(journal, str(error))


async def _workers_ask(journal: JournalPlace) -> bool:
    """Whether workers are there, who ask for clicks by themselves."""
    place = in_database(journal)
    if place is None:
        return False
    from promomsg.cli.watch_workers import workers_of

    try:
        return bool(await workers_of(place))
    except PromoError:
        return False


async def _keep(journal: JournalPlace, channel: Any, interrupts: Interrupts) -> None:
    from promomsg.engine.following.later_answers import keep_due_clicks
    from promomsg.journal.locate import existing_journal

    trouble = "the provider did not answer in time"
    try:
        with anyio.move_on_after(_PATIENCE):
            work = keep_due_clicks(existing_journal(to_open(journal)), channel, at_once=True)
            trouble = (await interrupts.unless(work)).trouble
    except Interrupted:
        trouble = "interrupted"
    except PromoError as error:
        trouble = str(error)
    except Exception as error:  # noqa: BLE001 - it is nothing that a campaign depends on
        trouble = type(error).__name__  # a library's text may have the access token in it
    if trouble:
        _warn(journal, trouble)


def _warn(journal: JournalPlace, trouble: str) -> None:
    again = command_line("clicks", *words_for(journal))
    print_to_stderr(
        f"warning: its clicks are due and were not kept: {trouble}; `{again}` asks again"
    )
