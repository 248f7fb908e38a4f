"""Campaigns in a FastAPI service, which uvicorn runs (`docs/howto/fastapi.md`)."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress
from typing import Any, Literal

import httpx
from fastapi import Body, FastAPI
from fastapi.responses import JSONResponse, StreamingResponse

from promomsg import Campaign, JournalError, PromoError, WeChatMessage, WeChatPromoter


def make_app() -> FastAPI:
    env = {"WECHAT_URL": "https://api.weixin.qq.com", "CAMPAIGNS": ".", **os.environ}
    wechat = WeChatPromoter(env["WECHAT_APPID"], env["WECHAT_SECRET"], base_url=env["WECHAT_URL"])
    runs: dict[str, Campaign] = {}

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with wechat, asyncio.TaskGroup() as app.state.ends:
            yield
            await asyncio.gather(*(run.aclose() for run in runs.values()), return_exceptions=True)

    app = FastAPI(lifespan=lifespan)
    app.add_exception_handler(PromoError, lambda _, e: JSONResponse(str(e), 400))
    app.add_exception_handler(JournalError, lambda _, e: JSONResponse(str(e), 409))  # it is sent
    app.add_exception_handler(KeyError, lambda *_: JSONResponse("there is no such campaign", 404))

    @app.post("/campaigns/{name}", status_code=202)
    async def start(name: str, title: str = Body(), ids: tuple[str, ...] = Body()) -> Any:
        message = WeChatMessage(1, {"title": title}, "pages/index/index")
        journal = f"{env['CAMPAIGNS']}/{name}.db"
        campaign = Campaign(wechat, message, ids, name=name, journal=journal)
        if await asyncio.to_thread(os.path.exists, journal):  # goes on; another list is refused
            campaign = Campaign.resume(journal, wechat, message=message, recipients=ids)
        runs[name] = run = await campaign.start()
        app.state.ends.create_task(end(run))
        return run.progress.to_dict()

    async def end(run: Campaign) -> None:
        with suppress(JournalError, httpx.HTTPError, httpx.InvalidURL, KeyError):
            async with aclosing(run), httpx.AsyncClient() as http:
                report = await run.wait()
                await http.post(env["WEBHOOK"], json=report.to_dict())

    @app.get("/campaigns/{name}/events")
    async def events(name: str) -> StreamingResponse:
        lines = (event.to_sse() async for event in runs[name].events())
        return StreamingResponse(lines, media_type="text/event-stream")

    @app.post("/campaigns/{name}/{action}")
    async def act(name: str, action: Literal["pause", "continue", "cancel"]) -> Any:
        run = runs[name]
        await {"pause": run.pause, "continue": run.resume_sending, "cancel": run.cancel}[action]()
        return run.progress.to_dict()

    return app
