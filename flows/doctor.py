"""What is installed, reachable and consistent: looks everywhere and changes nothing."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, distributions, requires
from pathlib import Path

import psutil

from flows import diagnosis
from flows.aliases import aliases_of
from flows.diagnosis import CONSISTENT, INSTALLED, REACHABLE, Diagnosis, Leftover, failed, of_error, passed
from flows.held_out import newest_held_out
from flows.partial import PREFIX
from flows.registry import Registry
from recognizer import __version__
from recognizer.blessing import verify_blessing
from recognizer.errors import RecognizerError, StoreUnavailable
from recognizer.home import Home
from recognizer.keys import PRIVATE_NAME, Keyring, Signer
from recognizer.package import PackageStore
from recognizer.rollout.overview import Overview, read_overview
from recognizer.settings import Settings
from recognizer.store import Store, audit, open_store, outbox, rollouts, snapshots, versions
from recognizer.store.engine import parse_url, sqlite_file
from recognizer.store.served import read_served
from recognizer.tasks import example_task, list_tasks

SHOWN = ("numpy", "onnxruntime", "torch", "bentoml", "mlflow", "prefect", "dvc", "great-expectations", "sqlalchemy")
"""Libraries whose versions people ask for."""
PATIENCE = 3.0
"""Seconds in which a server of ours has to answer."""
PARTIALS = ("*.partial", "*/*.partial", "*/*/*.partial", f"{PREFIX}*", f"*/{PREFIX}*", f"*/*/{PREFIX}*")


def examine(settings: Settings) -> list[Diagnosis]:
    """Everything, in the order in which faults explain each other."""
    found = [*_installed(), *_home(settings)]
    store, said = _store(settings)
    found.append(said)
    if store is None:
        return [*found, *_prefect(), _leftovers(settings.home)]
    with store:
        overview = read_overview(store)
        found += [_service(settings, overview), *_prefect()]
        found += _tried(CONSISTENT, "audit trail", lambda: _trail(settings, store))
        found += _tried(CONSISTENT, "packages", lambda: _packages(settings, store))
        found += _tried(CONSISTENT, "test sets", lambda: _test_sets(settings, store))
        found.append(diagnosis.controller(overview.decides, _open(overview)))
        found += _tried(REACHABLE, "mlflow", lambda: _aliases(settings, store))
    found.append(_leftovers(settings.home))
    return sorted(found, key=lambda one: (INSTALLED, REACHABLE, CONSISTENT).index(one.part))


def _installed() -> Iterator[Diagnosis]:
    python = ".".join(map(str, sys.version_info[:3]))
    yield passed(INSTALLED, "recognizer", f"{__version__} on Python {python}")
    try:
        required = requires("recognizer") or []
    except PackageNotFoundError:
        yield failed(INSTALLED, "recognizer", "is not installed as a package", "pip install -c constraints.txt -e .")
        required = []
    installed = {
        re.sub(r"[-_.]+", "-", one.metadata["Name"]).lower(): one.version
        for one in distributions()
        if one.metadata["Name"]
    }
    yield from diagnosis.libraries(required, installed, SHOWN)
    for listing in list_tasks():
        if listing.problem is not None:
            yield failed(
                INSTALLED, f"{listing.role} of {listing.task}", listing.problem, f"mend or remove {listing.package}"
            )


def _home(settings: Settings) -> Iterator[Diagnosis]:
    home = settings.home
    try:
        home.prepare()
        yield passed(REACHABLE, "home", f"{home.root} can be written")
        yield diagnosis.disk(shutil.disk_usage(home.root).free, str(home.root))
    except RecognizerError as error:
        yield of_error(REACHABLE, "home", error)
        return
    yield from _tried(REACHABLE, "keys", lambda: iter([_keys(home)]))


def _keys(home: Home) -> Diagnosis:
    keyring, packages = Keyring.open(home.keys), PackageStore(home.packages).list()
    signs = "none signs here"
    if (home.keys / PRIVATE_NAME).exists():
        signs = f"{Signer.open(home.keys).key_id} signs"
    if not keyring.keys and packages:
        return failed(
            REACHABLE,
            "keys",
            f"{home.keys} holds no trusted key, and there are {len(packages)} package(s)",
            "put back the .pub files of a backup: without them nothing is loaded",
        )
    return passed(REACHABLE, "keys", f"{len(keyring.keys)} trusted, {signs}" if keyring.keys else "none yet")


def _store(settings: Settings) -> tuple[Store | None, Diagnosis]:
    file = sqlite_file(parse_url(settings.database_url))
    if file is not None and not file.is_file():
        return None, diagnosis.store_missing(
            len(PackageStore(settings.home.packages).list()), str(file), example_task()
        )
    try:
        store = open_store(settings.database_url, migrate=False)
    except RecognizerError as error:
        return None, of_error(REACHABLE, "store", error)
    return store, passed(REACHABLE, "store", store.where)


def _service(settings: Settings, overview: Overview) -> Diagnosis:
    host = "127.0.0.1" if settings.host in ("0.0.0.0", "::") else settings.host  # noqa: S104
    url, health, problem = f"http://{host}:{settings.port}", None, None
    try:
        health = _asked(f"{url}/health")
        if not isinstance(health, dict) or "status" not in health:
            health, problem = None, "something else listens there"
    except (OSError, ValueError, http.client.HTTPException) as error:
        problem = str(error)
    return diagnosis.service(url, health, problem, sum(worker.lives for worker in overview.workers))


def _prefect() -> Iterator[Diagnosis]:
    url = os.environ.get("PREFECT_API_URL")
    if not url:
        return
    try:
        _asked(f"{url.rstrip('/')}/health")
        yield passed(REACHABLE, "prefect", f"answers at {url}")
    except (OSError, ValueError, http.client.HTTPException) as error:
        yield failed(
            REACHABLE, "prefect", f"{url} does not answer: {error}", "start it, or unset PREFECT_API_URL to use our own"
        )


def _trail(settings: Settings, store: Store) -> Iterator[Diagnosis]:
    newest = audit.of(store, limit=1)
    yield from diagnosis.trail(audit.verify_audit(store, settings.home), newest[0].number if newest else 0)


def _packages(settings: Settings, store: Store) -> Iterator[Diagnosis]:
    """Every champion's package is whole, signed and blessed; so is that of every open rollout."""
    packages, keyring = PackageStore(settings.home.packages), Keyring.open(settings.home.keys)
    named: dict[str, tuple[str, int | None]] = {}
    for task, champion in sorted(read_served(store).champions.items()):
        named.setdefault(champion.digest, (f"champion of {task}", champion.version))
        if champion.previous_digest is not None:
            before = versions.by_digest(store, champion.previous_digest)
            named.setdefault(champion.previous_digest, (f"champion before of {task}", before and before.version))
    for rollout in rollouts.list(store):
        if rollout.ended_at is None:
            named.setdefault(rollout.digest, (f"challenger of {rollout.task}", rollout.version))
            named.setdefault(rollout.champion_digest, (f"champion before of {rollout.task}", rollout.champion_version))
    for digest, (name, version) in named.items():
        try:
            packages.verify(digest, keyring)
            verify_blessing(packages.path(digest), digest, keyring)
        except RecognizerError as error:
            yield of_error(CONSISTENT, name, error)
        else:
            yield passed(CONSISTENT, name, f"version {version} is whole, signed and blessed")
    if not named:
        yield passed(CONSISTENT, "packages", "nothing serves yet")


