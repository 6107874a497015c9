"""Tries of downloads are counted apart from their attempts: a store that is away costs none."""

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("fetches", sa.Column("tries", sa.Integer(), server_default="0", nullable=False))
    op.execute("UPDATE fetches SET tries = attempt")


def downgrade() -> None:
    op.drop_column("fetches", "tries")
