"""The pose model: latency, training speed, and what it learns in a night on rendered scenes.

    make bench-pose               # latency and training speed, two minutes
    make bench-pose ARGS=--night  # and one whole night: training of 30 minutes at most, then its figures

Exits with 1 when a row fails.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.table import Row, at_least, at_most, table
from serving.session import CPU, open_session
from serving.stopwatch import Stopwatch

LATENCY = {256: 8.0, 320: 12.0}
"""Side of the input in pixels → milliseconds of the whole graph, fp32, one thread."""
TURNS, WARM = 150, 20
SPEED, SCENES = 60.0, 1600
NIGHT_MINUTES, AP, MATCHED = 30.0, 0.50, 0.74


def latency_rows(folder: Path) -> list[Row]:
    """What one frame costs in the exported graph; the sizes take turns, so that both see the same machine."""
    from recognizer.images import ImageSpec
    from training.models.rtmo import Rtmo
    from training.models.sizes import SIZES
    from training.pose.export import INPUT, OUTPUTS, to_onnx
    from training.pose.params import ExportParams, TrainParams
    from training.pose.weights import Weights

    network = Rtmo(SIZES["micro"]).eval()
    sessions = {}
    for side in LATENCY:
        path = folder / f"{side}.onnx"
        weights = Weights(network, "micro", ImageSpec(side, side), TrainParams().people, threshold=0.0)
        path.write_bytes(to_onnx(weights, ExportParams()))
        image = np.random.default_rng(0).random((1, 3, side, side), np.float32)
        sessions[side] = (open_session(path, 1, [CPU]), {INPUT: image})
    spent: dict[int, list[float]] = {side: [] for side in LATENCY}
    with Stopwatch() as watch:
        for turn in range(TURNS + WARM):
            for side, (session, feed) in sessions.items():
                took = watch.milliseconds(lambda session=session, feed=feed: session.run(OUTPUTS, feed))  # type: ignore[misc]
                if turn >= WARM:
                    spent[side].append(took)
    return [
        at_most(f"a frame of {side} x {side}, 1 thread, p50", median(spent[side]), bound, " ms", 2)
        for side, bound in LATENCY.items()
    ]


def training_row(folder: Path) -> Row:
    """One epoch by the trainer itself, as params.yaml has its first ones: several pictures in one where it says so."""
    from recognizer.home import checkout
    from recognizer.ingest.recorded import Source
    from recognizer.params import load_params
    from recognizer.pose.snapshot import write_scenes
    from recognizer.synthetic.scenes import generate_scenes
    from training.pose.trainer import PoseTrainer

    scenes = (
        ("validation" if place < 8 else "test" if place < 16 else "train", scene)
        for place, scene in enumerate(generate_scenes(SCENES))
    )
    unnamed = ((name, _without_subject(scene)) for name, scene in scenes)
    write_scenes(folder / "snapshot", unnamed, task="pose", source=Source("rendered", ""))
    trainer = PoseTrainer()
    trainer.prepare(folder / "snapshot", folder / "prepared", {})
    (folder / "trained").mkdir()
    params = load_params(checkout() / "params.yaml", "pose").with_train(epochs=1, plain_epochs=0)["train"]
    trainer.train(folder / "prepared", folder / "trained", params, parent=None, progress=lambda *_: None)
    facts = json.loads((folder / "trained" / "training.json").read_text())
    return at_least(
        f"training at 256, {facts['threads']} threads, {facts['precision']}",
        facts["images_per_second"],
        SPEED,
        " img/s",
    )


def _without_subject(scene: Any) -> Any:
    from dataclasses import replace

    return replace(scene, subject=None)  # nothing is judged here, so one cast may stand in every set


def night_rows(folder: Path) -> list[Row]:
    """One whole night from nothing, on the frozen test set: casts that are in no other set."""
    recognizer = [sys.executable, "-m", "flows.command.main"]
    environment = {**os.environ, "RECOGNIZER_HOME": str(folder)}
    began = time.perf_counter()
    subprocess.run([*recognizer, "ingest", "pose", "--synthetic"], env=environment, check=True)
    print(f"rendered in {time.perf_counter() - began:.0f} s", flush=True)
    night = subprocess.run(
        [*recognizer, "nightly", "pose", "--json"], env=environment, stdout=subprocess.PIPE, check=False
    )
    result = json.loads(night.stdout)
    (run,) = (folder / "runs" / "pose").iterdir()
    seconds = json.loads((run / "done" / "train.json").read_text())["seconds"]
    facts = json.loads((run / "trained" / "training.json").read_text())
    metrics = result["metrics"]
    print(
        f"night: {result['outcome']}; training {seconds:.0f} s, {facts['images_per_second']:.0f} img/s, "
        + ", ".join(f"{name} {value:.3f}" for name, value in sorted(metrics.items()))
    )
    return [
        at_most("training", seconds / 60, NIGHT_MINUTES, " min"),
        at_least("AP on unseen casts", metrics["AP"], AP, digits=3),
        at_least("mean OKS of matched people", metrics["matched_oks"], MATCHED, digits=3),
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--night", action="store_true", help="run a whole night as well")
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = latency_rows(folder)
        rows.append(training_row(folder))
        if chosen.night:
            rows += night_rows(folder / "home")
    print(table(rows))
    return int(not all(row.passed for row in rows))


if __name__ == "__main__":
    sys.exit(main())
