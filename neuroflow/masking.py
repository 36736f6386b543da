"""Hide secrets in text that people or log files will see."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import SecretStr

MASK = "**********"

# Up to the last '@' of an unbroken piece of text: passwords may hold '/', ':' and '@' that nobody has quoted.
_URL_PASSWORD = re.compile(r"(?<=://)([^/\s:@]*):\S*@")
_QUERY_SECRET = re.compile(r"([?&][^=&\s]*(?:password|passwd|secret|token|key)[^=&\s]*=)[^&\s]+", re.IGNORECASE)
_SLACK_HOOK = re.compile(r"(https://hooks\.slack\.com/)[^\s'\"]+", re.IGNORECASE)
_SECRET_KEY = re.compile(r"password|passwd|secret|webhook|token|api_?key|access_?key|private_?key", re.IGNORECASE)
_CSV_FIELD = re.compile(r'"((?:[^"]|"")*)"')
# An attempt's token is a name, not a secret: every log line about a job carries it.
_PUBLIC_KEYS = frozenset({"token", "tokens", "attempt_token"})


def is_secret_key(key: str) -> bool:
    """Tell whether a key's name says that its value is a secret."""
    return key not in _PUBLIC_KEYS and _SECRET_KEY.search(key) is not None


def mask_text(text: str) -> str:
    """Hide passwords in URLs, secret query values and Slack webhooks inside a text."""
    if "://" in text:
        text = _URL_PASSWORD.sub(rf"\1:{MASK}@", text)
        text = _SLACK_HOOK.sub(rf"\1{MASK}", text)
        text = _QUERY_SECRET.sub(rf"\1{MASK}", text)
    return text


def mask_command(words: Sequence[str]) -> list[str]:
    """Return a command's words with the values of secret variables and options hidden."""
    found: list[str] = []
    before = ""
    for word in words:
        if before == "--env":
            found.append(_masked_variables(word))
        elif before.startswith("--") and "=" not in before and not word.startswith("--") and _is_secret_name(before):
            found.append(MASK)
        else:
            found.append(_masked_pair(word) if word.startswith("--") else mask_text(word))
        before = word
    return found


def _masked_variables(text: str) -> str:
    """Mask `NAME=value`, or the quoted fields of one CSV record of them, as Apptainer takes them."""
    if not text.startswith('"'):
        return _masked_pair(text)
    fields = [field.replace('""', '"') for field in _CSV_FIELD.findall(text)]
    return ",".join('"' + _masked_pair(field).replace('"', '""') + '"' for field in fields)


def _is_secret_name(name: str) -> bool:
    return is_secret_key(name.replace("-", "_"))


def _masked_pair(text: str) -> str:
    name, equals, value = text.partition("=")
    return f"{name}={MASK}" if equals and value and _is_secret_name(name) else mask_text(text)


def mask_value(key: str, value: Any) -> Any:
    """Return a value fit to be shown under its key; containers are looked into."""
    if isinstance(value, SecretStr) or (is_secret_key(key) and not _is_plain(value)):
        return MASK
    if isinstance(value, str):
        return mask_text(value)
    if isinstance(value, Mapping):
        return {name: mask_value(str(name), item) for name, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [mask_value(key, item) for item in value]
    return value


def _is_plain(value: Any) -> bool:
    """Tell numbers, flags and nothing from what could be a secret."""
    return value is None or isinstance(value, bool | int | float)
