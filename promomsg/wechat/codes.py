"""What each errcode means for a send: one row each, with its source."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from promomsg.answers import MOST_WORDS
from promomsg.masking import Mask, printable
from promomsg.model import Verdict
from promomsg.untrusted_json import to_code

__all__ = [
    "DETAIL_LIMIT",
    "EMPTY",
    "ROWS",
    "Meaning",
    "ParsedErrcode",
    "advice_for",
    "meaning_of",
    "parse_errcode",
    "request_id_of",
]

_FACTS: Final = 'docs/facts/wechat.md, "Error codes"'
_ACCESS: Final = 'docs/facts/wechat.md, "Access token"'
_DELIVERY: Final = 'docs/facts/wechat.md, "Delivery result"'

DETAIL_LIMIT: Final = MOST_WORDS
EMPTY: Final = "103006"
"""An empty list, of `getpromoter` and its kin: an empty page, not an error
(docs/facts/wechat.md, "Sibling endpoints")."""

# re compiles both when they are first looked for, and keeps them.
_RID: Final = r"(?i)\brid:\s*([0-9a-f]{4,16}(?:-[0-9a-f]{4,16}){1,5})(?![0-9A-Za-z_-])"
"""`65b0a77b-3857ef84-7d2c553e` and its like (docs/facts/wechat.md, "Wire oddities"). Another shape
is no request id, and could be anything; it stays in the text, masked as that is."""
_IP: Final = r"(?<![\w.:])(\d{1,3}(?:\.\d{1,3}){3})(?![\w.])"


class Meaning(msgspec.Struct, frozen=True):
    """One errcode.

    Attributes:
        code: the errcode as text.
        single: what it means for a single send.
        group: what it means for a group send.
        text: the meaning, for a person.
        source: where that is written.
        advice: what to do about it; empty when there is nothing to do.
        retry_after: seconds to hold the quota; None when the code says nothing of it.
        token_failed: the access token was refused: a newer one is worth a try.
    """

    code: str
    single: Verdict
    group: Verdict
    text: str
    source: str
    advice: str = ""
    retry_after: float | None = None
    token_failed: bool = False


def _both(
    code: str,
    verdict: Verdict,
    text: str,
    source: str = _FACTS,
    advice: str = "",
    *,
    retry_after: float | None = None,
    token_failed: bool = False,
) -> Meaning:
    return Meaning(code, verdict, verdict, text, source, advice, retry_after, token_failed)


_HALT, _FAILED, _REFUSED = Verdict.HALT, Verdict.FAILED, Verdict.REFUSED
_RETRY, _UNKNOWN, _THROTTLED = Verdict.RETRY, Verdict.UNKNOWN, Verdict.THROTTLED

_CHECK_APPID = "check the appid at mp.weixin.qq.com, Development, Development settings"
_CHECK_KEY = "check the appsecret; reset it at mp.weixin.qq.com, Development settings"
_CHECK_CALL = "a malformed call: check base_url, and report it with the rid"
_CHECK_RIGHTS = "ask for the permission at mp.weixin.qq.com, or check the authorisation of the ISV"

_TABLE: Final = (
    Meaning("0", Verdict.SENT, Verdict.ACCEPTED, "ok", _FACTS),
    _both("-1", _UNKNOWN, "system busy"),
    _both("40001", _RETRY, "access token bad or not the latest", _ACCESS, token_failed=True),
    _both("40014", _RETRY, "access token malformed", _ACCESS, token_failed=True),
    _both("42001", _RETRY, "access token expired", _ACCESS, token_failed=True),
    _both("40003", _FAILED, "bad openid"),
    _both("40013", _HALT, "appid not accepted", advice=_CHECK_APPID),
    _both("40125", _HALT, "appsecret not accepted", advice=_CHECK_KEY),
    _both("41002", _HALT, "appid missing", advice=_CHECK_APPID),
    _both("41004", _HALT, "appsecret missing", advice=_CHECK_KEY),
    _both("40164", _HALT, "this machine's IP is not on the account's allow-list"),
    _both("40066", _HALT, "no such URL", advice=_CHECK_CALL),
    _both("41001", _HALT, "access token missing", advice=_CHECK_CALL),
    _both("43002", _HALT, "needs POST", advice=_CHECK_CALL),
    _both("43003", _HALT, "needs HTTPS", advice=_CHECK_CALL),
    _both("44002", _HALT, "empty body", advice=_CHECK_CALL),
    _both("47001", _HALT, "body cannot be parsed", advice=_CHECK_CALL),
    _both("43101", _FAILED, "the recipient refuses messages"),
    _both("45002", _REFUSED, "content too large"),
    _both(
        "45009",
        _HALT,
        "daily quota used up",
        advice="resume after midnight China time, or have the quota raised at mp.weixin.qq.com",
    ),
    _both("45011", _THROTTLED, "too many calls a minute", retry_after=60.0),
    _both("47003", _REFUSED, "template argument invalid"),
    _both("48001", _HALT, "no permission for this interface", advice=_CHECK_RIGHTS),
    _both("48004", _HALT, "interface banned for this account", advice=_CHECK_RIGHTS),
    _both("50002", _HALT, "account restricted", advice=_CHECK_RIGHTS),
    _both("61003", _HALT, "component not authorised", advice=_CHECK_RIGHTS),
    _both("61004", _HALT, "IP not accepted for the component", advice=_CHECK_RIGHTS),
    _both("61007", _HALT, "interface not authorised to the component", advice=_CHECK_RIGHTS),
    _both("89503", _HALT, "this IP awaits the administrator's confirmation", advice=_CHECK_RIGHTS),
    # The parameter may be the recipient on a single send; on a group it is the call's.
    Meaning("103001", _FAILED, _REFUSED, "promoter parameter invalid or missing", _FACTS),
    _both("103003", _FAILED, "data already exists"),
    _both(EMPTY, _FAILED, "empty list"),
    _both("103010", _FAILED, "not delivered to this recipient (reason not published)", _DELIVERY),
)

ROWS: Final[dict[str, Meaning]] = {row.code: row for row in _TABLE}
"""Every errcode with a known meaning, by its text."""


def meaning_of(code: str) -> Meaning:
    """The row of an errcode; an unknown one fails one recipient, and refuses a whole group send.

    (docs/facts/wechat.md, "Error codes", any other.)
    """
    row = ROWS.get(code)
    if row is None:
        return Meaning(code, _FAILED, _REFUSED, "unknown code", _FACTS)
    return row


def advice_for(code: str, errmsg: str) -> str:
    """What to do about an errcode, for a person; empty when there is nothing to say."""
    if code == "40164":
        found = re.search(_IP, errmsg)
        who = f"IP {found.group(1)}" if found else "this machine's IP (errmsg names it)"
        return (
            f"add {who} to the allow-list: mp.weixin.qq.com, Development, Development settings, "
            "IP allow-list (开发设置 → IP白名单)"
        )
    return meaning_of(code).advice


class ParsedErrcode(msgspec.Struct, frozen=True):
    """What an answer's errcode and errmsg say.

    Attributes:
        row: the meaning of the errcode.
        detail: the provider's own words (ours when it has none), and what to do about it.
        rid: the request id at the end of errmsg; the older `hint: [xxx]` stays in the detail.
    """

    row: Meaning
    detail: str
    rid: str | None


def request_id_of(errmsg: object, mask: Mask = str) -> str | None:
    """The request id in an errmsg; None when there is none, or a secret of the call in it."""
    found = re.search(_RID, errmsg) if isinstance(errmsg, str) else None
    return found[1] if found and mask(found[1]) == found[1] else None


def parse_errcode(
    data: dict[str, Any], mask: Mask = str, rows: Mapping[str, Meaning] = ROWS
) -> ParsedErrcode | None:
    """What an answer's object says; None when its errcode is missing or not a whole number.

    Args:
        mask: takes the secrets of the call out of what is kept of the errmsg.
        rows: the meanings, by errcode; those of other endpoints have codes of their own.
    """
    code = to_code(data.get("errcode"))
    if code is None:
        return None
    errmsg = data.get("errmsg")
    errmsg = errmsg if isinstance(errmsg, str) else ""
    rid = request_id_of(errmsg, mask)  # before the text is cut: it stands at the end
    errmsg = printable(errmsg, DETAIL_LIMIT, mask)
    row = rows.get(code) or meaning_of(code)
    advice = row.advice or advice_for(code, errmsg)
    text = errmsg or row.text
    return ParsedErrcode(row, f"{text} ({advice})" if advice else text, rid)
