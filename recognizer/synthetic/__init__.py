"""Synthetic recordings: a kinematic model of a human body, acted out, filmed and read with a detector's errors."""

from recognizer.synthetic.actions import ACTIONS
from recognizer.synthetic.recordings import generate

__all__ = ["ACTIONS", "generate"]
