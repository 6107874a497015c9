"""Which files of mattes a row names is asked by key."""

from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_mattes_key", "mattes", ["key"])


def downgrade() -> None:
    op.drop_index("ix_mattes_key", table_name="mattes")
