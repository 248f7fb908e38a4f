"""A web service that sends campaigns: one client for its lifetime, journals in one folder.

    uvicorn --factory examples.service:from_environment

with `WECHAT_APPID`, `WECHAT_SECRET` and `CAMPAIGNS` (the folder) in the environment, and any ASGI
server. Stopping it in the middle is clean: calls in flight finish, what was not sent stays
`pending` in its journal, and the next start goes on with it.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

import anyio
import anyio.abc
from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

import promomsg

log = logging.getLogger("service")

_NAME = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$"
"""Names that are safe as a file's."""


class Message(BaseModel):
    """A `promomsg.WeChatMessage`."""

    msg_type: int = 1
    content: dict[str, str]
    path: str


class NewCampaign(BaseModel):
    """What starts a campaign; recipients have `key`, `id`, `openid`, `unionid` and parameters."""

    name: str = Field(pattern=_NAME)
    message: Message
    recipients: list[dict[str, Any]] = Field(min_length=1)


class PlanResult:
    """What a request waits for: that the plan is on disk, or the error of planning."""

    def __init__(self) -> None:
        self.done = anyio.Event()
        self.progress: dict[str, Any] | None = None
        self.error: promomsg.PromoError | None = None

    async def wait(self) -> dict[str, Any]:
        """The campaign's first progress; raises what planning raised."""
        await self.done.wait()
        if self.progress is not None:
            return self.progress
        raise self.error or HTTPException(503, "the service is stopping")


class Campaigns:
    """The campaigns of one folder, run in one task group that the service's lifespan owns."""

    def __init__(
        self,
        folder: Path,
        channel: promomsg.WeChatPromoter,
        tasks: anyio.abc.TaskGroup,
        poll: promomsg.PollPolicy,
    ) -> None:
        self._folder = folder
        self._channel = channel
        self._tasks = tasks
        self._poll = poll
        self.running: dict[str, promomsg.Campaign] = {}

    def path(self, name: str) -> Path:
        """The journal of a campaign."""
        return self._folder / f"{name}.db"

    def journal(self, name: str) -> Path:
        """The same, of a campaign that there is; a name out of a URL is looked at first."""
        path = self.path(name)
        if not re.fullmatch(_NAME, name) or not path.exists():
            raise HTTPException(404, "there is no such campaign")
        return path

    async def start(self, new: NewCampaign) -> dict[str, Any]:
        """Plans a campaign and starts sending it; returns when the plan is on disk."""
        path = self.path(new.name)
        if path.exists():
            raise HTTPException(409, f"there is a campaign {new.name!r} already")
        message = promomsg.WeChatMessage(
            new.message.msg_type, new.message.content, new.message.path
        )
        campaign = promomsg.Campaign(
            self._channel, message, new.recipients, name=new.name, journal=path, poll=self._poll
        )
        return await self._start_in_service(new.name, campaign)

    async def resume(self, name: str) -> dict[str, Any]:
        """Resumes a campaign that is not running: paused, halted or left by a stop."""
        campaign = promomsg.Campaign.resume(self.journal(name), self._channel, poll=self._poll)
        return await self._start_in_service(name, campaign)

    async def _start_in_service(self, name: str, campaign: promomsg.Campaign) -> dict[str, Any]:
        # The campaign is the service's, not the request's: it begins in the service's task group,
        # and a request that is cancelled while it waits here changes nothing.
        planned = PlanResult()
        self._tasks.start_soon(self._run, name, campaign, planned)
        return await planned.wait()

    async def _run(self, name: str, campaign: promomsg.Campaign, planned: PlanResult) -> None:
        try:
            async with campaign as run:
                self.running[name] = run
                planned.progress = run.progress
                planned.done.set()
                await run.wait()
        except promomsg.PromoError as error:
            # Caught, since one campaign's full disk must not end the others' task group.
            log.error("campaign %s: %s", name, error)
            planned.error = error
        finally:
            self.running.pop(name, None)
            planned.done.set()

    async def resume_unfinished(self) -> None:
        """Resumes every campaign that a stop of the service left unfinished, but for paused ones."""
        for path in sorted(self._folder.glob("*.db")):
            try:
                report = await anyio.to_thread.run_sync(_report, path)
                if report.pending and report.state != "paused":
                    await self.resume(path.stem)
            except promomsg.PromoError as error:
                log.error("campaign %s is left as it is: %s", path.stem, error)

    async def progress(self, name: str) -> dict[str, Any]:
        """Where a campaign stands, running or not: the document of `promomsg status --json`."""
        if name in self.running:
            return self.running[name].progress
        return (await anyio.to_thread.run_sync(_report, self.journal(name))).to_dict()

    async def not_reached(self, name: str, limit: int) -> list[dict[str, Any]]:
        """The first `limit` recipients who failed or are unknown."""
        return await anyio.to_thread.run_sync(_not_reached, self.journal(name), limit)


