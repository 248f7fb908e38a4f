"""Which observers are in force: those of the campaign that a task works for, or of a client.

They are in force in the tasks that plan and run a campaign (a context variable), so that what it shares
with other campaigns (its client's token, its reads) tells them too. Everything else of hooks is loaded
only where there are some.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from promomsg.telemetry.hook_events import CallKind
    from promomsg.telemetry.hooks import Hooks
    from promomsg.telemetry.observed_calls import CallTimer
    from promomsg.telemetry.observers import Observers

__all__ = ["given_hooks", "in_force", "observe_calls", "put_in_force", "set_in_force", "time_call"]

_IN_FORCE: Final[ContextVar[Observers | None]] = ContextVar("promomsg observers", default=None)


def in_force() -> Observers | None:
    """The observers of the campaign that this task works for; None: it has none."""
    return _IN_FORCE.get()


def given_hooks(given: Any, channel: Any) -> tuple[Hooks, ...]:
    """Who watches a campaign: its own hooks, and those of its client.

    Raises:
        UsageError: something else was given.
    """
    of_client: tuple[Hooks, ...] = getattr(channel, "hooks", ())
    if given is None:
        return of_client
    # Loaded for whoever has hooks.
    from promomsg.telemetry.hooks import as_hooks

    return (*as_hooks(given), *of_client)


def set_in_force(observers: Observers | None) -> None:
    """Puts observers in force for the rest of this task, or of the block of `put_in_force`."""
    _IN_FORCE.set(observers)


@contextmanager
def put_in_force(observers: Observers | None) -> Iterator[None]:
    """A block whose calls, and the tasks that begin in it, are these observers'."""
    before = _IN_FORCE.set(observers)
    try:
        yield
    finally:
        _IN_FORCE.reset(before)


def observe_calls(
    deliver: Callable[..., Awaitable[Any]], kind: CallKind, channel: Any
) -> Callable[..., Awaitable[Any]]:
    """A channel's `deliver` or `deliver_group`, its calls told to the observers in force. The same
    function when there are none: then they cost nothing.

    Args:
        deliver: takes the last check as its last argument.
        channel: whose it is.
    """
    observers = in_force()
    return deliver if observers is None else observers.observe_calls(deliver, kind, channel)


def time_call(
    kind: CallKind,
    channel: str,
    base_url: str,
    path: str,
    of_client: Observers | None,
    *,
    method: str = "POST",
) -> CallTimer | None:
    """The timer of a call that begins now; None: nobody observes.

    Args:
        channel: its name.
        path: of the endpoint, below the base URL.
        of_client: the client's own observers, for a call outside of a campaign.
    """
    observers = in_force() or of_client
    if observers is None:
        return None
    return observers.time_call(kind, channel, base_url, path, method)
