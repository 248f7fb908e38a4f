"""The message that every contender sends, and the check of its answer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

__all__ = [
    "CONTENT",
    "PAGE",
    "PATH",
    "TOKEN",
    "body_bytes",
    "body_dict",
    "check",
    "openids",
    "parts",
]

PATH: Final = "/promoter/singlesendmsg"
TOKEN: Final = "t" * 136
CONTENT: Final = {
    "title": "今日优惠活动",
    "topic": "双十一大促",
    "desc": "三件五折,两件七折",
    "date": "2022/10/28",
}
PAGE: Final = "pages/index/index"


def openids(count: int) -> Iterator[str]:
    """So many openids, as long as WeChat's (28 characters)."""
    return (f"oBench{number:022d}" for number in range(count))


def body_dict(openid: str) -> dict[str, Any]:
    """The call as a dictionary, the way a user would write it."""
    return {
        "msg_type": 1,
        "content": json.dumps(CONTENT, ensure_ascii=False, separators=(",", ":")),
        "path": PAGE,
        "openid": openid,
    }


def parts() -> tuple[bytes, bytes]:
    """The encoded body up to the openid, and after it."""
    whole = json.dumps(body_dict("@@"), ensure_ascii=False, separators=(",", ":")).encode()
    before, _, after = whole.partition(b"@@")
    return before, after


def body_bytes(openid: str) -> bytes:
    """The call, encoded."""
    before, after = parts()
    return before + openid.encode() + after


def check(done: int, planned: int) -> None:
    """Raises when not every message was answered with errcode 0."""
    if done != planned:
        raise RuntimeError(f"{done} of {planned} messages were confirmed")
