"""Work on a batch that breaks off is counted; a batch that can't go on ends its jobs before it has failed."""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

_BEFORE = "(error_code IS NOT NULL) = (status = 'failed')"
_NOW = "CASE WHEN error_code IS NULL THEN status <> 'failed' ELSE status IN ('failed','canceling') END"


def upgrade() -> None:
    op.add_column("batches", sa.Column("crashes", sa.Integer(), server_default="0", nullable=False))
    _replace_check(_NOW)


def downgrade() -> None:
    # What is failing is expired in the end: its jobs are ended all the same.
    op.execute("UPDATE batches SET error_code = NULL, error_detail = NULL WHERE status = 'canceling'")
    _replace_check(_BEFORE)
    op.drop_column("batches", "crashes")


def _replace_check(condition: str) -> None:
    name = op.f("ck_batches_error_is_failed")
    op.drop_constraint(name, "batches", type_="check")
    op.create_check_constraint(name, "batches", condition)
