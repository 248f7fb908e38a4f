"""The templates of pages: compiled once in a process, for each language and time zone."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from functools import lru_cache, partial
from importlib import resources
from typing import Any, Final

import jinja2
from jinja2.bccache import Bucket
from markupsafe import Markup, escape

from promomsg.control_characters import escaped
from promomsg.durations import format_age, format_duration
from promomsg.report_formats.page_language import PageLanguage
from promomsg.sizes import format_size

__all__ = ["axis_text", "page_environment", "style_sheet", "time_text"]

_HERE: Final = "promomsg.report_formats"
_CHINA: Final = timezone(timedelta(hours=8))


class _CompiledOnce(jinja2.BytecodeCache):
    """What a template compiles to is the same in every language."""

    def __init__(self) -> None:
        self._codes: dict[str, bytes] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        code = self._codes.get(bucket.key)
        if code is not None:
            bucket.bytecode_from_string(code)

    def dump_bytecode(self, bucket: Bucket) -> None:
        self._codes[bucket.key] = bucket.bytecode_to_string()


_compiled: Final = _CompiledOnce()


@lru_cache(maxsize=32)
def page_environment(
    language: PageLanguage, *, in_china: bool, folder: str = ""
) -> jinja2.Environment:
    """Templates whose texts are of a language, and whose times are of a zone; every value is escaped.

    Args:
        in_china: times are China time; False: UTC.
        folder: a package or a folder in one that has templates beside those of reports, as
            `promomsg.console/templates`.
    """
    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        loader=jinja2.FunctionLoader(lambda name: _source(name, folder)),
        bytecode_cache=_compiled,
        auto_reload=False,
    )
    environment.filters |= {
        "number": lambda value: "–" if value is None else f"{value:,}",
        "share": _share,
        "marked": _marked,
        "duration": lambda seconds: language.text(format_duration(seconds)),
        "age": lambda seconds: language.text(format_age(seconds)),
        "size": format_size,
        "told": language.text,
        "time": partial(time_text, in_china=in_china),
        "machine_time": lambda at: datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "plain": lambda value: escaped(str(value)),
        "lines": lambda value: "\n".join(map(escaped, str(value).split("\n"))),
    }
    environment.globals |= {
        "_": language.message,
        "language": language,
        "zone_name": "China time (UTC+8)" if in_china else "UTC",
    }
    return environment


def _source(name: str, folder: str) -> str | None:
    package, _, inside = folder.partition("/")
    places = [resources.files(_HERE)]
    if package:
        places.append(resources.files(package).joinpath(inside))
    for place in places:
        file = place.joinpath(name)
        if file.is_file():
            return file.read_text("utf-8")
    return None


def style_sheet(*names: str) -> str:
    """The style of all pages, and behind it files of this folder, as text."""
    here = resources.files(_HERE)
    return "".join(here.joinpath(one).read_text("utf-8") for one in ("page_parts.css", *names))


_TO_THE_SECOND: Final = "%Y-%m-%d %H:%M:%S"


def time_text(at: float | None, form: str = _TO_THE_SECOND, *, in_china: bool) -> str:
    """A Unix time for a person; empty for None."""
    return (
        "" if at is None else datetime.fromtimestamp(at, _CHINA if in_china else UTC).strftime(form)
    )


def axis_text(step: int, *, in_china: bool) -> Callable[[int], str]:
    """How the times below a chart are written, whose bars are so many seconds each."""
    form = "%H:%M:%S" if step < 60 else "%H:%M" if step < 3_600 else "%m-%d %H:%M"
    if step >= 86_400:
        form = "%m-%d"
    return lambda at: time_text(at, form, in_china=in_china)


def _share(value: float) -> str:
    """`98.2%`; what is not all of it is never shown as 100%, nor something as 0%."""
    text = f"{value:.1%}"
    if text == "100.0%" and value < 1:
        return "99.9%"
    return "<0.1%" if text == "0.0%" and value > 0 else text


def _marked(text: str) -> Any:
    """A text whose `commands` stand out."""
    parts = [escape(escaped(part)) for part in text.split("`")]
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if place % 2 else part
        for place, part in enumerate(parts)
    )
