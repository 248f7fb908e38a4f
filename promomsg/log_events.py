"""What happens, as lines of the standard library's log: each with a stable name and its values.

`record.event` is the name, and each value an attribute of its own (`record.seconds`), so that a
formatter for machines needs no parsing. Loggers are `promomsg.engine`, `promomsg.transport`,
`promomsg.fleet`, `promomsg.console`. No value is a secret.
"""

from __future__ import annotations

import logging
from typing import Any, Final

__all__ = ["EVENTS", "log_event"]

EVENTS: Final[dict[str, tuple[str, ...]]] = {
    "campaign.planned": ("campaign", "planned", "singles", "groups", "journal"),
    "campaign.started": ("campaign", "planned", "pending", "journal"),
    "campaign.ended": (
        "campaign", "state", "reason", "planned", "sent", "failed", "unknown", "skipped",
        "cancelled", "pending", "elapsed_s", "journal",
    ),
    "campaign.halted": ("campaign", "code", "detail"),
    "campaign.waiting": ("campaign", "until", "reason"),
    "first.answered": ("campaign", "first", "sent", "failed", "unknown"),
    "first.passed": ("campaign", "first", "sent", "failed", "unknown"),
    "first.approved": ("campaign", "first", "plan"),
    "group.accepted": ("campaign", "group", "msg_id", "members"),
    "group.percent": ("campaign", "group", "msg_id", "percent", "next_poll_s"),
    "group.done": ("campaign", "group", "msg_id", "send_cnt", "fail_cnt"),
    "not_ready": ("campaign", "detail", "seconds"),
    "hold": ("seconds", "asked_for"),
    "retry": ("row", "attempt", "seconds"),
    "token.refreshed": ("expires_in",),
    "breaker.opened": ("campaign", "base_url", "code"),
    "breaker.closed": ("campaign", "base_url"),
    "console.started": ("url",),
    "console.signed_in": ("role",),
    "console.refused": ("status", "reason"),
    "console.action": ("action", "journal", "role"),
    "console.failed": ("what", "error", "where"),
}  # fmt: skip
"""Every event, with the names of its values."""


def log_event(
    log: logging.Logger, event: str, text: str, *, level: int = logging.INFO, **values: Any
) -> None:
    """Says that something happened.

    Args:
        event: its name, one of `EVENTS`.
        text: for a person, with `%(name)s` for values.
        values: those of the event.
    """
    if log.isEnabledFor(level):
        log.log(level, text, values, extra={"event": event, **values}, stacklevel=2)
