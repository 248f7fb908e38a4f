"""Campaigns in an aiohttp.web service: `python -m aiohttp.web examples.aiohttp_service:make_app`."""

import asyncio
import os
from contextlib import aclosing, suppress

from aiohttp import ClientError, ClientSession, web

from promomsg import Campaign, JournalError, PromoError, WeChatMessage, WeChatPromoter


def make_app(argv: list[str] | None = None) -> web.Application:
    env = {"WECHAT_URL": "https://api.weixin.qq.com", "CAMPAIGNS": ".", **os.environ}
    wechat = WeChatPromoter(env["WECHAT_APPID"], env["WECHAT_SECRET"], base_url=env["WECHAT_URL"])
    runs: dict[str, Campaign] = {}
    ends: list[asyncio.Task[None]] = []

    async def start(request: web.Request) -> web.Response:
        name, wanted = request.match_info["name"], await request.json()
        message = WeChatMessage(1, {"title": wanted["title"]}, "pages/index/index")
        journal = f"{env['CAMPAIGNS']}/{name}.db"
        campaign = Campaign(wechat, message, wanted["ids"], name=name, journal=journal)
        if await asyncio.to_thread(os.path.exists, journal):  # stopped before its end: it goes on
            campaign = Campaign.resume(journal, wechat, message=message)
        try:
            runs[name] = run = await campaign.start()
        except PromoError as error:
            raise web.HTTPBadRequest(text=str(error)) from None
        ends.append(asyncio.create_task(end(run)))
        return web.json_response(run.progress.to_dict(), status=202)

    async def end(run: Campaign) -> None:
        with suppress(JournalError, ClientError, KeyError):
            async with aclosing(run), ClientSession() as http:
                report = await run.wait()
                await http.post(env["WEBHOOK"], json=report.to_dict())

    async def events(request: web.Request) -> web.Response:
        lines = (e.to_sse().encode() async for e in runs[request.match_info["name"]].events())
        return web.Response(body=lines, content_type="text/event-stream")

    async def act(request: web.Request) -> web.Response:
        with suppress(KeyError):
            run, action = runs[request.match_info["name"]], request.match_info["action"]
            await {"pause": run.pause, "continue": run.resume_sending, "cancel": run.cancel}[
                action
            ]()
            return web.json_response(run.progress.to_dict())
        raise web.HTTPNotFound

    async def stop(app: web.Application) -> None:  # before aiohttp waits for those who listen
        await asyncio.gather(*(run.aclose() for run in runs.values()), *ends)
        await wechat.close()

    app = web.Application()
    app.on_shutdown.append(stop)
    app.router.add_post("/campaigns/{name}", start)
    app.router.add_get("/campaigns/{name}/events", events)
    app.router.add_post("/campaigns/{name}/{action}", act)
    return app
