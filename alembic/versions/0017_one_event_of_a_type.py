"""A job has one event of each type. `job.reviewed`, which nothing made, is none of them."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

_OLD = "uq_webhook_events_job_id_type_occurrence"
_NEW = "uq_webhook_events_job_id_type"


def upgrade() -> None:
    op.execute("UPDATE webhook_endpoints SET events = events - 'job.reviewed'")
    op.drop_constraint(op.f(_OLD), "webhook_events", type_="unique")
    op.drop_column("webhook_events", "occurrence")
    op.create_unique_constraint(op.f(_NEW), "webhook_events", ["job_id", "type"])


def downgrade() -> None:
    op.drop_constraint(op.f(_NEW), "webhook_events", type_="unique")
    op.add_column("webhook_events", sa.Column("occurrence", sa.SmallInteger(), server_default="0", nullable=False))
    op.create_unique_constraint(op.f(_OLD), "webhook_events", ["job_id", "type", "occurrence"])
