"""A home with quick parameters, and what is done in it: the real command, as a process of its own or in this one."""

import contextlib
import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import yaml

from flows import steps
from flows.command.main import main
from flows.ingestion import Ingested, IngestRequest, ingest_recordings
from flows.night import NightRequest, NightResult
from flows.nightly import go_through
from flows.opening import open_night
from recognizer.home import Home, checkout
from recognizer.ingest.origin import DataFile, Generated
from recognizer.settings import Settings
from recognizer.store import Store, open_store

SEQUENCES = 200
EASY_GATES = {
    "contract": {},
    "absolute": {"accuracy": {"min": 0.0}},
    "relative": {"accuracy": {"margin": 1.0}},
    "slices": {
        "min_cases": 2,
        "margin": 0.99,
        "floor": 0.0,
        "required": ["class", "people"],
        "where_known": ["subject"],
    },
    "golden": {"cases": {"min": 0.0}, "shift": {"min": 0.9}},
    "parity": {"tolerance": 1e-5},
}
"""Gates that any network passes which is whole."""
SLOW_GATES = {
    "budgets": {"latency_p95_ms": {"max": 1000}, "peak_memory_mb": {"max": 1000}},
    "infra": {"requests": 60, "tolerance": 1e-4, "latency_p95_ms": 1000, "shadow_margin": 1.0},
}
"""They start processes: seconds, which few tests need."""


@dataclass(frozen=True)
class Place:
    """A home and the command run in it."""

    root: Path

    @property
    def home(self) -> Home:
        return Home(self.root)

    @property
    def settings(self) -> Settings:
        return Settings(home=self.home, night_start="00:00")

    @property
    def environment(self) -> dict[str, str]:
        ours = {name: value for name, value in os.environ.items() if not name.startswith(("RECOGNIZER_", "PREFECT_"))}
        return {**ours, "RECOGNIZER_HOME": str(self.root), "RECOGNIZER_NIGHT_START": "00:00"}

    def start(self, *arguments: object, folder: Path | None = None, **environment: str) -> subprocess.Popen[str]:
        # as people start it: by `-m`, Python ends by the signal itself when Ctrl-C interrupts an `exec` of a library
        return subprocess.Popen(
            [Path(sys.executable).with_name("recognizer"), *map(str, arguments)],
            env={**self.environment, **environment},
            cwd=folder or checkout(),
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def run(self, *arguments: object, code: int = 0, folder: Path | None = None, **environment: str) -> str:
        """Run to the end; returns stdout."""
        with self.start(*arguments, folder=folder, **environment) as process:
            out, err = process.communicate(timeout=200)
        assert process.returncode == code, f"exit code {process.returncode}\n{out}\n{err}"
        return out

    def json(self, *arguments: object) -> Any:
        return json.loads(self.run(*arguments, "--json"))

    def call(self, *arguments: object, code: int = 0) -> Any:
        """What the command says for a program, run in this process: a start of its own takes longer than most do."""
        said = io.StringIO()
        words = ["recognizer", *map(str, arguments), "--json"]
        with (
            patch.object(sys, "argv", words),
            patch.dict(os.environ, self.environment, clear=True),
            contextlib.redirect_stdout(said),
            pytest.raises(SystemExit) as ended,
        ):
            main()
        assert (ended.value.code or 0) == code, said.getvalue()
        return json.loads(said.getvalue())

    def night(self, **request: Any) -> NightResult:
        """A night as plain functions, without Prefect around it, which would cost seconds."""
        with open_night(self.settings, NightRequest("action", **request)) as night:
            return night if isinstance(night, NightResult) else go_through(night, steps.WORK)

    def ingest(self, *, path: Path | None = None, synthetic: int = 0, **request: Any) -> Ingested:
        origin = Generated(synthetic) if path is None else DataFile(path, request.pop("meta", None))
        with self.store() as store:
            return ingest_recordings(self.settings, store, IngestRequest("action", origin, **request))

    def store(self) -> Store:
        return open_store(f"sqlite:///{self.home.store}")

    def change_params(self, **changes: Any) -> None:
        """Overwrite parameters of the home, named by their path: `train__action__seed=3`."""
        path = self.root / "params.yaml"
        content = yaml.safe_load(path.read_text())
        for name, value in changes.items():
            *keys, last = name.split("__")
            section = content
            for key in keys:
                section = section[key]
            section[last] = value
        path.write_text(yaml.safe_dump(content))

    def use_all_gates(self) -> None:
        """Measure costs as well, and try each candidate in the sandbox."""
        self.change_params(evaluate__action__gates={**EASY_GATES, **SLOW_GATES})

    def use_easy_gates(self) -> None:
        self.change_params(evaluate__action__gates=EASY_GATES)

    def trainings(self) -> int:
        """How many trainings were finished in this home."""
        return len(list((self.root / "runs").glob("*/*/done/train.json")))


def make(root: Path) -> Place:
    """A home without data."""
    root.mkdir(parents=True)
    (root / "params.yaml").write_text((checkout() / "params.yaml").read_text())
    place = Place(root)
    place.change_params(
        evaluate__action__min_cases=5,
        train__action__epochs=2,
        train__action__threads=1,  # so small a network gains nothing by two, and loses by them beside other tests
        train__action__network__channels=[8, 8],
        train__action__network__strides=[4, 2],
        train__action__precision="fp32",
        evaluate__action__gates=EASY_GATES,
    )
    return place


@pytest.fixture(scope="session")
def with_data(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A home with data, to be copied: ingesting takes seconds."""
    place = make(tmp_path_factory.mktemp("data") / "home")
    place.ingest(synthetic=SEQUENCES)
    return place


@pytest.fixture(scope="session")
def make_place(with_data: Place) -> Callable[..., Place]:
    """Makes a home, with data unless told otherwise, whose nights take seconds: tiny network, easy gates."""

    def made(root: Path, *, data: bool = True) -> Place:
        return Place(shutil.copytree(with_data.root, root, symlinks=True)) if data else make(root)

    return made


@pytest.fixture
def place(tmp_path: Path, make_place: Callable[..., Place]) -> Place:
    """A home of one's own with data, before its first night."""
    return make_place(tmp_path / "home")
