"""A channel whose provider takes one HTTP call for each recipient, with a key of the account's in it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, Self, TypedDict, Unpack

import aiohttp
import msgspec
from msgspec import UNSET, UnsetType

from promomsg.channels.client import ChannelBase, M
from promomsg.channels.single_call import failed_call, waiting_as_asked
from promomsg.clock import SYSTEM_CLOCK, Clock
from promomsg.errors import NotSent, OutcomeUnknown, UsageError
from promomsg.masking import Mask
from promomsg.model import Answer, Code, Secret, SingleSend, Verdict
from promomsg.traceback_locals import clear_traceback_locals, raised_at
from promomsg.transport.connections import MAX_CONNECTIONS
from promomsg.transport.last_check import LastCheck, asks_last_check
from promomsg.transport.pace import Pace
from promomsg.transport.session import HttpSession

if TYPE_CHECKING:
    from promomsg.telemetry.hooks import GivenHooks

__all__ = ["ChannelOptions", "HttpChannel", "HttpRequest"]


_TEXTS: Final = ("code", "detail", "rid", "msg_id", "extra")
"""Of an answer, what a journal keeps as text."""


class ChannelOptions(TypedDict, total=False):
    """What every client takes beside its account; all of it may be left out.

    Attributes:
        session: an `aiohttp.ClientSession` to make the calls with, which stays open; None (default): a
            pool of its own.
        pace: how fast to send; None (default): what the provider advises, else 50 singles a second.
        timeout: seconds for an answer (default 30), counted from the first byte of its request.
        proxy: URL of an HTTP proxy; `"env"`: as HTTPS_PROXY and NO_PROXY say; None (default): straight.
        max_connections: calls that may be out at once (default 100); a campaign with a higher
            `concurrency` raises it.
        hooks: told of all that goes through this client: a `promomsg.Hooks`, or several.
        clock: a test's; default: the machine's.
    """

    session: aiohttp.ClientSession | None
    pace: Pace | None
    timeout: float
    proxy: str | None
    max_connections: int
    hooks: GivenHooks
    clock: Clock


class HttpRequest(msgspec.Struct, frozen=True):
    """One POST of a send.

    Attributes:
        path: below `base_url`, not encoded.
        body: the bytes that are sent.
        headers: beside the content type, which is JSON's unless they say another.
        query: names and values, not encoded.

    Raises:
        UsageError: a value of another type; none of it is shown.
    """

    path: str
    body: bytes
    headers: Mapping[str, str] | None = None
    query: Mapping[str, str] | None = None

    def __post_init__(self) -> None:
        texts = [self.path, *(part for pair in (self.query or {}).items() for part in pair)]
        if not isinstance(self.body, bytes):
            raise UsageError(f"HttpRequest(body=…): give bytes, not {type(self.body).__name__}")
        if not all(isinstance(text, str) for text in texts):
            raise UsageError("HttpRequest: path, and names and values of the query, are text")

    def __repr__(self) -> str:
        return f"HttpRequest({self.path!r})"  # a key may be in all the rest


class HttpChannel(ChannelBase[M]):
    """One account at a provider that takes one POST for each recipient.

    A subclass says `name` and `message_type`, and implements `compile_message`, `request` and `read`;
    with `read_account` and `read_message` it is used from campaign files too. Whatever goes wrong on the
    way is a verdict here: `NotSent` before the first byte, `UNKNOWN` after it.

    Args:
        account: whose it is: `Channel.account`.
        base_url: the provider's; https, or http to this machine.
        secrets: those of the account: they are masked in whatever the provider says.
        options: see `ChannelOptions`.

    Raises:
        UsageError: an option that cannot be right.
    """

    def __init__(
        self,
        account: str,
        *,
        base_url: str,
        secrets: Iterable[Secret] = (),
        **options: Unpack[ChannelOptions],
    ) -> None:
        if not isinstance(account, str) or not account.strip():
            raise UsageError(f"{type(self).__name__}: the account is empty")
        self._account = account.strip()
        self._secrets = tuple(secrets)
        http = HttpSession(
            base_url,
            timeout=options.get("timeout", 30.0),
            proxy=options.get("proxy"),
            session=options.get("session"),
            max_connections=options.get("max_connections", MAX_CONNECTIONS),
            secrets=lambda: [secret.reveal() for secret in self._secrets],
        )
        super().__init__(
            http,
            pace=options.get("pace"),
            clock=options.get("clock", SYSTEM_CLOCK),
            hooks=options.get("hooks"),
        )

    def __repr__(self) -> str:
        # A client whose constructor raised is shown by crash reporters too.
        base_url = getattr(getattr(self, "_http", None), "base_url", None)
        account = getattr(self, "_account", None)
        return f"{type(self).__name__}({account!r}, base_url={base_url!r})"

    def with_options(
        self,
        *,
        pace: Pace | UnsetType | None = UNSET,
        timeout: float | UnsetType = UNSET,
        proxy: str | UnsetType | None = UNSET,
    ) -> Self:
        """This account with other options, on the same connection pool; what is not given stays as it is.

        It is a shallow copy: what a subclass has set in its `__init__` is there, and shared. It costs no
        call and no connection, and closing it leaves the pool open.

        Args:
            pace: its own limiters, which share the account's quota as those of any two clients of it
                do; None: what the provider advises, else 50 singles a second. Not given: the same limiters.
            timeout: as of `ChannelOptions`.
            proxy: as of `ChannelOptions`. Another one has connections of its own, within the same
                `max_connections`.

        Raises:
            UsageError: an option that cannot be right.
        """
        http = self._http.with_options(timeout=timeout, proxy=proxy)
        return self._derive(self._account, http, pace=pace)

    @property
    def account(self) -> str:
        """Whose client it is: the account that it was made with."""
        return str(self._account)

    @abstractmethod
    def request(self, compiled: Any, single_send: SingleSend) -> HttpRequest:
        """The call for one recipient. Pure, and called anew for each attempt.

        Args:
            compiled: what `compile_message` made.
            single_send: whom to send to: their addresses, `values`, and `request_id`, the
                idempotency key of a channel that is `idempotent`.
        """

    @abstractmethod
    def read(self, status: int, body: bytes, mask: Mask) -> Answer:
        """What an answer means. Pure; `promomsg.channel.read_object` has the rules of answers that
        have no readable result.

        Args:
            status: of HTTP.
            mask: takes the account's secrets out of a text that is kept.
        """

    def _read(self, status: int, body: bytes) -> Answer | None:
        answer = self.read(status, body, self._http.mask)
        return _kept(answer) if isinstance(answer, Answer) else None

    @asks_last_check
    async def deliver(
        self, compiled: Any, single_send: SingleSend, last_check: LastCheck | None = None
    ) -> Answer:
        """One call: what `request` makes goes out, and `read` says what the answer means."""
        request, wrong = attempt(self.request, compiled, single_send)
        if not isinstance(request, HttpRequest):
            return Answer(Verdict.HALT, Code.CLIENT, f"the request cannot be made: {wrong}")
        try:
            status, headers, content = await self._http.post(
                self._http.url(request.path, request.query),
                request.body,
                request.headers,
                has_permit=True,
                last_check=last_check,
            )
        except (NotSent, OutcomeUnknown, UsageError) as error:
            return failed_call(error)
        except BaseException as error:
            clear_traceback_locals(error)
            del request
            raise
        answer, wrong = attempt(self._read, status, content)
        if not isinstance(answer, Answer):
            detail = f"HTTP {status}: the answer cannot be read: {wrong}"
            return Answer(Verdict.UNKNOWN, Code.NO_ANSWER, detail, readable=False, status=status)
        if answer.verdict is Verdict.THROTTLED:
            return waiting_as_asked(answer, headers, self._clock.time())
        return answer


def _kept(answer: Answer) -> Answer:
    """An answer to a single send as a journal keeps it: halves of characters that a provider has sent are
    replaced. Raises where its author's code is wrong."""
    if answer.verdict is Verdict.ACCEPTED or not isinstance(answer.verdict, Verdict):
        raise UsageError(f"read() says {answer.verdict}, which a single send cannot come to")
    changed = {}
    for name in _TEXTS:
        text = getattr(answer, name)
        if not text:
            continue
        if not isinstance(text, str):
            raise UsageError(f"read() gives a {type(text).__name__} as {name}, which is text")
        if not text.isascii() and (kept := text.encode(errors="replace").decode()) != text:
            changed[name] = kept
    return msgspec.structs.replace(answer, **changed) if changed else answer


def attempt(call: Callable[..., Any], *args: Any) -> tuple[Any, str]:
    """What an author's function returns, or None and why not: a UsageError's text, of anything else the
    kind and the line alone, since its text may hold what it should not."""
    name = getattr(call, "__name__", "it").lstrip("_")
    try:
        return call(*args), f"{name}() returned something else"
    except UsageError as error:
        return None, str(error)
    except Exception as error:  # noqa: BLE001 - a send ends in a verdict, whatever an author's code does
        raised = raised_at(error)
        clear_traceback_locals(error)
        return None, f"{name}() raised {raised}"
