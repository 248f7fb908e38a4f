"""The values that every layer uses: recipients, audiences, verdicts, answers, outcomes, `Secret`."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from numbers import Integral
from typing import Any, Final

import msgspec

from promomsg.errors import UsageError

__all__ = [
    "GROUP_CHANNELS",
    "GROUP_THRESHOLD",
    "IDEMPOTENT_CHANNELS",
    "Answer",
    "Audience",
    "ClickCount",
    "Code",
    "Delivery",
    "Everyone",
    "Failure",
    "Outcome",
    "Problem",
    "Promoters",
    "Recipient",
    "Retailers",
    "Roles",
    "Secret",
    "SingleSend",
    "State",
    "Verdict",
]

GROUP_THRESHOLD: Final = 50
"""From this many on, one group call; fewer, single calls (docs/facts/wechat.md, "Wire oddities",
the threshold)."""


class Verdict(StrEnum):
    """What one answer or failure of a send means (docs/design.md, "Verdicts")."""

    SENT = "SENT"
    """The provider confirmed it."""
    FAILED = "FAILED"
    """The provider refused this recipient."""
    REFUSED = "REFUSED"
    """This rendered message cannot go to anybody: no further call is made with it."""
    ACCEPTED = "ACCEPTED"
    """A group send was taken; its result is polled."""
    RETRY = "RETRY"
    """Nothing was sent, and another attempt is safe."""
    THROTTLED = "THROTTLED"
    """Nothing was sent, and the quota is to be held for a while."""
    UNKNOWN = "UNKNOWN"
    """It may have been sent: it is never sent again without an idempotency key."""
    HALT = "HALT"
    """Nobody else can succeed either: the campaign stops, to be resumed."""


class State(StrEnum):
    """Where a recipient stands; the moves between them are in `promomsg.states`."""

    PENDING = "pending"
    INTENDED = "intended"
    SENT = "sent"
    FAILED = "failed"
    UNKNOWN = "unknown"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"


IDEMPOTENT_CHANNELS: Final = frozenset({"alipay"})
"""Channels whose provider dedupes on our key, so that a lost answer may be asked for again."""

GROUP_CHANNELS: Final = frozenset({"wechat"})
"""Channels with group sends, whose provider says more of a message on later days."""


class Code(StrEnum):
    """Codes that promomsg itself gives to an outcome; a provider's own codes are kept verbatim."""

    DUPLICATE_KEY = "DUPLICATE_KEY"
    """The key stood in an earlier row."""
    DUPLICATE_ADDRESS = "DUPLICATE_ADDRESS"
    """The address stood in an earlier row, under another key."""
    DUPLICATE_REQUEST_ID = "DUPLICATE_REQUEST_ID"
    """The row's own request_id stood in an earlier row: the provider would send nothing for it."""
    SUPPRESSED = "SUPPRESSED"
    """The key or the address is on the suppression list."""
    MAX_PER_PERSON = "MAX_PER_PERSON"
    """Other campaigns have sent, or will send, as many messages to them as `max_per_person` lets one have."""
    NOT_SELECTED = "NOT_SELECTED"
    """`--test-to` or another selection left the row out."""
    MISSING_PARAM = "MISSING_PARAM"
    """A placeholder of the message has no value in this row."""
    BAD_ZONE = "BAD_ZONE"
    """What the column of time zones has in this row is none."""
    BAD_ROW = "BAD_ROW"
    """The row cannot be read as a recipient."""
    BAD_ADDRESS = "BAD_ADDRESS"
    """The address is not one: fractional, `1.2E+17`, NaN, control characters."""
    NO_ADDRESS = "NO_ADDRESS"
    """The row has no address that this channel can use."""
    OVER_LIMIT = "OVER_LIMIT"
    """A field, once rendered, is longer than the provider allows."""
    NO_ANSWER = "NO_ANSWER"
    """The call may have reached the provider, but no readable answer came back."""
    CLIENT = "CLIENT"
    """The client itself cannot be used: it was closed, or belongs to another event loop."""
    HTTP_429 = "HTTP_429"
    """A gateway answered 429 (too many calls) without a result of the provider's."""
    NOT_SENT = "NOT_SENT"
    """The call failed before its first byte left."""
    INTERRUPTED = "INTERRUPTED"
    """The process died between the intent and the result."""
    UNNAMED = "UNNAMED"
    """The provider counted failures in this group without naming whose they are."""
    EXPIRED = "EXPIRED"
    """The 7 days in which a group's result can be had are over."""
    CANCELLED = "CANCELLED"
    """The campaign was cancelled before this recipient was sent to."""
    FINISH_BY = "FINISH_BY"
    """`finish_by` came before this recipient was sent to."""
    UNSIGNED = "UNSIGNED"
    """The wallet's answer says success but its signature is missing or wrong."""


