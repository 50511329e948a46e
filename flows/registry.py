"""MLflow: every version with its run, metrics, report and tags, and the aliases that mirror the store.

MLflow registers the same model twice as two versions, and sets an alias without asking; what makes it exactly-once
here is the tag `recognizer.digest`, written in the same transaction as the version it stands on.
"""

from __future__ import annotations

import json
import logging
import math
import os
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version as installed
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.lock import exclusive
from recognizer.errors import NotFound, RecognizerError, StoreUnavailable
from recognizer.home import writing
from recognizer.package import MODEL, MODEL_CARD, PackageCard
from recognizer.settings import Settings

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run
    from mlflow.models import ModelSignature

DIGEST, TASK, NIGHT, SNAPSHOT, CODE, IDENTITY = (
    f"recognizer.{name}" for name in ("digest", "task", "night", "snapshot", "code", "identity")
)
DATABASES = ("sqlite", "postgresql", "mysql", "mssql")
ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # stdout is for `--json`
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",  # seven would be four minutes until a server is told to be away
}
"""Defaults; what is set outside stays."""
LONGEST_DESCRIPTION = 5000
"""What MLflow's database takes as the description of a version."""
LONGEST_PARAM = 6000
"""What MLflow takes as the value of a parameter."""


@dataclass(frozen=True)
class RegisteredVersion:
    """One version of a task's model as MLflow knows it."""

    version: int
    run_id: str
    digest: str | None = None
    aliases: tuple[str, ...] = ()


