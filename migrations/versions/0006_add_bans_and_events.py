"""Add bans and events."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

KEEP_EVENTS = """
CREATE FUNCTION keep_events() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' OR current_setting('blobstore.retention', true) IS DISTINCT FROM 'on' THEN
        RAISE EXCEPTION 'events are added to, and nothing else';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER keep_events BEFORE UPDATE OR DELETE OR TRUNCATE ON events
    FOR EACH STATEMENT EXECUTE FUNCTION keep_events()
"""


def upgrade() -> None:
    op.create_table(
        "bans",
        sa.Column("digest", sa.Text(collation="C"), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("banned_by", sa.Text(), nullable=True),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.CheckConstraint("digest ~ '^[0-9a-f]{64}$'", name="bans_digest"),
        sa.PrimaryKeyConstraint("digest"),
    )
    op.create_index("bans_listed", "bans", ["created_at", "digest"], unique=False)
    op.create_table(
        "banned_files",
        sa.Column("id", sa.Text(collation="C"), nullable=False),
        sa.Column("digest", sa.Text(collation="C"), nullable=False),
        sa.Column("owner_id", sa.BigInteger(), nullable=False),
        sa.Column("folder", sa.Text(), nullable=False),
        sa.Column("visibility", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["digest"], ["bans.digest"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["owner_id"], ["users.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("banned_files_digest", "banned_files", ["digest"], unique=False)
    op.create_index("banned_files_owner", "banned_files", ["owner_id"], unique=False)
    op.create_table(
        "events",
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("user_name", sa.Text(), nullable=True),
        sa.Column("owner_id", sa.BigInteger(), nullable=True),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(collation="C"), nullable=True),
        sa.Column("file_id", sa.Text(collation="C"), nullable=True),
        sa.Column("target", sa.Text(), nullable=True),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("details", postgresql.JSONB(), nullable=False),
        sa.PrimaryKeyConstraint("at", "id"),
    )
    op.create_index("events_user", "events", ["user_name", "at", "id"], unique=False)
    op.create_index("events_owner", "events", ["owner_id", "at", "id"], unique=False)
    op.create_index("events_action", "events", ["action", "at", "id"], unique=False)
    op.execute(KEEP_EVENTS)


def downgrade() -> None:
    op.drop_index("events_action", table_name="events")
    op.drop_index("events_owner", table_name="events")
    op.drop_index("events_user", table_name="events")
    op.drop_table("events")
    op.execute("DROP FUNCTION keep_events()")
    op.drop_index("banned_files_owner", table_name="banned_files")
    op.drop_index("banned_files_digest", table_name="banned_files")
    op.drop_table("banned_files")
    op.drop_index("bans_listed", table_name="bans")
    op.drop_table("bans")
