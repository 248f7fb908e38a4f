"""The wallet's endpoints, message/send and applyToken: signatures checked and made, and a
requestId answered once."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from promomsg.sandbox.calls_and_replies import Call, Complaints, SandboxReply
from promomsg.sandbox.ledger import Ledger
from promomsg.sandbox.movable_clock import SandboxClock
from promomsg.sandbox.sandbox_settings import SandboxSettings
from promomsg.sandbox.signatures import read_signature, sign, verifies
from promomsg.sandbox.wallet_users import AlipayRefusedError, WalletUsers, iso

__all__ = ["APPLY_TOKEN", "SEND", "AlipayEndpoints"]

SEND: Final = "/v2/miniprogram/message/send"
APPLY_TOKEN: Final = "/v2/authorizations/applyToken"  # noqa: S105 - a path

_REQUEST_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:?\d\d)")
_TEXTS: Final[Mapping[str, str]] = {
    "SUCCESS": "success",
    "UNKNOWN_EXCEPTION": "An API calling is failed, which is caused by unknown reasons.",
    "REQUEST_TRAFFIC_EXCEED_LIMIT": "The request traffic exceeds the limit.",
    "INVALID_ACCESS_TOKEN": "The access token is invalid.",
    "EXPIRED_ACCESS_TOKEN": "The access token is expired.",
    "USER_NOT_SUBSCRIBED": "The user has not subscribed to the message.",
    "USER_STATUS_ERROR": "The user status is abnormal.",
    "MESSAGE_SEND_EXCEED_LIMIT": "Too many messages were sent to the user.",
    "TEMPLATE_NOT_EXIST": "The template does not exist.",
    "PROCESS_FAIL": "A general business failure occurred. Don't retry.",
    "ACCESS_DENIED": "Access is denied.",
    "INVALID_API": "The called API is invalid or not active.",
}
_LIMITS: Final[Mapping[str, tuple[int, bool]]] = {
    # docs/facts/alipay.md, "Request": characters, and whether the property is required.
    "appId": (32, True),
    "accessToken": (128, True),
    "requestId": (64, True),
    "templateCode": (64, True),
    "redirectUrl": (2048, False),
    "extendInfo": (4096, False),
}
_SEND_FIELDS: Final = frozenset(_LIMITS) | {"templates", "authClientId", "customerBelongsTo"}
_FINAL: Final = frozenset(
    {
        "SUCCESS",
        "USER_NOT_SUBSCRIBED",
        "USER_STATUS_ERROR",
        "MESSAGE_SEND_EXCEED_LIMIT",
        "PROCESS_FAIL",
    }
)
"""What is remembered for a requestId: the message's own fate, not what kept it from being tried."""


