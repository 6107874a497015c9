"""PUTs of outputs to their callers' URLs."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None

_TABLES = ("jobs", "outputs")
_LEASED = "(leased_until IS NOT NULL) = (status = 'processing' AND made_at IS NULL)"
_LEASED_BEFORE = "(leased_until IS NOT NULL) = (status = 'processing')"
_MADE = "(key IS NOT NULL) = (status = 'succeeded' OR made_at IS NOT NULL)"
_MADE_BEFORE = "(key IS NOT NULL) = (status = 'succeeded')"


def upgrade() -> None:
    for table in _TABLES:
        op.add_column(table, sa.Column("has_puts", sa.Boolean(), server_default=sa.text("false"), nullable=False))
        op.add_column(table, sa.Column("made_at", sa.DateTime(timezone=True), nullable=True))
        op.drop_constraint(op.f(f"ck_{table}_lease_is_processing"), table, type_="check")
        op.create_check_constraint(op.f(f"ck_{table}_lease_is_processing"), table, _LEASED)
    op.add_column("outputs", sa.Column("put", postgresql.JSONB(none_as_null=True), nullable=True))
    op.drop_constraint(op.f("ck_outputs_file_is_succeeded"), "outputs", type_="check")
    op.create_check_constraint(op.f("ck_outputs_file_is_made"), "outputs", _MADE)
    op.add_column("api_keys", sa.Column("last_put_at", sa.DateTime(timezone=True), nullable=True))
    op.create_table(
        "puts",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("is_further", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("api_key_id", sa.Uuid(), nullable=False),
        sa.Column("priority", sa.SmallInteger(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("host_md5", sa.Text(), nullable=False),
        sa.Column("url", sa.Text(), nullable=True),
        sa.Column("headers", postgresql.JSONB(none_as_null=True), nullable=True),
        sa.Column(
            "status",
            sa.Enum("waiting", "pending", "done", "failed", "canceled", name="status", native_enum=False),
            server_default="waiting",
            nullable=False,
        ),
        sa.Column("attempt", sa.Integer(), server_default="0", nullable=False),
        sa.Column("tries", sa.Integer(), server_default="0", nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("error_detail", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("completed_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("status IN ('waiting','pending','done','failed','canceled')", name=op.f("ck_puts_status")),
        sa.CheckConstraint("(due_at IS NOT NULL) = (status = 'pending')", name=op.f("ck_puts_due_is_pending")),
        sa.CheckConstraint(
            "(url IS NULL) = (status IN ('done','failed','canceled'))", name=op.f("ck_puts_final_has_no_url")
        ),
        sa.CheckConstraint("url IS NOT NULL OR headers IS NULL", name=op.f("ck_puts_final_has_no_headers")),
        sa.CheckConstraint(
            "(completed_at IS NOT NULL) = (status IN ('done','failed','canceled'))",
            name=op.f("ck_puts_final_is_completed"),
        ),
        sa.ForeignKeyConstraint(["api_key_id"], ["api_keys.id"], name=op.f("fk_puts_api_key_id_api_keys")),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_puts_job_id_jobs"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_puts")),
        sa.UniqueConstraint("job_id", "name", name=op.f("uq_puts_job_id_name")),
    )
    due = sa.text("due_at IS NOT NULL")
    op.create_index("ix_puts_due", "puts", ["due_at"], postgresql_where=due)
    op.create_index(
        "ix_puts_claim", "puts", ["priority", "api_key_id", "host_md5", "due_at", "id"], postgresql_where=due
    )


def downgrade() -> None:
    op.drop_table("puts")
    op.drop_column("api_keys", "last_put_at")
    op.drop_constraint(op.f("ck_outputs_file_is_made"), "outputs", type_="check")
    for table in _TABLES:
        op.drop_constraint(op.f(f"ck_{table}_lease_is_processing"), table, type_="check")
    # A job that waits for its PUTs is made once more, and names its outputs anew.
    op.execute(
        "DELETE FROM outputs USING jobs WHERE jobs.id = outputs.job_id AND jobs.status = 'processing' "
        "AND jobs.made_at IS NOT NULL"
    )
    op.execute("UPDATE outputs SET key = NULL WHERE status <> 'succeeded'")
    op.execute("UPDATE outputs SET leased_until = now() WHERE status = 'processing' AND leased_until IS NULL")
    op.execute("UPDATE jobs SET leased_until = now() WHERE status = 'processing' AND leased_until IS NULL")
    op.drop_column("outputs", "put")
    for table in _TABLES:
        op.drop_column(table, "made_at")
        op.drop_column(table, "has_puts")
        op.create_check_constraint(op.f(f"ck_{table}_lease_is_processing"), table, _LEASED_BEFORE)
    op.create_check_constraint(op.f("ck_outputs_file_is_succeeded"), "outputs", _MADE_BEFORE)
