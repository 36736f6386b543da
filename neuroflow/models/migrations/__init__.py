"""The Alembic migrations; `neuroflow.core.schema` runs them, there is no alembic.ini."""
