"""How many lines of a batch have become jobs."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

_BACKFILL = "UPDATE batches SET made = (SELECT count(*) FROM jobs WHERE jobs.batch_id = batches.id)"


def upgrade() -> None:
    op.add_column("batches", sa.Column("made", sa.Integer(), server_default="0", nullable=False))
    op.execute(_BACKFILL)


def downgrade() -> None:
    op.drop_column("batches", "made")
