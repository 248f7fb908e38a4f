"""What happened to a campaign between two looks at it: events for those who follow it live.

It is told from the documents alone (`Progress.to_dict`), so a campaign in this process, in a file and in
a database tell the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

__all__ = ["CampaignEvent", "events_between"]

_COUNTS = ("planned", "sent", "failed", "unknown", "skipped", "cancelled", "pending")


class CampaignEvent(msgspec.Struct, frozen=True):
    """Something that happened to a campaign.

    Attributes:
        kind: `"state"`: it is in another state (`data`: `state`, `reason`); `"progress"`: other counts
            (`planned`, `sent`, `failed`, `unknown`, `skipped`, `cancelled`, `pending`, `elapsed_s`);
            `"group"`: a group send moved on (as one of `Progress.groups`, with its number in `group`);
            `"first"`: the first few stand otherwise (as `FirstProgress.to_dict`);
            `"halt"`: it was stopped before its end (`code`, `detail`).
        data: plain JSON values.
    """

    kind: Literal["state", "progress", "group", "first", "halt"]
    data: dict[str, Any]

    def to_sse(self) -> str:
        """The event as one of `text/event-stream`: an `event:` line and a `data:` line of JSON."""
        return f"event: {self.kind}\ndata: {msgspec.json.encode(self.data).decode()}\n\n"


def events_between(before: Mapping[str, Any] | None, now: Mapping[str, Any]) -> list[CampaignEvent]:
    """The events that lead from one document to the next, groups first and a new state last.

    Args:
        before: None: nothing was told yet, so everything is news.
    """
    events: list[CampaignEvent] = []
    known = [] if before is None else before["groups"]
    for number, group in enumerate(now["groups"], 1):
        if number > len(known) or group != known[number - 1]:
            events.append(CampaignEvent("group", {"group": number, **group}))
    if before is None or any(before[name] != now[name] for name in _COUNTS):
        counts = {name: now[name] for name in _COUNTS}
        events.append(CampaignEvent("progress", {**counts, "elapsed_s": now["elapsed_s"]}))
    if "first" in now and (before is None or before.get("first") != now["first"]):
        events.append(CampaignEvent("first", now["first"]))
    if before is None or (before["state"], before["reason"]) != (now["state"], now["reason"]):
        events.append(CampaignEvent("state", {"state": now["state"], "reason": now["reason"]}))
        if now["state"] == "halted":
            code, _, detail = now["reason"].partition(": ")
            events.append(CampaignEvent("halt", {"code": code, "detail": detail}))
    return events
