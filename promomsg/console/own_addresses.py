"""Under which names the console is called: what a Host header and an Origin may say.

A page elsewhere can have its own name point to this machine (DNS rebinding). The browser then takes the
console for that page's site, but says the name as Host.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Final

from promomsg.errors import UsageError
from promomsg.url_origins import is_loopback_host, origin

__all__ = ["OwnAddresses", "names_of_certificate", "public_origin"]

_USUAL: Final = {"https": 443, "http": 80}
_LOOPBACK: Final = ("127.0.0.1", "localhost", "[::1]")


class OwnAddresses:
    """The origins that are the console's own.

    Args:
        scheme: of the listening socket, `http` or `https`.
        host, port: that it listens on.
        public: the origin that a proxy in front of it has; empty: there is none.
        names: further names and addresses, those of a certificate. `*.example.com` is any one word there.
    """

    def __init__(
        self, scheme: str, host: str, port: int, *, public: str = "", names: Collection[str] = ()
    ) -> None:
        self._scheme, self._port, self._public = scheme, port, public
        shown = f"[{host}]" if ":" in host else host
        # Past a proxy that does TLS nobody gets, but who is on this machine.
        self._by_address = not public or scheme == "https"
        self._names = (
            {shown.lower(), *(name.lower() for name in names)} if self._by_address else set()
        )
        self._is_loopback = is_loopback_host(host)

    def origin_of(self, host_header: str, reached: str = "") -> str:
        """The origin of a request by its Host header; empty: that is none of ours.

        Args:
            reached: the address of this machine that the request came to, which may be named too.
        """
        header = host_header.strip().lower()
        if self._public and header in _hosts_of(self._public):
            return self._public
        name, port = _split(header, _USUAL[self._scheme])
        if port != self._port or not name:
            return ""
        shown = f"[{reached}]" if ":" in reached else reached
        of_loopback = name in _LOOPBACK and (self._is_loopback or is_loopback_host(reached))
        by_address = self._by_address and name == shown
        if not (of_loopback or by_address or name in self._names or self._is_below(name)):
            return ""
        usual = port == _USUAL[self._scheme]
        return f"{self._scheme}://{name}" if usual else f"{self._scheme}://{name}:{port}"

    def _is_below(self, name: str) -> bool:
        word, _, rest = name.partition(".")
        return bool(word) and f"*.{rest}" in self._names


def _split(header: str, usual: int) -> tuple[str, int]:
    """Name and port of a Host header; no name: it is none."""
    name, colon, digits = header.rpartition(":")
    if header.endswith("]") or not colon:
        return header, usual
    if not (digits.isascii() and digits.isdigit()) or len(digits) > 5:
        return "", 0
    return name, int(digits)


def _hosts_of(own: str) -> tuple[str, ...]:
    """What a Host header says of an origin: with its port, and without where that is the usual one."""
    scheme, _, rest = own.partition("://")
    name, port = _split(rest, _USUAL[scheme])
    return (name, f"{name}:{port}") if port == _USUAL[scheme] else (rest,)


def public_origin(url: str) -> str:
    """The origin of `--public-url`.

    Raises:
        UsageError: it is no `https://` URL of a host alone.
    """
    found = origin(url).lower()
    if not found.startswith("https://") or url.lower().rstrip("/") not in (found, f"{found}:443"):
        raise UsageError(
            f"--public-url {url}: give the https:// URL that browsers have of the proxy, without a path: "
            "https://console.example.com"
        )
    return found


def names_of_certificate(path: str | os.PathLike[str]) -> list[str]:
    """The names and addresses that a certificate (PEM) is for.

    Raises:
        UsageError: it cannot be read.
    """
    from cryptography import x509

    try:
        certificate = x509.load_pem_x509_certificate(Path(path).read_bytes())
        return list(_names_in(certificate))
    except OSError as error:
        raise UsageError(f"{os.fspath(path)} cannot be read: {error.strerror}") from None
    except ValueError:
        raise UsageError(f"{os.fspath(path)} is no certificate in PEM") from None


def _names_in(certificate: object) -> Iterator[str]:
    from cryptography import x509

    assert isinstance(certificate, x509.Certificate)
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return
    yield from found.get_values_for_type(x509.DNSName)
    for address in found.get_values_for_type(x509.IPAddress):
        yield f"[{address}]" if address.version == 6 else str(address)
