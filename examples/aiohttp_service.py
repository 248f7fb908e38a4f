"""Campaigns in an aiohttp.web service: `python -m aiohttp.web examples.aiohttp_service:make_app`."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import suppress

from aiohttp import ClientError, ClientSession, web

from promomsg import Campaign, JournalError, PromoError, WeChatMessage, WeChatPromoter


def make_app(argv: list[str] | None = None) -> web.Application:
    env = {"WECHAT_URL": "https://api.weixin.qq.com", "CAMPAIGNS": ".", **os.environ}
    wechat = WeChatPromoter(env["WECHAT_APPID"], env["WECHAT_SECRET"], base_url=env["WECHAT_URL"])
    runs: dict[str, Campaign] = {}
    ends = asyncio.TaskGroup()

    async def lifetime(app: web.Application) -> AsyncIterator[None]:
        async with wechat, ends:
            yield
            await asyncio.gather(*(run.aclose() for run in runs.values()))  # cleanly

    async def start(request: web.Request) -> web.Response:
        name, wanted = request.match_info["name"], await request.json()
        message = WeChatMessage(1, {"title": wanted["title"]}, "pages/index/index")
        journal = f"{env['CAMPAIGNS']}/{name}.db"
        campaign = Campaign(wechat, message, wanted["ids"], name=name, journal=journal)
        try:
            runs[name] = run = await campaign.start()
        except PromoError as error:
            raise web.HTTPBadRequest(text=str(error)) from None
        ends.create_task(end(run))
        return web.json_response(run.progress.to_dict(), status=202)

    async def end(run: Campaign) -> None:
        with suppress(JournalError, ClientError, KeyError):
            report = await run.wait()
            async with ClientSession() as http:
                await http.post(env["WEBHOOK"], json=report.to_dict())
        await run.aclose()

    async def events(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await answer.prepare(request)
        async for event in runs[request.match_info["name"]].events():
            await answer.write(event.to_sse().encode())
        return answer

    async def act(request: web.Request) -> web.Response:
        run, action = runs[request.match_info["name"]], request.match_info["action"]
        await {"pause": run.pause, "continue": run.resume_sending, "cancel": run.cancel}[action]()
        return web.json_response(run.progress.to_dict())

    app = web.Application()
    app.cleanup_ctx.append(lifetime)
    app.router.add_post("/campaigns/{name}", start)
    app.router.add_get("/campaigns/{name}/events", events)
    app.router.add_post("/campaigns/{name}/{action}", act)
    return app
