"""The languages of pages, whichever one the terminal speaks."""

from __future__ import annotations

from promomsg.cli.language.terminal_language import chinese
from promomsg.report_formats.html_report import ENGLISH, PageLanguage

__all__ = ["page_languages"]


def page_languages() -> dict[str, PageLanguage]:
    """Each by the name that `--lang` has for it, the first one for who asks for none of them."""
    catalogue = chinese()
    return {"en": ENGLISH, "zh": PageLanguage("zh-CN", catalogue.message, catalogue.text, "中文")}
