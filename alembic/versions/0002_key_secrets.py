"""Keys have scopes, and secrets in a table of their own, so that a rotated key has two for a while."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "api_key_secrets",
        sa.Column("short", sa.Text(), nullable=False),
        sa.Column("api_key_id", sa.Uuid(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["api_key_id"], ["api_keys.id"], name=op.f("fk_api_key_secrets_api_key_id_api_keys")),
        sa.PrimaryKeyConstraint("short", name=op.f("pk_api_key_secrets")),
    )
    op.create_index("ix_api_key_secrets_key", "api_key_secrets", ["api_key_id"])
    op.execute(
        "INSERT INTO api_key_secrets (short, api_key_id, sha256, created_at, last_used_at) "
        "SELECT short, id, secret_sha256, created_at, last_used_at FROM api_keys"
    )
    op.add_column("api_keys", sa.Column("scopes", postgresql.JSONB(astext_type=sa.Text()), nullable=True))
    op.execute("""UPDATE api_keys SET scopes = '["jobs:read", "jobs:write"]'""")
    op.alter_column("api_keys", "scopes", nullable=False)
    op.drop_constraint("uq_api_keys_short", "api_keys", type_="unique")
    for name in ("short", "secret_sha256", "last_used_at"):
        op.drop_column("api_keys", name)


def downgrade() -> None:
    op.add_column("api_keys", sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("api_keys", sa.Column("secret_sha256", sa.Text(), nullable=True))
    op.add_column("api_keys", sa.Column("short", sa.Text(), nullable=True))
    # The newest secret of each key; keys had one.
    op.execute(
        "UPDATE api_keys SET short = s.short, secret_sha256 = s.sha256, last_used_at = s.last_used_at FROM ("
        "SELECT DISTINCT ON (api_key_id) * FROM api_key_secrets ORDER BY api_key_id, created_at DESC) AS s "
        "WHERE s.api_key_id = api_keys.id"
    )
    op.alter_column("api_keys", "short", nullable=False)
    op.alter_column("api_keys", "secret_sha256", nullable=False)
    op.create_unique_constraint("uq_api_keys_short", "api_keys", ["short"])
    op.drop_column("api_keys", "scopes")
    op.drop_table("api_key_secrets")
