"""Campaigns in a FastAPI service, which uvicorn runs (`docs/howto/fastapi.md`)."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress
from typing import Annotated, Any, Literal

import httpx
from fastapi import Depends, FastAPI, HTTPException, Path
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import BaseModel

from promomsg import Campaign, JournalError, PromoError, WeChatMessage, WeChatPromoter

Name = Annotated[str, Path(pattern=r"^[\w-]+$")]  # it becomes a file's name
Action = Literal["pause", "continue", "cancel"]


class Wanted(BaseModel):
    title: str
    ids: list[str]


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

    @app.exception_handler(PromoError)  # such as what is wrong with the list
    def refuse(_: Any, error: PromoError) -> JSONResponse:
        return JSONResponse({"detail": str(error)}, 409 if isinstance(error, JournalError) else 400)

    @app.post("/campaigns/{name}", status_code=202)
    async def start(name: Name, wanted: Wanted) -> Any:
        message = WeChatMessage(1, {"title": wanted.title}, "pages/index/index")
        journal = f"{env['CAMPAIGNS']}/{name}.db"
        campaign = Campaign(wechat, message, wanted.ids, name=name, journal=journal)
        if await asyncio.to_thread(os.path.exists, journal):  # goes on; another list is refused
            campaign = Campaign.resume(journal, wechat, message=message, recipients=wanted.ids)
        runs[name] = run = await campaign.start()
        app.state.ends.create_task(end(run))
        return run.progress.to_dict()

    async def end(run: Campaign) -> None:
        with suppress(JournalError, httpx.HTTPError, httpx.InvalidURL, KeyError):
            async with aclosing(run), httpx.AsyncClient() as http:
                report = await run.wait()
                await http.post(env["WEBHOOK"], json=report.to_dict())

    def running(name: str) -> Campaign:
        if name not in runs:
            raise HTTPException(404, "there is no such campaign here")
        return runs[name]

    @app.get("/campaigns/{name}/events")
    async def events(run: Annotated[Campaign, Depends(running)]) -> StreamingResponse:
        lines = (event.to_sse() async for event in run.events())
        return StreamingResponse(lines, media_type="text/event-stream")

    @app.post("/campaigns/{name}/{action}")
    async def act(action: Action, run: Annotated[Campaign, Depends(running)]) -> Any:
        await {"pause": run.pause, "continue": run.resume_sending, "cancel": run.cancel}[action]()
        return run.progress.to_dict()

    return app
