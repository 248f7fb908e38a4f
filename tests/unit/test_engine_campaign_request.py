"""What a caller asks of a campaign, as a log or a traceback may show it."""

from __future__ import annotations

from typing import Any, cast

from rich.pretty import pretty_repr

from promomsg.engine.campaign_request import CampaignRequest


def test_a_request_shows_no_user_token_of_its_recipients() -> None:
    people = [{"key": "a", "access_token": "user-token-0123456789"}]
    request = CampaignRequest(
        channel=cast(Any, None), journal=None, recipients=people, suppress=people, options={}
    )
    assert request.recipients is people
    assert "user-token" not in repr(request)
    assert "user-token" not in pretty_repr(request)
    assert "user-token" not in str([request])
