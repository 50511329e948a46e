"""The tables as they are now; `migrations/versions` holds how they came to be. A test compares the two."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

REVISIONS = ("0001", "0002", "0003", "0004", "0005")
"""Every revision this code knows, oldest first; the last is the one it works with."""

REVISION_TABLE = "recognizer_schema"
"""Alembic's version table under a name of our own: the store may share a database with MLflow or Prefect."""

# SQLite counts rows in a column of exactly this type only
RowNumber = BigInteger().with_variant(Integer(), "sqlite")

metadata = MetaData()

leases = Table(
    "leases",
    metadata,
    Column("name", String(200), primary_key=True),
    Column("holder", String(400)),  # NULL when nobody holds it
    Column("epoch", BigInteger, nullable=False),
    Column("since", Double, nullable=False),
    Column("expires", Double, nullable=False),
)

snapshots = Table(
    "snapshots",
    metadata,
    Column("number", RowNumber, primary_key=True, autoincrement=True),
    Column("task", String(100), nullable=False),
    Column("id", String(100), nullable=False),
    Column("card", JSON, nullable=False),
    Column("recorded_at", Double, nullable=False),
    UniqueConstraint("task", "id", name="uq_snapshots_task_id"),
    sqlite_autoincrement=True,
)

nights = Table(
    "nights",
    metadata,
    Column("id", RowNumber, primary_key=True, autoincrement=True),
    Column("task", String(100), nullable=False),
    Column("night", String(10), nullable=False),
    Column("inputs", String(64), nullable=False),
    Column("identity", String(64), nullable=False),
    Column("snapshot", String(100), nullable=False),
    Column("parent", String(64)),
    Column("champion_version", Integer),
    Column("champion_digest", String(64)),
    Column("seed", BigInteger, nullable=False),
    Column("step", String(20)),
    Column("outcome", String(20)),
    Column("reason", Text),
    Column("version", Integer),
    Column("digest", String(64)),
    Column("report", Text),
    Column("mlflow_run", String(100)),
    Column("metrics", JSON),
    Column("attempts", Integer, nullable=False),
    Column("started_at", Double, nullable=False),
    Column("updated_at", Double, nullable=False),
    Column("ended_at", Double),
    UniqueConstraint("task", "night", "inputs", name="uq_nights_task_night_inputs"),
    CheckConstraint("(outcome IS NULL) = (ended_at IS NULL)", name="ck_nights_ended"),
    sqlite_autoincrement=True,
)

