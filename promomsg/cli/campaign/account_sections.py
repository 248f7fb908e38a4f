"""`[wechat]`, `[alipay]` or `[NAME]` of a campaign file: whose account, by which secrets, which way."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from promomsg.channels.installed import channel_class
from promomsg.cli.campaign.campaign_values import (
    FROM_ENVIRONMENT,
    AlipaySection,
    AnySection,
    OwnSection,
    WeChatSection,
)
from promomsg.cli.campaign.channel_section import ChannelSection
from promomsg.cli.campaign.table_reader import TableReader
from promomsg.errors import UsageError
from promomsg.model import Secret
from promomsg.wechat.endpoints import BASE_URL

__all__ = ["AccountSections", "account_id", "extra_fields"]


class AccountSections:
    """Reads the account of a campaign file.

    Args:
        folder: the file's: paths and `file:` secrets are relative to it.
        environ: where `env:NAME` is looked up.
        file_secrets: whether `file:` secrets may lie outside of the folder.
    """

    def __init__(self, folder: Path, environ: Mapping[str, str], *, file_secrets: bool) -> None:
        self._folder = folder
        self._environ = environ
        self._file_secrets = file_secrets

    def read(
        self, channel: str, table: Any, file: str, base_url: str | None, name: str | None = None
    ) -> AnySection:
        """The account of a channel; `base_url` of the command line wins over the file's.

        Args:
            channel: its name.
            name: the table's, for messages; None: the channel's.
        """
        if channel == "wechat":
            return self.wechat(table, file, base_url, name or channel)
        if channel == "alipay":
            return self.alipay(table, file, base_url, name or channel)
        return self._of_own(channel, table, file, base_url, name or channel)

    def message(self, channel: str, table: Any, file: str) -> Any:
        """`[message]` of a channel that another package brings."""
        section = ChannelSection(table, file, "message", self._secret, self._folder)
        message = channel_class(channel).read_message(section)
        section.refuse_unasked()
        return message

    def _of_own(
        self, channel: str, table: Any, file: str, base_url: str | None, name: str
    ) -> OwnSection:
        kind = channel_class(channel)
        section = ChannelSection(table, file, name, self._secret, self._folder)
        account = account_id(section, kind)
        default = kind.default_base_url
        if base_url is None and not default:
            section.need("base_url", '"https://…"')
        url, proxy, seconds = _url(section, default), self._proxy(section), _timeout(section)
        arguments = kind.read_account(section)
        section.refuse_unasked()
        return OwnSection(
            kind=kind,
            arguments=arguments,
            account_id=account,
            base_url=url if base_url is None else base_url,
            proxy=proxy,
            timeout=seconds,
        )

    def wechat(
        self, table: Any, file: str, base_url: str | None, name: str = "wechat"
    ) -> WeChatSection:
        """The account of `[wechat]`; `base_url` of the command line wins over the file's.

        Args:
            name: the table's, for messages.
        """
        known = ("appid", "secret", "token", "base_url", "proxy", "timeout")
        section = TableReader(table, file, name, known)
        token_command: tuple[str, ...] = ()
        if "token" in section:
            if "secret" in section:
                raise UsageError(f"{file}: [{name}] has a secret and a token; keep one")
            token_command = _command(section, "token")
        return WeChatSection(
            appid=section.required("appid", '"wx…"'),
            secret=(None if token_command else self._secret(section, "secret")),
            base_url=_url(section, BASE_URL) if base_url is None else base_url,
            token_command=token_command,
            proxy=self._proxy(section),
            timeout=_timeout(section),
        )

    def alipay(
        self, table: Any, file: str, base_url: str | None, name: str = "alipay"
    ) -> AlipaySection:
        """The account of `[alipay]`; the arguments are those of `wechat`."""
        known = (
            "client_id", "app_id", "private_key", "public_key", "verify", "base_url",
            "key_version", "signature_encoding", "tokens", "proxy", "timeout", "extra",
        )  # fmt: skip
        section = TableReader(table, file, name, known)
        verify = section.flag("verify", True)
        public_key = None
        if verify or "public_key" in section:
            public_key = self._secret(section, "public_key").reveal()
        if base_url is None:
            section.need("base_url", '"https://…/api"')
        version = section.whole("key_version", 0)
        encodings = ("percent", "base64", "base64url")
        return AlipaySection(
            client_id=section.required("client_id", '"…"'),
            app_id=section.required("app_id", '"P…"'),
            private_key=self._secret(section, "private_key"),
            public_key=public_key,
            verify=verify,
            base_url=_url(section, "") if base_url is None else base_url,
            key_version=1 if version is None else version,
            signature_encoding=section.choice("signature_encoding", encodings, "percent") or "",
            tokens=section.path("tokens", self._folder),
            proxy=self._proxy(section),
            timeout=_timeout(section),
            extra=extra_fields(section),
        )

    def _secret(self, section: TableReader, key: str) -> Secret:
        return section.secret(key, self._folder, self._environ, anywhere=self._file_secrets)

    def _proxy(self, section: TableReader) -> Secret:
        """The proxy's URL; one with a password is read by reference, as every secret."""
        if "proxy" not in section:
            return FROM_ENVIRONMENT
        text = section.text("proxy")
        if text.partition(":")[0] in ("env", "file") and "//" not in text:
            return self._secret(section, "proxy")
        if "@" in text:
            raise UsageError(
                f"{section.where('proxy')}: a password does not stand in the file itself; write "
                "the whole URL into an environment variable or a file, and 'env:NAME' or 'file:PATH'"
            )
        return Secret(text)


def account_id(section: TableReader, kind: Any) -> str:
    """Whose account a table is of, as `Channel.account` has it; no secret is read for it.

    Args:
        kind: the channel's class.
    """
    return "/".join(section.required(key, '"…"').strip() for key in kind.account_keys)


def _command(section: TableReader, key: str) -> tuple[str, ...]:
    """The words of `"command:…"`, as a shell splits them; no shell runs them."""
    kind, _, line = section.text(key).partition(":")
    try:
        words = tuple(shlex.split(line)) if kind == "command" else ()
    except ValueError as error:
        raise UsageError(f"{section.where(key)}: the command cannot be split: {error}") from None
    if not words:
        raise UsageError(
            f"{section.where(key)}: write 'command:PROGRAM ARGUMENT …'; the program prints a "
            "current access token"
        )
    return words


def _timeout(section: TableReader) -> float:
    seconds = section.duration("timeout", 30.0)
    if seconds <= 0:
        raise UsageError(f"{section.where('timeout')} is 0; expected more, such as '30s'")
    return seconds


def extra_fields(section: TableReader) -> dict[str, Any] | None:
    """Request fields of a wallet's own, by their wire names; None when there are none."""
    if "extra" not in section:
        return None
    extra = section.table["extra"]
    if not isinstance(extra, dict):
        raise section.wrong("extra", "a table of request fields by their wire names")
    return extra


def _url(section: TableReader, default: str) -> str:
    url = section.text("base_url", default)
    if "base_url" in section and not url.lower().startswith(("https://", "http://")):
        raise UsageError(
            f"{section.where('base_url')} begins with neither https:// nor http:// (loopback only)"
        )
    return url
