"""From a campaign file's values to what the engine takes: channel, recipients, options."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, cast

from promomsg.cli.campaign.campaign_values import (
    STANDARD_INPUT,
    AccountFile,
    AlipaySection,
    CampaignFile,
    WeChatSection,
)
from promomsg.cli.campaign.first_section import FIRST_KEYS
from promomsg.cli.campaign.time_section import TIME_KEYS
from promomsg.cli.otel_hooks import otel_hooks
from promomsg.errors import UsageError
from promomsg.journal.records import CampaignRecord
from promomsg.model import Everyone

__all__ = [
    "open_channel",
    "open_wechat",
    "options_of",
    "recipients_of",
    "resume_options_of",
]


@asynccontextmanager
async def open_channel(file: CampaignFile | AccountFile) -> AsyncIterator[Any]:
    """The channel of a campaign file, closed after the block.

    Raises:
        UsageError: a key that does not load, a base URL that cannot be one.
    """
    async with AsyncExitStack() as stack:
        client = await _client(file, stack)
        hooks = otel_hooks()
        if hooks is not None and hasattr(client, "watch"):
            client.watch(hooks)
        yield await stack.enter_async_context(client)


async def _client(file: CampaignFile | AccountFile, stack: AsyncExitStack) -> Any:
    account = file.account
    if isinstance(account, WeChatSection):
        from promomsg.channels.wechat import WeChatPromoter

        return WeChatPromoter(
            account.appid,
            account.secret,
            token=_token_source(account, file.path.parent),
            base_url=account.base_url,
            pace=file.pace,
            timeout=account.timeout,
            proxy=account.proxy.reveal(),
        )
    if isinstance(account, AlipaySection):
        return await _alipay(file, account, stack)
    return account.kind(
        **account.arguments,
        base_url=account.base_url,
        pace=file.pace,
        timeout=account.timeout,
        proxy=account.proxy.reveal(),
    )


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
        pace=file.pace,
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


def recipients_of(file: CampaignFile, *, everyone: bool = False) -> Any:
    """A source that reads the recipients' file, or the audience.

    Args:
        everyone: whether `--everyone` was given: the file alone never reaches everybody.

    Raises:
        UsageError: everybody is meant by the file or by the command line alone.
    """
    audience = file.audience
    if audience is None or file.failed_in is not None:
        if everyone:
            raise UsageError(
                f"--everyone goes with [audience] everyone = true; {file.path.name} names "
                "recipients: leave it out"
            )
        return _people(file) if file.failed_in is None else _failed_again(file, file.failed_in)
    if isinstance(audience, Everyone) and not everyone:
        raise UsageError(
            f"{file.path.name} reaches every promoter there is ([audience] everyone = true): "
            "add --everyone as well"
        )
    if everyone and not isinstance(audience, Everyone):
        raise UsageError("--everyone: the campaign file's [audience] is not everyone = true")
    return audience


def _people(file: CampaignFile) -> Any:
    """The list of a campaign file."""
    from promomsg.intake.by_suffix import read_file

    assert file.recipients is not None
    return read_file(
        file.recipients,
        columns=file.columns or None,
        encoding=file.encoding,
        sheet=file.sheet,
    )


def _failed_again(file: CampaignFile, report: Path) -> Any:
    """Those of the campaign file's list whom a report names as not sent to. Without a list the keys have to
    be addresses: `[campaign.columns] id = "key"` says so, and those of an audience are."""
    from promomsg.intake.reported.failed_again import FailedAgain, KeyIs

    lists = file.recipients if isinstance(file.recipients, tuple) else (file.recipients,)
    there = [one for one in lists if one is not None and (one == STANDARD_INPUT or one.exists())]
    if there:
        name = " and ".join(one.name for one in lists if one is not None)
        return FailedAgain(report, _people(file), name=name)
    addresses: tuple[KeyIs, ...] = ("id", "openid", "unionid")
    key_is = next((name for name in addresses if file.columns.get(name) == "key"), None)
    return FailedAgain(report, None, key_is=key_is, digits_are_ids=file.audience is not None)


def _run_options_of(file: CampaignFile) -> dict[str, Any]:
    """How to run: what may change between a send and its resume."""
    return {
        "concurrency": file.concurrency,
        "groups_in_flight": file.groups_in_flight,
        "max_error_rate": file.max_error_rate,
        "on_daily_quota": file.on_daily_quota,
        "durability": file.durability,
        "poll": file.poll,
    }


def resume_options_of(file: CampaignFile, record: CampaignRecord) -> dict[str, Any]:
    """The same with what decides who is sent to and how: the engine says what of that comes too late.

    Args:
        record: of the journal that is gone on with.
    """
    as_planned = {*FIRST_KEYS, *TIME_KEYS}
    if record.settings.get("only") is not None:
        as_planned.add("max_per_person")  # a test's messages do not count
    return {name: value for name, value in options_of(file).items() if name not in as_planned}


def options_of(file: CampaignFile) -> dict[str, Any]:
    """Everything that a new campaign takes beside channel, message and recipients."""
    return {
        **_run_options_of(file),
        "route": file.route,
        "resolve": file.resolve,
        "expand": file.expand,
        "max_group_size": file.max_group_size,
        "max_per_person": file.max_per_person,
        **file.first,
        **file.times,
    }
