"""Campaigns in an aiohttp.web service: `python -m aiohttp.web examples.aiohttp_service:make_app`."""

import asyncio
import os
from contextlib import aclosing, suppress

import msgspec
from aiohttp import ClientError, ClientSession, web

from promomsg import Campaign, JournalError, PromoError, WeChatMessage, WeChatPromoter


def make_app(argv: list[str] | None = None) -> web.Application:
    wanted = msgspec.defstruct("Wanted", [("title", str), ("ids", list[str])])
    env = {"WECHAT_URL": "https://api.weixin.qq.com", "CAMPAIGNS": ".", **os.environ}
    wechat = WeChatPromoter(env["WECHAT_APPID"], env["WECHAT_SECRET"], base_url=env["WECHAT_URL"])
    runs: dict[str, Campaign] = {}
    ends: list[asyncio.Task[None]] = []

    async def start(request: web.Request) -> web.Response:
        name, body = request.match_info["name"], await request.read()
        journal = f"{env['CAMPAIGNS']}/{name}.db"
        try:
            title, ids = msgspec.structs.astuple(msgspec.json.decode(body, type=wanted))
            message = WeChatMessage(1, {"title": title}, "pages/index/index")
            campaign = Campaign(wechat, message, ids, name=name, journal=journal)
            if await asyncio.to_thread(os.path.exists, journal):  # goes on; another list is refused
                campaign = Campaign.resume(journal, wechat, message=message, recipients=ids)
            runs[name] = run = await campaign.start()
        except (PromoError, msgspec.MsgspecError) as e:  # being sent already is a conflict
            return web.Response(text=str(e), status=409 if isinstance(e, JournalError) else 400)
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
        await asyncio.gather(*(r.aclose() for r in runs.values()), *ends, return_exceptions=True)
        await wechat.close()

    app = web.Application()
    app.on_shutdown.append(stop)
    named = r"/campaigns/{name:[\w-]+}"  # it becomes a file's name
    app.add_routes([web.post(named, start), web.get(named + "/{action:events}", look_or_act)])
    app.router.add_post(named + "/{action:pause|continue|cancel}", look_or_act)
    return app
