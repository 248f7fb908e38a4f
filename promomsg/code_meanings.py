"""What every code means and what to do about it: for `promomsg explain`, tables and reports.

The providers' codes come from their own tables (wechat/codes.py, alipay/codes.py), so that a verdict
is stated once; promomsg's own are stated here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

import msgspec

from promomsg.alipay import codes as alipay
from promomsg.answers import CodeMeaning
from promomsg.errors import UsageError
from promomsg.model import Code, State, Verdict
from promomsg.suggest import nearest
from promomsg.wechat import codes as wechat

__all__ = ["OWN_CODES", "Explanation", "brief_meaning", "explain"]


class Explanation(msgspec.Struct, frozen=True):
    """One code, for a person.

    Attributes:
        code: the code.
        origin: whose it is: `WeChat errcode`, `Alipay+ resultCode`, `channel NAME`, `promomsg`.
        meaning: what it says.
        outcome: what becomes of the recipient.
        advice: what to do.
        source: where the rule is from.
    """

    code: str
    origin: str
    meaning: str
    outcome: str
    advice: str
    source: str


_RETRY_FAILED: Final = "mend the cause, then `promomsg retry JOURNAL --failed`"
_OF_VERDICT: Final[dict[Verdict, tuple[str, str]]] = {
    Verdict.SENT: ("sent", "nothing"),
    Verdict.ACCEPTED: ("pending until the group is through", "nothing; `resume` follows it on"),
    Verdict.FAILED: (
        "failed: this recipient was refused, the others go on",
        f"leave them out, or {_RETRY_FAILED}",
    ),
    Verdict.REFUSED: (
        "failed, for everybody who would get this very text; it is not tried again",
        "mend the message and send it as a new campaign to those who failed",
    ),
    Verdict.RETRY: (
        "pending: nothing was sent, and it is tried again by itself",
        "nothing, unless the campaign halts on it",
    ),
    Verdict.THROTTLED: (
        "pending: nothing was sent; everybody waits, and the pace is lowered for a while",
        "nothing; a lower [pace] keeps it from coming back",
    ),
    Verdict.UNKNOWN: (
        "unknown: it may have been delivered. WeChat is never asked twice; a wallet is, with the "
        "same requestId",
        "leave it, or `promomsg retry JOURNAL --unknown`: with WeChat some may get it twice",
    ),
    Verdict.HALT: (
        "pending: nobody else can succeed either, so the campaign stops",
        "mend it, then `promomsg resume JOURNAL`",
    ),
}

_OWN: Final[dict[str, tuple[str, State, str]]] = {
    Code.DUPLICATE_KEY: ("the key stood in an earlier row", State.SKIPPED, "nothing"),
    Code.DUPLICATE_ADDRESS: (
        "the address stood in an earlier row, under another key", State.SKIPPED, "nothing",
    ),
    Code.DUPLICATE_REQUEST_ID: (
        "the row's request_id stood in an earlier row, so the wallet would send nothing for it",
        State.SKIPPED,
        "give each row a request_id of its own, or none",
    ),
    Code.SUPPRESSED: (
        "the key or the address is on the suppression list", State.SKIPPED, "nothing",
    ),
    Code.MAX_PER_PERSON: (
        "other campaigns have sent, or will send, as many messages as `max_per_person` lets a person have",
        State.SKIPPED,
        "nothing; a campaign that is planned once the window is over counts anew",
    ),
    Code.NOT_SELECTED: ("`--test-to` or only= left the row out", State.SKIPPED, "nothing"),
    Code.MISSING_PARAM: (
        "a {placeholder} of the message has no value in this row",
        State.FAILED,
        "fill the cell, or give the placeholder a fallback: {name|客官}",
    ),
    Code.BAD_ZONE: (
        "what the column of time zones has in this row is none", State.FAILED,
        "name it like Europe/Paris, or leave the cell empty: then it is the campaign's `zone`",
    ),
    Code.BAD_ROW: (
        "the row cannot be read as a recipient", State.FAILED, "mend the row that detail names",
    ),
    Code.BAD_ADDRESS: (
        "the address is not one; often a spreadsheet changed it",
        State.FAILED,
        "export the column as text, and send the mended rows as a new campaign",
    ),
    Code.NO_ADDRESS: (
        "the row has no address that this channel can use",
        State.FAILED,
        "WeChat needs an id, openid or unionid, a wallet an access_token",
    ),
    Code.OVER_LIMIT: (
        "a field, with this row's values in it, is longer than the provider allows",
        State.FAILED,
        "shorten the text or the value",
    ),
    Code.NO_ANSWER: (
        "the call may have reached the provider, but no readable answer came back",
        State.UNKNOWN,
        _OF_VERDICT[Verdict.UNKNOWN][1],
    ),
    Code.CLIENT: (
        "the client cannot be used: it was closed, or belongs to another event loop",
        State.PENDING,
        "use one open client in the event loop that made it, then resume",
    ),
    Code.HTTP_429: (
        "a gateway before the provider answered 429, too many calls, and let nothing through",
        State.PENDING,
        "nothing; a lower [pace] keeps it from coming back",
    ),
    Code.NOT_SENT: (
        "the call failed before its first byte left",
        State.PENDING,
        "mend the connection (the detail names it), then `promomsg resume JOURNAL`",
    ),
    Code.INTERRUPTED: (
        "the sender ended between the intent and the answer, so the message may have gone out",
        State.UNKNOWN,
        _OF_VERDICT[Verdict.UNKNOWN][1],
    ),
    Code.UNNAMED: (
        "the provider counted failures in this group without saying whose; most members got it",
        State.UNKNOWN,
        "leave it: `retry --unknown` needs --include-unnamed, and most would get it twice",
    ),
    Code.EXPIRED: (
        "the 7 days in which a group's result can be had are over", State.UNKNOWN, "leave it",
    ),
    Code.CANCELLED: (
        "the campaign was cancelled before this recipient was sent to",
        State.CANCELLED,
        "send to them as a new campaign, if they are to be reached after all",
    ),
    Code.FINISH_BY: (
        "finish_by came before this recipient was sent to",
        State.CANCELLED,
        "send to them as a new campaign, if it is not too late for the message",
    ),
    Code.UNSIGNED: (
        "the wallet's answer says success, but its signature is missing or wrong",
        State.UNKNOWN,
        "check public_key (the wallet's, not yours) and key_version",
    ),
    "MAX_ERROR_RATE": (
        "more of the last outcomes than max_error_rate allows are failed or unknown",
        State.PENDING,
        "look at the report; then `promomsg resume JOURNAL`, or cancel",
    ),
    "FIRST_STOPPED": (
        "more of the first few than first_stop_above allows are failed or unknown",
        State.PENDING,
        "look at the report; mend the cause and `promomsg retry JOURNAL --failed`, or "
        "`promomsg resume JOURNAL --approve` to go on with the others, or cancel",
    ),
    "FIRST_ASK": (
        "the first few were sent to, and first_ask has the others wait for your word",
        State.PENDING,
        "look at the report; then `promomsg resume JOURNAL --approve`, or cancel",
    ),
    "SINGLES_PER_DAY": (
        "the pace's own singles_per_day are used up for this China-time day",
        State.PENDING,
        "resume on the next day, or say on_daily_quota = \"wait\"",
    ),
    "JOURNAL_GONE": (
        "the journal's file, or its lock, is not where it was any more",
        State.PENDING,
        "put the file back where it was, then `promomsg resume JOURNAL`",
    ),
    "TOKEN_REFUSED": (
        "the account's access token was refused, and asking for a new one gave the same one",
        State.PENDING,
        "check the appid and secret, and that only one program refreshes this account's token; then resume",
    ),
    "TOKEN_STORE": (
        "the store of the users' tokens (tokens = …) cannot be read or written",
        State.PENDING,
        "mend the store that the reason names, then `promomsg resume JOURNAL`",
    ),
}  # fmt: skip
OWN_CODES: Final = tuple(map(str, _OWN))
"""The codes that are promomsg's own."""
_OWN_SOURCE: Final = 'docs/guide.md, "Outcomes"'
_SHAPE: Final = re.compile(r"-?[0-9]{1,9}|[A-Z][A-Z0-9_]{2,63}", re.ASCII)


