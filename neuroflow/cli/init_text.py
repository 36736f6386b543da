"""The text of a new neuroflow.yaml: every key with its meaning, the defaults commented out."""

from __future__ import annotations

import json
import textwrap
from typing import TYPE_CHECKING

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from neuroflow.config import NeuroflowConfig
from neuroflow.config.describe import default_in_yaml
from neuroflow.config.shapes import shape_of_field

if TYPE_CHECKING:
    from neuroflow.cli.init_command import Answers

_HEAD = """\
# The configuration of neuroflow. Keys that are commented out show their defaults.
# Relative paths are relative to this file. Check it with `neuroflow config validate`.
"""
_SITE = """
# One site's facts (cluster, containers, pipelines): the name of a file in site-configs/, or a path.
"""


def configuration_text(answers: Answers) -> str:
    """Write a commented configuration file."""
    site = f"site: {_quoted(answers.site)}" if answers.site is not None else "# site: local"
    return "".join((_HEAD, _SITE, site, "\n", *(_section(name, answers) for name in NeuroflowConfig.model_fields)))


def _section(name: str, answers: Answers) -> str:
    field = NeuroflowConfig.model_fields[name]
    # Only `paths` has keys without defaults; an empty section is allowed, and waits to be filled.
    given = vars(answers) if name == "paths" else {}
    body = _keys(shape_of_field(field).base, 1, given)
    return f"\n# {field.description}\n{name}:\n{body}"


def _keys(model: type[BaseModel], depth: int, given: dict[str, str | None]) -> str:
    return "".join(_key(name, field, depth, given.get(name)) for name, field in model.model_fields.items())


def _key(name: str, field: FieldInfo, depth: int, given: str | None) -> str:
    indent = "  " * depth
    comment = textwrap.fill(
        str(field.description),
        width=110,
        initial_indent=f"{indent}# ",
        subsequent_indent=f"{indent}# ",
        break_long_words=False,
        break_on_hyphens=False,
    )
    shape = shape_of_field(field)
    if shape.kind == "section" and not shape.optional:
        return f"{comment}\n{indent}{name}:\n{_keys(shape.base, depth + 1, {})}"
    if given is not None:
        return f"{comment}\n{indent}{name}: {_quoted(given)}\n"
    default = "..." if field.is_required() else default_in_yaml(field.get_default(call_default_factory=True))
    return f"{comment}\n{indent}# {name}: {default}\n"


def _quoted(text: str) -> str:
    """Write a text as a YAML scalar that is read back as it is; a JSON string is one."""
    # A slash keeps words such as `no` and `null` out of the plain form.
    plain = text.translate(str.maketrans("", "", "/_-."))
    return text if "/" in text and plain.isascii() and plain.isalnum() and text[0] != "-" else json.dumps(text)
