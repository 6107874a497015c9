"""Batches are found by status and by label."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(
        "ix_batches_list_status",
        "batches",
        ["api_key_id", "status", "id"],
        postgresql_where=sa.text("deleted_at IS NULL"),
    )
    op.create_index(
        "ix_batches_labels",
        "batches",
        ["labels"],
        postgresql_using="gin",
        postgresql_ops={"labels": "jsonb_path_ops"},
        postgresql_where=sa.text("labels <> '{}'::jsonb"),
    )


def downgrade() -> None:
    op.drop_index("ix_batches_labels", table_name="batches")
    op.drop_index("ix_batches_list_status", table_name="batches")
