"""What only a channel with group sends can do is refused in one line elsewhere."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
from journal_model import ModelJournal

from promomsg import (
    AlipayMessage,
    AlipayMiniProgram,
    Campaign,
    ContentTemplate,
    Pace,
    Promoters,
    Recipient,
    Roles,
    Secret,
    UsageError,
)
from promomsg.alipay import signing
from promomsg.engine.following.reconcile import reconcile

pytestmark = pytest.mark.asyncio

MESSAGE = AlipayMessage("TP_1", [ContentTemplate({"who": "x"}, "en-US")], redirect_url="/p")


@cache
def key() -> Secret:
    return signing.make_key_pair().private_pem


def wallet() -> AlipayMiniProgram:
    """A client that is never called."""
    return AlipayMiniProgram(
        "c",
        "P1",
        key(),
        verify=False,
        base_url="http://127.0.0.1:9/api",
        pace=Pace(unlimited=True),
    )


@pytest.mark.parametrize(
    ("recipients", "options", "said"),
    [
        (Roles([1]), {}, "audiences"),
        ([Recipient("a", access_token="t")], {"resolve": True}, "promoter ids"),
        ([Recipient("a", access_token="t")], {"route": "group"}, "group send"),
    ],
    ids=["an audience", "resolve", "route"],
)
async def test_a_wallet_has_no_groups(recipients: Any, options: dict[str, Any], said: str) -> None:
    async with wallet() as channel:
        campaign = Campaign(channel, MESSAGE, recipients, journal=ModelJournal(), **options)
        with pytest.raises(UsageError, match=said) as caught:
            await campaign.plan()
        await campaign.discard()
    assert "\n" not in str(caught.value)


async def test_there_is_nothing_to_reconcile_with_a_wallet() -> None:
    async with wallet() as channel:
        with pytest.raises(UsageError, match="no group sends"):
            await reconcile(ModelJournal(), channel)


async def test_sixty_wallet_users_are_sixty_singles_whatever_their_text() -> None:
    rows = [Recipient(f"k{n}", access_token=f"t{n}") for n in range(60)]
    rows.append(Recipient("again", access_token="t7"))
    async with wallet() as channel:
        campaign = Campaign(channel, MESSAGE, rows, journal=ModelJournal())
        plan = await campaign.plan()
        await campaign.discard()
    assert (plan.singles, plan.groups, plan.not_sent) == (60, (), {"DUPLICATE_ADDRESS": 1})
    assert "t7" not in repr(plan)


async def test_promoters_have_no_wallet_token() -> None:
    async with wallet() as channel:
        campaign = Campaign(channel, MESSAGE, Promoters(["1", "2"]), journal=ModelJournal())
        plan = await campaign.plan()
        await campaign.discard()
    assert (plan.to_send, plan.not_sent) == (0, {"NO_ADDRESS": 2})
