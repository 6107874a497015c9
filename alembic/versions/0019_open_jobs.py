"""What waits and what is in work is counted without reading what has ended."""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_jobs_open", "jobs", ["status", "created_at"], postgresql_where=sa.text("completed_at IS NULL"))


def downgrade() -> None:
    op.drop_index("ix_jobs_open", table_name="jobs")
