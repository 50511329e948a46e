"""Checks have an interval."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("checks", sa.Column("interval", sa.JSON(none_as_null=True)))


def downgrade() -> None:
    op.drop_column("checks", "interval")
