"""The accounts of `promomsg worker`: of its environment, or of the file that `--accounts` names.

Nothing that a campaign's row in the database says decides where a secret goes: it is looked up here
(docs/fleet.md, "Which accounts a worker sends for").
"""

from __future__ import annotations

import os
import tomllib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final, NamedTuple

import anyio

from promomsg.channels.base import Channel
from promomsg.channels.installed import channel_class
from promomsg.cli.campaign.account_sections import AccountSections, account_id
from promomsg.cli.campaign.campaign_values import AccountFile, WeChatSection
from promomsg.cli.campaign.channel_key import channel_of
from promomsg.cli.campaign.pace_section import QUOTAS, read_pace
from promomsg.cli.campaign.secret_references import SecretMissing, read_secret
from promomsg.cli.campaign.table_reader import TableReader
from promomsg.cli.campaign.to_engine import open_channel
from promomsg.delivery import PollPolicy
from promomsg.errors import UsageError
from promomsg.fleet.accounts import AccountKey, AccountMissing, PacesOfCampaigns
from promomsg.journal.records import CampaignRecord
from promomsg.suggest import did_you_mean
from promomsg.transport.pace import Pace
from promomsg.url_origins import on_this_machine, origin
from promomsg.wechat.endpoints import BASE_URL

__all__ = ["AccountsOfEnvironment", "AccountsOfFile", "worker_accounts"]

_SECRET: Final = "WECHAT_SECRET"  # noqa: S105 - a variable's name
_APPID: Final = "WECHAT_APPID"
_KEY: Final = "PROMOMSG_FLEET_KEY"


class _OpenedAccounts(ABC):
    """One open channel for each account, opened when it is first asked for."""

    def __init__(self) -> None:
        self._stack = AsyncExitStack()
        self._channels: dict[AccountKey, Channel] = {}
        self._opening = anyio.Lock()
        self._paces = PacesOfCampaigns()

    async def channel(self, record: CampaignRecord, pace: Pace | None) -> Channel:
        """See `Accounts.channel`."""
        key = self._find(record)
        channel = self._channels.get(key)
        if channel is None:
            async with self._opening:
                channel = self._channels.get(key) or await self._open(key, record)
        self._paces.ask(channel, record.run_id, pace)
        return channel

    def not_sent_here(self, record: CampaignRecord, *, comes_back: bool = False) -> None:
        """See `Accounts.not_sent_here`."""
        self._paces.has_stopped(record.run_id, comes_back=comes_back)

    def forget_old_paces(self) -> None:
        """See `Accounts.forget_old_paces`."""
        self._paces.forget_old()

    async def close(self) -> None:
        """See `Accounts.close`."""
        self._channels.clear()
        await self._stack.aclose()

    async def _open(self, key: AccountKey, record: CampaignRecord) -> Channel:
        try:
            channel: Channel = await self._stack.enter_async_context(open_channel(self._read(key)))
        except UsageError as error:
            mend = "; set it where this worker runs" if isinstance(error, SecretMissing) else ""
            raise AccountMissing(
                f"campaign {record.name!r} of {key.channel} account {key.account}: {error}{mend}"
            ) from None
        self._channels[key] = channel
        return channel

    @abstractmethod
    def _find(self, record: CampaignRecord) -> AccountKey:
        """The account of this worker that a campaign is for. Raises AccountMissing: it has none."""

    @abstractmethod
    def _read(self, key: AccountKey) -> AccountFile:
        """The account with its secrets. Raises UsageError: one of them is not there, or is wrong."""


