"""Outputs claimed by themselves, deadlines, retention a job, indexes for filters, idempotency keys, shared secrets."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_STATUSES = ("queued", "processing", "succeeded", "failed", "canceled", "expired")
_OF_THE_FILE = {"key": sa.Text, "sha256": sa.Text, "width": sa.Integer, "height": sa.Integer, "bytes": sa.BigInteger}
_OUTPUT_CHECKS = {
    "final_is_completed": "(completed_at IS NOT NULL) = (status IN ('succeeded','failed'))",
    "lease_is_processing": "(leased_until IS NOT NULL) = (status = 'processing')",
    "error_is_failed": "(error_code IS NOT NULL) = (status = 'failed')",
    "file_is_succeeded": "(key IS NOT NULL) = (status = 'succeeded')",
}
_INDEXES: dict[str, tuple[str, list[str], str]] = {
    "ix_jobs_deadline": ("jobs", ["deadline_at"], "deadline_at IS NOT NULL AND completed_at IS NULL"),
    "ix_jobs_list_status": ("jobs", ["api_key_id", "status", "id"], "deleted_at IS NULL"),
    "ix_jobs_list_verdict": (
        "jobs",
        ["api_key_id", "verdict", "id"],
        "verdict IS NOT NULL AND deleted_at IS NULL",
    ),
    "ix_jobs_list_model": (
        "jobs",
        ["api_key_id", "model_version", "id"],
        "model_version IS NOT NULL AND deleted_at IS NULL",
    ),
    "ix_jobs_photo": (
        "jobs",
        ["api_key_id", "input_sha256"],
        "input_sha256 IS NOT NULL AND files_purged_at IS NULL",
    ),
    "ix_outputs_claim": (
        "outputs",
        ["priority", "api_key_id", "due_at", "id"],
        "status = 'queued' AND due_at IS NOT NULL AND crashes = 0",
    ),
    "ix_outputs_suspect": ("outputs", ["due_at", "id"], "status = 'queued' AND crashes > 0"),
    "ix_outputs_lease": ("outputs", ["leased_until"], "status = 'processing'"),
}


def upgrade() -> None:
    _create_tables()
    _alter_jobs()
    _alter_outputs()
    for name, (table, columns, where) in _INDEXES.items():
        op.create_index(name, table, columns, postgresql_where=sa.text(where))
    op.create_index(
        "ix_jobs_labels",
        "jobs",
        ["labels"],
        postgresql_using="gin",
        postgresql_ops={"labels": "jsonb_path_ops"},
        postgresql_where=sa.text("labels <> '{}'::jsonb"),
    )


def _create_tables() -> None:
    op.create_table(
        "secrets",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_secrets")),
    )
    op.create_table(
        "idempotency_keys",
        sa.Column("api_key_id", sa.Uuid(), nullable=False),
        sa.Column("route", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("status", sa.SmallInteger(), nullable=False),
        sa.Column("headers", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["api_key_id"], ["api_keys.id"], name=op.f("fk_idempotency_keys_api_key_id_api_keys")),
        sa.PrimaryKeyConstraint("api_key_id", "route", "key", name=op.f("pk_idempotency_keys")),
    )
    op.create_index("ix_idempotency_keys_forget", "idempotency_keys", ["created_at"])
    op.create_index("ix_idempotency_keys_subject", "idempotency_keys", ["subject_id"])


def _alter_jobs() -> None:
    op.add_column("api_keys", sa.Column("files_retention", sa.Interval(), nullable=True))
    op.add_column("jobs", sa.Column("deadline_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("jobs", sa.Column("retention", sa.Interval(), server_default=sa.text("'7 days'"), nullable=False))
    op.add_column("jobs", sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True))
    op.execute("UPDATE jobs SET expires_at = completed_at + retention WHERE completed_at IS NOT NULL")
    op.drop_index("ix_jobs_purge", table_name="jobs")
    op.create_index(
        "ix_jobs_purge",
        "jobs",
        ["expires_at"],
        postgresql_where=sa.text("expires_at IS NOT NULL AND files_purged_at IS NULL"),
    )


def _alter_outputs() -> None:
    """Outputs that are there belong to jobs that succeeded."""
    status = sa.Enum(*_STATUSES, name="status", native_enum=False, create_constraint=True)
    time = sa.DateTime(timezone=True)
    for column in (
        sa.Column("params", postgresql.JSONB(), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("upscaled", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("api_key_id", sa.Uuid(), nullable=True),
        sa.Column("status", status, server_default="succeeded", nullable=False),
        sa.Column("priority", sa.SmallInteger(), server_default="1", nullable=False),
        sa.Column("due_at", time, nullable=True),
        sa.Column("attempt", sa.Integer(), server_default="0", nullable=False),
        sa.Column("retries", sa.Integer(), server_default="0", nullable=False),
        sa.Column("crashes", sa.Integer(), server_default="0", nullable=False),
        sa.Column("leased_until", time, nullable=True),
        sa.Column("worker", sa.Text(), nullable=True),
        sa.Column("completed_at", time, nullable=True),
        sa.Column("error_code", sa.Text(), nullable=True),
        sa.Column("error_detail", sa.Text(), nullable=True),
    ):
        op.add_column("outputs", column)
    op.execute(
        "UPDATE outputs SET api_key_id = jobs.api_key_id, completed_at = outputs.created_at "
        "FROM jobs WHERE jobs.id = outputs.job_id"
    )
    op.alter_column("outputs", "api_key_id", nullable=False)
    op.alter_column("outputs", "status", server_default="queued")
    op.create_foreign_key(op.f("fk_outputs_api_key_id_api_keys"), "outputs", "api_keys", ["api_key_id"], ["id"])
    for name, kind in _OF_THE_FILE.items():
        op.alter_column("outputs", name, existing_type=kind(), nullable=True)
    for name, rule in _OUTPUT_CHECKS.items():
        op.create_check_constraint(op.f(f"ck_outputs_{name}"), "outputs", rule)


def downgrade() -> None:
    op.drop_index("ix_jobs_labels", table_name="jobs")
    for name, (table, _, _) in _INDEXES.items():
        op.drop_index(name, table_name=table)
    for name in _OUTPUT_CHECKS:
        op.drop_constraint(op.f(f"ck_outputs_{name}"), "outputs", type_="check")
    op.execute("DELETE FROM outputs WHERE key IS NULL")
    for name, kind in _OF_THE_FILE.items():
        op.alter_column("outputs", name, existing_type=kind(), nullable=False)
    for name in (
        *("error_detail", "error_code", "completed_at", "worker", "leased_until", "crashes", "retries", "attempt"),
        *("due_at", "priority", "status", "api_key_id", "upscaled", "params"),
    ):
        op.drop_column("outputs", name)
    op.drop_index("ix_jobs_purge", table_name="jobs")
    op.create_index(
        "ix_jobs_purge",
        "jobs",
        ["completed_at"],
        postgresql_where=sa.text("completed_at IS NOT NULL AND files_purged_at IS NULL"),
    )
    for name in ("expires_at", "retention", "deadline_at"):
        op.drop_column("jobs", name)
    op.drop_column("api_keys", "files_retention")
    op.drop_table("idempotency_keys")
    op.drop_table("secrets")
