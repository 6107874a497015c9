"""Where the product stands in an output."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("outputs", sa.Column("bbox_xyxy_px", JSONB(none_as_null=True), nullable=True))


def downgrade() -> None:
    op.drop_column("outputs", "bbox_xyxy_px")
