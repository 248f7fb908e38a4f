"""Campaigns in an aiohttp.web service: `python -m aiohttp.web examples.aiohttp_service:make_app`."""

import asyncio
import os
from contextlib import aclosing, suppress

import msgspec
from aiohttp import ClientError, ClientSession, web

from promomsg import Campaign, JournalError, PromoError, WeChatMessage, WeChatPromoter


class Wanted(msgspec.Struct):
    title: str
    ids: list[str]


def make_app(argv: list[str] | None = None) -> web.Application:
    env = {"WECHAT_URL": "https://api.weixin.qq.com", "CAMPAIGNS": ".", **os.environ}
    wechat = WeChatPromoter(env["WECHAT_APPID"], env["WECHAT_SECRET"], base_url=env["WECHAT_URL"])
    runs: dict[str, Campaign] = {}
    ends: list[asyncio.Task[None]] = []

    async def start(request: web.Request) -> web.Response:
        name, body = request.match_info["name"], await request.read()
        journal = f"{env['CAMPAIGNS']}/{name}.db"
        try:
            wanted = msgspec.json.decode(body, type=Wanted)
            message = WeChatMessage(1, {"title": wanted.title}, "pages/index/index")
            campaign = Campaign(wechat, message, wanted.ids, name=name, journal=journal)
            if await asyncio.to_thread(os.path.exists, journal):  # goes on; another list is refused
                campaign = Campaign.resume(journal, wechat, message=message, recipients=wanted.ids)
            runs[name] = run = await campaign.start()
        except (PromoError, msgspec.MsgspecError) as error:  # being sent already is a conflict
            kind = web.HTTPConflict if isinstance(error, JournalError) else web.HTTPBadRequest
            raise kind(text=str(error)) from None
        ends.append(asyncio.create_task(end(run)))
        return web.json_response(run.progress.to_dict(), status=202)

    async def end(run: Campaign) -> None:
        with suppress(JournalError, ClientError, TimeoutError, KeyError):
            async with aclosing(run), ClientSession() as http:
                report = await run.wait()
                await http.post(env["WEBHOOK"], json=report.to_dict())

    async def look_or_act(request: web.Request) -> web.Response:
        run, action = runs.get(request.match_info["name"]), request.match_info["action"]
        if run is None:
            raise web.HTTPNotFound(text="there is no such campaign here")
        if action == "events":
            lines = (event.to_sse().encode() async for event in run.events())
            return web.Response(body=lines, content_type="text/event-stream")
        await {"pause": run.pause, "continue": run.resume_sending, "cancel": run.cancel}[action]()
        return web.json_response(run.progress.to_dict())

    async def stop(app: web.Application) -> None:  # before aiohttp waits for those who listen
        await asyncio.gather(
            *(run.aclose() for run in runs.values()), *ends, return_exceptions=True
        )
        await wechat.close()

    app = web.Application()
    app.on_shutdown.append(stop)
    named = r"/campaigns/{name:[\w-]+}"  # it becomes a file's name
    app.router.add_post(named, start)
    app.router.add_get(named + "/{action:events}", look_or_act)
    app.router.add_post(named + "/{action:pause|continue|cancel}", look_or_act)
    return app
