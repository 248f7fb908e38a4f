"""A message, checked and encoded once, then one recipient's bytes at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any, Final, NamedTuple, Self
from urllib.parse import quote

import msgspec

from promomsg.compiled_texts import CompiledTexts
from promomsg.control_characters import excerpt, find_control
from promomsg.errors import UsageError
from promomsg.model import Audience, Code, Problem
from promomsg.placeholders import MessageText, PlaceholderTable
from promomsg.suggest import did_you_mean
from promomsg.wechat.codec import audience_fields
from promomsg.wechat.templates import LENGTHS, check, kind_of, too_long

__all__ = ["CompiledWeChatMessage", "WeChatMessage"]

_UINT32: Final = 2**32 - 1
_IN_CONTENT: Final = "\n"
"""Control characters that a field may hold. `templates.check` refuses them for the kinds that take none."""
_encode: Final = msgspec.json.Encoder().encode


class WeChatMessage(msgspec.Struct, frozen=True):
    """One promotional message (docs/facts/wechat.md, "Group send").

    Attributes:
        msg_type: the template's number, as the account's template list shows it.
        content: the template's fields, name to text, sent in this order; text may hold
            placeholders: `{name}`, `{name|fallback}`, `{{` for a brace.
        path: the page to jump to; placeholder values in it are percent-encoded.
        jump_appid: the appid of that page, of the same open account; None: the sending one.
        templates: kinds of the fields (`first`, `thing`, `time`, `amount`, `number`), field name
            to kind, whose limits are then checked before sending; a field left out is not checked.
    """

    msg_type: int
    content: Mapping[str, str]
    path: str
    jump_appid: str | None = None
    templates: Mapping[str, str] | None = None


class _Field(msgspec.Struct, frozen=True):
    """One text of the message: where it stands, and what is known of its length before sending."""

    name: str
    where: str
    kind: str | None
    text: MessageText
    placeholders: tuple[int, ...]
    fixed: int


class _Fill(NamedTuple):
    """Where in the body a recipient's value goes."""

    at: int
    placeholder: int
    url: bool