def _report(path: Path) -> promomsg.Report:
    with promomsg.open_journal(path) as journal:
        return journal.report()


def _not_reached(path: Path, limit: int) -> list[dict[str, Any]]:
    report = _report(path)
    found: list[dict[str, Any]] = []
    for outcomes in (report.failures(), report.unknowns()):
        for outcome in outcomes:
            if len(found) == limit:
                return found
            found.append(
                {
                    "key": outcome.recipient.key,
                    "state": outcome.state,
                    "code": outcome.code,
                    "detail": outcome.detail,
                }
            )
    return found


def _campaigns(request: Request) -> Campaigns:
    campaigns: Campaigns = request.app.state.campaigns
    return campaigns


_Campaigns = Annotated[Campaigns, Depends(_campaigns)]


def make_app(
    appid: str,
    secret: str,
    folder: Path,
    *,
    base_url: str = "https://api.weixin.qq.com",
    pace: promomsg.Pace | None = None,
    poll: promomsg.PollPolicy | None = None,
) -> FastAPI:
    """The service of one account."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await anyio.Path(folder).mkdir(parents=True, exist_ok=True)
        async with (
            promomsg.WeChatPromoter(appid, secret, base_url=base_url, pace=pace) as wechat,
            anyio.create_task_group() as tasks,
        ):
            campaigns = Campaigns(folder, wechat, tasks, poll or promomsg.PollPolicy())
            app.state.campaigns = campaigns
            await campaigns.resume_unfinished()
            yield
            # Each campaign leaves its block: nothing new goes out, calls in flight finish.
            tasks.cancel_scope.cancel()

    app = FastAPI(title="campaigns", lifespan=lifespan)

    @app.exception_handler(promomsg.UsageError)
    async def usage_error(request: Request, error: promomsg.UsageError) -> JSONResponse:
        return _answer(400, error)

    @app.exception_handler(promomsg.JournalError)
    async def journal_error(request: Request, error: promomsg.JournalError) -> JSONResponse:
        return _answer(409, error)

    @app.post("/campaigns", status_code=202)
    async def start(new: NewCampaign, campaigns: _Campaigns) -> dict[str, Any]:
        return await campaigns.start(new)

    @app.get("/campaigns/{name}")
    async def progress(name: str, campaigns: _Campaigns) -> dict[str, Any]:
        return await campaigns.progress(name)

    @app.get("/campaigns/{name}/not-reached")
    async def not_reached(
        name: str, campaigns: _Campaigns, limit: int = 1000
    ) -> list[dict[str, Any]]:
        return await campaigns.not_reached(name, limit)

    @app.post("/campaigns/{name}/pause")
    async def pause(name: str, campaigns: _Campaigns) -> dict[str, Any]:
        run = _running(campaigns, name)
        await run.pause()
        return run.progress

    @app.post("/campaigns/{name}/continue")
    async def resume(name: str, campaigns: _Campaigns) -> dict[str, Any]:
        if name not in campaigns.running:
            return await campaigns.resume(name)
        run = campaigns.running[name]
        await run.resume_sending()
        return run.progress

    @app.post("/campaigns/{name}/cancel")
    async def cancel(name: str, campaigns: _Campaigns) -> dict[str, Any]:
        run = _running(campaigns, name)
        await run.cancel()
        return run.progress

    return app


def _running(campaigns: Campaigns, name: str) -> promomsg.Campaign:
    try:
        return campaigns.running[name]
    except KeyError:
        raise HTTPException(409, f"{name!r} is not running; continue starts it again") from None


def _answer(status: int, error: promomsg.PromoError) -> JSONResponse:
    return JSONResponse({"detail": str(error)}, status)


def from_environment() -> FastAPI:
    """For an ASGI server's `--factory`."""
    return make_app(
        os.environ["WECHAT_APPID"],
        os.environ["WECHAT_SECRET"],
        Path(os.environ.get("CAMPAIGNS", "campaigns")),
        base_url=os.environ.get("WECHAT_BASE_URL", "https://api.weixin.qq.com"),
    )
