"""A secret as people paste it."""

from __future__ import annotations

import pytest

from promomsg import Secret, UsageError, WeChatPromoter
from promomsg.pasted_secret import pasted_secret

GOOD = "0f1e2d3c4b5a69788796a5b4c3d2e1f0"


@pytest.mark.parametrize(
    "text",
    [f"{GOOD}\n", f"  {GOOD}\r\n", f'"{GOOD}"', f" '{GOOD}' ", f"\ufeff{GOOD}", f"{GOOD}\u200b",
     f"\u00a0{GOOD}", f"“{GOOD}”", f"\u202a{GOOD}\u202c", f"\t{GOOD}"],
)  # fmt: skip
def test_what_stands_around_a_secret_comes_off(text: str) -> None:
    assert pasted_secret("secret", Secret(text)).reveal() == GOOD
    account = WeChatPromoter("wx1", text)._account
    assert account._secret is not None
    assert account._secret.reveal() == GOOD


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (" \n", "empty"),
        ('""', "empty"),
        (f"{GOOD[:9]} {GOOD[9:]}", "blank or a line end"),
        (f"{GOOD[:9]}\n{GOOD[9:]}", "blank or a line end"),
        (f"{GOOD[:9]}\u200b{GOOD[9:]}", "invisible"),
        (f"{GOOD[:9]}\0{GOOD[9:]}", "control character"),
        (f"{GOOD[:9]}…", "no secret has"),
        ("env:WECHAT_SECRET", "campaign file"),
        ("file:secret.txt", "campaign file"),
        (f'{{"access_token":"{GOOD}"}}', "JSON"),
        (f"Bearer {GOOD}", "blank or a line end"),
    ],
)
def test_what_cannot_be_a_secret_is_named_and_not_said(text: str, says: str) -> None:
    with pytest.raises(UsageError, match=r"WeChatPromoter\(secret=…\): .*" + says) as caught:
        WeChatPromoter("wx1", text)
    assert GOOD[:9] not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.asyncio
@pytest.mark.parametrize("text", [f"{GOOD}\n", f'"{GOOD}"', f"\ufeff {GOOD}"])
async def test_a_token_is_stripped_too(text: str) -> None:
    async def token(stale: str | None) -> str:
        return text

    async with WeChatPromoter("wx1", token=token) as wechat:
        assert await wechat._account.token() == GOOD


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "text", [f"{GOOD} {GOOD}", f'{{"access_token":"{GOOD}"}}', " ", f"{GOOD}é"]
)
async def test_a_token_that_cannot_be_one_is_refused_by_name(text: str) -> None:
    async def token(stale: str | None) -> str:
        return text

    async with WeChatPromoter("wx1", token=token) as wechat:
        with pytest.raises(UsageError, match=r"token=…: ") as caught:
            await wechat.prepare()
    assert GOOD[:9] not in str(caught.value)