class Problem(msgspec.Struct, frozen=True):
    """Why a row cannot be sent: found in planning, before anything goes out.

    Attributes:
        code: the outcome's, as `Code.OVER_LIMIT`.
        detail: one line for people, without a secret.
    """

    code: Code
    detail: str


class Secret:
    """A string that never prints itself: not in repr, str, format, pickle, or a traceback's locals."""

    __slots__ = ("_value",)

    def __init__(self, value: str | Secret) -> None:
        self._value: str = value._value if isinstance(value, Secret) else value

    def reveal(self) -> str:
        """The string itself; call it only where the bytes are written to the wire."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(…)"

    def __str__(self) -> str:
        return "…"

    def __format__(self, spec: str) -> str:
        return "…"

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._value == other._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __reduce__(self) -> Any:
        raise TypeError("a Secret is not pickled: it would leave the process in the clear")


class _Keyed(msgspec.Struct, frozen=True):
    key: str | None = None


class Recipient(_Keyed, frozen=True, kw_only=True):
    """Somebody to reach, once.

    Attributes:
        key: yours, unique in a campaign, given back in every outcome; defaults to the address.
        id: WeChat promoter id (digits).
        openid: WeChat openid.
        unionid: WeChat unionid.
        access_token: the wallet user's token (Alipay+); becomes a `Secret`.
        request_id: Alipay+ idempotency key of your own (an order number), at most 64 characters.
        params: values of the message's placeholders.
    """

    id: str | None = None
    openid: str | None = None
    unionid: str | None = None
    access_token: Secret | str | None = None
    request_id: str | None = None
    params: Mapping[str, Any] = msgspec.field(default_factory=dict)

    def __post_init__(self) -> None:
        setattr_ = msgspec.structs.force_setattr
        # First of all: what is refused below is shown by its repr in a traceback with locals.
        if isinstance(self.access_token, str):
            setattr_(self, "access_token", Secret(self.access_token))
        for name in ("key", "id"):
            value: Any = getattr(self, name)
            if not isinstance(value, (str, bool)) and isinstance(
                value, Integral
            ):  # numpy's are not int
                setattr_(self, name, str(int(value)))
        for name in ("key", "id", "openid", "unionid", "request_id"):
            value = getattr(self, name)
            if value is not None and not isinstance(value, str):
                raise UsageError(
                    f"Recipient({name}={value!r}): give a str, not {type(value).__name__}"
                )
        if self.key is None:
            setattr_(self, "key", self.openid or self.unionid or self.id)


class Answer(msgspec.Struct, frozen=True):
    """What one send call came to, for the engine.

    Attributes:
        verdict: what it means.
        code: the provider's code verbatim, or one of `Code`; empty for a plain success.
        detail: text for a person, secrets masked.
        rid: the provider's request id.
        msg_id: of an accepted group send; Alipay+'s `messageId` of a single one.
        retry_after: seconds to hold this quota (THROTTLED) when the provider or its rule says so.
        token_failed: the call failed because of its access token: a newer one is worth a try.
        extra: what else the answer holds that a user wants kept (Alipay+'s `extendInfo`).
        readable: whether the provider itself answered, and could be understood. False for a call
            that failed on the connection, a lost answer, an HTML page, a 403, 404, 407 or 5xx
            without a result, a result that cannot be read, and for what the provider says when it
            is not well (WeChat's -1, a wallet's U): many in a row mean that it is not there. A
            429 is an answer. True for what was decided without a call.
        status: the HTTP status of the answer; None without one.
    """

    verdict: Verdict
    code: str = ""
    detail: str = ""
    rid: str | None = None
    msg_id: str | None = None
    retry_after: float | None = None
    token_failed: bool = False
    extra: str | None = None
    readable: bool = True
    status: int | None = None


class SingleSend(msgspec.Struct, gc=False):
    """One single send to make, as the journal hands it out.

    Attributes:
        seq: the recipient's number in the journal.
        key: the recipient's key.
        id, openid, unionid: the addresses the row has.
        values: the message's values for this recipient, one a placeholder; empty when it has none.
        request_id: the idempotency key to use (idempotent channels only).
        token: the wallet user's access token (channels with `needs_tokens` only).
        attempts: calls already made for this recipient.
        maybe_sent: an earlier attempt may have been delivered (idempotent channels only).
        generation: how often the user's word reopened a failure: part of the idempotency key.
        earlier: of the attempts, those that an earlier run or try made: a budget is of one run.
    """

    seq: int
    key: str
    id: str | None = None
    openid: str | None = None
    unionid: str | None = None
    values: tuple[str, ...] = ()
    request_id: str | None = None
    token: Secret | None = None
    attempts: int = 0
    maybe_sent: bool = False
    generation: int = 0
    earlier: int = 0


class Outcome(msgspec.Struct, frozen=True):
    """What happened to one recipient.

    Attributes:
        recipient: who; tokens are left out.
        state: where they stand now.
        code: why, verbatim from the provider, or one of `Code`; empty for a plain success.
        detail: the provider's text, or ours.
        rid: the provider's request id.
        attempts: calls made for this recipient.
        group: the `msg_id` of the group send they were in, or its number while it has none.
        at: when the state was reached, Unix seconds; None for a recipient that nothing was tried for.
        extra: what else the answer held: Alipay+'s `extendInfo`, or with a `messageId` both in
            one JSON object.
        status: the HTTP status of the answer to a `send_one`; None when no answer came, and for
            every outcome of a campaign, whose journal does not keep it (where it is what is wrong
            with an answer, `detail` has it: `HTTP 502: …`).
    """

    recipient: Recipient
    state: State
    code: str = ""
    detail: str = ""
    rid: str | None = None
    attempts: int = 0
    group: str | None = None
    at: float | None = None
    extra: str | None = None
    status: int | None = None


class Promoters(msgspec.Struct, frozen=True):
    """A group of promoters by id (`list_type` 3)."""

    ids: tuple[str, ...]

    def __post_init__(self) -> None:
        ids = tuple(str(i) for i in _sequence("Promoters", self.ids))
        msgspec.structs.force_setattr(self, "ids", ids)


class Roles(msgspec.Struct, frozen=True):
    """Everybody with one of these roles (`list_type` 1); `get_roles()` lists them."""

    ids: tuple[int, ...]

    def __post_init__(self) -> None:
        ids = _sequence("Roles", self.ids)
        if not all(isinstance(i, int) and not isinstance(i, bool) and i >= 0 for i in ids):
            raise UsageError(f"Roles({list(ids)!r}): role ids are whole numbers of 0 or more")
        msgspec.structs.force_setattr(self, "ids", ids)


class Retailers(msgspec.Struct, frozen=True):
    """Everybody of one of these retailers (`list_type` 2)."""

    ids: tuple[str, ...]

    def __post_init__(self) -> None:
        ids = tuple(str(i) for i in _sequence("Retailers", self.ids))
        msgspec.structs.force_setattr(self, "ids", ids)


class Everyone(msgspec.Struct, frozen=True):
    """Every promoter there is (`list_type` left out): needs `confirm=True`."""

    confirm: bool = False

    def __post_init__(self) -> None:
        if self.confirm is not True:
            raise UsageError("Everyone() reaches every promoter; say Everyone(confirm=True)")


Audience = Promoters | Roles | Retailers | Everyone


def _sequence(name: str, value: Any) -> tuple[Any, ...]:
    """`value` as a non-empty tuple: an empty list on the wire would reach everybody."""
    if isinstance(value, (str, bytes)) or not hasattr(value, "__iter__"):
        raise UsageError(f"{name}({value!r}): give a list")
    items = tuple(value)
    if not items:
        raise UsageError(f"{name}([]): the list is empty; nobody would be meant, name at least one")
    if any(isinstance(i, str) and not i.strip() for i in items):
        raise UsageError(f"{name}({list(items)!r}): an empty name in the list")
    return items


class Failure(msgspec.Struct, frozen=True):
    """One `fail_info` record: whom a group send did not reach, and the provider's code."""

    id: str
    code: str


class Delivery(msgspec.Struct, frozen=True):
    """One look at a group send (`getmsg`).

    Attributes:
        percent: 0 to 100; None when the answer has none (unknown progress, not 0 or 100).
        send_cnt, fail_cnt: the provider's counts; None when missing.
        failures: the named failures: those of the answer, and of the failure file once fetched.
        fail_info_url: where the failure file is, when there is one.
        content, path, list_type, role_ids, retail_ids, ids, msg_type, appid: what was sent to whom.
    """

    msg_id: str
    percent: int | None = None
    send_cnt: int | None = None
    fail_cnt: int | None = None
    failures: tuple[Failure, ...] = ()
    fail_info_url: str | None = None
    msg_type: int | None = None
    content: str | None = None
    appid: str | None = None
    path: str | None = None
    list_type: int | None = None
    role_ids: tuple[int, ...] = ()
    retail_ids: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


class ClickCount(msgspec.Struct, frozen=True, kw_only=True):
    """Clicks on one group send, or on all messages of one type, as the provider counts them.

    Attributes:
        msg_id: the group send's; None: all messages of the campaign's type.
        people: who clicked; clicks: how often; None for what it did not say.
    """

    msg_id: str | None = None
    people: int | None = None
    clicks: int | None = None