def _test_sets(settings: Settings, store: Store) -> Iterator[Diagnosis]:
    for task in snapshots.tasks(store):
        held_out = newest_held_out(settings, store, task)
        if held_out is not None:
            yield diagnosis.held_out(task, held_out)


def _aliases(settings: Settings, store: Store) -> Iterator[Diagnosis]:
    served = read_served(store)
    database = settings.home.mlruns / "mlflow.db"
    if settings.mlflow_uri is None and not database.is_file():
        if not served.champions:
            yield passed(REACHABLE, "mlflow", f"none yet at {database}")
            return
        raise StoreUnavailable(
            f"none at {database}, and there are champions",
            hint="put back a backup of mlruns/; serving does not need it",
        )
    registry = Registry(settings)
    waiting = len(outbox.waiting(store))
    for task, expected in aliases_of(served).items():
        actual = {alias: registry.alias(task, alias) for alias in expected}
        yield diagnosis.aliases(task, expected, actual, waiting)
    yield passed(REACHABLE, "mlflow", "answers")


def _leftovers(home: Home) -> Diagnosis:
    places = (
        home.root,
        home.packages,
        home.data / "raw",
        home.data / "processed",
        home.runs("").parent / "runs",
        home.reports,
    )
    seen: dict[Path, Leftover] = {}
    for place in dict.fromkeys(places):
        for pattern in PARTIALS if place != home.root else PARTIALS[:1]:
            for path in place.glob(pattern):
                with suppress(OSError):  # gone meanwhile
                    age = time.time() - path.stat().st_mtime
                    seen[path] = Leftover(str(path), age, _is_owned(path))
    return diagnosis.leftovers(list(seen.values()))


def _is_owned(path: Path) -> bool:
    """Whether the process that a partial file is named after still lives."""
    pids = re.findall(r"-(\d+)\.", path.name) or re.findall(r"^\.(\d+)-", path.name)
    return any(psutil.pid_exists(int(pid)) for pid in pids)


def _tried(part: str, name: str, look: Callable[[], Iterator[Diagnosis]]) -> list[Diagnosis]:
    """What a look finds; an error on purpose is a finding too."""
    found: list[Diagnosis] = []
    try:
        found.extend(look())
    except RecognizerError as error:
        found.append(of_error(part, name, error))
    return found


def _open(overview: Overview) -> int:
    return sum(one.rollout is not None and one.rollout.is_open for one in overview.tasks)


def _asked(url: str) -> object:
    if not url.startswith(("http://", "https://")):
        raise ValueError(f"{url} is no address of a web server")
    with urllib.request.urlopen(url, timeout=PATIENCE) as answer:  # noqa: S310 - http only, see above
        content = answer.read()
    return json.loads(content) if content else None
