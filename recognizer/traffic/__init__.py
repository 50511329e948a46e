"""Traffic for a running service, decided purely; `flows.traffic.replay` sends it."""

from recognizer.traffic.plan import Arrivals, Schedule, Sent, TrafficPlan, arrival_times, write_schedule
from recognizer.traffic.report import (
    ANSWER,
    CONNECTION,
    TIMEOUT,
    Answer,
    Feedback,
    Latency,
    Part,
    Tally,
    TrafficReport,
    summarize,
)

__all__ = [
    "ANSWER",
    "CONNECTION",
    "TIMEOUT",
    "Answer",
    "Arrivals",
    "Feedback",
    "Latency",
    "Part",
    "Schedule",
    "Sent",
    "Tally",
    "TrafficPlan",
    "TrafficReport",
    "arrival_times",
    "summarize",
    "write_schedule",
]
