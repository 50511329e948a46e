"""Alembic's door: runs the revisions on the connection, and in the transaction, that the store hands over."""

from alembic import context

from recognizer.store.schema import REVISION_TABLE, metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=REVISION_TABLE,
    # all or nothing, on SQLite too: the store's transaction is open already and is the only one
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