class Registry:
    """MLflow of these settings; nothing is opened or made before the first call.

    Every method raises StoreUnavailable when MLflow does not answer.
    """

    def __init__(self, settings: Settings) -> None:
        self._root = settings.home.mlruns
        self.uri = settings.mlflow_uri or f"sqlite:///{self._root / 'mlflow.db'}"
        """Tracking and registry URI; MLflow's own commands want it as MLFLOW_TRACKING_URI."""
        self._ready: MlflowClient | None = None

    def register(
        self,
        task: str,
        package: Path,
        card: PackageCard,
        *,
        digest: str,
        night: str,
        tags: Mapping[str, str],
        metrics: Mapping[str, float | None],
        artifacts: Path | None = None,
    ) -> RegisteredVersion:
        """Make the package a version of model `task`, exactly once for a digest, whatever was killed half-way.

        Args:
            package: folder that holds `model.onnx`; its model card becomes the version's description.
            tags: put on run and version beside those that lead back to data, code and night; given again, they change.
            metrics: values that are no number are left out.
            artifacts: report folder to keep with the run.
        """
        all_tags = {
            TASK: task,
            DIGEST: digest,
            NIGHT: night,
            SNAPSHOT: card.snapshot,
            CODE: card.code,
            IDENTITY: card.identity,
            **tags,
        }
        with self._client() as client, exclusive(self._root / "register.lock"):
            known = client.search_model_versions(f"name = '{task}' and tag.`{DIGEST}` = '{digest}'")
            if known:
                first = min(known, key=lambda entry: int(entry.version))
                for name, value in tags.items():  # it may have been judged again
                    if first.tags.get(name) != value:
                        client.set_model_version_tag(task, first.version, name, value)
                        client.set_tag(first.run_id, name, value)
                if (said := _description(package)) != (first.description or ""):
                    client.update_model_version(task, first.version, said)
                return RegisteredVersion(int(first.version), first.run_id, digest, tuple(first.aliases))
            run = self._run(client, task, digest, all_tags)
            run_id = run.info.run_id
            for name, value in _params(card).items():
                if name not in run.data.params:
                    client.log_param(run_id, name, value)
            for name, number in metrics.items():
                if number is not None and math.isfinite(number) and name not in run.data.metrics:
                    client.log_metric(run_id, name, number)
            if artifacts is not None:
                client.log_artifacts(run_id, str(artifacts), "report")
            model_id = self._model(client, run, package, digest)
            _make_registered_model(client, task)
            made = client.create_model_version(
                task,
                f"models:/{model_id}",
                run_id=run_id,
                tags=all_tags,
                description=_description(package),
                model_id=model_id,
            )
            client.set_terminated(run_id)
        return RegisteredVersion(int(made.version), run_id, digest)

    def log_report(self, run_id: str, folder: Path) -> None:
        """Keep a report folder with a run; again replaces it."""
        with self._client() as client:
            client.log_artifacts(run_id, str(folder), "report")

    def versions(self, task: str) -> list[RegisteredVersion]:
        """Every version of the task's model, the newest first."""
        with self._client() as client:
            aliases = self._aliases(client, task)
            found = []
            token = None
            while True:
                page = client.search_model_versions(f"name = '{task}'", page_token=token)
                found += page
                token = page.token
                if not token:
                    break
        listed = [
            RegisteredVersion(
                int(entry.version),
                entry.run_id,
                entry.tags.get(DIGEST),
                tuple(sorted(alias for alias, version in aliases.items() if version == int(entry.version))),
            )
            for entry in found
        ]
        return sorted(listed, key=lambda entry: entry.version, reverse=True)

    def alias(self, task: str, alias: str) -> int | None:
        """The version an alias points to; None when there is no such alias or model."""
        with self._client() as client:
            return self._aliases(client, task).get(alias)

    def set_alias(self, task: str, alias: str, version: int) -> None:
        """Point an alias to a version.

        Raises:
            NotFound: MLflow knows no such version.
        """
        with self._client() as client:
            client.set_registered_model_alias(task, alias, str(version))

    def reconcile_aliases(self, task: str, expected: Mapping[str, int | None]) -> list[str]:
        """Put back the aliases that are not as the store says (None: should not be set); says what was done."""
        put_back = []
        with self._client() as client:
            actual = self._aliases(client, task)
            for alias, version in expected.items():
                found = actual.get(alias)
                if found == version:
                    continue
                if version is None:
                    client.delete_registered_model_alias(task, alias)
                else:
                    client.set_registered_model_alias(task, alias, str(version))
                put_back.append(f"{task}@{alias} was {_named(found)}; it is {_named(version)} again")
        return put_back

    @contextmanager
    def _client(self) -> Iterator[MlflowClient]:
        """A client, with MLflow's process-wide URI on ours meanwhile, and its errors in our words."""
        mlflow = _mlflow()
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError

        before = os.environ.get("MLFLOW_TRACKING_URI")
        try:
            with writing(self._root):
                if self._ready is None:
                    self._ready = self._open()
                mlflow.set_tracking_uri(self.uri)
                yield self._ready
        except RecognizerError:
            raise
        except (MlflowException, SQLAlchemyError) as error:
            what = str(error).strip().splitlines()[0]
            if getattr(error, "error_code", None) == "RESOURCE_DOES_NOT_EXIST":
                raise NotFound(
                    f"MLflow: {what}", where=self._shown, hint="`recognizer models` lists versions"
                ) from error
            raise StoreUnavailable(f"MLflow: {what}", where=self._shown, hint=_next_step(what, self._shown)) from error
        finally:
            mlflow.set_tracking_uri(before)

    def _open(self) -> MlflowClient:
        """Make the database before anybody uses it: two processes that make it at once break it."""
        from mlflow import MlflowClient

        if self.uri.partition(":")[0].partition("+")[0] in DATABASES:
            from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

            with exclusive(self._root / "init.lock"):
                # names the artifact root: MLflow's own default is `mlruns` in whatever folder the process stands
                SqlAlchemyStore(self.uri, self._artifacts)
        return MlflowClient(tracking_uri=self.uri, registry_uri=self.uri)

    @property
    def _shown(self) -> str:
        """The URI without a password."""
        return re.sub(r"(://[^:/@]*):[^@/]*@", r"\1:***@", self.uri)

    @property
    def _artifacts(self) -> str:
        return (self._root / "artifacts").as_uri()

    def _run(self, client: MlflowClient, task: str, digest: str, tags: Mapping[str, str]) -> Run:
        """The digest's run, of a killed attempt when there is one."""
        experiment = client.get_experiment_by_name(task)
        if experiment is None:
            # a tracking server has an artifact root of its own
            root = None if self.uri.startswith(("http:", "https:")) else self._artifacts
            experiment_id = client.create_experiment(task, artifact_location=root)
        else:
            experiment_id = experiment.experiment_id
            if experiment.lifecycle_stage == "deleted":
                client.restore_experiment(experiment_id)
        runs = client.search_runs([experiment_id], f"tags.`{DIGEST}` = '{digest}'", order_by=["start_time ASC"])
        if runs:
            return runs[0]
        return client.create_run(experiment_id, tags=dict(tags), run_name=f"{tags[NIGHT]} {digest[:12]}")

    def _model(self, client: MlflowClient, run: Run, package: Path, digest: str) -> str:
        """Id of the run's logged model; logged now unless a killed attempt had finished that."""
        logged = client.search_logged_models([run.info.experiment_id], f"source_run_id = '{run.info.run_id}'")
        for model in logged:
            if model.status.value == "READY":
                return str(model.model_id)
            client.finalize_logged_model(model.model_id, "FAILED")
        import mlflow.onnx
        import onnx

        with warnings.catch_warnings():
            # MLflow warns of a type hint in its own code when it imports itself
            warnings.filterwarnings("ignore", ".*type hint is inferred as AnyType", UserWarning)
            import mlflow.pyfunc

        model = onnx.load(package / MODEL)
        with mlflow.start_run(run_id=run.info.run_id):
            made = mlflow.onnx.log_model(
                model,
                name=run.data.tags[TASK],
                signature=_signature(model),
                # given, because MLflow would load the model in a process of its own to find out
                pip_requirements=[f"{name}=={installed(name)}" for name in ("numpy", "onnx", "onnxruntime")],
                save_as_external_data=False,
                metadata={"digest": digest},
                extra_files=[str(path) for path in sorted(package.glob("*.json"))],
            )
        return str(made.model_id)

    def _aliases(self, client: MlflowClient, task: str) -> dict[str, int]:
        from mlflow.exceptions import MlflowException

        try:
            found = client.get_registered_model(task).aliases
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return {}
            raise
        return {alias: int(version) for alias, version in found.items()}


