"""Write the prediction log off the request path: rows into the store, sampled inputs into the home."""

from __future__ import annotations

import io
import threading
from collections import deque
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import structlog
from numpy.typing import NDArray

from recognizer.errors import RecognizerError
from recognizer.home import atomic_write
from recognizer.predictions import Prediction, Retention, keeps_input
from recognizer.store import predictions
from serving.link import Link
from serving.periodic import Periodic

FLUSH_SECONDS = 0.25
"""How long an answer waits for its row."""
MOST_WAITING = 20_000
"""Rows that wait while the store is away; then the oldest are dropped, and counted."""
MOST_INPUT_BYTES = 64 * 1024 * 1024
"""Inputs that wait in memory; beyond that an answer is logged without its input."""

Inputs = Mapping[str, NDArray[Any]]


class Recorder:
    """The log of one serving process. `record` may be called from any thread and never waits.

    Attributes:
        dropped: rows that were lost because the store was away for too long.
    """

    def __init__(self, url: str, folder: Path, retention: Retention) -> None:
        self._link = Link(url)
        self._folder = folder
        self._retention = retention
        self._lock = threading.Lock()
        self._waiting: deque[tuple[Prediction, Inputs | None]] = deque()
        self._input_bytes = 0
        self.dropped = 0
        self._away = False
        self._periodic = Periodic("record", FLUSH_SECONDS, self.flush, "the prediction log failed")
        self._log = structlog.get_logger("recognizer.serving")

    def start(self) -> None:
        self._periodic.start()

    def stop(self) -> None:
        """Write what waits, then end."""
        self._periodic.stop()
        self.flush()
        self._link.close()

    def record(self, prediction: Prediction, inputs: Inputs) -> None:
        """Log an answer; its input is kept when policy says so."""
        wanted = keeps_input(prediction.id, prediction.arm, prediction.confidence, self._retention)
        size = sum(array.nbytes for array in inputs.values()) if wanted else 0
        with self._lock:
            kept = wanted and self._input_bytes + size <= MOST_INPUT_BYTES
            if kept:
                self._input_bytes += size
            self._waiting.append((prediction, inputs if kept else None))
            if len(self._waiting) > MOST_WAITING:
                self._forget(self._waiting.popleft()[1])
                self.dropped += 1

    def flush(self) -> None:
        """Write what waits now; what cannot be written waits for the next time."""
        with self._lock:
            batch = list(self._waiting)
        if not batch:
            return
        try:
            store = self._link.open()  # first: without it every try would write the same inputs anew
            rows = [self._keep(prediction, inputs) for prediction, inputs in batch]
            predictions.append(store, rows)
        except (RecognizerError, OSError) as error:
            self._note_away(error)
            return
        if self._away:
            self._log.info("the prediction log is written again", dropped=self.dropped)
            self._away = False
        written = {prediction.id for prediction, _ in batch}
        with self._lock:
            while self._waiting and self._waiting[0][0].id in written:
                self._forget(self._waiting.popleft()[1])

    def _keep(self, prediction: Prediction, inputs: Inputs | None) -> Prediction:
        """Write the input's file and name it in the row."""
        if inputs is None:
            return prediction
        day = datetime.fromtimestamp(prediction.at, UTC).strftime("%Y-%m-%d")
        name = f"{prediction.task}/{day}/{prediction.id}.npz"
        content = io.BytesIO()
        np.savez(content, **inputs)
        atomic_write(self._folder / name, content.getvalue())
        return Prediction(**{**vars(prediction), "inputs": name})

    def _forget(self, inputs: Inputs | None) -> None:
        if inputs is not None:
            self._input_bytes -= sum(array.nbytes for array in inputs.values())

    def _note_away(self, error: Exception) -> None:
        self._link.close()
        if not self._away:  # one line, however often it is tried
            self._log.error("the prediction log cannot be written, answers wait", error=str(error))
        self._away = True
