"""Load a package into this process: verify, stage, open, warm up. Nothing else here ever opens a model."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import structlog
from numpy.typing import NDArray

from recognizer.blessing import verify_blessing
from recognizer.digest import sha256_file
from recognizer.errors import GivenUp, PackageTampered, PluginError, RecognizerError
from recognizer.keys import Keyring
from recognizer.package import MODEL, PackageCard, PackageStore
from recognizer.tasks import Cancel, load_predictor
from serving.memory import require_room
from serving.servable import Opened, Servable
from serving.staging import MEMORY, Pace, Stage, at_once, process_ends, staged
from serving.watch import Watch

DUTY = 0.05
"""Part of the time in which a large model is read while requests are answered: 100 MB take three seconds or four. With
0.2 it was one second, and the p99 of requests meanwhile 1.5 times as long instead of 1.1."""
WARM_SECONDS = 5.0
"""After so long a run to warm up is given up. One on made-up input is needed; the first run of all may take longer than
a request may."""


class Wanted(Protocol):
    """Names a package: a champion, or the other model of a split."""

    @property
    def task(self) -> str: ...

    @property
    def version(self) -> int: ...

    @property
    def digest(self) -> str: ...


class Loader:
    """Makes AVAILABLE servables from the package store.

    Args:
        packages: folder of the package store.
        keys: folder of the public keys; read anew at each load, so that a new key needs no restart.
        threads: onnxruntime threads of one session.
        watch: gives up runs that hang, or make this process grow too much.
        recent: cases that a task was asked lately; a process that answers nobody has none.
    """

    def __init__(
        self,
        packages: Path,
        keys: Path,
        *,
        threads: int,
        watch: Watch | None = None,
        recent: Callable[[str], Sequence[Any]] = lambda _task: (),
    ) -> None:
        self._packages = PackageStore(packages)
        self._keys = keys
        self._threads = threads
        self._watch = watch or Watch()
        self._recent = recent
        self._stopping = threading.Event()
        self._log = structlog.get_logger("recognizer.serving")

    def stop(self) -> None:
        """Give up what is being loaded, as soon as that can be."""
        self._stopping.set()

    def load(self, wanted: Wanted) -> Servable:
        """The wanted package, verified, open and warm.

        Raises:
            TrustError: a file, the signature or the blessing does not check out.
            RecognizerError: the package is missing, or its model cannot be opened or gives no valid answer.
        """
        servable = Servable(wanted.task, wanted.version, wanted.digest)
        try:
            servable.load(lambda: self._open(wanted))
        except RecognizerError:
            raise
        except Exception as error:  # a plug-in may fail in any way; the champion before has to survive it
            raise PluginError(
                f"loading failed: {type(error).__name__}: {error}",
                where=f"task {wanted.task}, version {wanted.version}",
                hint="promote another version; `recognizer models` lists them",
            ) from error
        return servable

    def _open(self, wanted: Wanted) -> Opened:
        keyring = Keyring.open(self._keys)
        folder = self._packages.path(wanted.digest)
        size = _size(folder / MODEL)
        require_room(size, str(folder))
        places = [MEMORY, Path(tempfile.gettempdir())]
        recent = self._recent(wanted.task)
        pace = Pace(DUTY, self._stopping) if recent else at_once
        with staged(places, size, pace) as stage:
            card = self._packages.verify(wanted.digest, keyring, sha256_file if stage is None else stage.read)
            self._require_blessed(wanted, card, keyring)
            opened = self._opened(wanted, card, stage)
        if opened is None:
            # without room for a copy, or where the copy is of no use, it is opened as it lies there
            opened = Opened(load_predictor(wanted.task)(folder, threads=self._threads), card)
            self._packages.verify(wanted.digest, keyring)  # as it was opened, too
        try:
            self._warm(wanted, opened, recent, pace)
        except BaseException:
            opened.free()
            raise
        return opened

    def _opened(self, wanted: Wanted, card: PackageCard, stage: Stage | None) -> Opened | None:
        """The model from its private copy; None when there is none, or it cannot be opened.

        The copy decides about nothing: what cannot be opened is told of the package itself.
        """
        if stage is None or not stage.whole:
            return None
        held = stage.hold()
        try:
            return Opened(load_predictor(wanted.task)(stage.folder, threads=self._threads), card, held.close)
        except Exception:
            held.close()
            return None

    def _warm(self, wanted: Wanted, opened: Opened, recent: Sequence[Any], pace: Callable[[], None]) -> None:
        """Answer what is made up, which has to work, and what was asked lately: the first requests find it as fast as
        later ones.

        How it answers those is not judged here. It is in the shadow, with numbers; one case proves nothing, and a
        champion that comes back after a restart must not be refused for it.
        """
        predictor = opened.predictor
        for _ in range(2):  # the first run allocates, the second is as fast as a request
            self._run(wanted, lambda cancel: predictor.predict(made_up_inputs(opened.card), cancel))
        for case in recent:
            pace()
            try:
                self._run(wanted, lambda cancel, case=case: predictor.predict(predictor.inputs([case]), cancel))
            except Exception as error:
                self._log.warning(
                    "a newcomer fails at what was asked lately; a shadow will tell how often",
                    task=wanted.task,
                    version=wanted.version,
                    error=f"{type(error).__name__}: {error}",
                )
                return

    def _run(self, wanted: Wanted, run: Callable[[Cancel], object]) -> None:
        if self._stopping.is_set():
            raise process_ends()

        def stuck() -> None:
            self._log.error(
                "a model does not come back from warming up; this worker loads nothing more until it is restarted",
                task=wanted.task,
                version=wanted.version,
            )

        with self._watch.until(WARM_SECONDS, stuck, suspect=True) as cancel:
            try:
                run(cancel)
            except GivenUp as error:
                raise cancel.why or PluginError(
                    f"gave no answer within {WARM_SECONDS:g} s",
                    where=f"task {wanted.task}, version {wanted.version}",
                    hint="promote another version; `recognizer models` lists them",
                ) from error

    def _require_blessed(self, wanted: Wanted, card: PackageCard, keyring: Keyring) -> None:
        folder = self._packages.path(wanted.digest)
        verify_blessing(folder, wanted.digest, keyring)
        if card.task != wanted.task:
            raise PackageTampered(
                f"is a package of task {card.task!r}, not {wanted.task!r}",
                where=str(folder),
                hint=f"promote a package of task {wanted.task!r}",
            )


def _size(path: Path) -> int:
    """Bytes of a file; 0 when it is not there, which its verification tells."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def made_up_inputs(card: PackageCard) -> dict[str, NDArray[Any]]:
    """One case of the model's signature, the same each time: numbers in [0, 1), axes of any length are 1 long."""
    random = np.random.default_rng(0)
    return {
        tensor.name: random.random([side if isinstance(side, int) else 1 for side in tensor.shape]).astype(tensor.dtype)
        for tensor in card.inputs
    }
