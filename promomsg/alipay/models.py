"""The shapes of the Mini Program OpenAPI: what a user writes, what goes out, what comes back.

Fields and limits are those of docs/facts/alipay.md, "Request", docs/facts/alipay.md, "Response" and
docs/facts/alipay.md, "Access token of a user"; the page's tables win over its sample, which
has no requestId and an `actionUrl` that no table knows.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, Literal, Protocol

import msgspec

from promomsg.model import Secret

__all__ = [
    "APPLY_PATH",
    "LIMITS",
    "MAX_TEMPLATES",
    "SEND_PATH",
    "ContentTemplate",
    "PlainResult",
    "PlainSuccess",
    "ResultFields",
    "SendAnswer",
    "SendRequest",
    "TokenAnswer",
    "TokenRequest",
    "UserToken",
    "UserTokens",
]

SEND_PATH: Final = "/v2/miniprogram/message/send"
"""The wallet's prefix goes before it (docs/facts/alipay.md, "Calling convention")."""

APPLY_PATH: Final = "/v2/authorizations/applyToken"
"""docs/facts/alipay.md, "Access token of a user"."""

LIMITS: Final[Mapping[str, int]] = {
    "appId": 32,
    "accessToken": 128,
    "requestId": 64,
    "templateCode": 64,
    "redirectUrl": 2048,
    "extendInfo": 4096,
}
"""Most characters (code points) of each field: docs/facts/alipay.md, "Request"."""

MAX_TEMPLATES: Final = 5
"""docs/facts/alipay.md, "Request": "The maximum array size is 5"; it is required, so at least 1."""


class ContentTemplate(msgspec.Struct, frozen=True):
    """One language of a message (docs/facts/alipay.md, "Request").

    Attributes:
        parameters: the template's parameters, name to text; texts may hold `{placeholders}`.
        language: of the template on the portal, `"en-US"`; None leaves it to the wallet.
    """

    parameters: Mapping[str, str] = msgspec.field(default_factory=dict)
    language: str | None = None


class SendRequest(msgspec.Struct, rename="camel", omit_defaults=True, kw_only=True):
    """The body of `/v2/miniprogram/message/send`: docs/facts/alipay.md, "Request", in its order.

    `templates` is a list of `{"templateParameters", "language"}`, or that list already encoded.
    """

    app_id: str
    access_token: Secret
    request_id: str
    template_code: str
    redirect_url: str | None = None
    templates: list[Any] | msgspec.Raw
    extend_info: str | None = None


class ResultFields(msgspec.Struct, rename="camel"):
    """docs/facts/alipay.md, "Result": `result_status` is S, F or U."""

    result_code: str | None = None
    result_status: str | None = None
    result_message: Any = None


class SendAnswer(msgspec.Struct, rename="camel"):
    """docs/facts/alipay.md, "Response"; `message_id` is newer wallets'."""

    result: ResultFields
    extend_info: Any = None
    message_id: Any = None


class PlainResult(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """The result of a `PlainSuccess`."""

    result_code: Literal["SUCCESS"]
    result_status: Literal["S"]
    result_message: str | msgspec.UnsetType | None = msgspec.UNSET


class PlainSuccess(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """A success with nothing in it but what docs/facts/alipay.md, "Response" names, as nearly every
    answer of a send is; written again it has the fields that were there, and no others."""

    result: PlainResult
    extend_info: str | msgspec.UnsetType | None = msgspec.UNSET
    message_id: str | msgspec.UnsetType | None = msgspec.UNSET


class TokenRequest(msgspec.Struct, rename="camel", omit_defaults=True, kw_only=True):
    """The body of `/v2/authorizations/applyToken`:
    docs/facts/alipay.md, "Access token of a user"."""

    app_id: str
    grant_type: str
    auth_client_id: str | None = None
    auth_code: Secret | None = None
    refresh_token: Secret | None = None
    customer_belongs_to: str | None = None
    extend_info: str | None = None


class TokenAnswer(msgspec.Struct, rename="camel"):
    """The answer of applyToken: docs/facts/alipay.md, "Access token of a user"."""

    access_token: Secret
    access_token_expiry_time: Any = None
    refresh_token: Secret | None = None
    refresh_token_expiry_time: Any = None
    customer_id: str | None = None


class UserToken(msgspec.Struct, frozen=True):
    """A wallet user's tokens. It prints no token.

    Attributes:
        access_token: what a send carries.
        access_token_expiry: with its offset; None when the wallet did not say, or not readably.
        refresh_token: what the next refresh takes, once
            (docs/facts/alipay.md, "Access token of a user"); None: it cannot be refreshed.
        refresh_token_expiry: as above.
        customer_id: the wallet's id of the user.
    """

    access_token: Secret
    access_token_expiry: datetime | None = None
    refresh_token: Secret | None = None
    refresh_token_expiry: datetime | None = None
    customer_id: str | None = None

    def __post_init__(self) -> None:
        for name in ("access_token", "refresh_token"):
            value = getattr(self, name)
            if isinstance(value, str):
                msgspec.structs.force_setattr(self, name, Secret(value))


class UserTokens(Protocol):
    """Where refreshed user tokens are kept. `key` is the recipient's key."""

    async def get(self, key: str) -> UserToken | None:
        """The latest token saved under `key`; None when there is none."""
        ...

    async def save(self, key: str, token: UserToken) -> None:
        """Replaces it. Durable when it returns: the refresh token before it is spent by then."""
        ...
