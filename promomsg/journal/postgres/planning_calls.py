"""Planning, and what the user asks for between runs: each call of the contract as a statement."""

from __future__ import annotations

from promomsg.journal.postgres.open_campaign import OpenCampaign

__all__ = ["PlanningCalls"]


class PlanningCalls(OpenCampaign):
    """The calls of `promomsg.journal.contract.Handle` that plan, and that plan anew."""