def explain(
    code: str, others: Mapping[str, Mapping[str, CodeMeaning]] | None = None
) -> list[Explanation]:
    """What a code means, whosever it is; a code may be of more than one.

    Args:
        others: what the channels of other packages say of theirs, by the channel's name.

    Raises:
        UsageError: it has the form of no code.
    """
    text = code.strip()
    text = text if text.lstrip("-").isdigit() else text.upper()
    found = [
        one for one in (_of_promomsg(text), _of_wechat(text), _of_alipay(text)) if one is not None
    ]
    for name, codes in (others or {}).items():
        found += [
            _of_channel(name, spelt, codes[spelt])
            for spelt in dict.fromkeys((code.strip(), text))
            if spelt in codes
        ]
    if found:
        return found
    near = nearest(text, [*_OWN, *alipay.CODES])
    is_number = text.lstrip("-").isdigit()
    if _SHAPE.fullmatch(text) is None or (near and not is_number):
        hint = (
            f"; did you mean {near}?"
            if near
            else "; give one as a report shows it: 43101, NO_ANSWER"
        )
        raise UsageError(f"there is no code {code!r}{hint}")
    return [_unknown(text)]


def brief_meaning(code: str, *, ours_alone: bool = False) -> str:
    """A line's worth of what a code means; empty for one that nobody has described.

    Args:
        ours_alone: whether only promomsg's own codes are meant, and no provider's.
    """
    own = _OWN.get(code)
    if own is not None or ours_alone:
        return own[0] if own is not None else ""
    row = wechat.ROWS.get(code)
    if row is not None:
        return row.text
    meaning = alipay.CODES.get(code)
    return meaning.text if meaning is not None else ""


