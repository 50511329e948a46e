"""`dvc.yaml`: which code each stage depends on, and the stages of a home that is not the checkout.

`python -m flows.pipeline` brings the `.py` lines of the checkout's `dvc.yaml` up to date; a test compares.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from recognizer.home import Home, atomic_write, checkout

STAGE_FILE = "dvc.yaml"
PACKAGES = ("flows", "recognizer", "serving", "training")

# Where a stage's code starts; what these import (of ours) belongs to it as well.
TRAINER = ("training/**/*.py",)
ROOTS = {
    "prepare": TRAINER,
    "train": TRAINER,
    "export": TRAINER,
    "evaluate": (*TRAINER, "flows/stages.py", "serving/*/predictor.py"),
}


def install_stages(home: Home) -> None:
    """Write `dvc.yaml` into a home that is not the checkout, so that `dvc repro` works there.

    Code is named by its absolute path in the checkout, and so is `params.yaml` unless the home has its own. Tasks of
    which nothing is pinned have no stages there, as DVC gives up at the first input that is missing.
    """
    source = checkout()
    if home.root == source:
        return
    content = yaml.safe_load((source / STAGE_FILE).read_text())
    own_params = home.params.parent == home.root
    for stage in content["stages"].values():
        stage["foreach"] = [task for task in stage["foreach"] if home.pinned(task).is_dir()] or stage["foreach"]
        body = stage["do"]
        body["deps"] = [str(source / dep) if dep.endswith(".py") else dep for dep in body["deps"]]
        if not own_params:
            body["params"] = [{str(home.params): body["params"]}]
    text = f"# Written by Recognizer from {source / STAGE_FILE}; changes made here are lost.\n"
    text += yaml.safe_dump(content, sort_keys=False)
    file = home.root / STAGE_FILE
    if not file.is_file() or file.read_text() != text:
        atomic_write(file, text.encode())


def code_of(root: Path, stage: str) -> list[str]:
    """The `.py` files of ours that a stage runs, relative to the checkout `root`, sorted."""
    found: set[Path] = set()
    waiting = [path for pattern in ROOTS[stage] for path in root.glob(pattern)]
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            waiting.extend(_imported(root, path))
    return sorted(path.relative_to(root).as_posix() for path in found)


def with_code(text: str, root: Path) -> str:
    """The text of a `dvc.yaml` with the `.py` lines of every stage as they should be; all else is kept."""
    written, stage, listing = [], "", False
    for line in text.splitlines(keepends=True):
        if re.fullmatch(r" *- \S+\.py\n", line):
            continue
        if listing and not line.startswith(" " * 8):
            written += [f"        - {path}\n" for path in code_of(root, stage)]
            listing = False
        if match := re.fullmatch(r"  (\w+):\n", line):
            stage = match[1]
        listing = listing or line == "      deps:\n"
        written.append(line)
    return "".join(written)


def _imported(root: Path, path: Path) -> Iterator[Path]:
    """Files of ours that a file imports, at its top or inside a function, and the packages they lie in."""
    for node in ast.walk(ast.parse(path.read_text())):
        names: list[Any] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        for name in names:
            parts = name.split(".")
            if parts[0] in PACKAGES:
                for length in range(1, len(parts) + 1):
                    module = root.joinpath(*parts[:length])
                    yield from (file for file in (module.with_suffix(".py"), module / "__init__.py") if file.is_file())


if __name__ == "__main__":
    file = checkout() / STAGE_FILE
    atomic_write(file, with_code(file.read_text(), checkout()).encode())