class AccountsOfEnvironment(_OpenedAccounts):
    """WeChat alone, with `$WECHAT_SECRET`, at the provider's own host or on this machine.

    Args:
        environ: the environment. With `WECHAT_APPID` in it the secret is of that account alone.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        super().__init__()
        self._environ = environ

    @property
    def missing(self) -> tuple[str, ...]:
        """What this worker lacks as it stands, a line each."""
        try:
            self._secret()
        except UsageError as error:
            return (f"{error}: without it this worker sends nothing",)
        return ()

    def _secret(self) -> Any:
        return read_secret(f"env:{_SECRET}", "the appsecret", Path(), self._environ)

    def _find(self, record: CampaignRecord) -> AccountKey:
        asked = AccountKey.of_record(record)
        which = f"campaign {record.name!r} of {asked}"
        give = "give this worker --accounts FILE with"
        if record.channel != "wechat":
            raise AccountMissing(f"{which}: {give} its [[account]]")
        at_home = asked.origin == origin(BASE_URL)
        if not at_home and not on_this_machine(asked.origin):
            raise AccountMissing(
                f"{which}: without a file {_SECRET} goes to {BASE_URL} or to this machine only; "
                f"{give} this account and its base_url"
            )
        only = self._environ.get(_APPID, "").strip()
        if only and only != record.account:
            raise AccountMissing(
                f"{which}: {_SECRET} is of {only}, as {_APPID} says; {give} both accounts"
            )
        return asked

    def _read(self, key: AccountKey) -> AccountFile:
        return AccountFile(
            path=Path.cwd() / "no-file",
            channel="wechat",
            account=WeChatSection(appid=key.account, secret=self._secret(), base_url=key.origin),
            pace=None,
            poll=PollPolicy(),
        )


class _Listed(NamedTuple):
    """One `[[account]]` of the file: its place from 1, and what stands in it."""

    number: int
    table: dict[str, Any]


class AccountsOfFile(_OpenedAccounts):
    """The accounts of a TOML file, each an `[[account]]` with the keys of a campaign file's `[wechat]`
    or `[alipay]`, a `channel`, and if need be an `[account.pace]`.

    Args:
        path: the file; its paths and `file:` secrets are relative to it.
        environ: where `env:NAME` is looked up.
        file_secrets: whether `file:` secrets may lie outside of the file's folder.

    Raises:
        UsageError: one line with the file, the key and how to mend it. A secret that is not there is
            none of that: the other accounts are of use without it (`missing`).
    """

    def __init__(self, path: Path, environ: Mapping[str, str], *, file_secrets: bool) -> None:
        super().__init__()
        self._path = path.absolute()
        self._shown = str(path)
        self._sections = AccountSections(self._path.parent, environ, file_secrets=file_secrets)
        self._listed: dict[AccountKey, _Listed] = {}
        missing = []
        for number, table in enumerate(_accounts(self._path, self._shown), 1):
            listed = _Listed(number, table)
            key = self._key(listed)
            if key in self._listed:
                raise UsageError(f"{self._shown}: [account {number}] is the {key} again; keep one")
            self._listed[key] = listed
            try:
                self._read(key)
            except SecretMissing as error:
                missing.append(f"{error}: without it nothing is sent for the {key}")
        if not environ.get(_KEY) and any(
            channel_class(key.channel).needs_tokens for key in self._listed
        ):
            missing.append(
                f"{_KEY} is not set: the user tokens of wallets' campaigns cannot be read without "
                "the key that they are encrypted with, and nothing is sent of these"
            )
        self.missing = tuple(missing)
        """What this worker lacks as it stands, a line each."""

    def _key(self, listed: _Listed) -> AccountKey:
        section = TableReader(listed.table, self._shown, f"account {listed.number}", None)
        section.need("channel", '"wechat"')
        kind = channel_class(channel_of(section) or "")
        if not kind.default_base_url:
            section.need("base_url", '"https://…/api"')
        base_url = section.text("base_url", kind.default_base_url)
        return AccountKey(kind.name, account_id(section, kind), origin(base_url))

    def _find(self, record: CampaignRecord) -> AccountKey:
        asked = AccountKey.of_record(record)
        if asked in self._listed:
            return asked
        for key in self._listed:
            if key.is_for(asked):
                return key
        other = next((k for k in self._listed if k[:2] == asked[:2]), None)
        has = "has it not" if other is None else f"has it at {other.origin or 'no host'} only"
        raise AccountMissing(
            f"campaign {record.name!r} of {asked}: {self._shown} {has}; add an [[account]] for it"
        )

    def _read(self, key: AccountKey) -> AccountFile:
        number, table = self._listed[key]
        name = f"account {number}"
        table = dict(table)
        channel, pace = table.pop("channel"), table.pop("pace", {})
        account = self._sections.read(channel, table, self._shown, None, name)
        return AccountFile(
            path=self._path,
            channel=channel,
            account=account,
            pace=read_pace(TableReader(pace, self._shown, f"{name} pace", QUOTAS)),
            poll=PollPolicy(),
        )


def _accounts(path: Path, shown: str) -> list[Any]:
    """The tables of `[[account]]`.

    Raises:
        UsageError: the file cannot be read, has anything else in it, or none of these.
    """
    try:
        top = tomllib.loads(path.read_bytes().decode("utf-8-sig"))
    except OSError as error:
        raise UsageError(f"{shown} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(f"{shown} is not UTF-8; save it as UTF-8") from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        # A text of TOML's own: the place in the file, and nothing of a value.
        why = "nested too deep" if isinstance(error, RecursionError) else str(error)
        raise UsageError(f"{shown} is not valid TOML: {why}") from None
    for name in top:
        if name != "account":
            hint = did_you_mean(name, ("account",)) or "; write an [[account]] for each account"
            raise UsageError(f"{shown}: a file of accounts has no {name!r}{hint}")
    listed = top.get("account")
    if not isinstance(listed, list) or not listed:
        raise UsageError(f"{shown} names no account: write an [[account]] for each")
    return listed


def worker_accounts(
    path: Path | None,
    *,
    environ: Mapping[str, str] | None = None,
    file_secrets: bool = False,
) -> AccountsOfEnvironment | AccountsOfFile:
    """The accounts that a worker of the terminal sends for; `missing` says what they lack.

    Args:
        path: of `--accounts`; None: `$WECHAT_SECRET` alone.
        environ: the environment; the process's by default.
        file_secrets: whether `file:` secrets may lie outside of the file's folder.

    Raises:
        UsageError: the file is wrong.
    """
    environ = os.environ if environ is None else environ
    if path is None:
        return AccountsOfEnvironment(environ)
    return AccountsOfFile(path, environ, file_secrets=file_secrets)
