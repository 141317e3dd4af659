"""Index what is to be verified next, and what is damaged."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

PUBLISHED = sa.text("published_at IS NOT NULL")


def upgrade() -> None:
    op.drop_index("blobs_verified", table_name="blobs", postgresql_where=PUBLISHED)
    op.create_index(
        "blobs_verified",
        "blobs",
        [sa.text("COALESCE(verified_at, published_at)"), "digest"],
        unique=False,
        postgresql_where=PUBLISHED,
    )
    op.create_index(
        "blobs_damaged", "blobs", ["digest"], unique=False, postgresql_where=sa.text("damaged_at IS NOT NULL")
    )


def downgrade() -> None:
    op.drop_index("blobs_damaged", table_name="blobs", postgresql_where=sa.text("damaged_at IS NOT NULL"))
    op.drop_index("blobs_verified", table_name="blobs", postgresql_where=PUBLISHED)
    op.create_index("blobs_verified", "blobs", ["verified_at"], unique=False, postgresql_where=PUBLISHED)
