"""Structured logs: structlog and the standard library's loggers, through one formatter, with secrets hidden."""

from __future__ import annotations

import fcntl
import logging
import logging.handlers
import os
import re
import sys
from collections.abc import MutableMapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import structlog
from structlog.typing import Processor

from neuroflow.errors import ConfigError
from neuroflow.masking import mask_value

if TYPE_CHECKING:
    from neuroflow.config.sections import Logging

MAX_FILE_BYTES = 20_000_000
KEPT_FILES = 5

# Their INFO lines say nothing about a run.
_NOISY_LOGGERS = ("alembic.runtime.plugins", "amqp", "kombu", "paramiko", "urllib3")
# Text from DICOM headers and folder names must not steer a terminal, nor look like another log line.
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029]")
# These hold our own line breaks.
_MANY_LINES = ("exception", "stack")


def configure(config: Logging, *, service: str, stream: TextIO | None = None) -> None:
    """Configure all logging of this process; calling it again replaces the former configuration.

    `service` (cli, worker, beat, up) stands in every line. Lines go to `stream`, standard error by default.

    Raises:
        ConfigError: when the log file can't be opened.
    """
    stream = sys.stderr if stream is None else stream
    shared = _shared_processors(service)
    console = config.format == "console" or (config.format == "auto" and stream.isatty())
    handlers: list[logging.Handler] = [logging.StreamHandler(stream)]
    handlers[0].setFormatter(_formatter(shared, console=console, colors=stream.isatty()))
    if config.file is not None:
        handlers.append(_file_handler(config.file))
        handlers[1].setFormatter(_formatter(shared, console=False, colors=False))
    _replace_handlers(handlers, config.level)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        # A cached logger would keep the configuration of before.
        cache_logger_on_first_use=False,
    )


def bind(**values: Any) -> None:
    """Add key-values to every later line of this context, such as a task's id and run id."""
    structlog.contextvars.bind_contextvars(**values)


def clear() -> None:
    """Forget what `bind` added."""
    structlog.contextvars.clear_contextvars()


def mask_secrets(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Hide secrets in a log line's values, its text and its traceback."""
    return {name: mask_value(name, value) for name, value in event.items()}


def _escape_control(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    return {name: value if name in _MANY_LINES else _escaped(value) for name, value in event.items()}


def _escaped(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    return _CONTROL.sub(lambda found: found.group().encode("unicode_escape").decode("ascii"), value)


def _shared_processors(service: str) -> list[Processor]:
    def add_service(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        event.setdefault("service", service)
        return event

    return [
        structlog.contextvars.merge_contextvars,
        add_service,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
        structlog.processors.UnicodeDecoder(),
        mask_secrets,
    ]


def _formatter(shared: list[Processor], *, console: bool, colors: bool) -> logging.Formatter:
    last: list[Processor]
    if console:
        last = [_escape_control, structlog.dev.ConsoleRenderer(colors=colors)]
    else:
        last = [structlog.processors.JSONRenderer(default=str)]
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
    )


def _replace_handlers(handlers: list[logging.Handler], level: str) -> None:
    root = logging.getLogger()
    for old in list(root.handlers):
        # Only our own: a test runner's, say, stay.
        if isinstance(old.formatter, structlog.stdlib.ProcessorFormatter):
            root.removeHandler(old)
            old.close()
    for handler in handlers:
        root.addHandler(handler)
    root.setLevel(level)
    for name in _NOISY_LOGGERS:
        logging.getLogger(name).setLevel(max(logging.getLevelNamesMapping()[level], logging.WARNING))


def _file_handler(path: Path) -> logging.Handler:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return SharedFileHandler(path)
    except OSError as error:
        raise ConfigError(
            f"logging.file: '{path}' can't be written: {error.strerror}", hint="name a file in a folder of your own"
        ) from error


class SharedFileHandler(logging.handlers.WatchedFileHandler):
    """Append to a file that several processes write, and rotate it under a lock.

    The standard library's rotating handler lets each process rotate for itself, which throws lines away.
    """

    def __init__(self, path: Path, *, max_bytes: int = MAX_FILE_BYTES, kept: int = KEPT_FILES) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._kept = kept
        super().__init__(path, encoding="utf-8", errors="backslashreplace")

    def _open(self) -> Any:
        # Logs name subjects: they are for their owner only.
        descriptor = os.open(self._path, os.O_APPEND | os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        return os.fdopen(descriptor, "a", encoding="utf-8", errors="backslashreplace")

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line, after a rotation if it is due."""
        try:
            if self._is_full():
                self._rotate()
        except OSError:
            # A full disk or a lost lock must not stop the work: the line goes to the old file.
            self.handleError(record)
        super().emit(record)

    def _is_full(self) -> bool:
        try:
            return self._path.stat().st_size >= self._max_bytes
        except FileNotFoundError:
            return False

    def _rotate(self) -> None:
        with self._path.with_name(f"{self._path.name}.lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            # Another process may have been first.
            if not self._is_full():
                return
            for number in range(self._kept - 1, 0, -1):
                older = self._numbered(number)
                if older.exists():
                    older.replace(self._numbered(number + 1))
            self._path.replace(self._numbered(1))

    def _numbered(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}")
