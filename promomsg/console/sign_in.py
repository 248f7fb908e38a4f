"""Who may read and who may act: tokens, the sessions that begin with one, and the tokens of forms."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections import OrderedDict
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address
from typing import Final, Literal, TypeAlias

import msgspec

from promomsg.clock import SYSTEM_CLOCK
from promomsg.errors import UsageError
from promomsg.model import Secret

__all__ = [
    "LASTS",
    "Attempts",
    "Role",
    "Session",
    "Sessions",
    "Tokens",
    "form_token",
    "is_form_token",
    "is_session_id",
    "new_session_id",
]

Role: TypeAlias = Literal["reader", "operator"]

LASTS: Final = 12 * 3600.0
"""Seconds that a session lasts."""
_MOST_SESSIONS: Final = 4096
_SHORTEST: Final = 16
"""Characters of a token: one that can be guessed is none."""
_MOST_PEERS: Final = 1024
_AT_ONCE: Final = 8
_ONE_IN: Final = 10.0
_SESSION_ID: Final = re.compile(r"[A-Za-z0-9_-]{43}").fullmatch


class Tokens:
    """The tokens of the two roles.

    Args:
        reader: who has it may look; None: nobody only looks.
        operator: who has it may look and act; None: nobody may act.

    Raises:
        UsageError: one is too short to be secret, or both are the same.
    """

    def __init__(self, reader: Secret | None = None, operator: Secret | None = None) -> None:
        self._digests: list[tuple[Role, bytes]] = []
        for role, token in (("operator", operator), ("reader", reader)):
            if token is None:
                continue
            if len(token.reveal()) < _SHORTEST:
                raise UsageError(
                    f"--{role}-token: it has fewer than {_SHORTEST} characters and can be guessed; make one "
                    "with `openssl rand -hex 32`"
                )
            self._digests.append((role, _digest(token.reveal())))  # type: ignore[arg-type]
        if len({digest for _, digest in self._digests}) < len(self._digests):
            raise UsageError(
                "--reader-token and --operator-token are the same; who reads could act with it"
            )

    def __bool__(self) -> bool:
        return bool(self._digests)

    def role_of(self, token: str) -> Role | None:
        """The role that a token gives; None: it is none of ours. It takes as long for every token."""
        given, found = _digest(token), None
        for role, digest in self._digests:
            if hmac.compare_digest(given, digest):
                found = role
        return found


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


class Session(msgspec.Struct, frozen=True):
    """Somebody who has signed in.

    Attributes:
        role: what they may do.
        until: monotonic seconds of its end.
    """

    role: Role
    until: float


class Sessions:
    """Who has signed in, in memory: all are over when the console ends, each of them after 12 hours.

    Args:
        now: monotonic seconds.
        most: of these the latest are kept.
    """

    def __init__(
        self, now: Callable[[], float] = SYSTEM_CLOCK.monotonic, most: int = _MOST_SESSIONS
    ) -> None:
        self._now = now
        self._most = most
        # By digest, so that no comparison tells how much of an id was right.
        self._by_id: OrderedDict[bytes, Session] = OrderedDict()

    def __len__(self) -> int:
        return len(self._by_id)

    def begin(self, role: Role) -> str:
        """Begins one; returns its id."""
        found = new_session_id()
        self._by_id[_digest(found)] = Session(role, self._now() + LASTS)
        while len(self._by_id) > self._most:
            self._by_id.popitem(last=False)
        return found

    def find(self, session_id: str) -> Session | None:
        """The one of an id; None: there is none, or it is over."""
        key = _digest(session_id)
        session = self._by_id.get(key)
        if session is not None and session.until <= self._now():
            del self._by_id[key]
            return None
        return session

    def end(self, session_id: str) -> None:
        """Ends one; where there is none nothing happens."""
        self._by_id.pop(_digest(session_id), None)


class Attempts:
    """Holds off who sends wrong tokens: eight at once, then one in ten seconds, of each peer.

    Args:
        now: monotonic seconds.
        most: peers that are remembered, the latest ones.
    """

    def __init__(
        self, now: Callable[[], float] = SYSTEM_CLOCK.monotonic, most: int = _MOST_PEERS
    ) -> None:
        self._now = now
        self._most = most
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._left)

    def wait(self, peer: str) -> float:
        """Seconds until this peer may try again; 0: now."""
        left = self._left_of(_network(peer))
        return 0.0 if left >= 1 else (1 - left) * _ONE_IN

    def failed(self, peer: str) -> None:
        """A token of this peer was wrong."""
        key = _network(peer)
        self._left[key] = (max(self._left_of(key) - 1, 0.0), self._now())
        self._left.move_to_end(key)
        while len(self._left) > self._most:
            self._left.popitem(last=False)

    def _left_of(self, key: str) -> float:
        left, at = self._left.get(key, (float(_AT_ONCE), 0.0))
        return min(left + (self._now() - at) / _ONE_IN, float(_AT_ONCE))


def _network(peer: str) -> str:
    """One who has an IPv6 network has 2^64 addresses."""
    try:
        address = ip_address(peer.partition("%")[0])
    except ValueError:
        return peer[:64]
    if isinstance(address, IPv6Address) and address.ipv4_mapped is None:
        return address.packed[:8].hex()
    return str(address)


def new_session_id() -> str:
    """43 characters that nobody can guess."""
    return secrets.token_urlsafe(32)


def is_session_id(text: str) -> bool:
    """Whether it could be one."""
    return _SESSION_ID(text) is not None


def form_token(key: bytes, session_id: str, path: str) -> str:
    """What a form that goes to a path has to bring: nobody can make it for another session or path.

    Args:
        key: the console's own, made when it starts.
    """
    return hmac.new(
        key, f"{session_id}\0{path}".encode("utf-8", "surrogatepass"), "sha256"
    ).hexdigest()


def is_form_token(token: str, key: bytes, session_id: str, path: str) -> bool:
    """Whether a token is that of a session and a path."""
    wanted = form_token(key, session_id, path)
    return hmac.compare_digest(token.encode("utf-8", "surrogatepass"), wanted.encode())
