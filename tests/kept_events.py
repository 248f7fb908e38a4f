"""Hooks that keep what they are told."""

from __future__ import annotations

from typing import Any, TypeVar

from promomsg import Hooks
from promomsg.telemetry.hook_events import CallFinished, HookEvent
from promomsg.telemetry.hooks import METHODS

__all__ = ["KeptEvents"]

E = TypeVar("E", bound=HookEvent)


class KeptEvents(Hooks):
    """Keeps every event, in order."""

    def __init__(self) -> None:
        self.events: list[HookEvent] = []

    def of(self, kind: type[E]) -> list[E]:
        """Those of one class."""
        return [event for event in self.events if isinstance(event, kind)]

    def total(self, kind: type[HookEvent], name: str) -> int:
        """The sum of one value over all events of a class."""
        return sum(getattr(event, name) for event in self.of(kind))

    def calls(self, kind: str) -> list[CallFinished]:
        """The calls of one kind."""
        return [call for call in self.of(CallFinished) if call.kind == kind]

    def _keep(self, event: Any) -> None:
        self.events.append(event)


for _name in METHODS.values():
    setattr(KeptEvents, _name, KeptEvents._keep)
