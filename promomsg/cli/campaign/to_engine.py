"""From a campaign file's plain values to what the engine takes: channel, message, recipients."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, cast

import msgspec

from promomsg.cli.campaign.campaign_values import (
    AccountFile,
    AlipaySection,
    AlipayText,
    CampaignFile,
    PaceChoice,
    WeChatSection,
    WeChatText,
)
from promomsg.errors import UsageError
from promomsg.model import Audience, Everyone, Retailers, Roles

__all__ = [
    "message_of",
    "open_channel",
    "open_wechat",
    "options_of",
    "pace_of",
    "recipients_of",
    "run_options_of",
]


@asynccontextmanager
async def open_channel(file: CampaignFile | AccountFile) -> AsyncIterator[Any]:
    """The channel of a campaign file, closed after the block.

    Raises:
        UsageError: a key that does not load, a base URL that cannot be one.
    """
    async with AsyncExitStack() as stack:
        account = file.account
        if isinstance(account, WeChatSection):
            from promomsg.channels.wechat import WeChatPromoter

            yield await stack.enter_async_context(
                WeChatPromoter(
                    account.appid,
                    account.secret,
                    token=_token_source(account, file.path.parent),
                    base_url=account.base_url,
                    pace=pace_of(file.pace),
                    timeout=account.timeout,
                    proxy=account.proxy.reveal(),
                )
            )
            return
        yield await stack.enter_async_context(await _alipay(file, account, stack))


def _token_source(account: WeChatSection, folder: Path) -> Any:
    if not account.token_command:
        return None
    from promomsg.cli.campaign.token_command import TokenCommand

    return TokenCommand(account.token_command, folder)


async def _alipay(
    file: CampaignFile | AccountFile, account: AlipaySection, stack: AsyncExitStack
) -> Any:
    from promomsg.alipay.signing import SignatureEncoding
    from promomsg.channels.alipay import AlipayMiniProgram
    from promomsg.channels.alipay_token_file import TokenDatabase

    tokens = None
    if account.tokens is not None:
        tokens = await stack.enter_async_context(TokenDatabase(account.tokens))
    return AlipayMiniProgram(
        account.client_id,
        account.app_id,
        account.private_key,
        public_key=account.public_key,
        verify=account.verify,
        base_url=account.base_url,
        key_version=account.key_version,
        signature_encoding=cast("SignatureEncoding", account.signature_encoding),
        tokens=tokens,
        pace=pace_of(file.pace),
        timeout=account.timeout,
        proxy=account.proxy.reveal(),
        extra=account.extra,
    )


def open_wechat(file: CampaignFile | AccountFile, command: str) -> Any:
    """The same, for commands that only WeChat has.

    Raises:
        UsageError: the campaign file is a wallet's.
    """
    if file.channel != "wechat":
        raise UsageError(
            f'{command}: {file.path.name} is of channel = "{file.channel}", and only WeChat has this'
        )
    return open_channel(file)


def pace_of(choice: PaceChoice) -> Any:
    """The `Pace` of `[pace]`; None when it says nothing of how fast to send."""
    from promomsg.transport.rate_limit import Pace

    said = {
        name: getattr(choice, name)
        for name in (
            "singles_per_second", "singles_per_minute", "singles_per_day", "groups_per_minute",
        )
        if getattr(choice, name) is not None
    }  # fmt: skip
    if choice.unlimited:
        said["unlimited"] = True
    return Pace(**said) if said else None


def message_of(file: CampaignFile) -> Any:
    """The message, as its channel takes it."""
    text = file.message
    if isinstance(text, WeChatText):
        from promomsg.wechat.message import WeChatMessage

        return WeChatMessage(
            msg_type=text.msg_type,
            content=text.content,
            path=text.path,
            jump_appid=text.jump_appid,
            templates=file.template,
        )
    return _alipay_message(text)


def _alipay_message(text: AlipayText) -> Any:
    from promomsg.alipay.message import AlipayMessage
    from promomsg.alipay.models import ContentTemplate

    return AlipayMessage(
        template_code=text.template_code,
        templates=[
            ContentTemplate(parameters=t.parameters, language=t.language) for t in text.templates
        ],
        redirect_url=text.redirect_url,
        extend_info=text.extend_info,
        extra=text.extra,
    )


def recipients_of(file: CampaignFile, *, everyone: bool = False) -> Any:
    """A source that reads the recipients' file, or the audience.

    Args:
        everyone: whether `--everyone` was given: the file alone never reaches everybody.

    Raises:
        UsageError: everybody is meant by the file or by the command line alone.
    """
    audience = file.audience
    if audience is None:
        if everyone:
            raise UsageError(
                f"--everyone goes with [audience] everyone = true; {file.path.name} names "
                "recipients: leave it out"
            )
        from promomsg.intake import read_file

        assert file.recipients is not None
        return read_file(
            file.recipients,
            columns=file.columns or None,
            encoding=file.encoding,
            sheet=file.sheet,
        )
    chosen: Audience
    if audience.everyone:
        if not everyone:
            raise UsageError(
                f"{file.path.name} reaches every promoter there is ([audience] everyone = true): "
                "say --everyone as well"
            )
        chosen = Everyone(confirm=True)
    elif everyone:
        raise UsageError("--everyone: the campaign file's [audience] is not everyone = true")
    elif audience.roles is not None:
        chosen = Roles(audience.roles)
    else:
        assert audience.retailers is not None
        chosen = Retailers(audience.retailers)
    return chosen


def run_options_of(file: CampaignFile) -> dict[str, Any]:
    """How to run: what may change between a send and its resume."""
    from promomsg.delivery import PollPolicy

    return {
        "concurrency": file.pace.concurrency,
        "groups_in_flight": file.pace.groups_in_flight,
        "max_error_rate": file.max_error_rate,
        "on_daily_quota": file.on_daily_quota,
        "durability": file.durability,
        "poll": PollPolicy(**msgspec.to_builtins(file.poll)),
    }


def options_of(file: CampaignFile) -> dict[str, Any]:
    """Everything that a new campaign takes beside channel, message and recipients."""
    return {
        **run_options_of(file),
        "route": file.route,
        "resolve": file.resolve,
        "expand": file.audience is not None and file.audience.expand,
        "max_group_size": file.max_group_size,
    }
