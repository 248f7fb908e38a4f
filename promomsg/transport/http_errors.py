"""How a failure of HTTP becomes NOT SENT or UNKNOWN, in words that give no secret away.

A POST that failed before its first byte left is `NotSent`: safe to make again. From that byte on it
is `OutcomeUnknown`: the server may have acted on it. `Body.started` tells which.
"""

from __future__ import annotations

import asyncio
import os
import re
import socket
import ssl
from typing import Final

import aiohttp
from aiohttp.http import HttpProcessingError

from promomsg import open_file_limit
from promomsg.errors import NotSent, OutcomeUnknown, PromoError, UsageError
from promomsg.transport.aiohttp_internals import Body
from promomsg.transport.timeouts import HttpCall

__all__ = ["NotHttpError", "is_call_failure", "is_dead_connection", "to_promo_error"]

_CONNECTING: Final = (
    aiohttp.ClientConnectorError,
    aiohttp.ClientHttpProxyError,
    aiohttp.ConnectionTimeoutError,
    aiohttp.ServerFingerprintMismatch,
    aiohttp.InvalidURL,
)


_REFUSING: Final = frozenset({401, 403, 405, 407})
"""What a proxy answers when it will not serve this client, however often it is asked."""
_QUOTED: Final = re.compile(r"""\s*:?\s*(?:\b[bB])?['"`\n].*""", re.DOTALL)


class NotHttpError(aiohttp.ClientPayloadError):
    """An answer that is not HTTP; its text is what the parser complains of."""

    def __init__(self, complaint: str) -> None:
        super().__init__(_complaint(complaint))


def is_call_failure(failure: BaseException) -> bool:
    """Whether this is a failure of the call, and not of the program."""
    return isinstance(failure, (aiohttp.ClientError, OSError, ValueError, RuntimeError, PromoError))


def is_dead_connection(failure: BaseException, call: HttpCall, *, read: bool = False) -> bool:
    """Whether a pooled connection turned out to be dead, and nothing of this POST went into it.

    A read may have gone into it, when it had served another call before.
    """
    return (
        isinstance(call, Body)
        and (not call.started or (read and call.reused))
        and isinstance(failure, (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError))
        and not isinstance(failure, _CONNECTING)
    )


def to_promo_error(
    failure: BaseException, call: HttpCall, *, timeout: float, connect_timeout: float
) -> PromoError:
    """The error to raise. A `CancelledError` here is the call's own time-out.

    Whether anything left is known exactly for a POST. A GET is a read, so its class will do.
    """
    if isinstance(failure, PromoError):
        if isinstance(failure, OutcomeUnknown):
            failure.status = call.status
        return failure
    if isinstance(call, Body):
        sent = call.started
    else:
        odd = not isinstance(failure, (aiohttp.ClientError, OSError, asyncio.CancelledError))
        sent = not (odd or isinstance(failure, _CONNECTING))
    if isinstance(failure, asyncio.CancelledError):
        if sent:
            text = f"no answer within {timeout:g} s; it may have arrived"
            return OutcomeUnknown(text, status=call.status)
        return NotSent(f"no connection within {timeout:g} s; nothing was sent")
    what = _describe(failure)
    if sent:
        text = f"no whole answer ({what}); it may have arrived"
        return OutcomeUnknown(text, status=call.status)
    if isinstance(failure, aiohttp.ConnectionTimeoutError):
        return NotSent(
            f"no free connection, or none made, within {connect_timeout:g} s; nothing was sent"
        )
    if not isinstance(failure, (aiohttp.ClientError, OSError)):
        return UsageError(f"this call cannot be made: {what}")
    return NotSent(
        f"cannot connect ({what}); nothing was sent",
        permanent=_is_permanent(failure),
        status=failure.status if isinstance(failure, aiohttp.ClientHttpProxyError) else None,
    )


def _is_permanent(failure: BaseException) -> bool:
    """Whether no waiting mends it: somebody has to change a setting."""
    if isinstance(failure, aiohttp.ClientHttpProxyError):
        return failure.status in _REFUSING
    return isinstance(
        failure, (aiohttp.ClientConnectorCertificateError, aiohttp.ServerFingerprintMismatch)
    )


def _system_words(error: OSError) -> str:
    """What went wrong under a connection that was not made."""
    if open_file_limit.ran_out(error) or (
        isinstance(error, socket.gaierror) and open_file_limit.is_exhausted()
    ):
        return open_file_limit.remedy()
    library = isinstance(error, (socket.gaierror, ssl.SSLError)) or error.errno is None
    return (error.strerror or str(error)) if library else os.strerror(error.errno or 0)


def _describe(failure: BaseException) -> str:
    """The class and the system's words. aiohttp's own texts may have the URL in them."""
    name = type(failure).__name__
    text = None
    if isinstance(failure, aiohttp.ClientConnectorCertificateError):
        reason = getattr(failure.certificate_error, "verify_message", None)
        text = f"{reason or 'the certificate is not valid'}; check base_url and who issued it"
    elif isinstance(failure, aiohttp.ClientHttpProxyError):
        text = f"the proxy answered {failure.status}"
        if failure.status == 407:
            text += "; give its name and password, http://user:password@host:port"
    elif isinstance(failure, aiohttp.ClientConnectorError):
        text = _system_words(failure.os_error)
    elif isinstance(failure, NotHttpError):
        return f"the answer is not HTTP: {failure}"
    elif isinstance(failure, aiohttp.ClientResponseError):
        return f"the answer is not HTTP: {_complaint(failure.message)}"
    elif isinstance(failure.__cause__, HttpProcessingError):
        text = _complaint(failure.__cause__.message)
    elif isinstance(failure, OSError) and failure.errno is not None:
        text = _system_words(failure)
    elif not isinstance(failure, (aiohttp.ClientError, OSError)):
        text = str(failure)
    return f"{name}: {text}" if text else name


def _complaint(message: object) -> str:
    """What aiohttp's parser says is wrong, without the piece of the answer that it quotes."""
    text = _QUOTED.sub("", str(message).strip())
    return text[:200].strip(" .:") or "it makes no sense"
