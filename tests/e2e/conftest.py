"""A home with quick parameters, and the real command run in it as its own process."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from recognizer.home import Home, checkout
from recognizer.settings import Settings
from recognizer.store import Store, open_store

SEQUENCES = 200


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
        return subprocess.Popen(
            [sys.executable, "-m", "flows.command.main", *map(str, arguments)],
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

    def json(self, *arguments: object, code: int = 0, **environment: str) -> Any:
        return json.loads(self.run(*arguments, "--json", code=code, **environment))

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

    def trainings(self) -> int:
        """How many trainings were finished in this home."""
        return len(list((self.root / "runs").glob("*/*/done/train.json")))


def make(root: Path, *, data: bool = True) -> Place:
    root.mkdir(parents=True)
    (root / "params.yaml").write_text((checkout() / "params.yaml").read_text())
    place = Place(root)
    place.change_params(
        evaluate__action__min_cases=5,
        train__action__epochs=2,
        train__action__network__channels=[8, 8],
        train__action__network__strides=[4, 2],
        train__action__precision="fp32",
        evaluate__action__gates__absolute={"accuracy": {"min": 0.0}},
        evaluate__action__gates__relative={"accuracy": {"margin": 1.0}},
    )
    if data:
        place.run("ingest", "action", "--synthetic", "--count", SEQUENCES)
    return place


@pytest.fixture(scope="session")
def make_place() -> Callable[..., Place]:
    """Makes a home, with data unless told otherwise, whose nights take seconds: tiny network, easy gates."""
    return make


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A home of one's own with data, before its first night."""
    return make(tmp_path / "home")
