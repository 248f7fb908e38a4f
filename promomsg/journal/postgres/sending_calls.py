"""Sending, following and reading: what each call of the contract is as a statement of the journal."""

from __future__ import annotations

from promomsg.journal.postgres.open_campaign import OpenCampaign

__all__ = ["SendingCalls"]


class SendingCalls(OpenCampaign):
    """The calls of `promomsg.journal.contract.Handle` that send, follow, recover and read."""
