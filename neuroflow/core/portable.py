"""Take all rows out of a database, and put them into one: the same values on SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

from sqlalchemy import JSON, Connection, DateTime, MetaData, Table, func, insert, select, text
from sqlalchemy.types import TypeEngine

from neuroflow.models import Base

REVISION_TABLE = "alembic_version"
# Who holds what at the moment says nothing after a restore.
_NOT_KEPT = frozenset({"leases"})
_ROWS_AT_ONCE = 1000


def reflect(connection: Connection) -> MetaData:
    """Read our tables as the database has them, whatever its revision; others' are left alone."""
    ours = {*Base.metadata.tables, REVISION_TABLE}
    found = MetaData()
    found.reflect(connection, only=lambda name, _: name in ours)
    for table in found.tables.values():
        for column in table.columns:
            if isinstance(column.type, JSON):
                column.type.none_as_null = True  # otherwise NULL would come back as JSON's null
    return found


def kept_tables(metadata: MetaData) -> list[Table]:
    """Return the tables that a backup holds, each after those that it refers to."""
    return [table for table in metadata.sorted_tables if table.name not in {*_NOT_KEPT, REVISION_TABLE}]


def all_rows(connection: Connection, tables: Sequence[Table]) -> Iterator[tuple[str, list[Any]]]:
    """Yield every row with its table's name, in the tables' order, as JSON can have it."""
    streaming = connection.execution_options(yield_per=_ROWS_AT_ONCE)
    for table in tables:
        keys = list(table.primary_key.columns)
        for row in streaming.execute(select(table).order_by(*keys)):
            yield table.name, [_plain(value) for value in row]


def insert_rows(
    connection: Connection,
    metadata: MetaData,
    header: Mapping[str, Sequence[str]],
    rows: Iterable[tuple[str, list[Any]]],
) -> None:
    """Put rows, as `all_rows` gave them, into tables of the same revision."""
    for name, group in groupby(rows, key=lambda item: item[0]):
        table = metadata.tables[name]
        columns = header[name]
        types = [table.columns[column].type for column in columns]
        batch: list[dict[str, Any]] = []
        for _, values in group:
            batch.append(
                {column: _typed(value, kind) for column, value, kind in zip(columns, values, types, strict=True)}
            )
            if len(batch) == _ROWS_AT_ONCE:
                connection.execute(insert(table), batch)
                batch = []
        if batch:
            connection.execute(insert(table), batch)


def last_ids(connection: Connection, tables: Sequence[Table]) -> dict[str, int]:
    """Return the highest id that each table has ever given out; ids name work directories, and never come back."""
    found = {}
    for table in tables:
        if not _counts(table):
            continue
        if connection.dialect.name == "postgresql":
            query = text("SELECT pg_sequence_last_value(pg_get_serial_sequence(:name, 'id')::regclass)")
        else:
            query = text("SELECT seq FROM sqlite_sequence WHERE name = :name")
        highest = connection.scalar(select(func.max(table.columns["id"])))
        found[table.name] = max(connection.scalar(query, {"name": table.name}) or 0, highest or 0)
    return found


def set_last_id(connection: Connection, name: str, last: int) -> None:
    """Have a table give out ids above `last` from now on."""
    if last < 1:
        return
    if connection.dialect.name == "postgresql":
        query = "SELECT setval(pg_get_serial_sequence(:name, 'id')::regclass, :last)"
        connection.execute(text(query), {"name": name, "last": last})
        return
    changed = connection.execute(
        text("UPDATE sqlite_sequence SET seq = :last WHERE name = :name"), {"name": name, "last": last}
    )
    if changed.rowcount == 0:
        connection.execute(
            text("INSERT INTO sqlite_sequence (name, seq) VALUES (:name, :last)"), {"name": name, "last": last}
        )


def drop_all(connection: Connection) -> None:
    """Drop our tables, and no others."""
    reflect(connection).drop_all(connection)


def _counts(table: Table) -> bool:
    return [column.name for column in table.primary_key.columns] == ["id"]


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        aware = value if value.tzinfo is not None else value.replace(tzinfo=UTC)
        return aware.astimezone(UTC).isoformat()
    return value


def _typed(value: Any, kind: TypeEngine[Any]) -> Any:
    if value is None or not isinstance(kind, DateTime):
        return value
    moment = datetime.fromisoformat(value)
    return moment if kind.timezone else moment.astimezone(UTC).replace(tzinfo=None)
