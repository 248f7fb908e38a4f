"""What the hostile page tries does succeed where nobody guards: its failures elsewhere mean something."""

from __future__ import annotations

import pytest
from aiohttp import web
from browser.attacker import ATTEMPTS, attacking
from browser.watched_page import WatchedPage

pytestmark = pytest.mark.asyncio(loop_scope="session")

SCRIPT = "console.log('loaded')"


async def test_each_attempt_succeeds_at_a_server_without_guards(page: WatchedPage) -> None:
    posted: list[str] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        open_to_all = {
            "Access-Control-Allow-Origin": request.headers.get("Origin", "*"),
            "Access-Control-Allow-Credentials": "true",
            "Access-Control-Allow-Headers": "*, x-requested-with",
        }
        kind = "text/html"
        text = "a secret<script>if (opener) opener.postMessage('a secret', '*')</script>"
        if request.method == "POST":
            posted.append(request.path.rpartition("/")[2])
        elif request.path == "/live":
            socket = web.WebSocketResponse()
            await socket.prepare(request)
            await socket.close()
            return socket
        elif request.path.endswith("/live"):
            kind, text = "text/event-stream", "event: part\ndata: a secret\n\n"
        elif request.path.endswith(".js"):
            kind, text = "text/javascript", SCRIPT
        elif request.path.endswith(".css"):
            kind, text = "text/css", "body { color: red }"
        return web.Response(text=text, content_type=kind, headers=open_to_all)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    here = f"http://127.0.0.1:{runner.addresses[0][1]}"
    page.allowed = ("",)
    async with attacking() as port:
        await page.go(f"http://evil.test:{port}/")
        at = {
            "target": here,
            "campaign": f"{here}/campaigns/1/autumn.db",
            "script": "/x.js",
            "guessed": {},
        }
        found = await page.script(ATTEMPTS, at)
    await runner.cleanup()
    # An image that is HTML is none, and a frame's text is its own origin's, at whatever server.
    assert [name for name, came in found.items() if came == "refused"] == [
        "image",
        "frame",
        "object",
    ]
    assert sorted(posted) == ["cancel", "cancel", "cancel", "pause", "resume", "retry"]
