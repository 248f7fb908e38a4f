"""Reasons that a journal itself gives for a state, in the same words whatever kind it is."""

from __future__ import annotations

from typing import Final

from promomsg.journal.records import Reason
from promomsg.model import Code

__all__ = [
    "CANCELLED",
    "COMMITS_LOST",
    "EXPIRED",
    "FINISHED",
    "INTERRUPTED",
    "LINKED",
    "LISTED",
    "NOT_SELECTED",
    "UNIQUE_VALUES",
    "UNNAMED",
]

CANCELLED: Final = Reason(Code.CANCELLED.value, "cancelled")
FINISHED: Final = Reason(Code.FINISH_BY.value, "not sent by finish_by")
COMMITS_LOST: Final = Reason(
    Code.INTERRUPTED.value, "the last commits of the journal are lost: it may have been sent"
)
EXPIRED: Final = Reason(Code.EXPIRED.value, "the result can be had for 7 days only")
INTERRUPTED: Final = Reason(
    Code.INTERRUPTED.value, "the process ended between the intent and the result"
)
UNNAMED: Final = Reason(Code.UNNAMED.value, "the provider counted failures without naming them")

LISTED: Final = Reason(Code.SUPPRESSED.value, "on the suppression list")
LINKED: Final = Reason(
    Code.SUPPRESSED.value, "the same person as a row that is on the suppression list"
)
NOT_SELECTED: Final = Reason(Code.NOT_SELECTED.value, "not selected")

UNIQUE_VALUES: Final = (
    ("key", "key", Code.DUPLICATE_KEY),
    ("id", "id", Code.DUPLICATE_ADDRESS),
    ("openid", "openid", Code.DUPLICATE_ADDRESS),
    ("unionid", "unionid", Code.DUPLICATE_ADDRESS),
    ("fingerprint", "access_token", Code.DUPLICATE_ADDRESS),
    ("request_id", "request_id", Code.DUPLICATE_REQUEST_ID),
)
"""Columns that only one pending row may have a value in: column, its name for people, code."""
