"""Run migrations in the transaction of the connection that `diffserver.storage.migrate` passes."""

from alembic import context

from diffserver.storage.tables import METADATA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    render_as_batch=True,
    transactional_ddl=True,
    compare_type=True,
)
with context.begin_transaction():
    context.run_migrations()
