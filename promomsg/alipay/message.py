"""A wallet message: what a user writes, and it compiled, ready to be filled per recipient.

Limits: docs/facts/alipay.md, "Request". What does not change is checked and encoded once; the rest
is filled in by `body`, whose bytes are both signed and sent
(docs/facts/alipay.md, "Calling convention").
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any, Final

import msgspec

from promomsg.alipay.message_body import MessageBody
from promomsg.alipay.models import LIMITS, MAX_TEMPLATES, ContentTemplate
from promomsg.compiled_texts import (
    CompiledTexts,
    compile_json,
    json_as_text,
    json_texts,
    render_json,
    value_problem,
    whole_text,
)
from promomsg.control_characters import find_control
from promomsg.errors import UsageError
from promomsg.model import Code, Problem, Secret
from promomsg.placeholders import MessageText, PlaceholderTable

__all__ = ["AlipayMessage", "CompiledAlipayMessage"]

NO_REDIRECT: Final = (
    "the message has no redirect_url: PUSH and INBOX messages need one (the page that a tap opens)"
)
_TABLE_FIELDS: Final = frozenset(
    {"appId", "accessToken", "requestId", "templateCode", "redirectUrl", "templates", "extendInfo"}
)


class AlipayMessage(msgspec.Struct, frozen=True):
    """What to send to a wallet's Mini Program users.

    `{name}` stands for a recipient's parameter in every template parameter, in `redirect_url`
    (percent-encoded there), and in the texts of an `extend_info` mapping and of `extra`.

    Attributes:
        template_code: chosen on the Mini Program portal; at most 64 characters.
        templates: 1 to 5 `ContentTemplate`, one a language, or mappings with their fields.
        redirect_url: the page that a tap opens; at most 2048 characters. PUSH and INBOX messages
            need it.
        extend_info: a str, sent as it is, or a mapping, sent as a JSON string; at most 4096
            characters.
        extra: more request fields by the wallet's names (newer wallets' `customerBelongsTo`,
            `authClientId`).
    """

    template_code: str
    templates: Sequence[ContentTemplate | Mapping[str, Any]]
    redirect_url: str | None = None
    extend_info: str | Mapping[str, Any] | None = None
    extra: Mapping[str, Any] | None = None


class CompiledAlipayMessage(CompiledTexts):
    """An `AlipayMessage` compiled: a `promomsg.channels.base.CompiledMessage`.

    Args:
        message: what to send.
        extra: the channel's own extra fields; the message's win.

    Raises:
        UsageError: a field is missing, over its limit, or not of its type.
    """

    def __init__(self, message: AlipayMessage, extra: Mapping[str, Any] | None = None) -> None:
        table = self._table = PlaceholderTable()
        self._code = _required(message.template_code, "template_code", LIMITS["templateCode"])
        templates = _templates(message.templates)
        self._templates = [
            {
                "templateParameters": {
                    name: compile_json(text, f"templates[{at}].parameters.{name}", table)
                    for name, text in template.parameters.items()
                }
            }
            | ({"language": template.language} if template.language else {})
            for at, template in enumerate(templates)
        ]
        self._url = None
        if message.redirect_url is not None:
            url = _required(message.redirect_url, "redirect_url", None)
            if find_control(url) or " " in url:
                raise UsageError("redirect_url: a space or control character; percent-encode it")
            self._url = MessageText(
                whole_text(url, "redirect_url"), "redirect_url", table, url=True
            )
        info = message.extend_info
        if info is not None and not isinstance(info, (str, Mapping)):
            raise UsageError(f"extend_info: give text or a mapping, not {type(info).__name__}")
        self._info = (
            whole_text(info, "extend_info")
            if isinstance(info, str)
            else None
            if info is None
            else compile_json(info, "extend_info", table)
        )
        fields = {**(extra or {}), **(message.extra or {})}
        if taken := sorted(_TABLE_FIELDS.intersection(fields)):
            raise UsageError(f"extra: {taken[0]!r} is a field of its own; give it by its name")
        self._extra = compile_json(fields, "extra", table)
        self._source = msgspec.structs.replace(message, templates=templates, extra=fields)
        self._prepare()

    def _prepare(self) -> None:
        """Checks and encodes the parts without a placeholder, once."""
        # With no values at hand a static part renders as it is; only those are asked for here.
        static_url = self._url.literal if self._url else None
        if static_url is not None:
            _stop(_too_long("redirectUrl", static_url))
        self._static_info = None
        if self._info is not None and _is_static(self._info):
            self._static_info = json_as_text(self._info)
            _stop(_too_long("extendInfo", self._static_info))
        self._body = MessageBody(self._code, self._url, self._templates, self._info, self._extra)

    @property
    def notices(self) -> tuple[str, ...]:
        found = [] if self._url else [NO_REDIRECT]
        languages = [template.get("language") for template in self._templates]
        if len(set(languages)) < len(languages):
            found.append("two templates of the message have the same language")
        return (*found, *super().notices)

    def problem(self, values: Sequence[str]) -> Problem | None:
        wrong = value_problem(self._table, values)
        if wrong is not None:
            return wrong
        if self._url is not None and self._url.literal is None:
            url = self._url.render(values)
            found = _too_long("redirectUrl", url)
            if found or not url:
                return found or Problem(Code.MISSING_PARAM, "redirectUrl: nothing is left of it")
        if self._info is not None and self._static_info is None:
            return _too_long("extendInfo", json_as_text(render_json(self._info, values)))
        return None

    def message_digest(self, values: Sequence[str]) -> bytes | None:
        if not self.has_placeholders:
            return None
        nobody = self.body(values, app_id="", access_token=Secret(""), request_id="")
        return blake2b(nobody, digest_size=16).digest()

    def value_columns(
        self, params: Mapping[str, Sequence[Any]], keys: Sequence[str]
    ) -> Sequence[Sequence[str]] | None:
        if self._url is not None and self._url.literal is None:
            return None
        if self._info is not None and self._static_info is None:
            return None
        return self._table.columns(params, keys)

    def preview(self, values: Sequence[str]) -> dict[str, str]:
        shown = {"templateCode": self._code}
        for template in render_json(self._templates, values):
            language = template.get("language", "")
            for name, text in template["templateParameters"].items():
                shown[f"{language} {name}".strip()] = text
        if self._url is not None:
            shown["redirectUrl"] = self._url.render(values)
        if self._info is not None:
            shown["extendInfo"] = json_as_text(render_json(self._info, values))
        for name, value in render_json(self._extra, values).items():
            shown[name] = json_as_text(value)
        return shown

    def snapshot(self) -> dict[str, Any]:
        plain: dict[str, Any] = msgspec.to_builtins(self._source)
        return plain

    @classmethod
    def from_snapshot(cls, snapshot: Mapping[str, Any]) -> CompiledAlipayMessage:
        """The compiled message that gave this snapshot; the channel's extra fields are in it already.

        Raises:
            UsageError: it is not one.
        """
        try:
            message = AlipayMessage(**snapshot)
        except TypeError:
            raise UsageError(
                f"the journal's message is not a wallet's: it has {sorted(snapshot)}"
            ) from None
        return cls(message)

    def body(
        self, values: Sequence[str], *, app_id: str, access_token: Secret, request_id: str
    ) -> bytes:
        """The request's bytes for this recipient: serialised once, to be signed and sent."""
        return self._body.fill(values, app_id, access_token, request_id)


