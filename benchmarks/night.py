"""One night on synthetic people, timed: `make bench`.

Prints training speed, the latency of one window and what the night costs beyond training. Exits with 1 when the night
costs more than 60 s beyond training.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from recognizer.home import Home
from recognizer.sequences import SkeletonSequence
from recognizer.snapshot import read_set
from recognizer.tasks import load_predictor

MOST_OVERHEAD = 60.0
WINDOWS = 200


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=1200, help="synthetic sequences")
    count = parser.parse_args().count
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "RECOGNIZER_HOME": folder}
        recognizer = [sys.executable, "-m", "flows.command.main"]
        subprocess.run(
            [*recognizer, "ingest", "action", "--synthetic", "--count", str(count)], env=environment, check=True
        )
        began = time.perf_counter()
        night = subprocess.run(
            [*recognizer, "nightly", "action", "--json"], env=environment, stdout=subprocess.PIPE, check=False
        )
        whole = time.perf_counter() - began
        result = json.loads(night.stdout)
        home = Home(Path(folder))
        (run,) = (home.root / "runs" / "action").iterdir()
        steps = {path.stem: json.loads(path.read_text())["seconds"] for path in (run / "done").rglob("*.json")}
        training = json.loads((run / "trained" / "training.json").read_text())
        beyond = whole - steps["train"]
        print(f"night: {result['outcome']}, accuracy {result['metrics']['accuracy']:.3f}, {whole:.1f} s in all")
        print(
            f"  training {steps['train']:.1f} s ({training['clips_per_second']:.0f} clips/s, {training['precision']})"
        )
        print(f"  beyond training {beyond:.1f} s (at most {MOST_OVERHEAD:.0f} s):")
        for step, seconds in sorted(steps.items(), key=lambda item: -item[1]):
            if step != "train":
                print(f"    {step:9s} {seconds:5.1f} s")
        print(f"    start     {whole - sum(steps.values()):5.1f} s (imports, Prefect, snapshot)")
        test = read_set(home.snapshots("action") / result["snapshot"], "test")
        for people in (1, 4):
            print(latency(home.packages / result["digest"], several(test.sequences[0], people)))
    return int(beyond > MOST_OVERHEAD or result["outcome"] != "promoted")


def several(sequence: SkeletonSequence, people: int) -> SkeletonSequence:
    """The sequence with its first person seen `people` times."""
    return SkeletonSequence(
        sequence.name,
        np.repeat(sequence.keypoints[:1], people, axis=0),
        np.repeat(sequence.visibility[:1], people, axis=0),
        sequence.label,
        sequence.subject,
        sequence.image_shape,
    )


def latency(package: Path, sequence: SkeletonSequence) -> str:
    """From a recording to scores with one thread: preprocessing and the model, apart."""
    predictor = load_predictor("action")(package, threads=1)
    window, model = [], []
    for turn in range(WINDOWS + 20):
        began = time.perf_counter()
        inputs = predictor.inputs([sequence])
        middle = time.perf_counter()
        predictor.predict(inputs)
        if turn >= 20:
            window.append((middle - began) * 1000)
            model.append((time.perf_counter() - middle) * 1000)
    return (
        f"window of {sequence.people} people, {sequence.frames} frames, 1 thread: "
        f"model p50 {statistics.median(model):.1f} ms, "
        f"p95 {np.percentile(model, 95):.1f} ms; preprocessing p50 {statistics.median(window):.2f} ms"
    )


if __name__ == "__main__":
    sys.exit(main())
