"""`[message]` and `[templates]` of a campaign file: the library's own message, made of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from promomsg.cli.campaign.account_sections import AccountSections, extra_fields
from promomsg.cli.campaign.table_reader import TableReader, kind_of
from promomsg.errors import UsageError

if TYPE_CHECKING:
    from promomsg.alipay.message import AlipayMessage
    from promomsg.alipay.models import ContentTemplate
    from promomsg.channels.base import Message
    from promomsg.wechat.message import WeChatMessage

__all__ = ["read_message"]


def read_message(
    top: dict[str, Any], file: str, channel: str, sections: AccountSections
) -> tuple[Message, tuple[str, ...]]:
    """The message, and what the plan should say of it.

    Args:
        top: the whole file; `[message]` is in it.
        file: its name, for messages.
        channel: its name.
        sections: reads the message of a channel that another package brings.

    Raises:
        UsageError: a key is missing, unknown or wrong. What the provider's rules say of the texts
            is checked later, when the message is compiled.
    """
    if channel == "wechat":
        return _wechat_message(top, file)
    if channel == "alipay":
        return _alipay_message(top, file), ()
    return sections.message(channel, top["message"], file), ()


def _wechat_message(top: dict[str, Any], file: str) -> tuple[WeChatMessage, tuple[str, ...]]:
    from promomsg.wechat.message import WeChatMessage

    section = TableReader(
        top["message"], file, "message", ("msg_type", "path", "content", "jump_appid")
    )
    section.need("msg_type", "1")
    section.need("path", '"pages/index/index"')
    section.need("content", '{ title = "…" }')
    content = TableReader(section.table["content"], file, "message.content", None).strings()
    if not content:
        raise UsageError(f"{file}: [message.content] is empty; add the message's fields")
    msg_type = section.whole("msg_type", 0) or 0
    path = section.text("path")
    jump_appid = section.text("jump_appid") or None
    templates = _templates(top, file)
    notices: tuple[str, ...] = ()
    if templates and msg_type not in templates:
        notices = (f"[templates] declares no msg_type {msg_type}: not checked",)
    message = section.build(
        WeChatMessage,
        msg_type=msg_type,
        content=content,
        path=path,
        jump_appid=jump_appid,
        templates=templates.get(msg_type),
    )
    return message, notices


def _templates(top: dict[str, Any], file: str) -> dict[int, dict[str, str]]:
    """msg_type → field name → kind."""
    declared = TableReader(top.get("templates", {}), file, "templates", None).table
    for key, table in declared.items():
        if not (key.isascii() and key.isdigit()):
            raise UsageError(f"{file}: [templates.{key}] is not a msg_type; write [templates.1]")
        if not isinstance(table, dict):
            raise UsageError(f"{file}: [templates] {key} is {kind_of(table)}, not a table")
    return {
        int(key): TableReader(table, file, f"templates.{key}", None).strings()
        for key, table in declared.items()
    }


def _alipay_message(top: dict[str, Any], file: str) -> AlipayMessage:
    from promomsg.alipay.message import AlipayMessage

    known = ("template_code", "redirect_url", "extend_info", "extra", "templates")
    section = TableReader(top["message"], file, "message", known)
    section.need("templates", "[[message.templates]]")
    tables = section.table["templates"]
    if not isinstance(tables, list) or not tables:
        raise section.wrong("templates", "[[message.templates]], at least one")
    extend_info = section.table.get("extend_info")
    if extend_info is not None and not isinstance(extend_info, (str, dict)):
        raise section.wrong("extend_info", "text or a table")
    return section.build(
        AlipayMessage,
        template_code=section.required("template_code", '"TP_…"'),
        templates=[_content_template(file, at, table) for at, table in enumerate(tables, 1)],
        redirect_url=section.text("redirect_url") or None,
        extend_info=extend_info,
        extra=extra_fields(section),
    )


def _content_template(file: str, number: int, table: Any) -> ContentTemplate:
    from promomsg.alipay.models import ContentTemplate

    name = f"message.templates.{number}"
    section = TableReader(table, file, name, ("language", "parameters"))
    texts = TableReader(section.table.get("parameters", {}), file, f"{name}.parameters", None)
    return section.build(
        ContentTemplate,
        parameters=texts.strings(lax=True),
        language=section.text("language") or None,
    )
