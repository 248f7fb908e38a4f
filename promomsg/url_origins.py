"""Which server a base URL means: scheme, host and port, and nothing else of it."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

__all__ = ["is_loopback_host", "on_this_machine", "origin"]

_USUAL: Final = {"https": 443, "http": 80}


def origin(base_url: str) -> str:
    """`https://api.weixin.qq.com` of `https://api.weixin.qq.com:443/prefix`; empty when it is none."""
    try:
        parts = urlsplit(base_url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return ""
    if not host or parts.scheme not in _USUAL:
        return ""
    shown = f"[{host}]" if ":" in host else host
    usual = port is None or port == _USUAL[parts.scheme]
    return f"{parts.scheme}://{shown}" if usual else f"{parts.scheme}://{shown}:{port}"


def on_this_machine(base_url: str) -> bool:
    """Whether it is a loopback address."""
    try:
        return is_loopback_host(urlsplit(base_url).hostname or "")
    except ValueError:
        return False


def is_loopback_host(host: str) -> bool:
    """Whether a host name or address is this machine."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ip_address(host.strip("[]"))
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback
