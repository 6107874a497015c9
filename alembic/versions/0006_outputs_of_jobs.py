"""A job's options name its outputs; the one named `cutout` had its options beside the others."""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        "UPDATE jobs SET params = (params - 'format' - 'background') || jsonb_build_object("
        "'outputs', jsonb_build_array(jsonb_build_object("
        "'name', 'cutout', 'format', params -> 'format', 'size', 'original', 'background', params -> 'background',"
        "'quality', NULL, 'crop', false, 'margin', '0', 'fill', NULL, 'position', 'original')))"
    )
    op.execute("UPDATE outputs SET params = jobs.params #> '{outputs,0}' FROM jobs WHERE jobs.id = outputs.job_id")


def downgrade() -> None:
    op.execute(
        "UPDATE jobs SET params = (params - 'outputs') || jsonb_build_object("
        "'format', params #> '{outputs,0,format}', 'background', params #> '{outputs,0,background}')"
    )
