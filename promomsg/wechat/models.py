"""One struct per request and answer of the promoter API, named as the provider names them.

Requests say exactly what goes out. Answers leave unknown fields aside, and type as `Any` what
servers are known to send in more than one type; `codec` makes the public values out of them.
Source: docs/facts/wechat.md; each names its heading.
"""

from __future__ import annotations

from typing import Any

import msgspec

__all__ = [
    "Clicks",
    "ClicksRequest",
    "DeliveryAnswer",
    "DeliveryRequest",
    "Promoter",
    "PromoterPage",
    "PromotersRequest",
    "Quota",
    "QuotaRequest",
    "Role",
    "SendAnswer",
    "StableTokenRequest",
]


class _Request(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Fields that are None are left out."""


class SendAnswer(msgspec.Struct):
    """The answer of both sends; `msg_id` of a group send only."""

    errcode: int
    errmsg: str = ""
    msg_id: str | None = None


class DeliveryRequest(_Request, frozen=True, kw_only=True):
    """`POST /promoter/getmsg` (docs/facts/wechat.md, "Delivery result")."""

    msg_id: str


class DeliveryAnswer(msgspec.Struct):
    """The answer of `getmsg`, untyped: one odd field must not hide the others.

    Attributes:
        fail_openid_url: an older page's name of `fail_info_url`
            (docs/facts/wechat.md, "Wire oddities").
    """

    send_cnt: Any = None
    percent: Any = None
    fail_cnt: Any = None
    fail_info: Any = None
    fail_info_url: Any = None
    fail_openid_url: Any = None
    msg_type: Any = None
    content: Any = None
    appid: Any = None
    path: Any = None
    list_type: Any = None
    role_id: Any = None
    retail_id: Any = None
    id: Any = None


class ClicksRequest(_Request, frozen=True, kw_only=True):
    """`POST /promoter/getmsgclickdata` (docs/facts/wechat.md, "Click data"), where it is
    `dimonsion`."""

    send_date: str
    dimension: int = msgspec.field(name="dimonsion")
    msg_type: int
    msg_id: str | None = None
    begin_send_time: int | None = None
    end_send_time: int | None = None


class Clicks(msgspec.Struct, frozen=True):
    """Clicks on one group message, or on all messages of one type.

    Attributes:
        click_uv: people who clicked; None when the row does not say.
        click_pv: clicks; None when the row does not say.
        msg_id: of the group send (dimension 0).
        send_time: Unix seconds (dimension 0).
        msg_type: the template's number (dimension 1).
    """

    click_uv: int | None = None
    click_pv: int | None = None
    msg_id: str | None = None
    send_time: int | None = None
    msg_type: int | None = None


class PromotersRequest(_Request, frozen=True, kw_only=True):
    """`POST /promoter/getpromoter`: filters, each optional
    (docs/facts/wechat.md, "Sibling endpoints").

    Attributes:
        begin_time, end_time: Unix seconds of the last update.
        start_id: the last id of the page before (inferred).
        need_unionid: 1 to have `unionid` in the answer.
        auth_status: 0 not authorised, 1 authorised, 2 cancelled.
    """

    openid: str | None = None
    role_id: int | None = None
    retail_id: str | None = None
    begin_time: int | None = None
    end_time: int | None = None
    start_id: str | None = None
    need_unionid: int | None = None
    auth_status: int | None = None
    decl_status: int | None = None


class Promoter(msgspec.Struct, frozen=True):
    """One bound promoter.

    Attributes:
        id: the promoter id, which group sends go to.
        openid, unionid: of the promoter; unionid only where it was asked for (`need_unionid=1`).
        role_id, retail_id: the role and the retailer that they are bound to.
        extra_info, decl_status, name, phone: as the provider has them; None: it says nothing.
        auth_status: 0 not authorised, 1 authorised, 2 cancelled.
        update_time: Unix seconds.
    """

    id: str | None = None
    openid: str | None = None
    unionid: str | None = None
    role_id: int | None = None
    retail_id: str | None = None
    extra_info: str | None = None
    auth_status: int | None = None
    decl_status: int | None = None
    update_time: int | None = None
    name: str | None = None
    phone: str | None = None


class PromoterPage(msgspec.Struct, frozen=True):
    """One page of promoters, at most 2,000 (docs/facts/wechat.md, "Sibling endpoints").

    Attributes:
        promoters: those of this page.
        total_cnt: how many match in all; when the answer has none, how many are on this page.
        unreadable: entries that are not promoters.
    """

    promoters: tuple[Promoter, ...] = ()
    total_cnt: int = 0
    unreadable: int = 0


class Role(msgspec.Struct, frozen=True):
    """One promoter role (`getrole`).

    Attributes:
        role_id: what `Roles([…])` and `iter_promoters(role_id=…)` take.
        name, desc: for people to read.
    """

    role_id: int
    name: str | None = None
    desc: str | None = None


class StableTokenRequest(_Request, frozen=True, kw_only=True, omit_defaults=False):
    """`POST /cgi-bin/stable_token` (docs/facts/wechat.md, "Access token")."""

    grant_type: str = "client_credential"
    appid: str
    secret: str
    force_refresh: bool = False

    def __repr__(self) -> str:
        return f"StableTokenRequest(appid={self.appid!r}, secret=…)"


class QuotaRequest(_Request, frozen=True, kw_only=True):
    """`POST /cgi-bin/openapi/quota/get` (docs/facts/wechat.md, "Quotas")."""

    cgi_path: str


class Quota(msgspec.Struct, frozen=True):
    """What is left of an endpoint's quota; every figure is optional, and only advice.

    Attributes:
        daily_limit, used, remain: calls a China-time day.
        call_count: calls allowed in `refresh_second` seconds.
    """

    daily_limit: int | None = None
    used: int | None = None
    remain: int | None = None
    call_count: int | None = None
    refresh_second: int | None = None
