"""Group sends: sendmsg, their progress (getmsg), the failure file and the click data."""

from __future__ import annotations

import csv
import hashlib
import io
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any, Final

import msgspec

from promomsg.sandbox.calls_and_replies import WeChatRefusedError
from promomsg.sandbox.known_promoters import KnownPromoters
from promomsg.sandbox.ledger import GroupDelivery, Ledger
from promomsg.sandbox.movable_clock import CHINA, SandboxClock
from promomsg.sandbox.sandbox_settings import SandboxSettings
from promomsg.sandbox.wechat_requests import RequestMessage, audience_of, missing, text, uint

__all__ = ["FILE_PREFIX", "GroupSends"]

FILE_PREFIX: Final = "/failures/"
_RESULT_LIFE: Final = 7 * 86_400
_CLICKS_KEPT_DAYS: Final = 90
_CLICKS_GROW_DAYS: Final = 7
_PLAIN_TEXT: Final = "text/plain; charset=utf-8"
_NOT_DELIVERED: Final = 103010


class _GroupSend(msgspec.Struct):
    """What the sandbox remembers of one group send."""

    msg_id: str
    message: RequestMessage
    list_type: int
    names: list[Any]
    send_cnt: int
    failed: dict[str, int]
    at: float
    polls: int = 0


