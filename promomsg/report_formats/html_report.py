"""A report as one HTML file: no script, and nothing that is fetched from elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta, timezone
from importlib import resources
from itertools import islice
from typing import Any, Final, NamedTuple

import msgspec

from promomsg.code_meanings import explain
from promomsg.control_characters import escaped
from promomsg.durations import format_duration
from promomsg.journal.records import Counts
from promomsg.model import State
from promomsg.report_formats.bar_chart import bar_chart
from promomsg.report_formats.contents import NOT_SENT, ReportContents, clicked_people
from promomsg.report_formats.typed_rows import needs

__all__ = ["ENGLISH", "MOST_ROWS", "Funnel", "PageLanguage", "to_html"]

MOST_ROWS: Final = 500
"""Rows of people who were not sent to in the page; the CSV has them all."""
_CHINA: Final = timezone(timedelta(hours=8))


class Funnel(msgspec.Struct, frozen=True):
    """One step from the list to the clicks.

    Attributes:
        name: `rows`, `to send to`, `sent`, `clicked`.
        people: how many; share: of the first step, 0 to 1.
    """

    name: str
    people: int
    share: float


class PageLanguage(NamedTuple):
    """The language of a page.

    Attributes:
        tag: as HTML names it.
        message: a word or a text with holes in it.
        text: an English text that is complete in it.
    """

    tag: str = "en"
    message: Callable[[str], str] = str
    text: Callable[[str], str] = str


ENGLISH: Final = PageLanguage()


def to_html(
    contents: ReportContents,
    *,
    most_rows: int = MOST_ROWS,
    language: PageLanguage = ENGLISH,
) -> str:
    """The page of one campaign. Times are China time for WeChat, else UTC, and the page says which.

    Args:
        most_rows: people who were not sent to that are listed by name.
        language: of all that a person reads.

    Raises:
        UsageError: Jinja2 is not installed.
    """
    try:
        import jinja2
    except ImportError:
        raise needs("Jinja2", "reports", "an HTML report") from None
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    china = contents.record.channel == "wechat"
    zone = _CHINA if china else UTC

    def time_text(at: float | None, form: str = "%Y-%m-%d %H:%M:%S") -> str:
        return "" if at is None else datetime.fromtimestamp(at, zone).strftime(form)

    environment.filters["number"] = lambda value: "–" if value is None else f"{value:,}"
    environment.filters["share"] = _share
    environment.filters["marked"] = _marked
    environment.filters["duration"] = lambda seconds: language.text(format_duration(seconds))
    environment.filters["told"] = language.text
    environment.globals["_"] = language.message
    environment.filters["time"] = time_text
    environment.filters["plain"] = lambda value: escaped(str(value))
    template = environment.from_string(_text("report.html.j2"))
    step = contents.timeline.step
    chart = bar_chart(contents.timeline, lambda at: time_text(at, _axis_form(step)))
    counts = contents.counts
    listed = list(islice(contents.outcomes(NOT_SENT), most_rows))
    not_sent = counts.planned - counts.sent
    return template.render(
        contents=contents,
        language=language,
        counts=counts,
        record=contents.record,
        style=_text("report.css"),
        chart=chart,
        funnel=_funnel(contents),
        codes=[
            (code, number, explain(code)[0])
            for code, number in sorted(counts.by_code.items(), key=lambda item: (-item[1], item[0]))
        ],
        message=list(_fields(contents.record.message)),
        clicks=[(day, count) for day in contents.clicks for count in day.counts],
        listed=listed,
        not_listed=not_sent - len(listed),
        zone_name="China time (UTC+8)" if china else "UTC",
        State=State,
    )


def _text(name: str) -> str:
    return resources.files("promomsg.report_formats").joinpath(name).read_text("utf-8")


def _axis_form(step: int) -> str:
    if step >= 86_400:
        return "%m-%d"
    return "%H:%M:%S" if step < 60 else "%H:%M" if step < 3_600 else "%m-%d %H:%M"


def _share(value: float) -> str:
    """`98.2%`; what is not all of it is never shown as 100%, nor something as 0%."""
    text = f"{value:.1%}"
    if text == "100.0%" and value < 1:
        return "99.9%"
    return "<0.1%" if text == "0.0%" and value > 0 else text


def _funnel(contents: ReportContents) -> list[Funnel]:
    counts = contents.counts
    steps = [
        ("rows read", counts.planned),
        ("to send to", counts.planned - counts.skipped - _refused_by_planning(counts)),
        ("sent", counts.sent),
    ]
    clicked = clicked_people(contents.clicks)
    if clicked is not None:
        steps.append(("clicked", clicked))
    whole = max(counts.planned, 1)
    return [Funnel(name, people, people / whole) for name, people in steps]


def _refused_by_planning(counts: Counts) -> int:
    """How many rows failed before anything was sent: for a reason of ours, and not the provider's."""
    found = ((explain(code)[0], number) for code, number in counts.by_code.items())
    return sum(
        number
        for meaning, number in found
        if (meaning.origin, meaning.outcome) == ("promomsg", State.FAILED)
    )


def _fields(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """A message's snapshot as (field, text) pairs."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _fields(inner, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list) and all(_is_pair(inner) for inner in value):
        for key, inner in value:
            yield from _fields(inner, f"{name}.{key}" if name else key)
    elif isinstance(value, list):
        for place, inner in enumerate(value, 1):
            yield from _fields(inner, f"{name} {place}" if name else str(place))
    elif value is not None:
        yield name, str(value)


def _is_pair(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and isinstance(value[0], str)


def _marked(text: str) -> Any:
    """A text whose `commands` stand out."""
    from markupsafe import Markup, escape

    parts = [escape(escaped(part)) for part in text.split("`")]
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if place % 2 else part
        for place, part in enumerate(parts)
    )
