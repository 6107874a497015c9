"""Who waits for a job or a batch is told of its changes."""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

# Table, the column that names what is waited for, and the columns that a reader sees change. Their lists keep the
# triggers away from updates that only renew a lease.
_TRIGGERS = (
    ("jobs", "id", ("status", "deleted_at")),
    ("outputs", "job_id", ("status",)),
    ("batches", "id", ("status", "lines", "total", "succeeded", "failed", "canceled", "deleted_at")),
)


def upgrade() -> None:
    for table, topic, columns in _TRIGGERS:
        op.execute(
            f"CREATE FUNCTION notify_{table}() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN PERFORM pg_notify('packshot', NEW.{topic}::text); RETURN NULL; END $$"
        )
        old, new = (", ".join(f"{row}.{column}" for column in columns) for row in ("OLD", "NEW"))
        op.execute(
            f"CREATE TRIGGER notify_readers AFTER UPDATE OF {', '.join(columns)} ON {table} FOR EACH ROW "
            f"WHEN (({old}) IS DISTINCT FROM ({new})) EXECUTE FUNCTION notify_{table}()"
        )


def downgrade() -> None:
    for table, _, _ in _TRIGGERS:
        op.execute(f"DROP TRIGGER notify_readers ON {table}")
        op.execute(f"DROP FUNCTION notify_{table}()")
