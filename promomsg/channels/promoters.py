"""Promoters as the account lists them: whom an audience means, and each as a recipient."""

from __future__ import annotations

from typing import Any

from promomsg.errors import UsageError
from promomsg.model import Audience, Everyone, Recipient, Retailers, Roles
from promomsg.wechat.models import Promoter

__all__ = ["audience_filters", "recipient_from"]


def audience_filters(audience: Audience) -> list[dict[str, Any]]:
    """The `getpromoter` filters that list an audience's authorised promoters."""
    if isinstance(audience, Roles):
        return [{"role_id": role, "auth_status": 1} for role in audience.ids]
    if isinstance(audience, Retailers):
        return [{"retail_id": name, "auth_status": 1} for name in audience.ids]
    if isinstance(audience, Everyone):
        return [{"auth_status": 1}]
    raise UsageError(f"{type(audience).__name__} is not an audience that can be listed")


def recipient_from(promoter: Promoter) -> Recipient:
    """A promoter as a recipient; what else is known of them becomes parameters."""
    known = {"name": promoter.name, "phone": promoter.phone, "retail_id": promoter.retail_id}
    return Recipient(
        id=promoter.id,
        openid=promoter.openid,
        unionid=promoter.unionid,
        params={name: value for name, value in known.items() if value is not None},
    )
