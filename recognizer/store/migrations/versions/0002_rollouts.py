"""Rollouts: what they are, their evidence, the workers, quarantine, freezes, and the audit trail."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

RowNumber = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

NO_HASH = "0" * 64


def upgrade() -> None:
    op.create_table(
        "rollouts",
        sa.Column("id", RowNumber, primary_key=True, autoincrement=True),
        sa.Column("key", sa.String(200), unique=True),
        sa.Column("task", sa.String(100), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("champion_version", sa.Integer, nullable=False),
        sa.Column("champion_digest", sa.String(64), nullable=False),
        sa.Column("strategy", sa.String(20), nullable=False),
        sa.Column("plan", sa.JSON, nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("phase", sa.String(20), nullable=False),
        sa.Column("place", sa.String(10)),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("verdict", sa.String(20)),
        sa.Column("accepts_disagreement", sa.Boolean, nullable=False),
        sa.Column("promote_asked", sa.Boolean, nullable=False),
        sa.Column("salt", sa.String(32), nullable=False),
        sa.Column("evidence_from", sa.BigInteger, nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("step_since", sa.Double, nullable=False),
        sa.Column("promoted_at", sa.Double),
        sa.Column("ended_at", sa.Double),
        sa.ForeignKeyConstraint(["task", "version"], ["versions.task", "versions.version"], name="fk_rollouts_version"),
        sa.UniqueConstraint("task", "place", name="uq_rollouts_task_place"),
        sa.CheckConstraint("(place IS NULL) = (ended_at IS NOT NULL)", name="ck_rollouts_ended"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "evidence",
        sa.Column("rollout", RowNumber, sa.ForeignKey("rollouts.id", name="fk_evidence_rollout"), primary_key=True),
        sa.Column("worker", sa.String(200), primary_key=True),
        sa.Column("sequence", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("ordinal", sa.BigInteger),
        sa.Column("position", sa.Integer),
        sa.Column("counts", sa.JSON, nullable=False),
        sa.Column("at", sa.Double, nullable=False),
        sa.UniqueConstraint("rollout", "ordinal", name="uq_evidence_rollout_ordinal"),
    )
    op.create_table(
        "workers",
        sa.Column("name", sa.String(200), primary_key=True),
        sa.Column("started_at", sa.Double, nullable=False),
        sa.Column("heartbeat_at", sa.Double, nullable=False),
        sa.Column("generation", sa.BigInteger, nullable=False),
        sa.Column("loaded", sa.JSON, nullable=False),
        sa.Column("ready", sa.Boolean, nullable=False),
        sa.Column("problems", sa.JSON, nullable=False),
    )
    op.create_table(
        "quarantine",
        sa.Column("digest", sa.String(64), primary_key=True),
        sa.Column("task", sa.String(100), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("since", sa.Double, nullable=False),
    )
    op.create_table(
        "freezes",
        sa.Column("task", sa.String(100), primary_key=True),
        sa.Column("who", sa.String(200), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("since", sa.Double, nullable=False),
    )
    op.create_table(
        "audit",
        sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("who", sa.String(200), nullable=False),
        sa.Column("event", sa.String(50), nullable=False),
        sa.Column("rollout", sa.BigInteger),
        sa.Column("payload", sa.JSON, nullable=False),
        sa.Column("previous_hash", sa.String(64), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
    )
    op.create_index("ix_audit_rollout", "audit", ["rollout", "number"])
    head = op.create_table(
        "audit_head",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.CheckConstraint("id = 1", name="ck_audit_head_one_row"),
    )
    op.bulk_insert(head, [{"id": 1, "number": 0, "hash": NO_HASH}])


def downgrade() -> None:
    for table in ("audit_head", "audit", "freezes", "quarantine", "workers", "evidence", "rollouts"):
        op.drop_table(table)