class GroupSends:
    """sendmsg, getmsg, the failure file and getmsgclickdata, over one memory of group sends.

    Args:
        settings: gives the settings of the moment.
        clock, ledger, promoters: the sandbox's.
        seed: decides who fails of `group_fail_fraction`.
        url: gives the sandbox's own address, for the failure file.
    """

    def __init__(
        self,
        settings: Callable[[], SandboxSettings],
        clock: SandboxClock,
        ledger: Ledger,
        promoters: KnownPromoters,
        *,
        seed: int,
        url: Callable[[], str],
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._ledger = ledger
        self._promoters = promoters
        self._seed = seed
        self._url = url
        self._sent: dict[str, _GroupSend] = {}
        # A ledger that another sandbox began keeps its message ids to itself.
        self._next = 1_000_001 + len(ledger.groups)
        self._received: Counter[tuple[str, int]] = Counter()

    def count_single(self, msg_type: int) -> None:
        """A single message was delivered: dimension 1 of the click data counts it."""
        self._received[self._clock.china_day(), msg_type] += 1

    def send(
        self, data: Mapping[str, Any], message: RequestMessage, complain: Callable[[str], None]
    ) -> dict[str, Any]:
        """sendmsg.

        Raises:
            WeChatRefusedError: 103001 a wrong audience, or `group_minimum_code` under the minimum.
        """
        settings = self._settings()
        list_type, names = audience_of(data, complain)
        ids = self._promoters.audience(list_type, names, settings)
        if list_type == 3:
            if len(ids) < len(names):
                complain(f"the id list names {len(names) - len(ids)} twice")
            if len(ids) < settings.group_minimum:
                raise WeChatRefusedError(
                    settings.group_minimum_code,
                    f"promoter parameter invalid: {len(ids)} ids, fewer than "
                    f"{settings.group_minimum}; use singlesendmsg",
                )
        counted = ids[: len(ids) - settings.missing_from_group]
        failed = self._failures(counted, settings)
        msg_id, self._next = str(self._next), self._next + 1
        now = self._clock.time()
        sent = _GroupSend(msg_id, message, list_type, names, len(counted), failed, now)
        self._sent[msg_id] = sent
        delivered = tuple(i for i in counted if i not in failed) if failed else counted
        self._received[self._clock.china_day(now), message.msg_type] += len(delivered)
        self._ledger.add_group(
            GroupDelivery(
                msg_id=msg_id,
                list_type=list_type,
                audience=tuple(str(n) for n in names),
                delivered=delivered,
                failed=failed,
                at=now,
                msg_type=message.msg_type,
                content=message.content,
                path=message.path,
            )
        )
        return {"msg_id": msg_id, "errcode": 0, "errmsg": "OK"}

    def get(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """getmsg: counts as one poll.

        Raises:
            WeChatRefusedError: 103001 no such msg_id, or one that is older than 7 days (the sandbox's
                choice of code).
        """
        settings = self._settings()
        sent = self._sent.get(text(data, "msg_id", required=True) or "")
        if sent is None:
            raise missing("msg_id")
        age = self._clock.time() - sent.at
        if age > _RESULT_LIFE:
            raise WeChatRefusedError(
                103001, "promoter parameter invalid: msg_id is older than 7 days"
            )
        steps, step_seconds = settings.poll_steps, settings.poll_step_seconds
        step = sent.polls if step_seconds is None else int(age // step_seconds)
        sent.polls += 1
        percent = steps[min(step, len(steps) - 1)]
        finished = percent == 100 or (step >= len(steps) - 1 and percent is None)
        answer: dict[str, Any] = {}
        if percent is not None:
            answer["percent"] = percent
        if finished:
            answer |= {"send_cnt": sent.send_cnt, "fail_cnt": len(sent.failed)}
            answer |= self._failure_fields(sent, settings)
        else:
            answer["send_cnt"] = sent.send_cnt * (percent or 0) // 100
            if percent is not None:
                answer |= {"fail_cnt": 0, "fail_info": []}
        answer |= {"msg_type": sent.message.msg_type, "content": sent.message.content}
        if sent.message.appid is not None:
            answer["appid"] = sent.message.appid
        answer |= {"path": sent.message.path, "list_type": sent.list_type}
        if sent.list_type:
            answer[("role_id", "retail_id", "id")[sent.list_type - 1]] = sent.names
        return answer | {"errcode": 0, "errmsg": "OK"}

    def failure_file(self, name: str) -> tuple[bytes, str] | None:
        """The file behind fail_info_url and its content type; None when there is none."""
        msg_id, _, kind = name.partition(".")
        sent = self._sent.get(msg_id)
        if sent is None:
            return None
        rows = self._failure_rows(sent, self._settings())
        if kind == "json":
            return msgspec.json.encode(rows), "application/json"
        if kind == "jsonl":
            return b"".join(msgspec.json.encode(row) + b"\n" for row in rows), _PLAIN_TEXT
        out = io.StringIO()
        writer = csv.writer(out, delimiter="\t" if kind == "tsv" else ",")
        writer.writerow(["id", "errcode"])
        writer.writerows((row["id"], row["errcode"]) for row in rows)
        return out.getvalue().encode(), _PLAIN_TEXT

    def clicks(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """getmsgclickdata: nothing on the day itself, growing for 7 days, gone after 90.

        A message without clicks is not listed.

        Raises:
            WeChatRefusedError: 103001 a field is missing, or a time is outside send_date's natural day.
        """
        day = text(data, "send_date", required=True) or ""
        try:
            start = datetime.combine(date.fromisoformat(day), datetime.min.time(), CHINA)
        except ValueError:
            raise missing("send_date") from None
        if len(day) != 10:
            raise missing("send_date")
        dimension = uint(data, "dimonsion", required=True)
        msg_type = uint(data, "msg_type", required=True) or 0
        if dimension not in (0, 1):
            raise missing("dimonsion")
        first, last = start.timestamp(), (start + timedelta(days=1)).timestamp() - 1
        begin, end = uint(data, "begin_send_time"), uint(data, "end_send_time")
        for name, value in (("begin_send_time", begin), ("end_send_time", end)):
            if value is not None and not first <= value <= last:
                raise missing(name)
        today = date.fromisoformat(self._clock.china_day())
        age = (today - start.date()).days
        rows: list[dict[str, Any]] = []
        if 1 <= age <= _CLICKS_KEPT_DAYS:
            rate = self._settings().click_rate * min(age, _CLICKS_GROW_DAYS) / _CLICKS_GROW_DAYS
            if dimension == 0:
                msg_id = text(data, "msg_id")
                rows = [
                    {"msg_id": s.msg_id, "send_time": int(s.at), **clicked}
                    for s in self._sent.values()
                    if s.message.msg_type == msg_type
                    and s.send_cnt >= self._settings().group_minimum
                    and self._clock.china_day(s.at) == day
                    and (msg_id is None or s.msg_id == msg_id)
                    and (begin is None or int(s.at) >= begin)
                    and (end is None or int(s.at) <= end)
                    and (clicked := _clicked(s.send_cnt - len(s.failed), rate))
                ]
            elif clicked := _clicked(self._received[day, msg_type], rate):
                rows = [{"msg_type": msg_type, **clicked}]
        return {"data_list": rows, "errcode": 0, "errmsg": "OK"}

    def _failures(self, ids: Sequence[str], settings: SandboxSettings) -> dict[str, int]:
        failed = {i: settings.refuse_group[i] for i in ids if i in settings.refuse_group}
        if settings.only_listed:
            for i in ids:
                if not self._promoters.knows(i, settings):
                    failed.setdefault(i, _NOT_DELIVERED)
        if settings.group_fail_fraction > 0:
            for i in ids:
                if _share(self._seed, i) < settings.group_fail_fraction:
                    failed.setdefault(i, settings.group_fail_code)
        return failed

    def _failure_rows(self, sent: _GroupSend, settings: SandboxSettings) -> list[dict[str, Any]]:
        rows = [{"id": i, "errcode": code} for i, code in sent.failed.items()]
        return rows[: max(0, len(rows) - settings.unnamed_failures)]

    def _failure_fields(self, sent: _GroupSend, settings: SandboxSettings) -> dict[str, Any]:
        if len(sent.failed) <= settings.failure_threshold:
            return {"fail_info": self._failure_rows(sent, settings)}
        own = f"{self._url()}{FILE_PREFIX}{sent.msg_id}.{settings.failure_format}"
        return {settings.failure_url_field: settings.failure_url or own}


def _share(seed: int, name: str) -> float:
    digest = hashlib.blake2b(f"{seed}/{name}".encode(), digest_size=6).digest()
    return float(int.from_bytes(digest, "big")) / 2**48


def _clicked(receivers: int, rate: float) -> dict[str, int]:
    clickers = int(receivers * rate)
    return {"click_uv": clickers, "click_pv": clickers + clickers // 2} if clickers else {}
