"""A local stand-in for both providers, with faults and a ledger of what was really delivered.

Written from the providers' pages alone: it shares no codec with the rest of the package, since a
shared codec would hide a shared mistake (docs/design.md, "Layers").
"""

from __future__ import annotations

from promomsg.sandbox.calls_and_replies import Call, Calls
from promomsg.sandbox.fault_plan import Fault, FaultPlan
from promomsg.sandbox.ledger import GroupDelivery, Ledger, read_ledger
from promomsg.sandbox.movable_clock import SandboxClock
from promomsg.sandbox.sandbox_settings import SandboxPromoter, SandboxSettings, SandboxUser
from promomsg.sandbox.server import Sandbox, serve

__all__ = [
    "Call",
    "Calls",
    "Fault",
    "FaultPlan",
    "GroupDelivery",
    "Ledger",
    "Sandbox",
    "SandboxClock",
    "SandboxPromoter",
    "SandboxSettings",
    "SandboxUser",
    "read_ledger",
    "serve",
]
