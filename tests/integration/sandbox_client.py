"""A plain aiohttp client of the sandbox: what a user's own code would send."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote, unquote

import aiohttp
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from promomsg.sandbox import Sandbox

MESSAGE: dict[str, Any] = {
    "msg_type": 1,
    "content": '{"title":"今日优惠活动","topic":"双十一大促","desc":"三件五折","date":"2022/10/28"}',
    "path": "pages/index/index",
}


class Wire:
    """Posts JSON as raw UTF-8 and reads JSON whatever the Content-Type says."""

    def __init__(self, box: Sandbox, http: aiohttp.ClientSession) -> None:
        self.box = box
        self.http = http
        self.token = ""

    async def call(self, path: str, body: Any = None, **query: str) -> dict[str, Any]:
        data = body if isinstance(body, bytes) else json.dumps(body, ensure_ascii=False).encode()
        async with self.http.post(self.box.url + path, params=query, data=data) as response:
            answer = json.loads(await response.read())
        assert isinstance(answer, dict)
        return answer

    async def stable(self, force: bool = False, **more: Any) -> dict[str, Any]:
        body = {
            "grant_type": "client_credential",
            "appid": "wx0",
            "secret": "s",
            "force_refresh": force,
        }
        return await self.call("/cgi-bin/stable_token", body | more)

    async def promoter(self, name: str, body: Any = None) -> dict[str, Any]:
        if not self.token:
            self.token = (await self.stable())["access_token"]
        return await self.call(
            f"/promoter/{name}", {} if body is None else body, access_token=self.token
        )

    async def single(self, **to: str) -> dict[str, Any]:
        return await self.promoter("singlesendmsg", MESSAGE | to)

    async def group(self, ids: list[str]) -> dict[str, Any]:
        return await self.promoter("sendmsg", MESSAGE | {"list_type": 3, "id": ids})

    async def result(self, msg_id: str) -> dict[str, Any]:
        return await self.promoter("getmsg", {"msg_id": msg_id})


@asynccontextmanager
async def wired(**kwargs: Any) -> AsyncIterator[tuple[Sandbox, Wire]]:
    """A sandbox and a client of it."""
    async with Sandbox(**kwargs) as box, aiohttp.ClientSession() as http:
        yield box, Wire(box, http)


def ids(count: int) -> list[str]:
    return [str(n) for n in range(1, count + 1)]


class Merchant:
    """Signs and sends a wallet's calls, and checks the answers' signatures."""

    def __init__(self, box: Sandbox, http: aiohttp.ClientSession, key: rsa.RSAPrivateKey) -> None:
        self.box = box
        self.http = http
        self.key = key
        self.prefix = "/api"
        self.headers: dict[str, str | None] = {}
        self.encode = lambda raw: quote(base64.b64encode(raw).decode(), safe="")
        self.signed: bool | None = None

    async def call(self, path: str, body: Any) -> dict[str, Any]:
        data = body if isinstance(body, bytes) else json.dumps(body, ensure_ascii=False).encode()
        path = self.prefix + path
        at = "2026-11-24T12:08:56.253+08:00"
        raw = self.key.sign(
            f"POST {path}\nC1.{at}.".encode() + data, padding.PKCS1v15(), hashes.SHA256()
        )
        headers = {
            "Client-Id": "C1",
            "Request-Time": at,
            "Signature": f"algorithm=RSA256, keyVersion=1, signature={self.encode(raw)}",
            "Content-Type": "application/json; charset=UTF-8",
        }
        merged = {k: v for k, v in (headers | self.headers).items() if v is not None}
        async with self.http.post(self.box.url + path, data=data, headers=merged) as response:
            answer = await response.read()
            self.signed = _verified(self.box.alipay_public_key, path, response.headers, answer)
        decoded = json.loads(answer)
        assert isinstance(decoded, dict)
        return decoded

    async def send(self, request_id: str = "r1", token: str = "u1", **more: Any) -> dict[str, Any]:
        return await self.call("/v2/miniprogram/message/send", note(request_id, token) | more)

    async def code(self, **more: Any) -> str:
        return str((await self.send(**more))["result"]["resultCode"])

    async def apply(self, **body: Any) -> dict[str, Any]:
        return await self.call("/v2/authorizations/applyToken", {"appId": "P1"} | body)


def note(request_id: str, token: str) -> dict[str, Any]:
    return {
        "appId": "P1",
        "accessToken": token,
        "requestId": request_id,
        "templateCode": "TP_1",
        "templates": [{"templateParameters": {"who": "小明"}, "language": "en-US"}],
    }


def _verified(pem: str, path: str, headers: Any, body: bytes) -> bool | None:
    """None without a signature."""
    if "Signature" not in headers:
        return None
    value = unquote(headers["Signature"].partition("signature=")[2])
    signed = f"POST {path}\n{headers['Client-Id']}.{headers['Response-Time']}.".encode() + body
    key = serialization.load_pem_public_key(pem.encode())
    assert isinstance(key, rsa.RSAPublicKey)
    try:
        key.verify(base64.b64decode(value), signed, padding.PKCS1v15(), hashes.SHA256())
    except InvalidSignature:
        return False
    return True