def _stop(problem: Problem | None) -> None:
    if problem is not None:
        raise UsageError(problem.detail)


def _too_long(field: str, text: str) -> Problem | None:
    limit = LIMITS[field]
    if len(text) <= limit:
        return None
    return Problem(Code.OVER_LIMIT, f"{field}: {len(text)} characters, at most {limit} are allowed")


def _required(text: Any, where: str, limit: int | None) -> str:
    if not isinstance(text, str) or not text.strip():
        raise UsageError(f"{where}: give text, at least one character")
    if limit is not None and len(text) > limit:
        raise UsageError(f"{where}: {len(text)} characters, at most {limit} are allowed")
    return whole_text(text, where)


def _templates(given: Any) -> list[ContentTemplate]:
    if isinstance(given, (str, bytes, Mapping)) or not isinstance(given, Sequence):
        raise UsageError("templates: give a list of ContentTemplate")
    if not 1 <= len(given) <= MAX_TEMPLATES:
        raise UsageError(f"templates: {len(given)} of them; 1 to {MAX_TEMPLATES} are allowed")
    return [_template(item, f"templates[{at}]") for at, item in enumerate(given)]


def _template(item: Any, where: str) -> ContentTemplate:
    if isinstance(item, Mapping):
        if unknown := sorted(set(item) - {"language", "parameters"}):
            raise UsageError(f"{where}: no field {unknown[0]!r}; it has language and parameters")
        item = ContentTemplate(**item)
    if not isinstance(item, ContentTemplate):
        raise UsageError(f"{where}: give a ContentTemplate, not {type(item).__name__}")
    if item.language is not None and not isinstance(item.language, str):
        raise UsageError(f"{where}.language: give text such as 'en-US'")
    if not isinstance(item.parameters, Mapping):
        raise UsageError(f"{where}.parameters: give a mapping of names to texts")
    for name, text in item.parameters.items():
        if not isinstance(text, str):
            raise UsageError(
                f"{where}.parameters.{name}: give text, not {type(text).__name__} ({text!r})"
            )
    # A copy: what the caller does with the mapping later must not change the message.
    return ContentTemplate(dict(item.parameters), whole_text(item.language or "", where) or None)


def _is_static(node: Any) -> bool:
    return all(isinstance(text, str) for _, text in json_texts(node))