def _mlflow() -> Any:
    """MLflow, imported without telemetry and without its talk."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    import mlflow

    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # tracebacks of errors that it raises as well
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
    return mlflow


def _next_step(what: str, uri: str) -> str:
    if "out-of-date database schema" in what:
        return f"make a copy of the database, then run `mlflow db upgrade {uri}`"
    if "database is locked" in what:
        return "another process is writing to it; run the command again"
    return "see that RECOGNIZER_MLFLOW_URI is right and that it answers, then run the command again"


def _make_registered_model(client: MlflowClient, task: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(task)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _signature(model: Any) -> ModelSignature:
    """MLflow's signature of an ONNX model, read from its graph; an axis without a fixed length is -1."""
    from mlflow.models import ModelSignature
    from mlflow.types.schema import Schema, TensorSpec
    from onnx.helper import tensor_dtype_to_np_dtype

    def schema(values: Any) -> Schema:
        return Schema(
            [
                TensorSpec(
                    tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type),
                    tuple(axis.dim_value or -1 for axis in value.type.tensor_type.shape.dim),
                    value.name,
                )
                for value in values
            ]
        )

    return ModelSignature(schema(model.graph.input), schema(model.graph.output))


def _description(package: Path) -> str:
    """The package's model card, as far as MLflow takes it; empty when there is none."""
    path = package / MODEL_CARD
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    if len(text) <= LONGEST_DESCRIPTION:
        return text
    more = f"\n\nThe rest stands in {MODEL_CARD} beside the package.\n"
    return text[: LONGEST_DESCRIPTION - len(more)].rpartition("\n")[0] + more


def _params(card: PackageCard) -> dict[str, str]:
    plain = card.model_dump(mode="json", exclude={"metrics", "inputs", "outputs", "format"})
    texts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in plain.items()}
    return {name: text[:LONGEST_PARAM] for name, text in texts.items() if text not in ("null", "{}")}


def _named(version: int | None) -> str:
    return "not set" if version is None else f"version {version}"
