"""Write YAML by hand where comments matter: scalars that are read back as they were, comments that stay comments."""

from __future__ import annotations

import json
import re
import textwrap

import yaml

_WIDTH = 118
_PLAIN = re.compile(r"[A-Za-z_/][\w./+-]*", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def scalar(text: str) -> str:
    """Write a text as a YAML scalar that is read back as it is; a JSON string is one."""
    plain = _PLAIN.fullmatch(text) is not None and yaml.safe_load(text) == text
    return text if plain else json.dumps(text)


def comment(text: str, *, indent: int = 0) -> list[str]:
    """Write a text as comment lines; a line break in it, from wherever it came, doesn't end the comment."""
    start = " " * indent + "# "
    return textwrap.wrap(
        _CONTROL.sub(" ", text),
        width=_WIDTH,
        initial_indent=start,
        subsequent_indent=start,
        break_long_words=False,
        break_on_hyphens=False,
    )