class CompiledWeChatMessage(CompiledTexts):
    """A `WeChatMessage` compiled: static parts checked and encoded, the rest filled a recipient.

    Satisfies `channels.base.CompiledMessage`. Pure: holds no address and no credential.

    Raises:
        UsageError: a static part is wrong; the field is named.
    """

    __slots__ = ("_fields", "_fills", "_kinded", "_message", "_parts", "_plain")

    def __init__(self, message: WeChatMessage) -> None:
        self._message = _checked(message)
        self._table = PlaceholderTable()
        self._fields = tuple(self._read_fields())
        self._kinded = tuple(f for f in self._fields if f.kind is not None and f.placeholders)
        self._parts, self._fills = self._layout()
        self._plain = None if self._fills else b"".join(self._parts)

    def _read_fields(self) -> list[_Field]:
        message = self._message
        kinds = message.templates or {}
        fields = [
            _field(name, f"content.{name}", text, kinds.get(name), self._table)
            for name, text in message.content.items()
        ]
        fields.append(_field("path", "path", message.path, None, self._table, url=True))
        return fields

    def _layout(self) -> tuple[list[bytes], tuple[_Fill, ...]]:
        """The body up to the address, cut at the values: `{"msg_type":…,"path":"…"`."""
        message = self._message
        parts = [b'{"msg_type":%d,"content":"' % message.msg_type]
        fills: list[_Fill] = []

        def add(text: MessageText, *, url: bool) -> None:
            for piece in text.pieces:
                if isinstance(piece, int):
                    fills.append(_Fill(len(parts), piece, url))
                    parts.extend((b"", b""))
                else:
                    parts[-1] += _escape(piece) if url else _escape_twice(piece)

        *content, path = self._fields
        lead = "{"
        for field in content:
            parts[-1] += _escape(f'{lead}{_encode(field.name).decode()}:"')
            add(field.text, url=False)
            parts[-1] += _escape('"')
            lead = ","
        parts[-1] += _escape("}") + b'"'
        if message.jump_appid is not None:
            parts[-1] += b',"appid":' + _encode(message.jump_appid)
        parts[-1] += b',"path":"'
        add(path.text, url=True)
        parts[-1] += b'"'
        return parts, tuple(fills)

    @classmethod
    def from_snapshot(cls, snapshot: Mapping[str, Any]) -> Self:
        """The compiled message whose `snapshot()` this is.

        Raises:
            UsageError: it is not one.
        """
        try:
            message = WeChatMessage(
                msg_type=snapshot["msg_type"],
                content=dict(snapshot["content"]),
                path=snapshot["path"],
                jump_appid=snapshot.get("jump_appid"),
                templates=snapshot.get("templates"),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise UsageError(f"not a kept WeChat message: {error!r}") from None
        return cls(message)

    def snapshot(self) -> dict[str, Any]:
        """The message as plain JSON values; `content` as pairs, since they are sent in that order."""
        message = self._message
        return {
            "msg_type": message.msg_type,
            "content": [list(pair) for pair in message.content.items()],
            "path": message.path,
            "jump_appid": message.jump_appid,
            "templates": None if message.templates is None else dict(message.templates),
        }

    def __repr__(self) -> str:
        return f"CompiledWeChatMessage({self._message!r})"

    def problem(self, values: Sequence[str]) -> Problem | None:
        """What is wrong with this recipient's message: BAD_ROW or OVER_LIMIT, or None."""
        odd = False
        for placeholder, value in enumerate(values):
            if not value.isprintable():
                odd = True
                control = find_control(value, "" if self._in_path(placeholder) else _IN_CONTENT)
                if control is not None:
                    return Problem(
                        Code.BAD_ROW,
                        f"{self._where(placeholder)}: {_named(control)} in the value {excerpt(value)}",
                    )
        for field in self._kinded:
            kind = field.kind
            assert kind is not None
            if odd or kind not in LENGTHS:
                found = check(field.where, kind, field.text.render(values))
                if found is not None:
                    return found
            else:
                length = field.fixed
                for placeholder in field.placeholders:
                    length += len(values[placeholder])
                if length > LENGTHS[kind]:
                    return too_long(field.where, kind, length, field.text.render(values))
        return None

    def _in_path(self, placeholder: int) -> bool:
        return placeholder in self._fields[-1].placeholders

    def _where(self, placeholder: int) -> str:
        return next(field.where for field in self._fields if placeholder in field.placeholders)

    def message_digest(self, values: Sequence[str]) -> bytes | None:
        """A 16-byte digest of the rendered message; None for a message without placeholders."""
        if self._plain is not None:
            return None
        try:
            rendered = self._head(values)
        except UnicodeEncodeError:  # `problem` says so; it shares its message with nobody else's
            rendered = repr(tuple(values)).encode()
        return blake2b(rendered, digest_size=16).digest()

    def value_columns(
        self, params: Mapping[str, Sequence[Any]], keys: Sequence[str]
    ) -> Sequence[Sequence[str]] | None:
        """The values of many recipients, a column a placeholder; None: `values` and `problem` have
        to say of each whether it has all of them, and no problem."""
        columns = self._table.columns(params, keys)
        if columns is None:
            return None
        for field in self._kinded:
            if field.kind not in LENGTHS:
                return None
            length = field.fixed + sum(max(map(len, columns[p])) for p in field.placeholders)
            if length > LENGTHS[field.kind]:
                return None
        return columns

    def message_digests(self, values: Sequence[tuple[str, ...]]) -> list[bytes | None]:
        """`message_digest` of each of many; what all of them begin with is digested once."""
        if self._plain is not None:
            return [None] * len(values)
        start = blake2b(self._parts[0], digest_size=16)
        parts = self._parts.copy()
        parts[0] = b""
        found: list[bytes | None] = []
        for one in values:
            for at, placeholder, url in self._fills:
                parts[at] = _filled(one[placeholder], url)
            digest = start.copy()
            digest.update(b"".join(parts))
            found.append(digest.digest())
        return found

    def preview(self, values: Sequence[str]) -> dict[str, str]:
        """The rendered message, field name to text; a field called `path` is `content.path`."""
        *content, path = self._fields
        shown = {
            field.where if field.name == "path" else field.name: field.text.render(values)
            for field in content
        }
        shown["path"] = path.text.render(values)
        return shown

    def _head(self, values: Sequence[str]) -> bytes:
        if self._plain is not None:
            return self._plain
        parts = self._parts.copy()
        for at, placeholder, url in self._fills:
            parts[at] = _filled(values[placeholder], url)
        return b"".join(parts)

    def single_body(
        self,
        values: Sequence[str],
        *,
        id: str | None = None,
        openid: str | None = None,
        unionid: str | None = None,
    ) -> bytes:
        """The body of one `singlesendmsg` call.

        It goes to `openid`, else `unionid` (both in the request's `openid`), else `id`: exactly one
        is sent (docs/facts/wechat.md, "Wire oddities").

        Raises:
            UsageError: no address, or text that is not Unicode (a lone surrogate).
        """
        address = openid or unionid
        try:
            if address:
                return b'%b,"openid":%b}' % (self._plain or self._head(values), _encode(address))
            if id:
                return b'%b,"id":%b}' % (self._plain or self._head(values), _encode(id))
        except UnicodeEncodeError:
            raise UsageError("singlesendmsg: a lone surrogate in the address or a value") from None
        raise UsageError("singlesendmsg: no openid, unionid or id to send to")

    def group_body(self, values: Sequence[str], audience: Audience) -> bytes:
        """The body of one `sendmsg` call.

        Raises:
            UsageError: an audience that `codec.audience_fields` refuses (an empty one, above all),
                or text that is not Unicode.
        """
        try:
            return b"%b%b}" % (self._head(values), audience_fields(audience))
        except UnicodeEncodeError:
            raise UsageError("sendmsg: a lone surrogate in an address or a value") from None


def _filled(value: str, url: bool) -> bytes:
    """A value as it stands in the body."""
    if url:
        return quote(value, safe="").encode()
    return value.encode() if value.isalnum() else _escape_twice(value)


def _escape(text: str) -> bytes:
    """`text` inside a JSON string: raw UTF-8, no quotes around it."""
    return _encode(text)[1:-1]


def _escape_twice(text: str) -> bytes:
    """`text` inside a JSON string inside a JSON string."""
    return _encode(_encode(text)[1:-1].decode())[1:-1]


def _named(character: str) -> str:
    if character == "\n":
        return "a line feed"
    code = ord(character)
    return "a lone surrogate" if code >= 0xD800 else f"control character U+{code:04X}"


def _field(
    name: str,
    where: str,
    source: str,
    kind: str | None,
    table: PlaceholderTable,
    *,
    url: bool = False,
) -> _Field:
    text = MessageText(source, where, table, url=url)
    placeholders = tuple(piece for piece in text.pieces if isinstance(piece, int))
    fixed = "".join([piece for piece in text.pieces if isinstance(piece, str)])
    if kind is not None and (not placeholders or kind in LENGTHS):
        found = check(where, kind, fixed)
        if found is not None:
            raise UsageError(found.detail)
    return _Field(name, where, kind, text, placeholders, len(fixed))


def _checked(message: WeChatMessage) -> WeChatMessage:
    """The message with its mappings copied, its static parts checked but for limits."""
    kind = message.msg_type
    if isinstance(kind, bool) or not isinstance(kind, int) or not 0 <= kind <= _UINT32:
        raise UsageError(f"msg_type: give a whole number of 0 or more, not {kind!r}")
    content = message.content
    if not isinstance(content, Mapping):
        raise UsageError(f"content: give field names and texts, not {type(content).__name__}")
    if not content:
        raise UsageError("content: it has no field; give at least one, as the template has them")
    for name, text in content.items():
        if not isinstance(name, str) or not name.strip():
            raise UsageError(f"content: field name {name!r} is empty or not a string")
        _refuse_controls(f"content: field name {name!r}", name, feeds=False)
        if not isinstance(text, str):
            raise UsageError(
                f"content.{name}: give a string, not {type(text).__name__}; content is flat, "
                "field name to text"
            )
        _refuse_controls(f"content.{name}", text, feeds=True)
    _refuse_blank("path", message.path, "the page to jump to, pages/index/index say")
    if message.jump_appid is not None:
        _refuse_blank("jump_appid", message.jump_appid, "an appid, or None for the sending one")
    return msgspec.structs.replace(
        message, content=dict(content), templates=_kinds(message.templates, content)
    )


def _refuse_blank(where: str, text: object, what: str) -> None:
    if not isinstance(text, str) or not text.strip():
        raise UsageError(f"{where}: give {what}, not {text!r}")
    _refuse_controls(where, text, feeds=False)


def _refuse_controls(where: str, text: str, *, feeds: bool) -> None:
    found = find_control(text, _IN_CONTENT if feeds else "")
    if found is not None:
        raise UsageError(f"{where}: {_named(found)} in {excerpt(text)}; take it out")


def _kinds(
    templates: Mapping[str, str] | None, content: Mapping[str, str]
) -> dict[str, str] | None:
    if templates is None:
        return None
    if not isinstance(templates, Mapping):
        raise UsageError(f"templates: give field names and kinds, not {type(templates).__name__}")
    for name, kind in templates.items():
        if name not in content:
            hint = did_you_mean(str(name), content) or f"; it has {', '.join(content)}"
            raise UsageError(f"templates.{name}: content has no such field{hint}")
        kind_of(kind, f"templates.{name}")
    return dict(templates)
