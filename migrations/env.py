"""Alembic's entry: migrations run on the connection that blobstore/database.py hands over, in its transaction."""

from alembic import context

from blobstore.models import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    compare_server_default=True,
)
with context.begin_transaction():
    context.run_migrations()