versions = Table(
    "versions",
    metadata,
    Column("task", String(100), primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("digest", String(64), nullable=False, unique=True),
    Column("night_id", RowNumber, ForeignKey("nights.id", name="fk_versions_night")),
    Column("snapshot", String(100), nullable=False),
    Column("test_digest", String(64), nullable=False),
    Column("verdict", String(20), nullable=False),
    Column("metrics", JSON, nullable=False),
    Column("run_id", String(100)),
    Column("registered_at", Double, nullable=False),
)

checks = Table(
    "checks",
    metadata,
    Column("subject", String(64), primary_key=True),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("gate", String(100), nullable=False),
    Column("name", String(200), nullable=False),
    Column("value", Double),
    Column("threshold", Double),
    Column("direction", String(10), nullable=False),
    Column("baseline", Double),
    Column("n", BigInteger, nullable=False),
    Column("verdict", String(20), nullable=False),
    Column("reason", Text, nullable=False),
    Column("interval", JSON(none_as_null=True)),
)

generation = Table(
    "generation",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("number", BigInteger, nullable=False),
    CheckConstraint("id = 1", name="ck_generation_one_row"),
)

served = Table(
    "served",
    metadata,
    Column("task", String(100), primary_key=True),
    Column("version", Integer, nullable=False),
    Column("digest", String(64), nullable=False),
    Column("previous_digest", String(64)),
    Column("since", Double, nullable=False),
    Column("reason", Text, nullable=False),
    Column("generation", BigInteger, nullable=False),
    ForeignKeyConstraint(["task", "version"], ["versions.task", "versions.version"], name="fk_served_version"),
)

outbox = Table(
    "outbox",
    metadata,
    Column("id", RowNumber, primary_key=True, autoincrement=True),
    Column("topic", String(100), nullable=False),
    Column("payload", JSON, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("error", Text),
    Column("delivered_at", Double),
    sqlite_autoincrement=True,
)
Index("ix_outbox_undelivered", outbox.c.delivered_at, outbox.c.id)

rollouts = Table(
    "rollouts",
    metadata,
    Column("id", RowNumber, primary_key=True, autoincrement=True),
    Column("key", String(200), unique=True),
    Column("task", String(100), nullable=False),
    Column("version", Integer, nullable=False),
    Column("digest", String(64), nullable=False),
    Column("champion_version", Integer, nullable=False),
    Column("champion_digest", String(64), nullable=False),
    Column("strategy", String(20), nullable=False),
    Column("plan", JSON, nullable=False),
    Column("position", Integer, nullable=False),
    Column("phase", String(20), nullable=False),
    Column("place", String(10)),  # "open" or "queued": of each a task has one; NULL when it has ended
    Column("reason", Text, nullable=False),
    Column("verdict", String(20)),
    Column("accepts_disagreement", Boolean, nullable=False),
    Column("promote_asked", Boolean, nullable=False),
    Column("salt", String(32), nullable=False),
    Column("evidence_from", BigInteger, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("step_since", Double, nullable=False),
    Column("promoted_at", Double),
    Column("ended_at", Double),
    ForeignKeyConstraint(["task", "version"], ["versions.task", "versions.version"], name="fk_rollouts_version"),
    UniqueConstraint("task", "place", name="uq_rollouts_task_place"),
    CheckConstraint("(place IS NULL) = (ended_at IS NOT NULL)", name="ck_rollouts_ended"),
    sqlite_autoincrement=True,
)

evidence = Table(
    "evidence",
    metadata,
    Column("rollout", RowNumber, ForeignKey("rollouts.id", name="fk_evidence_rollout"), primary_key=True),
    Column("worker", String(200), primary_key=True),
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    Column("ordinal", BigInteger),  # NULL until the controller has numbered it, as is the position
    Column("position", Integer),  # of the step that it counts for
    Column("counts", JSON, nullable=False),
    Column("at", Double, nullable=False),
    UniqueConstraint("rollout", "ordinal", name="uq_evidence_rollout_ordinal"),
)

workers = Table(
    "workers",
    metadata,
    Column("name", String(200), primary_key=True),
    Column("started_at", Double, nullable=False),
    Column("heartbeat_at", Double, nullable=False),
    Column("generation", BigInteger, nullable=False),
    Column("loaded", JSON, nullable=False),
    Column("ready", Boolean, nullable=False),
    Column("problems", JSON, nullable=False),
)

quarantine = Table(
    "quarantine",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("task", String(100), nullable=False),
    Column("reason", Text, nullable=False),
    Column("since", Double, nullable=False),
)

freezes = Table(
    "freezes",
    metadata,
    Column("task", String(100), primary_key=True),
    Column("who", String(200), nullable=False),
    Column("reason", Text, nullable=False),
    Column("since", Double, nullable=False),
)

audit = Table(
    "audit",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("at", Double, nullable=False),
    Column("who", String(200), nullable=False),
    Column("event", String(50), nullable=False),
    Column("rollout", BigInteger),
    Column("payload", JSON, nullable=False),
    Column("previous_hash", String(64), nullable=False),
    Column("hash", String(64), nullable=False),
)
Index("ix_audit_rollout", audit.c.rollout, audit.c.number)

audit_head = Table(
    "audit_head",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("number", BigInteger, nullable=False),
    Column("hash", String(64), nullable=False),
    CheckConstraint("id = 1", name="ck_audit_head_one_row"),
)

tallies = Table(
    "tallies",
    metadata,
    Column("rollout", RowNumber, ForeignKey("rollouts.id", name="fk_tallies_rollout"), primary_key=True),
    Column("ordinal", BigInteger, nullable=False),
    Column("content", JSON, nullable=False),
)

predictions = Table(
    "predictions",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("task", String(100), nullable=False),
    Column("at", Double, nullable=False),
    Column("routing_key", Text),
    Column("arm", String(20), nullable=False),
    Column("rollout", BigInteger),  # it is evidence for
    Column("version", Integer, nullable=False),
    Column("digest", String(64), nullable=False),
    Column("label", Text, nullable=False),
    Column("confidence", Double, nullable=False),
    Column("recovered", Boolean, nullable=False),
    Column("inputs", Text),
    Column("answer", JSON(none_as_null=True)),  # NULL: the label is all of it
)
Index("ix_predictions_task_at", predictions.c.task, predictions.c.at)
Index("ix_predictions_routing_key", predictions.c.routing_key)

feedback = Table(
    "feedback",
    metadata,
    Column("number", RowNumber, primary_key=True, autoincrement=True),
    Column("prediction", String(32), nullable=False, unique=True),
    Column("task", String(100), nullable=False),
    Column("rollout", BigInteger),
    Column("arm", String(20), nullable=False),
    Column("digest", String(64), nullable=False),
    Column("truth", Text, nullable=False),
    Column("misread", Boolean, nullable=False),
    Column("batch", BigInteger),  # of the evidence that counts it; NULL: none yet
    Column("given_at", Double, nullable=False),
    sqlite_autoincrement=True,
)
