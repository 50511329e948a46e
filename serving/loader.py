"""Load a package into this process: verify, stage, open, warm up. Nothing else here ever opens a model."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from recognizer.blessing import verify_blessing
from recognizer.digest import sha256_file
from recognizer.errors import PackageTampered, PluginError, RecognizerError
from recognizer.keys import Keyring
from recognizer.package import MODEL, PackageCard, PackageStore
from recognizer.tasks import load_predictor
from serving.memory import require_room
from serving.servable import Opened, Servable
from serving.staging import MEMORY, Pace, at_once, staged

DUTY = 0.05
"""Part of the time in which a large model is read while requests are answered: 100 MB take three seconds or four. With
0.2 it was one second, and the p99 of requests meanwhile 1.5 times as long instead of 1.1."""


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
        serving: whether this process answers requests, which a load should not delay.
    """

    def __init__(
        self, packages: Path, keys: Path, *, threads: int, serving: Callable[[], bool] = lambda: False
    ) -> None:
        self._packages = PackageStore(packages)
        self._keys = keys
        self._threads = threads
        self._serving = serving

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
        with staged(places, size, Pace(DUTY) if self._serving() else at_once) as stage:
            card = self._packages.verify(wanted.digest, keyring, sha256_file if stage is None else stage.read)
            self._require_blessed(wanted, card, keyring)
            # without room for the copy it is opened as it lies there
            if stage is None or not stage.whole:
                return self._warm(card, folder)
            opened = self._warm(card, stage.folder)
            return replace(opened, free=stage.hold())

    def _warm(self, card: PackageCard, folder: Path) -> Opened:
        predictor = load_predictor(card.task)(folder, threads=self._threads)
        for _ in range(2):  # the first run allocates, the second is as fast as a request
            predictor.predict(made_up_inputs(card))
        return Opened(predictor, card)

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
