"""Registered webhook endpoints; events of batches; secrets that a rotation replaced."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_STATUSES = "status IN ('pending', 'delivered', 'exhausted', 'gone'{more})"


def upgrade() -> None:
    op.add_column("api_keys", sa.Column("previous_webhook_secret", sa.Text()))
    op.add_column("api_keys", sa.Column("previous_webhook_secret_until", sa.DateTime(timezone=True)))
    op.create_table(
        "webhook_endpoints",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("api_key_id", sa.Uuid(), nullable=False),
        sa.Column("url", sa.Text()),
        sa.Column("description", sa.Text(), server_default="", nullable=False),
        sa.Column("events", postgresql.JSONB(), nullable=False),
        sa.Column("secret", sa.Text(), nullable=False),
        sa.Column("previous_secret", sa.Text()),
        sa.Column("previous_secret_until", sa.DateTime(timezone=True)),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("disabled_at", sa.DateTime(timezone=True)),
        sa.Column(
            "disabled_reason",
            sa.Enum(
                "by_owner",
                "gone",
                "failing",
                "not_pulled",
                name="disabled_reason",
                native_enum=False,
                create_constraint=True,
            ),
        ),
        sa.Column("failing_since", sa.DateTime(timezone=True)),
        sa.Column("delivered_at", sa.DateTime(timezone=True)),
        sa.Column("pulled_at", sa.DateTime(timezone=True)),
        sa.Column("deleted_at", sa.DateTime(timezone=True)),
        sa.CheckConstraint(
            "(disabled_at IS NULL) = (disabled_reason IS NULL)", name=op.f("ck_webhook_endpoints_disabled_has_reason")
        ),
        sa.CheckConstraint(
            "deleted_at IS NULL OR disabled_at IS NOT NULL", name=op.f("ck_webhook_endpoints_deleted_is_disabled")
        ),
        sa.ForeignKeyConstraint(["api_key_id"], ["api_keys.id"], name=op.f("fk_webhook_endpoints_api_key_id_api_keys")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_endpoints")),
    )
    op.create_index(
        "ix_webhook_endpoints_key",
        "webhook_endpoints",
        ["api_key_id", "id"],
        postgresql_where=sa.text("deleted_at IS NULL"),
    )
    _upgrade_events()
    _upgrade_deliveries()


def _upgrade_events() -> None:
    op.execute("CREATE SEQUENCE webhook_events_sequence_seq AS bigint")
    op.add_column("webhook_events", sa.Column("sequence", sa.BigInteger()))
    op.add_column("webhook_events", sa.Column("api_key_id", sa.Uuid()))
    op.add_column("webhook_events", sa.Column("batch_id", sa.Uuid()))
    op.execute(
        "UPDATE webhook_events SET sequence = old.place, api_key_id = jobs.api_key_id "
        "FROM (SELECT id, row_number() OVER (ORDER BY id) AS place FROM webhook_events) AS old, jobs "
        "WHERE old.id = webhook_events.id AND jobs.id = webhook_events.job_id"
    )
    op.execute("SELECT setval('webhook_events_sequence_seq', (SELECT count(*) + 1 FROM webhook_events), false)")
    op.alter_column(
        "webhook_events",
        "sequence",
        nullable=False,
        server_default=sa.text("nextval('webhook_events_sequence_seq')"),
    )
    op.alter_column("webhook_events", "api_key_id", nullable=False)
    op.alter_column("webhook_events", "job_id", nullable=True)
    op.create_foreign_key(
        op.f("fk_webhook_events_api_key_id_api_keys"), "webhook_events", "api_keys", ["api_key_id"], ["id"]
    )
    op.create_foreign_key(
        op.f("fk_webhook_events_batch_id_batches"),
        "webhook_events",
        "batches",
        ["batch_id"],
        ["id"],
        ondelete="CASCADE",
    )
    op.create_check_constraint(
        op.f("ck_webhook_events_one_subject"), "webhook_events", "job_id IS NULL OR batch_id IS NULL"
    )
    op.drop_constraint(op.f("uq_webhook_events_job_id_type"), "webhook_events")
    op.create_index(
        "uq_webhook_events_job",
        "webhook_events",
        ["job_id", "type"],
        unique=True,
        postgresql_where=sa.text("type <> 'job.reviewed'"),
    )
    op.create_index(
        "ix_webhook_events_reviews",
        "webhook_events",
        ["job_id"],
        postgresql_where=sa.text("type = 'job.reviewed'"),
    )
    op.create_index(
        "uq_webhook_events_batch",
        "webhook_events",
        ["batch_id", "type"],
        unique=True,
        postgresql_where=sa.text("batch_id IS NOT NULL"),
    )
    op.create_index(
        "ix_webhook_events_tests",
        "webhook_events",
        ["created_at"],
        postgresql_where=sa.text("job_id IS NULL AND batch_id IS NULL"),
    )


def _upgrade_deliveries() -> None:
    op.add_column("webhook_deliveries", sa.Column("endpoint_id", sa.Uuid()))
    op.add_column("webhook_deliveries", sa.Column("attempts_before", sa.Integer(), server_default="0", nullable=False))
    op.alter_column("webhook_deliveries", "url", nullable=True)
    op.create_foreign_key(
        op.f("fk_webhook_deliveries_endpoint_id_webhook_endpoints"),
        "webhook_deliveries",
        "webhook_endpoints",
        ["endpoint_id"],
        ["id"],
        ondelete="CASCADE",
    )
    op.create_check_constraint(
        op.f("ck_webhook_deliveries_one_target"), "webhook_deliveries", "(endpoint_id IS NULL) = (url IS NOT NULL)"
    )
    _restrict_status(more=", 'held', 'canceled'")
    op.create_index("ix_webhook_deliveries_list", "webhook_deliveries", ["api_key_id", "id"])
    op.create_index("ix_webhook_deliveries_status", "webhook_deliveries", ["api_key_id", "status", "id"])
    op.create_index("ix_webhook_deliveries_endpoint", "webhook_deliveries", ["endpoint_id", "status", "id"])
    op.create_index(
        "ix_webhook_deliveries_url",
        "webhook_deliveries",
        ["api_key_id", "url"],
        postgresql_where=sa.text("status = 'pending' AND url IS NOT NULL"),
    )


def _restrict_status(*, more: str) -> None:
    op.drop_constraint("status", "webhook_deliveries", type_="check")
    op.create_check_constraint("status", "webhook_deliveries", _STATUSES.format(more=more))


def downgrade() -> None:
    # Tests of endpoints, batches' events and reviews, and what goes to endpoints have no place in the old tables.
    op.execute("DELETE FROM webhook_deliveries WHERE url IS NULL")
    op.execute("DELETE FROM webhook_events WHERE job_id IS NULL OR type = 'job.reviewed'")
    op.drop_index("ix_webhook_deliveries_url", table_name="webhook_deliveries")
    op.drop_index("ix_webhook_deliveries_endpoint", table_name="webhook_deliveries")
    op.drop_index("ix_webhook_deliveries_status", table_name="webhook_deliveries")
    op.drop_index("ix_webhook_deliveries_list", table_name="webhook_deliveries")
    _restrict_status(more="")
    op.drop_constraint(op.f("ck_webhook_deliveries_one_target"), "webhook_deliveries", type_="check")
    op.alter_column("webhook_deliveries", "url", nullable=False)
    op.drop_column("webhook_deliveries", "attempts_before")
    op.drop_column("webhook_deliveries", "endpoint_id")
    for index in ("tests", "reviews"):
        op.drop_index(f"ix_webhook_events_{index}", table_name="webhook_events")
    for index in ("batch", "job"):
        op.drop_index(f"uq_webhook_events_{index}", table_name="webhook_events")
    op.drop_constraint(op.f("ck_webhook_events_one_subject"), "webhook_events", type_="check")
    op.alter_column("webhook_events", "job_id", nullable=False)
    op.create_unique_constraint(op.f("uq_webhook_events_job_id_type"), "webhook_events", ["job_id", "type"])
    for column in ("batch_id", "api_key_id", "sequence"):
        op.drop_column("webhook_events", column)
    op.execute("DROP SEQUENCE webhook_events_sequence_seq")
    op.drop_table("webhook_endpoints")
    op.drop_column("api_keys", "previous_webhook_secret_until")
    op.drop_column("api_keys", "previous_webhook_secret")
