"""The prediction log, what was true, and the judge's tallies."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

RowNumber = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "tallies",
        sa.Column("rollout", RowNumber, sa.ForeignKey("rollouts.id", name="fk_tallies_rollout"), primary_key=True),
        sa.Column("ordinal", sa.BigInteger, nullable=False),
        sa.Column("content", sa.JSON, nullable=False),
    )
    op.create_table(
        "predictions",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("task", sa.String(100), nullable=False),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("routing_key", sa.Text),
        sa.Column("arm", sa.String(20), nullable=False),
        sa.Column("rollout", sa.BigInteger),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("label", sa.Text, nullable=False),
        sa.Column("confidence", sa.Double, nullable=False),
        sa.Column("recovered", sa.Boolean, nullable=False),
        sa.Column("inputs", sa.Text),
    )
    op.create_index("ix_predictions_task_at", "predictions", ["task", "at"])
    op.create_index("ix_predictions_routing_key", "predictions", ["routing_key"])
    op.create_table(
        "feedback",
        sa.Column("number", RowNumber, primary_key=True, autoincrement=True),
        sa.Column("prediction", sa.String(32), nullable=False, unique=True),
        sa.Column("task", sa.String(100), nullable=False),
        sa.Column("rollout", sa.BigInteger),
        sa.Column("arm", sa.String(20), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("truth", sa.Text, nullable=False),
        sa.Column("misread", sa.Boolean, nullable=False),
        sa.Column("batch", sa.BigInteger),
        sa.Column("given_at", sa.Double, nullable=False),
        sqlite_autoincrement=True,
    )


def downgrade() -> None:
    op.drop_table("feedback")
    op.drop_table("predictions")
    op.drop_table("tallies")
