"""The tables of the first version: leases, snapshots, nights, versions, checks, what is served, the outbox."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

RowNumber = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "leases",
        sa.Column("name", sa.String(200), primary_key=True),
        sa.Column("holder", sa.String(400)),
        sa.Column("epoch", sa.BigInteger, nullable=False),
        sa.Column("since", sa.Double, nullable=False),
        sa.Column("expires", sa.Double, nullable=False),
    )
    op.create_table(
        "snapshots",
        sa.Column("number", RowNumber, primary_key=True, autoincrement=True),
        sa.Column("task", sa.String(100), nullable=False),
        sa.Column("id", sa.String(100), nullable=False),
        sa.Column("card", sa.JSON, nullable=False),
        sa.Column("recorded_at", sa.Double, nullable=False),
        sa.UniqueConstraint("task", "id", name="uq_snapshots_task_id"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "nights",
        sa.Column("id", RowNumber, primary_key=True, autoincrement=True),
        sa.Column("task", sa.String(100), nullable=False),
        sa.Column("night", sa.String(10), nullable=False),
        sa.Column("inputs", sa.String(64), nullable=False),
        sa.Column("identity", sa.String(64), nullable=False),
        sa.Column("snapshot", sa.String(100), nullable=False),
        sa.Column("parent", sa.String(64)),
        sa.Column("champion_version", sa.Integer),
        sa.Column("champion_digest", sa.String(64)),
        sa.Column("seed", sa.BigInteger, nullable=False),
        sa.Column("step", sa.String(20)),
        sa.Column("outcome", sa.String(20)),
        sa.Column("reason", sa.Text),
        sa.Column("version", sa.Integer),
        sa.Column("digest", sa.String(64)),
        sa.Column("report", sa.Text),
        sa.Column("mlflow_run", sa.String(100)),
        sa.Column("metrics", sa.JSON),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("started_at", sa.Double, nullable=False),
        sa.Column("updated_at", sa.Double, nullable=False),
        sa.Column("ended_at", sa.Double),
        sa.UniqueConstraint("task", "night", "inputs", name="uq_nights_task_night_inputs"),
        sa.CheckConstraint("(outcome IS NULL) = (ended_at IS NULL)", name="ck_nights_ended"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "versions",
        sa.Column("task", sa.String(100), primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("digest", sa.String(64), nullable=False, unique=True),
        sa.Column("night_id", RowNumber, sa.ForeignKey("nights.id", name="fk_versions_night")),
        sa.Column("snapshot", sa.String(100), nullable=False),
        sa.Column("test_digest", sa.String(64), nullable=False),
        sa.Column("verdict", sa.String(20), nullable=False),
        sa.Column("metrics", sa.JSON, nullable=False),
        sa.Column("run_id", sa.String(100)),
        sa.Column("registered_at", sa.Double, nullable=False),
    )
    op.create_table(
        "checks",
        sa.Column("subject", sa.String(64), primary_key=True),
        sa.Column("position", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("gate", sa.String(100), nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("value", sa.Double),
        sa.Column("threshold", sa.Double),
        sa.Column("direction", sa.String(10), nullable=False),
        sa.Column("baseline", sa.Double),
        sa.Column("n", sa.BigInteger, nullable=False),
        sa.Column("verdict", sa.String(20), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
    )
    generation = op.create_table(
        "generation",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.CheckConstraint("id = 1", name="ck_generation_one_row"),
    )
    op.bulk_insert(generation, [{"id": 1, "number": 0}])
    op.create_table(
        "served",
        sa.Column("task", sa.String(100), primary_key=True),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("previous_digest", sa.String(64)),
        sa.Column("since", sa.Double, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("generation", sa.BigInteger, nullable=False),
        sa.ForeignKeyConstraint(["task", "version"], ["versions.task", "versions.version"], name="fk_served_version"),
    )
    op.create_table(
        "outbox",
        sa.Column("id", RowNumber, primary_key=True, autoincrement=True),
        sa.Column("topic", sa.String(100), nullable=False),
        sa.Column("payload", sa.JSON, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("error", sa.Text),
        sa.Column("delivered_at", sa.Double),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_outbox_undelivered", "outbox", ["delivered_at", "id"])


def downgrade() -> None:
    for table in ("outbox", "served", "generation", "versions", "checks", "nights", "snapshots", "leases"):
        op.drop_table(table)
