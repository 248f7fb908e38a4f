"""A campaign that several senders do parts of, on every kind of journal."""

from __future__ import annotations

import pytest
from campaigning import MESSAGE, PERSONAL, QUICK, honest, ids

from promomsg import Campaign, WeChatPromoter, open_journal
from promomsg.engine.joining import Part, do_part
from promomsg.journal.contract import Journal
from promomsg.sandbox import Sandbox

pytestmark = pytest.mark.asyncio

ALL = Part(singles=True, groups=True)


async def planned(journal: Journal, channel: WeChatPromoter, count: int = 40) -> None:
    """A campaign of so many that is planned, and sent by nobody yet."""
    message = PERSONAL if count < 50 else MESSAGE
    await Campaign(channel, message, ids(count), journal=journal, **QUICK).hand_over()


async def test_a_part_sends_what_there_is_to_take(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    await planned(journal, channel)
    assert box.ledger.total == 0
    done = await do_part(journal, channel, ALL)
    assert (done.state, done.calls, done.work_left) == ("done", 40, False)
    with open_journal(journal) as opened:
        honest(opened.report(), box)
