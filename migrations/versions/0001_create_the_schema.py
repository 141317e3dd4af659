"""Create the schema."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "blobs",
        sa.Column("digest", sa.Text(collation="C"), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("refs", sa.BigInteger(), nullable=False),
        sa.Column("location", sa.Text(), nullable=True),
        sa.Column("published_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("verified_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("damaged_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("unreferenced_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("content_type", sa.Text(), nullable=False),
        sa.CheckConstraint("digest ~ '^[0-9a-f]{64}$'", name="blobs_digest"),
        sa.CheckConstraint("published_at IS NULL OR location IS NOT NULL", name="blobs_published"),
        sa.CheckConstraint("refs >= 0", name="blobs_refs"),
        sa.CheckConstraint("size_bytes >= 0", name="blobs_size"),
        sa.PrimaryKeyConstraint("digest"),
    )
    op.create_index("blobs_unused", "blobs", ["digest"], unique=False, postgresql_where=sa.text("refs = 0"))
    op.create_index(
        "blobs_verified", "blobs", ["verified_at"], unique=False, postgresql_where=sa.text("published_at IS NOT NULL")
    )
    op.create_table(
        "storages",
        sa.Column("backend", sa.Text(), nullable=False),
        sa.Column("identity", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("backend"),
    )
    op.create_table(
        "leases",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "rate_limits",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("hits", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("key"),
        prefixes=["UNLOGGED"],
    )
    op.create_index("rate_limits_expires", "rate_limits", ["expires_at"], unique=False)
    op.create_table(
        "users",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("email", sa.Text(), nullable=True),
        sa.Column("password_hash", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), server_default="user", nullable=False),
        sa.Column("quota_bytes", sa.BigInteger(), nullable=True),
        sa.Column("used_bytes", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("reserved_bytes", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("logical_bytes", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("file_count", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("content_count", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("disabled", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("epoch", sa.Integer(), server_default="0", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("role IN ('user', 'admin')", name="users_role"),
        sa.CheckConstraint("logical_bytes >= 0 AND file_count >= 0 AND content_count >= 0", name="users_counts"),
        sa.CheckConstraint("reserved_bytes >= 0", name="users_reserved"),
        sa.CheckConstraint("used_bytes >= 0", name="users_used"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("email"),
        sa.UniqueConstraint("name"),
    )
    op.create_table(
        "api_keys",
        sa.Column("id", sa.Text(collation="C"), nullable=False),
        sa.Column("owner_id", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("key_hash", sa.Text(), nullable=False),
        sa.Column("last_four", sa.Text(), nullable=False),
        sa.Column("scopes", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["owner_id"],
            ["users.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("key_hash"),
    )
    op.create_index("api_keys_owner", "api_keys", ["owner_id"], unique=False)
    op.create_table(
        "claims",
        sa.Column("owner_id", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.Text(collation="C"), nullable=False),
        sa.Column("files", sa.Integer(), nullable=False),
        sa.CheckConstraint("files > 0", name="claims_files"),
        sa.ForeignKeyConstraint(
            ["digest"],
            ["blobs.digest"],
        ),
        sa.ForeignKeyConstraint(
            ["owner_id"],
            ["users.id"],
        ),
        sa.PrimaryKeyConstraint("owner_id", "digest"),
    )
    op.create_index("claims_digest", "claims", ["digest"], unique=False)
    op.create_table(
        "files",
        sa.Column("id", sa.Text(collation="C"), nullable=False),
        sa.Column("owner_id", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.Text(collation="C"), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("folder", sa.Text(), nullable=False),
        sa.Column("visibility", sa.Text(), nullable=False),
        sa.Column("tags", sa.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column(
            "reserved_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("ready_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("downloads", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("last_downloaded_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("visibility IN ('public', 'private')", name="files_visibility"),
        sa.ForeignKeyConstraint(
            ["owner_id", "digest"],
            ["claims.owner_id", "claims.digest"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("files_digest", "files", ["digest", "ready_at", "id"], unique=False)
    op.create_index(
        "files_expiring", "files", ["expires_at"], unique=False, postgresql_where=sa.text("expires_at IS NOT NULL")
    )
    op.create_index(
        "files_folder",
        "files",
        ["owner_id", "folder", "ready_at", "id"],
        unique=False,
        postgresql_where=sa.text("ready_at IS NOT NULL"),
    )
    op.create_index(
        "files_listed",
        "files",
        ["owner_id", "ready_at", "id"],
        unique=False,
        postgresql_where=sa.text("ready_at IS NOT NULL"),
    )
    op.create_index(
        "files_pending", "files", ["reserved_at"], unique=False, postgresql_where=sa.text("ready_at IS NULL")
    )
    op.create_index("files_same", "files", ["owner_id", "digest"], unique=False)


def downgrade() -> None:
    op.drop_index("files_same", table_name="files")
    op.drop_index("files_pending", table_name="files", postgresql_where=sa.text("ready_at IS NULL"))
    op.drop_index("files_listed", table_name="files", postgresql_where=sa.text("ready_at IS NOT NULL"))
    op.drop_index("files_folder", table_name="files", postgresql_where=sa.text("ready_at IS NOT NULL"))
    op.drop_index("files_expiring", table_name="files", postgresql_where=sa.text("expires_at IS NOT NULL"))
    op.drop_index("files_digest", table_name="files")
    op.drop_table("files")
    op.drop_index("claims_digest", table_name="claims")
    op.drop_table("claims")
    op.drop_index("api_keys_owner", table_name="api_keys")
    op.drop_table("api_keys")
    op.drop_table("users")
    op.drop_index("rate_limits_expires", table_name="rate_limits")
    op.drop_table("rate_limits")
    op.drop_table("storages")
    op.drop_table("leases")
    op.drop_index("blobs_verified", table_name="blobs", postgresql_where=sa.text("published_at IS NOT NULL"))
    op.drop_index("blobs_unused", table_name="blobs", postgresql_where=sa.text("refs = 0"))
    op.drop_table("blobs")
