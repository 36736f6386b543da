"""What a status asks beside the runs: holds, values of the services, calls of SLURM, images, deliveries."""

from __future__ import annotations

from datetime import datetime

from neuroflow.core.reading import Reader, as_json, as_time, maybe_time
from neuroflow.domain import CallStatistics, DeliveryStatus, ImageRecord

HOLD_PREFIX = "hold:"


def held_pipelines(reader: Reader) -> dict[str, str]:
    """Return the pipelines that are held, with the reason."""
    # ';' follows ':'.
    rows = reader.rows(
        "SELECT key, value FROM service_values WHERE key >= ? AND key < ? ORDER BY key",
        HOLD_PREFIX,
        HOLD_PREFIX.replace(":", ";"),
    )
    found = {key.removeprefix(HOLD_PREFIX): as_json(value) for key, value in rows}
    return {name: str(value.get("reason", "")) for name, value in found.items() if value.get("held")}


def undelivered(reader: Reader, *, since: datetime) -> int:
    """Return how many deliveries have failed at least once and were not made, of messages since a moment."""
    return reader.count(
        "SELECT count(*) FROM deliveries WHERE status <> ? AND error <> '' AND created_at > ?",
        DeliveryStatus.SENT.value,
        since,
    )


def calls_left(reader: Reader, budget: str, *, per_minute: float, now: datetime) -> float:
    """Return how many calls may be made now; `core.calls` takes them."""
    rows = reader.rows("SELECT tokens, updated_at FROM call_budgets WHERE name = ?", budget)
    if not rows:
        return per_minute
    passed = max(0.0, (now - as_time(rows[0][1])).total_seconds())
    return min(per_minute, float(rows[0][0]) + passed * per_minute / 60)


def call_statistics(reader: Reader) -> list[CallStatistics]:
    """Return how the calls of each program went, by name."""
    rows = reader.rows(
        "SELECT program, calls, failures, seconds, last_seconds, updated_at FROM call_statistics ORDER BY program"
    )
    return [CallStatistics(*[*row[:5], as_time(row[5])]) for row in rows]


def image_history(reader: Reader, name: str) -> list[ImageRecord]:
    """Return what was seen under an image's name, first to last."""
    rows = reader.rows(
        "SELECT id, name, stamp, identity, size, digest, tool_version, first_seen_at, accepted_at FROM images "
        "WHERE name = ? ORDER BY id",
        name,
    )
    return [ImageRecord(*[*row[:7], as_time(row[7]), maybe_time(row[8])]) for row in rows]
