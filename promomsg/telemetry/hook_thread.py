"""The thread that calls the methods of one `Hooks` object: nobody else waits for them
(docs/design.md, "Hooks").
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from contextvars import Context
from typing import Final, NamedTuple

from promomsg.telemetry.hook_events import HookEvent
from promomsg.telemetry.hooks import METHODS, Hooks

__all__ = ["HookThread"]

log = logging.getLogger("promomsg.telemetry")

_MOST: Final = 100_000
"""Events that wait at the most: some 30 MB."""
_GATHER: Final = 0.05
"""Seconds that the thread lets events gather: a wake-up for each would cost the event loop more than the
event."""
_IDLE: Final = 1.0
"""Seconds without an event after which the thread ends; the next event starts another."""
_KEPT_IN: Final = "_promomsg_hook_thread"


class _HookCall(NamedTuple):
    context: Context
    method: Callable[[HookEvent], None]
    event: HookEvent


class HookThread:
    """Calls what `put` was given, one after the other.

    Args:
        hooks: whose methods they are; one object has one thread, however many campaigns tell it.
    """

    def __init__(self, hooks: Hooks) -> None:
        self._hooks = hooks
        self._waiting: deque[_HookCall | Callable[[], None]] = deque()
        self._lock = threading.Lock()
        self._more = threading.Event()
        self._hurry = threading.Event()
        self._thread: threading.Thread | None = None
        self._logged: set[str] = set()

    @classmethod
    def of(cls, hooks: Hooks) -> HookThread:
        """The thread of an object; the same for every campaign and client that it is given to."""
        thread: HookThread = hooks.__dict__.setdefault(_KEPT_IN, cls(hooks))
        return thread

    def put(self, context: Context, method: Callable[[HookEvent], None], event: HookEvent) -> None:
        """Has a method called soon, in a context. Returns at once, whatever the methods do."""
        if len(self._waiting) >= _MOST:
            self._hooks.__dict__["hooks_dropped"] = self._hooks.hooks_dropped + 1
            if "dropped" not in self._logged:
                self._logged.add("dropped")
                log.error("%s is slow: events are dropped", type(self._hooks).__name__)
            return
        self._waiting.append(_HookCall(context, method, event))
        if not self._more.is_set():
            self._wake()

    def call_when_done(self, call: Callable[[], None]) -> None:
        """Has `call` called, in the thread, once everything is told that was put so far."""
        self._waiting.append(call)
        self._hurry.set()
        self._wake()

    def _wake(self) -> None:
        with self._lock:
            self._more.set()
            if self._thread is None or not self._thread.is_alive():  # as after a fork
                self._thread = threading.Thread(
                    target=self._run, name="promomsg hooks", daemon=True
                )
                self._thread.start()

    def _run(self) -> None:
        while True:
            if not self._more.wait(_IDLE):
                with self._lock:
                    if not self._more.is_set():
                        self._thread = None
                        return
            self._hurry.wait(_GATHER)
            self._hurry.clear()
            # What is put from here on sets it again.
            self._more.clear()
            while self._waiting:
                self._tell(self._waiting.popleft())

    def _tell(self, waiting: _HookCall | Callable[[], None]) -> None:
        if not isinstance(waiting, _HookCall):
            waiting()
            return
        try:
            waiting.context.run(waiting.method, waiting.event)
        except BaseException as error:
            self._hooks.__dict__["hooks_failed"] = self._hooks.hooks_failed + 1
            name = f"{type(self._hooks).__name__}.{METHODS[type(waiting.event)]}"
            if name not in self._logged:
                self._logged.add(name)
                log.error("%s raised %s", name, type(error).__name__, exc_info=error)
