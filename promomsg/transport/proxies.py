"""Which proxy a provider is reached through: the one that is given, or the environment's."""

from __future__ import annotations

import urllib.request

from yarl import URL

from promomsg.errors import UsageError
from promomsg.transport.urls import check_proxy, is_loopback

__all__ = ["choose_proxy"]


def choose_proxy(proxy: str | None, base: URL) -> URL | None:
    """The proxy for a provider's base URL; None: straight.

    Args:
        proxy: `http://[user:password@]host:port`; None: straight; `"env"`: what `HTTPS_PROXY` (or
            `ALL_PROXY`) says, unless `NO_PROXY` names the host. The names may be in small letters,
            as for curl. This machine is never reached through a proxy of the environment.

    Raises:
        UsageError: it is no proxy's URL; the text is not said back, since it may hold a password.
    """
    if proxy is None:
        return None
    if proxy != "env":
        return check_proxy(proxy)
    host = base.raw_host or ""
    named = urllib.request.getproxies_environment()
    kind = next((k for k in (base.scheme, "all") if named.get(k)), None)
    if kind is None or is_loopback(host):
        return None
    if urllib.request.proxy_bypass(f"{host}:{base.port}"):
        return None
    text = named[kind]
    try:
        # curl and its kin take a bare host:port as well.
        return check_proxy(text if "://" in text else f"http://{text}")
    except UsageError:
        raise UsageError(
            f"{kind.upper()}_PROXY is no http://[user:password@]host:port; mend it, or name "
            f"{host} in NO_PROXY"
        ) from None
