"""Make text of any origin fit for a message: short, on one line, without markup, subjects or paths."""

from __future__ import annotations

import re

LONGEST_LINE = 300
# Of a text of any length only so much is looked at.
_LONGEST_RAW = 4_000

_ANSI = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
# C0, C1, line separators, and what turns the direction of writing round or can't be seen.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]+")
# Slack reads <!channel>, <@user> and <url|text>; chats read @here, @room and `*`; mail readers HTML.
_MARKUP = str.maketrans({"<": "‹", ">": "›", "&": "＆", "@": "＠", "`": "'", "*": "∗", "|": "¦", "~": "∼", "_": "_"})
_CHANNEL = re.compile(r"!(?=channel|here|everyone|subteam|date)", re.IGNORECASE)
_URL = re.compile(r"\b[a-z][a-z0-9+.-]*://\S+", re.IGNORECASE)
_LABEL = re.compile(r"(?<![A-Za-z0-9])(sub|ses)-[A-Za-z0-9]+")
_PATH = re.compile(r"(?<![\w.<‹~])~?/[^\s'\"`,;:()\[\]{}<>]+")


def plain(text: str, *, longest: int = LONGEST_LINE) -> str:
    """Return a text as one short line that no chat or mail reader takes for anything but text."""
    line = " ".join(_CONTROL.sub(" ", _ANSI.sub("", text[:_LONGEST_RAW])).split())
    # First the raw text is cut off, then what is left loses its links, so that no half of one stays.
    line = _CHANNEL.sub("! ", _URL.sub("<url>", line)).translate(_MARKUP)
    return line if len(line) <= longest else line[: longest - 1].rstrip() + "…"


def discreet(text: str) -> str:
    """Return a text without the labels of subjects and sessions and without paths."""
    return _LABEL.sub(r"\1-<label>", _PATH.sub("<path>", text[:_LONGEST_RAW]))
