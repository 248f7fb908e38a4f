"""The error tree: whose fault it is, and whether anything was sent.

`UsageError` is the caller's, raised before anything goes out. `ProviderError` is an answer.
`TransportError` is the connection's, of two kinds: after `NotSent` another attempt is safe, after
`OutcomeUnknown` the message may already be delivered.
"""

from __future__ import annotations

__all__ = [
    "Halted",
    "JournalError",
    "NotFinished",
    "NotSent",
    "OutcomeUnknown",
    "PromoError",
    "ProviderError",
    "TransportError",
    "UsageError",
]


class PromoError(Exception):
    """The root of everything this package raises on purpose."""


class UsageError(PromoError):
    """The call, the file or the setting is wrong; nothing was sent.

    The text is one line that says what is wrong, where, and how to mend it.
    """


class ProviderError(PromoError):
    """The provider answered, and the answer is a refusal.

    Attributes:
        code: the provider's own code, verbatim (`"40001"`, `"ACCESS_DENIED"`).
        detail: the provider's own text, verbatim, secrets masked.
        rid: the provider's request id; WeChat support asks for it. None when there is none.
        verdict: a `promomsg.Verdict`: what the code means for a send.
        retry_after: seconds to wait before another call, when the provider or its rule says so.
        status: the HTTP status of the answer; None when the refusal came without a call.
    """

    def __init__(
        self,
        code: str,
        detail: str,
        rid: str | None,
        verdict: str,
        retry_after: float | None = None,
        *,
        status: int | None = None,
    ) -> None:
        super().__init__(f"{code}: {detail}" if detail else code)
        self.code = code
        self.detail = detail
        self.rid = rid
        self.verdict = verdict
        self.retry_after = retry_after
        self.status = status


class TransportError(PromoError):
    """The call did not come back with a readable answer.

    Attributes:
        status: the HTTP status of what did come back: an answer that could not be read or was cut
            short, a proxy's refusal, a refusal of the token call. None when nothing came.
        rid: the provider's request id in that; None when there is none.
    """

    def __init__(self, detail: str, *, status: int | None = None, rid: str | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.rid = rid


class NotSent(TransportError):
    """The call failed before its first byte left (DNS, connect, TLS): safe to try again.

    Attributes:
        permanent: no waiting mends it (an untrusted certificate, a proxy that wants a password):
            a campaign halts at once.
        code: the provider's code, where it was the token call that it refused for now; else "".
        retry_after: the seconds after which that may be asked for again; until then nothing is.
        status, rid: see `TransportError`: of the proxy's answer, or of the token call's.
    """

    def __init__(
        self,
        detail: str,
        *,
        permanent: bool = False,
        code: str = "",
        retry_after: float | None = None,
        status: int | None = None,
        rid: str | None = None,
    ) -> None:
        super().__init__(detail, status=status, rid=rid)
        self.permanent = permanent
        self.code = code
        self.retry_after = retry_after


class OutcomeUnknown(TransportError):
    """The call may have reached the provider (time-out, reset, truncated): never resent blindly."""


class NotFinished(OutcomeUnknown, TimeoutError):
    """A group send was followed as long as was asked for, and is not complete yet.

    Ask again later: a result can be had for 7 days. `except TimeoutError` catches it as well.
    """


class JournalError(PromoError):
    """The journal cannot be read, written, locked, or is another campaign's or version's."""


class Halted(PromoError):
    """Nobody else can succeed either; the campaign stopped cleanly and can be resumed.

    Attributes:
        code: the code of the answer or rule that stopped it.
        detail: what to do about it.
        status: the HTTP status of the answer that stopped it, as far as it is known: no journal
            keeps it.
        rid: the provider's request id in that answer, likewise.
    """

    def __init__(
        self, code: str, detail: str, *, status: int | None = None, rid: str | None = None
    ) -> None:
        super().__init__(f"{code}: {detail}" if detail else code)
        self.code = code
        self.detail = detail
        self.status = status
        self.rid = rid
