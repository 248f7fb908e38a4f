"""A report as one HTML file: no script, and nothing that is fetched from elsewhere."""

from __future__ import annotations

from itertools import islice
from typing import Final

from promomsg.report_formats.bar_chart import bar_chart
from promomsg.report_formats.contents import NOT_SENT, ReportContents
from promomsg.report_formats.page_language import ENGLISH, PageLanguage
from promomsg.report_formats.page_parts import (
    TILES,
    codes_meant,
    funnel,
    segments,
    shown_message,
)
from promomsg.report_formats.typed_rows import needs

__all__ = ["ENGLISH", "MOST_ROWS", "PageLanguage", "to_html"]

MOST_ROWS: Final = 500
"""Rows of people who were not sent to in the page; the CSV has them all."""


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
        from promomsg.report_formats.page_environment import (
            axis_text,
            page_environment,
            style_sheet,
        )
    except ImportError:
        raise needs("Jinja2", "reports", "an HTML report") from None
    in_china = contents.record.channel == "wechat"
    counts = contents.counts
    listed = list(islice(contents.outcomes(NOT_SENT), most_rows))
    times = axis_text(contents.timeline.step, in_china=in_china)
    template = page_environment(language, in_china=in_china).get_template("report.html.j2")
    return template.render(
        contents=contents,
        counts=counts,
        record=contents.record,
        style=style_sheet("report.css"),
        tiles=TILES,
        bar=segments(counts),
        chart=bar_chart(contents.timeline, times),
        funnel=funnel(counts, contents.clicks),
        codes=codes_meant(counts.by_code),
        message=shown_message(contents.record),
        clicks=contents.clicks,
        listed=listed,
        not_listed=counts.planned - counts.sent - len(listed),
    )
