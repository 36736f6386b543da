"""Structured logs: structlog and the standard library's loggers, through one formatter, with secrets hidden."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import MutableMapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import structlog
from structlog.typing import Processor

from neuroflow.errors import ConfigError
from neuroflow.masking import mask_value
from neuroflow.rotation import RotatedFile
from neuroflow.sharing import make_folder

if TYPE_CHECKING:
    from neuroflow.config.sections import Logging

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
        handlers.append(_file_handler(config, config.file))
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


def _file_handler(config: Logging, path: Path) -> logging.Handler:
    try:
        # Closed ones: the log may be what makes state_dir, before anything else does.
        for folder in reversed([parent for parent in path.parents if not parent.exists()]):
            make_folder(folder)
        return SharedFileHandler(path, max_bytes=int(config.max_mb * 1e6), kept=config.keep)
    except OSError as error:
        raise ConfigError(
            f"logging.file: '{path}' can't be written: {error.strerror}", hint="name a file in a folder of your own"
        ) from error


class SharedFileHandler(logging.Handler):
    """Append to a file that several processes write and rotate.

    The standard library's rotating handler lets each process rotate for itself, which throws lines away.
    """

    def __init__(self, path: Path, *, max_bytes: int, kept: int) -> None:
        super().__init__()
        self._file = RotatedFile(path, max_bytes=max_bytes, kept=kept)

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line."""
        try:
            self._file.write(f"{self.format(record)}\n".encode("utf-8", "backslashreplace"))
        except Exception:  # as the standard library's handlers: a log line never stops the work
            self.handleError(record)

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()
