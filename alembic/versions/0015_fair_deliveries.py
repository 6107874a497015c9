"""Deliveries are claimed fairly: by key and receiver."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

_BACKFILL = """
UPDATE webhook_deliveries
SET lane_md5 = md5(coalesce(replace(endpoint_id::text, '-', ''), lower(split_part(url, '/', 3))))
"""


def upgrade() -> None:
    op.add_column("api_keys", sa.Column("last_notified_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("webhook_deliveries", sa.Column("lane_md5", sa.Text(), nullable=True))
    op.execute(_BACKFILL)
    op.alter_column("webhook_deliveries", "lane_md5", nullable=False)
    op.create_index(
        "ix_webhook_deliveries_claim",
        "webhook_deliveries",
        ["api_key_id", "lane_md5", "due_at", "id"],
        unique=False,
        postgresql_where=sa.text("status = 'pending'"),
    )


def downgrade() -> None:
    op.drop_index(
        "ix_webhook_deliveries_claim", table_name="webhook_deliveries", postgresql_where=sa.text("status = 'pending'")
    )
    op.drop_column("webhook_deliveries", "lane_md5")
    op.drop_column("api_keys", "last_notified_at")
