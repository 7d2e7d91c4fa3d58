"""Publish AI usage events to Ratestream: typed, checked, never lost in silence, never billed twice."""

from ratestream_client.emitter import Emitter
from ratestream_client.errors import EmitterError, InvalidEvent, NotQueued, QueueFull, Unacknowledged
from ratestream_client.event import Money, Quantity, RoutingCandidate, RoutingDecision, UsageEvent
from ratestream_client.report import Delivery, Report

__all__ = [
    "Delivery",
    "Emitter",
    "EmitterError",
    "InvalidEvent",
    "Money",
    "NotQueued",
    "Quantity",
    "QueueFull",
    "Report",
    "RoutingCandidate",
    "RoutingDecision",
    "Unacknowledged",
    "UsageEvent",
]
