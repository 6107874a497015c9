"""Fetches are claimed fairly: by key, lane and host."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

_BACKFILL = """
UPDATE fetches SET api_key_id = jobs.api_key_id, priority = jobs.priority,
                   host_md5 = md5(lower(split_part(coalesce(jobs.source_url, ''), '/', 3)))
FROM jobs WHERE jobs.id = fetches.job_id
"""


def upgrade() -> None:
    op.add_column("api_keys", sa.Column("last_fetched_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("fetches", sa.Column("api_key_id", sa.Uuid(), nullable=True))
    op.add_column("fetches", sa.Column("priority", sa.SmallInteger(), nullable=True))
    op.add_column("fetches", sa.Column("host_md5", sa.Text(), nullable=True))
    op.execute(_BACKFILL)
    for name in ("api_key_id", "priority", "host_md5"):
        op.alter_column("fetches", name, nullable=False)
    op.create_foreign_key(op.f("fk_fetches_api_key_id_api_keys"), "fetches", "api_keys", ["api_key_id"], ["id"])
    op.create_index(
        "ix_fetches_claim",
        "fetches",
        ["priority", "api_key_id", "host_md5", "due_at", "job_id"],
        unique=False,
        postgresql_where=sa.text("due_at IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_index("ix_fetches_claim", table_name="fetches", postgresql_where=sa.text("due_at IS NOT NULL"))
    op.drop_constraint(op.f("fk_fetches_api_key_id_api_keys"), "fetches", type_="foreignkey")
    for name in ("host_md5", "priority", "api_key_id"):
        op.drop_column("fetches", name)
    op.drop_column("api_keys", "last_fetched_at")
