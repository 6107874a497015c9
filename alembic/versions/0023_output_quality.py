"""Outputs tell the quality that their file was written with."""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("outputs", sa.Column("quality", sa.SmallInteger(), nullable=True))


def downgrade() -> None:
    op.drop_column("outputs", "quality")
