"""What surrounds every task: the log context, and failures as words instead of tracebacks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import structlog


@contextmanager
def bound(task: Any, **values: Any) -> Iterator[None]:
    """Bind a task's ids to every log line, and clear them at its end."""
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(task_id=task.request.id, **values)
    try:
        yield
    finally:
        structlog.contextvars.clear_contextvars()