def _of_promomsg(code: str) -> Explanation | None:
    if code not in _OWN:
        return None
    meaning, state, advice = _OWN[code]
    return Explanation(code, "promomsg", meaning, state.value, advice, _OWN_SOURCE)


def _of_wechat(code: str) -> Explanation | None:
    row = wechat.ROWS.get(code)
    if row is None:
        return None
    outcome, advice = _OF_VERDICT[row.single]
    if row.group is not row.single:
        outcome = f"single send: {outcome}; group send: {_OF_VERDICT[row.group][0]}"
    own = wechat.advice_for(code, "")
    return Explanation(code, "WeChat errcode", row.text, outcome, _joined(own, advice), row.source)


def _of_alipay(code: str) -> Explanation | None:
    meaning = alipay.CODES.get(code)
    if meaning is None:
        return None
    outcome, advice = _OF_VERDICT[meaning.verdict]
    if meaning.token_failed:
        outcome = f"{outcome}; with a token store, the user's token is refreshed first"
    return Explanation(
        code,
        "Alipay+ resultCode",
        meaning.text,
        outcome,
        _joined(meaning.advice, advice),
        meaning.source,
    )


def _of_channel(channel: str, code: str, meaning: CodeMeaning) -> Explanation:
    outcome, advice = _OF_VERDICT[meaning.verdict]
    return Explanation(
        code,
        f"channel {channel}",
        meaning.text,
        outcome,
        _joined(meaning.advice, advice),
        meaning.source,
    )


def _unknown(code: str) -> Explanation:
    number = code.lstrip("-").isdigit()
    if number:
        row = wechat.meaning_of(code)
        outcome = (
            f"single send: {_OF_VERDICT[row.single][0]}; group send: {_OF_VERDICT[row.group][0]}"
        )
    else:
        outcome = "by the answer's resultStatus: S sent, F failed, U unknown"
    return Explanation(
        code,
        "WeChat errcode" if number else "Alipay+ resultCode",
        "not among the published codes; the provider's own text is in the report",
        outcome,
        "look it up with the provider, by the rid or the requestId",
        _OWN_SOURCE,
    )


def _joined(first: str, then: str) -> str:
    return f"{first}; {then}" if first and then != "nothing" else first or then
