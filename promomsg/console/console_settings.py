"""How a console is started, and which ways are refused since strangers could get in."""

from __future__ import annotations

import os
import ssl
import sys
from pathlib import Path

import msgspec

from promomsg.console.own_addresses import public_origin
from promomsg.console.same_user import can_be_asked
from promomsg.console.sign_in import Tokens
from promomsg.errors import UsageError
from promomsg.model import Secret
from promomsg.url_origins import is_loopback_host

__all__ = ["ConsoleSettings"]


class ConsoleSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How a console is started.

    Attributes:
        folders: whose journals are shown.
        fleet_url: of the database whose campaigns are shown; None: none are.
        host, port: to listen on; port 0 picks a free one.
        reader_token, operator_token: who has one may look; and act.
        tls_certificate, tls_key: PEM files; without a key it is in the certificate's file.
        public_url: the `https://` URL of a proxy in front that does TLS.
        read_only: nobody acts.
    """

    folders: tuple[Path, ...] = ()
    fleet_url: str | None = None
    host: str = "127.0.0.1"
    port: int = 0
    reader_token: Secret | None = None
    operator_token: Secret | None = None
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    public_url: str | None = None
    read_only: bool = False

    @property
    def is_local(self) -> bool:
        """Whether only this machine gets to it, by no proxy."""
        return is_loopback_host(self.host) and self.public_url is None

    @property
    def same_user(self) -> bool:
        """Whether only this user of this machine gets to it, without a token."""
        return self.is_local and not self.tokens() and sys.platform == "linux"

    def tokens(self) -> Tokens:
        """Those of the two roles.

        Raises:
            UsageError: one is too short, or both are the same.
        """
        return Tokens(self.reader_token, self.operator_token)

    def public(self) -> str:
        """The origin of the proxy; empty: there is none.

        Raises:
            UsageError: it is no `https://` URL of a host alone.
        """
        return "" if self.public_url is None else public_origin(self.public_url)

    def check(self) -> None:
        """Looks whether it may be started like this.

        Raises:
            UsageError: strangers could get in, or something does not fit.
        """
        self.public()
        if self.tls_key is not None and self.tls_certificate is None:
            raise UsageError("--tls-key: the certificate is missing; add --tls-certificate FILE")
        for folder in self.folders:
            if not folder.is_dir():
                raise UsageError(f"{folder}: there is no such folder; give one that has journals")
        if self.tokens():
            if not self.is_local and self.tls_certificate is None and self.public_url is None:
                raise UsageError(
                    f"--host {self.host}: what goes over a network has to be encrypted: add "
                    "--tls-certificate FILE and --tls-key FILE, or put a proxy in front that does it and "
                    "say --public-url https://…"
                )
            return
        if not self.is_local:
            which = "--public-url" if is_loopback_host(self.host) else f"--host {self.host}"
            raise UsageError(
                f"{which}: everybody who gets there could read and act: add --reader-token env:NAME "
                "or --operator-token env:NAME, or both"
            )
        if self.same_user and not can_be_asked():
            raise UsageError(
                "/proc/net/tcp cannot be read, so that other users of this machine cannot be told apart: add "
                "--operator-token env:NAME"
            )

    def tls(self) -> ssl.SSLContext | None:
        """For the socket; None: it is without TLS.

        Raises:
            UsageError: the certificate or the key cannot be used.
        """
        if self.tls_certificate is None:
            return None
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        key = self.tls_certificate if self.tls_key is None else self.tls_key
        try:
            # A key with a passphrase is not asked for at a terminal.
            context.load_cert_chain(self.tls_certificate, key, password=lambda: b"")
        except OSError as error:
            raise UsageError(
                f"{os.fspath(self.tls_certificate)} and {os.fspath(key)} cannot be used for TLS: "
                f"{error.strerror or error.__class__.__name__}; give a certificate and its key in PEM, the "
                "key without a passphrase"
            ) from None
        return context
