"""What a store that is away puts back is counted, so that the pause can grow; no try is used up by it."""

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None

TABLES = ("jobs", "outputs", "fetches", "puts")


def upgrade() -> None:
    for table in TABLES:
        op.add_column(table, sa.Column("outages", sa.Integer(), server_default="0", nullable=False))


def downgrade() -> None:
    for table in TABLES:
        op.drop_column(table, "outages")
