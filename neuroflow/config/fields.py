"""The field types that several sections share: the strict base, paths, single lines, patterns, URLs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, SecretStr, ValidationInfo, field_validator

from neuroflow.config.cron import CronString
from neuroflow.config.shapes import is_number

_UNSAFE_LINE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_UNSAFE_PATH = re.compile(r"[\x00-\x1f\x7f]")
_VARIABLE = re.compile(r"\$(?:\{|[A-Za-z_])")

# The pipelines that there are; the registry holds the same names.
PipelineName = Literal["bids_conversion", "qsiprep", "qsirecon", "qsiparc"]
Runtime = Literal["apptainer", "singularity", "docker", "podman", "host"]


class Section(BaseModel):
    """A part of the configuration: unknown keys are errors, values are frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, hide_input_in_errors=True)

    @field_validator("*", mode="before")
    @classmethod
    def _no_flag_for_number(cls, value: Any, info: ValidationInfo) -> Any:
        # pydantic reads `cpus: yes` as 1.
        if isinstance(value, bool) and is_number(cls.model_fields[str(info.field_name)]):
            raise ValueError("must be a number, not true or false")
        return value


def _one_line(text: str) -> str:
    if _UNSAFE_LINE.search(text):
        raise ValueError(f"{text!r} holds a line break or control character")
    return text


OneLine = Annotated[str, AfterValidator(_one_line)]


def _expand(path: Path) -> Path:
    text = str(path)
    if text == ".":
        raise ValueError("is empty; name a folder or file")
    if _UNSAFE_PATH.search(text):
        raise ValueError(f"{text!r} holds a line break or control character")
    if _VARIABLE.search(text):
        raise ValueError(f"{text!r} holds a variable, and variables are not expanded; write the path out")
    try:
        return path.expanduser()
    except RuntimeError as error:
        raise ValueError(f"{text!r} names a home folder that does not exist") from error


# Relative paths are made absolute by the loader, against the file that names them.
ConfigPath = Annotated[Path, AfterValidator(_expand)]


@dataclass(frozen=True)
class FileOr:
    """Mark a text that is either a file, when it looks like one, or a name."""

    endings: tuple[str, ...]

    def is_file(self, text: str) -> bool:
        """Tell whether the text names a file: by its start, or by its ending."""
        if "://" in text:
            return False
        return text.startswith(("/", "~", "./", "../")) or text.endswith(self.endings)


IMAGE_FILE = FileOr((".sif", ".simg"))
SPEC_FILE = FileOr((".yaml", ".yml", ".json"))
ImageName = Annotated[OneLine, IMAGE_FILE]
SpecName = Annotated[OneLine, SPEC_FILE]


def _check_digest(text: str) -> str:
    if not re.fullmatch(r"sha256:[0-9a-f]{64}", text):
        raise ValueError(f"{text!r} is no digest: 'sha256:' and 64 hexadecimal digits, in lower case")
    return text


ImageDigest = Annotated[str, AfterValidator(_check_digest)]


def _compiles(pattern: str) -> str:
    try:
        re.compile(pattern)
    except (re.error, OverflowError, RecursionError, FutureWarning) as error:
        raise ValueError(f"{pattern!r} is not a regular expression: {error}") from error
    return pattern


Pattern = Annotated[str, AfterValidator(_compiles)]


def _has_port(url: str) -> None:
    """Refuse a URL whose port can't be read, without repeating the URL: it may hold a password."""
    try:
        _ = urlsplit(url).port
    except ValueError as error:
        raise ValueError("has no readable port; percent-encode special characters of the password") from error


def _check_redis(secret: SecretStr) -> SecretStr:
    url = secret.get_secret_value()
    if url == "embedded":
        return secret
    scheme, separator, _ = url.partition("://")
    if not separator or scheme not in ("redis", "rediss", "redis+socket", "memory"):
        raise ValueError("must be a redis://, rediss:// or redis+socket:// URL, or `embedded`")
    if scheme in ("redis", "rediss"):
        _has_port(url)
    return secret


RedisUrl = Annotated[SecretStr, AfterValidator(_check_redis)]


def _check_database(secret: SecretStr) -> SecretStr:
    url = secret.get_secret_value()
    if url == "embedded":
        return secret
    if url.startswith("sqlite"):
        # A relative file would be another database in every process that starts elsewhere.
        if not re.match(r"sqlite(\+pysqlite)?:////[^?]", url):
            raise ValueError("must name an absolute file: sqlite:////absolute/path.db, or be `embedded`")
        return secret
    if not url.startswith(("postgresql://", "postgresql+psycopg://")):
        raise ValueError("must be a postgresql+psycopg:// or sqlite:// URL, or `embedded`")
    _has_port(url)
    return secret


DatabaseUrl = Annotated[SecretStr, AfterValidator(_check_database)]


def _check_webhook(secret: SecretStr) -> SecretStr:
    url = secret.get_secret_value()
    if not url.startswith("https://") or _UNSAFE_PATH.search(url) or not urlsplit(url).hostname:
        raise ValueError("must be an https:// URL")
    return secret


WebhookUrl = Annotated[SecretStr, AfterValidator(_check_webhook)]


def _check_notification_url(secret: SecretStr) -> SecretStr:
    url = secret.get_secret_value()
    if not re.match(r"[A-Za-z][A-Za-z0-9+.-]*://.", url) or _UNSAFE_PATH.search(url):
        raise ValueError("must be an Apprise URL, such as ntfys://host/topic")
    return secret


NotificationUrl = Annotated[SecretStr, AfterValidator(_check_notification_url)]


def _check_address(text: str) -> str:
    if not re.fullmatch(r"[^@\s,;<>\x00-\x1f]+@[^@\s,;<>\x00-\x1f]+", text):
        raise ValueError(f"{text!r} is no mail address, such as name@example.org")
    return text


MailAddress = Annotated[str, AfterValidator(_check_address)]

__all__ = [
    "IMAGE_FILE",
    "ConfigPath",
    "CronString",
    "DatabaseUrl",
    "FileOr",
    "ImageDigest",
    "ImageName",
    "MailAddress",
    "NotificationUrl",
    "OneLine",
    "Pattern",
    "PipelineName",
    "RedisUrl",
    "Runtime",
    "Section",
    "SpecName",
    "WebhookUrl",
]
