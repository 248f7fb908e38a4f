"""What can be asked of a WeChat account: every read of the promoter API. Nothing here sends.

Reads are tried again while their errors are transient (`read_retries`), but for the probes of an
outage and one poll, whose callers have their own way.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from promomsg.channels.promoters import audience_filters, recipient_from
from promomsg.channels.wechat_account import WeChatAccount
from promomsg.clock import Clock, china_day
from promomsg.masking import Mask
from promomsg.model import (
    Audience,
    ClickCount,
    Delivery,
    Promoters,
    Recipient,
)
from promomsg.wechat import click_days, codec, endpoints
from promomsg.wechat.message import CompiledWeChatMessage
from promomsg.wechat.models import Clicks, Promoter, Role

__all__ = ["WeChatReads"]


class WeChatReads:
    """The reads of one account; `WeChatPromoter` adds what sends."""

    _account: WeChatAccount
    _clock: Clock

    # For users.

    async def get_delivery(self, msg_id: str) -> Delivery:
        """One poll of a group send (`getmsg`), within 7 days of it.

        Raises:
            ProviderError: it was refused.
            TransportError: no readable answer came.
        """

        def read(status: int, body: bytes, mask: Mask) -> Delivery:
            return codec.read_delivery(msg_id, status, body, mask)

        return await self._account.ask(endpoints.GETMSG, codec.delivery_body(msg_id), read, tries=1)

    async def get_clicks(
        self,
        send_date: str,
        *,
        dimension: int,
        msg_type: int,
        msg_id: str | None = None,
        begin: int | None = None,
        end: int | None = None,
    ) -> list[Clicks]:
        """Clicks of one China-time day (`getmsgclickdata`), from the day after on, for 90 days.

        Args:
            send_date: `yyyy-MM-dd`.
            dimension: 0 by message (group sends only), 1 by message type.
            msg_type: the message type.
            msg_id, begin, end: narrow dimension 0; times are Unix seconds within `send_date`.

        Raises:
            UsageError: the day or the window cannot have data (docs/facts/wechat.md, "Click data"),
                or a value of the wrong type. Where base_url is loopback the day is compared with this
                machine's only when there are no clicks: a stand-in has a clock of its own.
        """
        click_days.check_clicks(
            send_date,
            dimension=dimension,
            msg_type=msg_type,
            msg_id=msg_id,
            begin=begin,
            end=end,
            now=None if self._account.loopback else self._clock.time(),
        )
        body = codec.clicks_body(
            send_date,
            dimension=dimension,
            msg_type=msg_type,
            msg_id=msg_id,
            begin=begin,
            end=end,
        )
        rows = await self._account.ask(endpoints.GETMSGCLICKDATA, body, codec.read_clicks)
        if self._account.loopback and not rows:
            # Asked first: a stand-in has a clock of its own. That it has none may be why.
            click_days.check_age(send_date, now=self._clock.time())
        return rows

    async def iter_promoters(
        self,
        *,
        openid: str | None = None,
        role_id: int | None = None,
        retail_id: str | None = None,
        begin_time: int | None = None,
        end_time: int | None = None,
        start_id: str | None = None,
        need_unionid: int | bool | None = None,
        auth_status: int | None = None,
        decl_status: int | None = None,
    ) -> AsyncIterator[Promoter]:
        """Every promoter, 2,000 a page (`getpromoter`); None leaves a filter out.

        Args:
            openid: only this one.
            role_id, retail_id: only of this role, of this retailer.
            begin_time, end_time: only those updated in between, Unix seconds.
            start_id: go on behind this promoter id.
            need_unionid: 1 for unionids as well.
            auth_status: 0 not authorised, 1 authorised, 2 cancelled.
            decl_status: as the provider has it; its values are not published.

        Raises:
            UsageError: a filter of the wrong type. ProviderError, TransportError, Halted.
        """
        filters: dict[str, Any] = {
            "openid": openid,
            "role_id": role_id,
            "retail_id": retail_id,
            "begin_time": begin_time,
            "end_time": end_time,
            "need_unionid": need_unionid,
            "auth_status": auth_status,
            "decl_status": decl_status,
        }
        start = start_id
        while True:
            page = await self._account.ask(
                endpoints.GETPROMOTER,
                codec.promoters_body(**filters, start_id=start),
                codec.read_promoters,
            )
            for promoter in page.promoters:
                yield promoter
            # Paging by the last item's id is inferred (docs/facts/wechat.md, "Sibling endpoints"):
            # a page that does not move on ends it, so that a wrong inference cannot loop for ever.
            last = page.promoters[-1].id if page.promoters else None
            if not last or last == start:
                return
            start = last

    async def get_roles(self) -> list[Role]:
        """The account's promoter roles (`getrole`)."""
        return await self._account.ask(endpoints.GETROLE, codec.roles_body(), codec.read_roles)

    # For the engine.

    async def count_audience(self, audience: Audience) -> int:
        if isinstance(audience, Promoters):
            return len(set(audience.ids))
        total = 0
        for filters in audience_filters(audience):
            page = await self._account.ask(
                endpoints.GETPROMOTER, codec.promoters_body(**filters), codec.read_promoters
            )
            total += page.total_cnt
        return total

    async def iter_audience(self, audience: Audience) -> AsyncIterator[Recipient]:
        """Every authorised promoter of an audience, page by page, as recipients."""
        for filters in audience_filters(audience):
            async for promoter in self.iter_promoters(**filters, need_unionid=1):
                yield recipient_from(promoter)

    async def group_sends_between(
        self, compiled: CompiledWeChatMessage, begin: float, end: float
    ) -> list[str]:
        """The `msg_id`s of group sends in a time window that have clicks to show.

        `getmsgclickdata` has them from the China-time day after on; a message that nobody clicked
        may not be listed (docs/facts/wechat.md, "Click data").

        Raises:
            UsageError: a day of the window is not over yet, or more than 90 days ago. (What is known of
                one side of midnight does not say that there is no other on the other side.)
            ProviderError: it was refused.
            TransportError: no readable answer came.
        """
        found: list[str] = []
        for day in sorted({china_day(begin), china_day(end)}):
            first, last = click_days.day_window(day)
            rows = await self.get_clicks(
                day,
                dimension=0,
                msg_type=compiled.snapshot()["msg_type"],
                begin=max(int(begin), first),
                end=min(int(end), last),
            )
            found += [row.msg_id for row in rows if row.msg_id is not None]
        return list(dict.fromkeys(found))

    async def clicks_of_day(
        self, compiled: CompiledWeChatMessage, day: str, *, by_message: bool
    ) -> list[ClickCount]:
        """The clicks on what the account sent on a day of this message's type; see `get_clicks`."""
        rows = await self.get_clicks(
            day, dimension=0 if by_message else 1, msg_type=compiled.snapshot()["msg_type"]
        )
        return [
            ClickCount(msg_id=row.msg_id, people=row.click_uv, clicks=row.click_pv) for row in rows
        ]

    async def _read_something(self, earlier: int, msg_id: str | None) -> None:
        account = self._account
        if earlier % 2 == 0:
            body = codec.quota_body(endpoints.SINGLESENDMSG)
            await account.ask(endpoints.QUOTA_GET, body, codec.read_quota, tries=1)
        elif msg_id is not None:
            await self.get_delivery(msg_id)
        else:
            await account.ask(endpoints.GETROLE, codec.roles_body(), codec.read_roles, tries=1)
