"""The same model, load and swap in MLServer, installed from the package index into an environment of its own."""

from __future__ import annotations

import contextlib
import json
import subprocess
import time
import urllib.request
import venv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from importlib.metadata import version
from math import inf, nan
from pathlib import Path

from benchmarks.home import Shelf
from benchmarks.loading import latencies
from benchmarks.service import PATIENCE, Service, capacity, free_port, plan, running, serving, wait_for
from benchmarks.table import Row, told
from recognizer.home import checkout
from recognizer.store import open_store
from recognizer.store.served import read_generation
from recognizer.traffic import Sent

PEER = "mlserver==1.7.1"
NEEDED = ("numpy", "onnxruntime", "structlog")
"""What the predictor needs there, in our versions."""
RATE = 0.4
"""Of the slower one's capacity: both are asked the same."""
PAUSE = 1.0
RUNTIME = '''
import io
import json
from pathlib import Path

import numpy as np
from fastapi import Request, Response
from mlserver import MLModel
from mlserver.handlers import custom_handler
from serving.action.predictor import ActionPredictor
from serving.action.window import make_window


class Action(MLModel):
    """The same predictor on the same package, behind the same address."""

    async def load(self):
        folder = Path(Path(__file__).with_name("champion").read_text())
        self.predictor = ActionPredictor(folder, threads=1)
        self.folder = folder.name
        return True

    @custom_handler(rest_path="/v1/action")
    async def action(self, request: Request) -> Response:
        keypoints = np.load(io.BytesIO(await request.body()))
        scores = self.predictor.predict(self.predictor.inputs([make_window(keypoints)])).answers["scores"][0]
        named = dict(zip(self.predictor.classes, map(float, scores)))
        model = {"name": "action", "version": 1, "digest": self.folder}
        answer = {"model": model, "arm": "champion", "scores": named}
        return Response(json.dumps(answer), media_type="application/json")
'''


def peer_rows(root: Path, models: Sequence[Path], windows: Sequence[Sent], swaps: int) -> list[Row]:
    """Both in one process, one after the other, at one rate; a swap is to a model of 100 MB.

    Ours has to lose nothing. What MLServer does is told for comparison, and no bound of ours.
    """
    shelf = Shelf(root, models)
    try:
        programs = _installed(root / "peer")
    except subprocess.CalledProcessError as error:
        return [Row(f"{PEER} beside ours", f"could not be installed: {error.stderr[-200:]!r}", "told", True)]
    with open_store(shelf.url) as store:
        large = [shelf.large(store) for _ in range(2)]
        shelf.promote(large[0], store)
        folders = [shelf.home.packages / shelf.digests[number] for number in large]
        with running(root, 1) as service, _mlserver(root / "peer", programs, folders[0]) as (url, load):
            most = {
                "ours": capacity(service, windows, 1000),
                PEER: capacity(_sent_to(service, url), windows, 1000),
            }
            rate = RATE * min(most.values())

            def ours(turn: int) -> None:
                shelf.promote(large[turn % 2], store)
                generation = read_generation(store)
                wait_for(lambda: service.everywhere(generation), "publication", pause=0.2)

            def theirs(turn: int) -> None:
                load(folders[turn % 2])

            return [
                _swapped(name, service, where, windows, rate, most[name], swaps, swap, bound)
                for name, where, swap, bound in (
                    ("ours", service.url, ours, "0 failed"),
                    (PEER, url, theirs, "told"),
                )
            ]


def _swapped(
    name: str,
    service: Service,
    url: str,
    windows: Sequence[Sent],
    rate: float,
    most: float,
    swaps: int,
    swap: Callable[[int], None],
    bound: str,
) -> Row:
    sending = service.send(replace(plan(service, windows, rate=rate, seconds=swaps * 20.0), url=url))
    time.sleep(2 * PAUSE)
    spans = []
    for turn in range(1, swaps + 1):
        began = time.monotonic()
        swap(turn)
        spans.append((began, time.monotonic() + PAUSE))
        time.sleep(2 * PAUSE)
    report = sending.end()
    during, steady = (1000 * (found.p99 or nan) for found in latencies(report, spans, spans[0][0] - PAUSE, inf))
    took = sorted(end - begin - PAUSE for begin, end in spans)[len(spans) // 2]
    figure = (
        f"{report.failed} of {report.requests:,} failed{told(report)}, p99 {during:.1f} ms against {steady:.1f} ms "
        f"({during / steady:.2f}); capacity {most:.0f}/s"
    )
    what = f"{name}, one process: {swaps} swaps to a model of 100 MB at {rate:.0f}/s (one takes {took:.1f} s)"
    return Row(what, figure, bound, bound == "told" or not report.failed)


def _sent_to(service: Service, url: str) -> Service:
    """The same traffic's process, sent elsewhere."""
    return replace(service, port=int(url.rpartition(":")[2]))


def _installed(folder: Path) -> Path:
    """Folder of the programs of a new environment with MLServer in it."""
    venv.create(folder / "venv", with_pip=True)
    programs = folder / "venv" / "bin"
    needed = [f"{name}=={version(name)}" for name in NEEDED]
    command = [str(programs / "pip"), "install", "--quiet", PEER, *needed]
    subprocess.run(command, check=True, capture_output=True, text=True)
    return programs


@contextlib.contextmanager
def _mlserver(folder: Path, programs: Path, package: Path) -> Iterator[tuple[str, Callable[[Path], None]]]:
    """A running MLServer: its address, and what makes it load a package in place of the one before."""
    port = free_port()
    (folder / "runtime.py").write_text(RUNTIME)
    (folder / "champion").write_text(str(package))
    (folder / "model-settings.json").write_text(json.dumps({"name": "action", "implementation": "runtime.Action"}))
    settings = {
        "host": "127.0.0.1",
        "http_port": port,
        "grpc_port": free_port(),
        "metrics_port": free_port(),
        "parallel_workers": 0,
        "debug": False,
    }
    (folder / "settings.json").write_text(json.dumps(settings))

    def load(other: Path) -> None:
        (folder / "champion").write_text(str(other))
        asked = urllib.request.Request(f"http://127.0.0.1:{port}/v2/repository/models/action/load", b"{}")
        urllib.request.urlopen(asked, timeout=PATIENCE).read()

    command = [str(programs / "mlserver"), "start", "."]
    path = f"{folder}:{checkout()}"
    with serving(command, folder, port, "/v2/models/action/ready", PYTHONPATH=path) as url:
        yield url, load
