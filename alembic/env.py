"""Migrations run on PACKSHOT_DATABASE_URL, or on the URL that a caller put into the config's attributes."""

from alembic import context

from config.settings import Settings
from db import batch_models, key_models, models, webhook_models, worker_models  # noqa: F401 - their tables
from db.base import Base
from db.session import build_engine

url = context.config.attributes.get("database_url") or Settings().require_database_url()
engine = build_engine(url, pool_size=1)
with engine.connect() as connection:
    # An index on a large table takes longer than any statement of the service may; two migrators take turns.
    connection.exec_driver_sql("SET statement_timeout = 0")
    connection.exec_driver_sql("SELECT pg_advisory_lock(7225746)")
    connection.commit()
    context.configure(connection=connection, target_metadata=Base.metadata, transaction_per_migration=True)
    with context.begin_transaction():
        context.run_migrations()
engine.dispose()
