"""Which addresses may be called at all: ours to the provider, and those that answers name."""

from __future__ import annotations

import ipaddress

from yarl import URL

from promomsg.errors import UsageError
from promomsg.url_origins import is_loopback_host as is_loopback

__all__ = ["check_base_url", "check_proxy", "is_loopback", "is_public"]

_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_NOT_PUBLIC_V4 = tuple(
    ipaddress.IPv4Network(text)
    for text in (
        "192.0.0.0/24",  # protocol assignments (RFC 6890)
        "192.88.99.0/24",  # 6to4 relays, given up (RFC 7526)
        "168.63.129.16/32",  # Azure's own wire server, at a public-looking address
    )
)
_NOT_PUBLIC_V6 = tuple(
    ipaddress.IPv6Network(text)
    for text in (
        "::/96",  # an IPv4 address in disguise, given up (RFC 4291)
        "64:ff9b:1::/48",  # NAT64 of a local network (RFC 8215)
        "2001:db8::/32",  # documentation
        "3fff::/20",  # documentation (RFC 9637)
        "5f00::/16",  # segment routing (RFC 9602)
        "fec0::/10",  # site-local, given up (RFC 3879)
    )
)
_ISATAP = (0x00005EFE, 0x02005EFE)
"""The middle of an interface id that carries an IPv4 address (RFC 5214)."""


def check_base_url(text: str) -> URL:
    """A provider's base URL: https, or http to this machine; no user, query or fragment.

    Raises:
        UsageError: it is not one.
    """
    if not isinstance(text, str):
        raise UsageError(f"base_url: give a str, not {type(text).__name__}")
    try:
        url = URL(text.strip())
        host, port = url.raw_host, url.port
    except ValueError:
        raise UsageError("base_url: this is not a URL; give https://host[:port][/prefix]") from None
    if url.scheme not in ("http", "https") or not host or port is None:
        raise UsageError(f"base_url={text!r}: give https://host[:port][/prefix]")
    if url.raw_user or url.raw_password:
        raise UsageError(f"base_url at {host}: leave the user name and password out")
    if url.raw_query_string or url.raw_fragment or text.rstrip()[-1] in "?#":
        raise UsageError(f"base_url at {host}: leave out everything from the ? or # on")
    if url.scheme == "http" and not is_loopback(host):
        raise UsageError(
            f"base_url={text!r}: http:// is for this machine only (127.0.0.1, localhost), since "
            "secrets would travel in the clear; give https://"
        )
    return url


def check_proxy(text: str) -> URL:
    """A proxy's URL. Raises UsageError, which does not say it back: it may hold a password."""
    try:
        url = URL(text)
        good = url.scheme in ("http", "https") and url.raw_host and url.port
    except (TypeError, ValueError):
        good = False
    if not good:
        raise UsageError("proxy=…: give http://[user:password@]host:port")
    return url


def is_public(text: str) -> bool:
    """Whether an IP address is one of the open internet.

    Not: private, loopback, link-local, shared (100.64/10), multicast, reserved, unspecified. An
    IPv6 address that carries an IPv4 one (mapped, NAT64) is as public as that.
    """
    try:
        address = ipaddress.ip_address(text.partition("%")[0].strip("[]"))
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        elif address in _NAT64:
            address = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        elif address.sixtofour is not None or address.teredo is not None:
            return False  # tunnels to an IPv4 address of the sender's choice; nobody serves there
    if isinstance(address, ipaddress.IPv6Address):
        if int(address) >> 32 & 0xFFFFFFFF in _ISATAP:
            return False
        if any(address in network for network in _NOT_PUBLIC_V6):
            return False
    elif any(address in network for network in _NOT_PUBLIC_V4):
        return False
    return address.is_global and not address.is_multicast and not address.is_reserved
