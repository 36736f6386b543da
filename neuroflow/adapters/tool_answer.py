"""Read what a tool answered to `--version`: which version it is, and whether it is the pipeline's tool at all."""

from __future__ import annotations

import re
from dataclasses import dataclass

from neuroflow.adapters.runtimes.images import told_versions

# As the tools spell themselves.
TOOLS = {"bids_conversion": "HeudiConv", "qsiprep": "QSIPrep", "qsirecon": "QSIRecon", "qsiparc": "QSIParc"}
# `QSIPrep v26.1.1`, `qsiparc, version 0.1.2`, `heudiconv.py: 1.5.1`
_BETWEEN = r"(?:\.\w+)?[,:]?\s+(?:version:?\s+)?"


@dataclass(frozen=True)
class ToolAnswer:
    """What an answer tells."""

    version: str = ""  # empty where it names none
    other_tool: str = ""  # the tool of another pipeline that it names in place of its own


def read_answer(pipeline: str, text: str, *, expected: str | None = None) -> ToolAnswer:
    """Read a tool's answer; a version beside a tool's name counts before others.

    Args:
        pipeline: the pipeline whose tool was asked.
        text: what it wrote.
        expected: the version that is expected; it is taken where an answer without a name has several.
    """
    own = TOOLS.get(pipeline, pipeline)
    if version := _version_beside(own, text):
        return ToolAnswer(version)
    others = {tool: version for tool in TOOLS.values() if tool != own and (version := _version_beside(tool, text))}
    if others and not re.search(rf"\b{re.escape(own)}\b", text, re.IGNORECASE):
        tool, version = next(iter(others.items()))
        return ToolAnswer(version, other_tool=tool)
    found = [one for one in told_versions(text) if one not in others.values()]
    fitting = (one for one in found if expected and same_release(one, expected))
    return ToolAnswer(next(fitting, found[0] if found else ""))


def _version_beside(tool: str, text: str) -> str:
    for match in re.finditer(rf"\b{re.escape(tool)}{_BETWEEN}(?=v?\d)", text, re.IGNORECASE):
        rest = text[match.end() :].split(maxsplit=1)[0]
        if found := told_versions(rest):
            return found[0]
    return ""


def same_release(one: str, other: str) -> bool:
    """Tell whether two versions agree as far as both are written out: 26.1 and 26.1.1 do, 26.1.1 and 26.1.10 don't."""
    numbers = [re.findall(r"\d+", text)[:3] for text in (one, other)]
    return all(first == second for first, second in zip(*numbers, strict=False))
