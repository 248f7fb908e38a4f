"""How a campaign is sent, as its journal keeps it, in words: what its page says of the plan."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec

from promomsg.durations import format_duration
from promomsg.engine.prepare.suppression_list import SUMMARY
from promomsg.engine.schedule.first_options import kept_first
from promomsg.errors import JournalError
from promomsg.journal.records import CampaignRecord, GroupRow

__all__ = ["PlanFact", "plan_facts"]

_ROUTES: Final = {"single": "single sends", "group": "group sends"}
_BY_NUMBER: Final = "one group send where 50 or more get the same, else single sends"
_COUNTED: Final = re.compile(r"[\d,]+ values?, [\d,]+ rows? ")
"""How the notice of a suppression list goes on that says how many rows it left out."""


class PlanFact(msgspec.Struct, frozen=True):
    """A line of what a campaign was begun with.

    Attributes:
        name: what it is of, as the page has a word for it: `route`, `pace`, `hours`, …
        value: in words; text of the user's where `is_data`.
        is_data: whether it is never translated.
        is_long: whether it is a path, or a sentence.
    """

    name: str
    value: str
    is_data: bool = False
    is_long: bool = False


def plan_facts(record: CampaignRecord, groups: Sequence[GroupRow] = ()) -> list[PlanFact]:
    """How it is sent, as its journal keeps it; what was left at its default is left out.

    Args:
        groups: its group sends.
    """
    settings = record.settings
    found = [
        PlanFact("route", _ROUTES.get(settings.get("route") or "", _BY_NUMBER)),
        PlanFact("pace", _pace(settings.get("pace") or {})),
    ]
    if "concurrency" in settings:
        found.append(PlanFact("concurrency", str(settings["concurrency"]), is_data=True))
    found += [
        PlanFact(name, str(settings[name]), is_data=True)
        for name in ("start_at", "finish_by", "zone", "zone_column", "max_per_person")
        if settings.get(name)
    ]
    if settings.get("between"):
        found.append(PlanFact("between", ", ".join(settings["between"]), is_data=True))
    return [*found, *_first(settings), *_sources(record), *_suppression(record), *_audience(groups)]


def _pace(pace: dict[str, Any]) -> str:
    spans = (
        ("singles_per_second", "second"),
        ("singles_per_minute", "minute"),
        ("singles_per_day", "China-time day"),
    )
    limits = [
        f"{pace[name]:g} singles a {span}" for name, span in spans if pace.get(name) is not None
    ]
    return ", ".join(limits) or "unlimited"


def _first(settings: dict[str, Any]) -> Iterator[PlanFact]:
    try:
        kept = kept_first(settings)
    except JournalError:
        return  # a journal that somebody wrote into; a resume says so
    if kept is None:
        return
    number = f"{kept.first:,}" if isinstance(kept.first, int) else kept.first
    wait, share = format_duration(kept.wait), f"{100 * kept.stop_above:.3g}%"
    yield PlanFact("first", f"{number}, then a look for {wait} (stops above {share})", is_long=True)
    if kept.ask:
        yield PlanFact("others", "wait for your word")


def _suppression(record: CampaignRecord) -> Iterator[PlanFact]:
    """What the last list said; how many rows it left out is the first notice of each."""
    said = [one.removeprefix(SUMMARY) for one in record.warnings if one.startswith(SUMMARY)]
    counts = [text for text in said if _COUNTED.match(text)]
    if counts:
        yield PlanFact("suppression", counts[-1], is_long=True)


def _audience(groups: Sequence[GroupRow]) -> Iterator[PlanFact]:
    audience = next((one.audience for one in groups if one.audience is not None), None)
    if audience is not None:
        yield PlanFact(
            "audience", msgspec.json.encode(audience).decode(), is_data=True, is_long=True
        )


def _sources(record: CampaignRecord) -> list[PlanFact]:
    source = record.source
    named = source.get("path")
    paths = (
        [str(path) for path in named] if isinstance(named, list) else [str(named)] if named else []
    )
    found = [PlanFact("source", ", ".join(paths), is_data=True, is_long=True)] if paths else []
    if source.get("rows") is not None:
        found.append(PlanFact("rows", f"{source['rows']:,}", is_data=True))
    if record.campaign_file:
        found.append(PlanFact("campaign_file", record.campaign_file, is_data=True, is_long=True))
    return found
