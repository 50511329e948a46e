"""A rollout in the real service: two workers under traffic, from the first load to the end of the bake, or back."""

import time

import pytest

from recognizer.rollout import Phase
from recognizer.store import audit, evidence, open_store, quarantine, rollouts, workers
from recognizer.plan import make_plan
from recognizer.store.served import read_served
from recognizer.traffic import TrafficPlan

from tests.behaviour.test_service import running  # noqa
