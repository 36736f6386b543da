"""Hide secrets in text that people or log files will see."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pydantic import SecretStr

MASK = "**********"

# Up to the last '@' of an unbroken piece of text: passwords may hold '/', ':' and '@' that nobody has quoted.
_URL_PASSWORD = re.compile(r"(?<=://)([^/\s:@]*):\S*@")
_QUERY_SECRET = re.compile(r"([?&][^=&\s]*(?:password|passwd|secret|token|key)[^=&\s]*=)[^&\s]+", re.IGNORECASE)
_SLACK_HOOK = re.compile(r"(https://hooks\.slack\.com/)[^\s'\"]+", re.IGNORECASE)
_SECRET_KEY = re.compile(r"password|passwd|secret|webhook|token|api_?key|access_?key|private_?key", re.IGNORECASE)
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
