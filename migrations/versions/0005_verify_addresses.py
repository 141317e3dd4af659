"""Verify addresses: whose e-mail is proven, who may log in, and the mails that wait."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    yes = sa.text("true")
    op.add_column("users", sa.Column("verified", sa.Boolean(), server_default=yes, nullable=False))
    op.add_column("users", sa.Column("email_epoch", sa.Integer(), server_default="0", nullable=False))
    op.add_column("users", sa.Column("admitted", sa.Boolean(), server_default=yes, nullable=False))
    op.drop_constraint("users_email_key", "users", type_="unique")
    op.create_index("users_email", "users", ["email"], unique=True, postgresql_where=sa.text("verified"))
    op.create_index("users_waiting", "users", ["created_at"], postgresql_where=sa.text("NOT admitted"))
    op.create_table(
        "mails",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=True),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("kind IN ('verify', 'reset', 'moved')", name="mails_kind"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("mails_due", "mails", ["due_at", "id"], unique=False)


def downgrade() -> None:
    """Nobody gets in who could not before, and no address is lost that was proven."""
    op.execute("UPDATE users SET disabled = true WHERE NOT admitted")
    op.execute("UPDATE users SET email = NULL WHERE NOT verified")
    op.drop_table("mails")
    op.drop_index("users_waiting", table_name="users")
    op.drop_index("users_email", table_name="users")
    op.create_unique_constraint("users_email_key", "users", ["email"])
    op.drop_column("users", "admitted")
    op.drop_column("users", "email_epoch")
    op.drop_column("users", "verified")
