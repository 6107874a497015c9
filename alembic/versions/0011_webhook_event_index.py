"""One whole index finds a job's events; a review can be told of again."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_NAME = "uq_webhook_events_job_id_type_occurrence"


def upgrade() -> None:
    op.add_column("webhook_events", sa.Column("occurrence", sa.SmallInteger(), server_default="0", nullable=False))
    op.drop_index("uq_webhook_events_job", table_name="webhook_events")
    op.drop_index("ix_webhook_events_reviews", table_name="webhook_events")
    op.create_unique_constraint(op.f(_NAME), "webhook_events", ["job_id", "type", "occurrence"])


def downgrade() -> None:
    op.drop_constraint(op.f(_NAME), "webhook_events", type_="unique")
    op.create_index(
        "ix_webhook_events_reviews",
        "webhook_events",
        ["job_id"],
        postgresql_where=sa.text("type = 'job.reviewed'"),
    )
    op.create_index(
        "uq_webhook_events_job",
        "webhook_events",
        ["job_id", "type"],
        unique=True,
        postgresql_where=sa.text("type <> 'job.reviewed'"),
    )
    op.drop_column("webhook_events", "occurrence")