class AlipayEndpoints:
    """Serves the two endpoints.

    Attributes:
        users: whose token is whose.
    """

    def __init__(
        self,
        settings: Callable[[], SandboxSettings],
        clock: SandboxClock,
        ledger: Ledger,
        complaints: Complaints,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._ledger = ledger
        self._complaints = complaints
        self.users = WalletUsers(settings, clock)
        # Answers by requestId; a ledger that another sandbox began counts as delivered.
        self._answers = dict.fromkeys(ledger.requests, "SUCCESS")
        self._customers: dict[str, str] = dict(ledger.requests)

    def serve(self, call: Call) -> SandboxReply:
        """Answers one call; a refusal is an answer too."""
        try:
            self._check_calling_convention(call)
            data = self._decode(call)
            if call.endpoint == "alipay.send":
                code, extra = self._send(data)
            else:
                code, extra = "SUCCESS", self._apply_token(data)
        except AlipayRefusedError as refused:
            return self.answer(call, refused.args[0], message=refused.args[1])
        return self.answer(call, code, extra)

    def answer(
        self,
        call: Call,
        code: str,
        extra: Mapping[str, Any] | None = None,
        *,
        status: str | None = None,
        message: str | None = None,
    ) -> SandboxReply:
        """A signed answer with this resultCode; also what a fault asks for."""
        if status is None:
            status = {"SUCCESS": "S", "UNKNOWN_EXCEPTION": "U"}.get(code, "F")
        result = {
            "resultCode": code,
            "resultStatus": status,
            "resultMessage": message or _TEXTS.get(code, code),
        }
        body = msgspec.json.encode({"result": result, **(extra or {})})
        settings = self._settings()
        signature = settings.success_signature if status == "S" else "good"
        if status != "S" and settings.unsigned_f:
            signature = "unsigned"
        return self.signed_reply(call, body, signature)

    def signed_reply(self, call: Call, body: bytes, signature: str = "good") -> SandboxReply:
        """`body` under a good, bad or missing signature ("good", "bad", "unsigned")."""
        client, at = call.headers.get("Client-Id", ""), iso(self._clock.time())
        headers = {"Client-Id": client, "Response-Time": at}
        if signature != "unsigned":
            signed = body if signature == "good" else body + b" "
            headers["Signature"] = sign(call.path, client, at, signed)
        return SandboxReply(body, "application/json; charset=UTF-8", 200, headers)

    def _check_calling_convention(self, call: Call) -> None:
        """The calling convention: method, type, client, time, signature."""
        settings, headers = self._settings(), call.headers
        if call.method != "POST":
            raise AlipayRefusedError("METHOD_NOT_SUPPORTED", "The HTTP method is not supported.")
        if not headers.get("Content-Type", "").lower().startswith("application/json"):
            raise AlipayRefusedError(
                "MEDIA_TYPE_NOT_ACCEPTABLE", "The media type is not acceptable."
            )
        client = headers.get("Client-Id", "")
        if not client or (settings.client_ids is not None and client not in settings.client_ids):
            raise AlipayRefusedError("INVALID_CLIENT", "The client is invalid.")
        at = headers.get("Request-Time", "")
        if _REQUEST_TIME.fullmatch(at) is None:
            raise AlipayRefusedError(
                "PARAM_ILLEGAL", "Request-Time is not ISO 8601 with an offset."
            )
        read = read_signature(headers.get("Signature", ""), settings.signature_encoding)
        if read is None:
            raise AlipayRefusedError(
                "INVALID_SIGNATURE", "The Signature header is missing or malformed."
            )
        version, signature = read
        if settings.key_versions is not None and version not in settings.key_versions:
            raise AlipayRefusedError("KEY_NOT_FOUND", "The key is not found.")
        key = settings.client_public_key
        if key is not None and not verifies(key, signature, call.path, client, at, call.body):
            raise AlipayRefusedError("INVALID_SIGNATURE", "The signature is invalid.")

    def _decode(self, call: Call) -> dict[str, Any]:
        try:
            data = msgspec.json.decode(call.body)
        except (msgspec.DecodeError, UnicodeDecodeError):
            data = None
        if not isinstance(data, dict):
            raise AlipayRefusedError("PARAM_ILLEGAL", "The body is not a JSON object.")
        return data

    def _send(self, data: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
        settings = self._settings()
        self._check(data)
        token, request_id = data["accessToken"], data["requestId"]
        if settings.app_ids is not None and data["appId"] not in settings.app_ids:
            raise AlipayRefusedError("INVALID_AUTH_CLIENT", "The appId is not authorized.")
        extra = {"messageId": _message_id(request_id)}
        if data.get("extendInfo"):
            extra["extendInfo"] = data["extendInfo"]
        known = self._answers.get(request_id)
        if known is not None:
            self._check_same_person(request_id, token)
            return known, extra if known == "SUCCESS" else {}
        customer = self.users.customer_of(token)
        codes = settings.template_codes
        if codes is not None and data["templateCode"] not in codes:
            raise AlipayRefusedError("TEMPLATE_NOT_EXIST", _TEXTS["TEMPLATE_NOT_EXIST"])
        results = settings.user_results
        code = results.get(token) or results.get(customer) or "SUCCESS"
        if code in _FINAL:
            self._answers[request_id] = code
            self._customers[request_id] = customer
        if code != "SUCCESS":
            return code, {}
        self._ledger.request(
            request_id,
            token,
            content=msgspec.json.encode(data["templates"]).decode(),
            customer=customer,
            at=self._clock.time(),
        )
        return code, extra

    def _check_same_person(self, request_id: str, token: str) -> None:
        """Notes a requestId that comes for somebody else: they would get nothing."""
        try:
            customer = self.users.customer_of(token)
        except AlipayRefusedError:
            return
        if self._customers[request_id] not in (customer, token):
            self._ledger.conflicts.append(request_id)

    def _check(self, data: Mapping[str, Any]) -> None:
        for name, (limit, required) in _LIMITS.items():
            _text(data, name, limit, required=required)
        templates = data.get("templates")
        if not isinstance(templates, list) or not 1 <= len(templates) <= 5:
            raise AlipayRefusedError("PARAM_ILLEGAL", "templates holds 1 to 5 content templates.")
        for number, template in enumerate(templates):
            where = f"templates[{number}]"
            if not isinstance(template, dict):
                raise AlipayRefusedError("PARAM_ILLEGAL", f"{where} is not an object.")
            if not isinstance(template.get("templateParameters"), dict):
                raise AlipayRefusedError(
                    "PARAM_ILLEGAL", f"{where}.templateParameters is not an object."
                )
            if not isinstance(template.get("language", ""), str):
                raise AlipayRefusedError("PARAM_ILLEGAL", f"{where}.language is not a string.")
            if not all(isinstance(v, str) for v in template["templateParameters"].values()):
                self._complain(f"{where} has a parameter that is not a string")
        for name in data:
            if name not in _SEND_FIELDS:
                self._complain(f"unknown field {name!r}")

    def _complain(self, line: str) -> None:
        if self._settings().strict:
            raise AlipayRefusedError("PARAM_ILLEGAL", line)
        self._complaints.append(f"alipay.send: {line}")

    def _apply_token(self, data: Mapping[str, Any]) -> Mapping[str, Any]:
        _text(data, "appId", 32, required=True)
        grant = data.get("grantType")
        if grant == "AUTHORIZATION_CODE":
            return self.users.by_code(_text(data, "authCode", 128, required=True))
        if grant == "REFRESH_TOKEN":
            return self.users.by_refresh_token(_text(data, "refreshToken", 128, required=True))
        raise AlipayRefusedError(
            "PARAM_ILLEGAL", "grantType is neither AUTHORIZATION_CODE nor REFRESH_TOKEN."
        )


def _text(data: Mapping[str, Any], name: str, limit: int, *, required: bool) -> str:
    """A string property within its limit (characters), else PARAM_ILLEGAL that names it."""
    value = data.get(name)
    if value is None and not required:
        return ""
    if not isinstance(value, str) or (required and not value):
        raise AlipayRefusedError("PARAM_ILLEGAL", f"{name} is missing or not a string.")
    if len(value) > limit:
        raise AlipayRefusedError("PARAM_ILLEGAL", f"{name} is longer than {limit} characters.")
    return value


def _message_id(request_id: str) -> str:
    """The same message keeps its id, over restarts too."""
    return "M" + hashlib.blake2b(request_id.encode(), digest_size=12).hexdigest()
