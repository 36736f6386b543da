"""The text of a new neuroflow.yaml: what a lab must decide, or every key with the defaults commented out."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from neuroflow.cli.yaml_text import comment, scalar
from neuroflow.config import NeuroflowConfig
from neuroflow.config.describe import default_in_yaml
from neuroflow.config.paths import Paths
from neuroflow.config.sections import MaxConcurrent
from neuroflow.config.shapes import shape_of_field

if TYPE_CHECKING:
    from neuroflow.cli.init_command import Answers

_HEAD = """\
# The configuration of neuroflow. Keys that are commented out show their defaults.
# Relative paths are relative to this file. Check it with `neuroflow config validate`.
"""
_SHORT_HEAD = """\
# The configuration of neuroflow: what a lab must decide. All other keys have defaults: docs/configuration.md, or
# `neuroflow init --all-keys`. Relative paths are relative to this file. Check it with `neuroflow config validate`.
"""
_SITE = """
# One site's facts (cluster, containers, pipelines): the name of a file in site-configs/, or a path.
"""
_REST = """
database:
  # `embedded`: SQLite in state_dir; for many sessions postgresql+psycopg://USER:PASSWORD@HOST/neuroflow
  url: embedded

redis:
  # `embedded`: a private one that `neuroflow up` starts; or redis://HOST:6379/0
  url: embedded

protocol:
  # Scans without which a session waits for a person; a pattern is searched for in the series' names.
  required_scans:
    - {name: T1w, pattern: "t1|mprage", min_files: 1}
    - {name: dwi, pattern: "dwi|dti|diff", min_files: 1}

pipelines:
  # The image of each pipeline: a SIF file that the nodes see, or an image reference for docker and podman.
  bids_conversion:
    # image: /shared/containers/heudiconv.sif
  qsiprep:
    # image: /shared/containers/qsiprep.sif
  qsirecon:
    # image: /shared/containers/qsirecon.sif
  qsiparc:
    # image: /shared/containers/qsiparc.sif
"""
_IN_SHORT = ("freesurfer_license", "templateflow_home")


def short_text(answers: Answers) -> str:
    """Write a configuration file with what a lab must decide."""
    return "".join((_SHORT_HEAD, _SITE, _site(answers), "\n", "\n".join(_paths(answers)), "\n", _REST, _max(answers)))


def configuration_text(answers: Answers) -> str:
    """Write a commented configuration file with every key."""
    return "".join((_HEAD, _SITE, _site(answers), "\n", *(_section(name, answers) for name in _sections())))


def _sections() -> Iterator[str]:
    yield from NeuroflowConfig.model_fields


def _site(answers: Answers) -> str:
    return f"site: {scalar(answers.site)}" if answers.site is not None else "# site: local"


def _paths(answers: Answers) -> Iterator[str]:
    yield "\npaths:"
    for name, field in Paths.model_fields.items():
        value = getattr(answers, name, None)
        if value is None and not (field.is_required() or name in _IN_SHORT):
            continue
        yield from comment(str(field.description), indent=2)
        yield f"  {name}: {_quoted(value)}" if value is not None else f"  # {name}: /path/to/{name}"


def _max(answers: Answers) -> str:
    """Write the runs in flight; commented out beside a site, whose numbers these would override."""
    mark = "# " if answers.site is not None else ""
    why = "; what stands here overrides the site file" if mark else ""
    rows = (f"    {mark}{name}: {field.default}" for name, field in MaxConcurrent.model_fields.items())
    return "\n".join(("\nworkflow:", f"  # Runs in flight{why}.", "  max_concurrent:", *rows)) + "\n"


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
    note = textwrap.fill(
        str(field.description),
        width=110,
        initial_indent=f"{indent}# ",
        subsequent_indent=f"{indent}# ",
        break_long_words=False,
        break_on_hyphens=False,
    )
    shape = shape_of_field(field)
    if shape.kind == "section" and not shape.optional:
        return f"{note}\n{indent}{name}:\n{_keys(shape.base, depth + 1, {})}"
    if given is not None:
        return f"{note}\n{indent}{name}: {_quoted(given)}\n"
    default = "..." if field.is_required() else default_in_yaml(field.get_default(call_default_factory=True))
    return f"{note}\n{indent}# {name}: {default}\n"


def _quoted(text: str) -> str:
    """Write a text as a YAML scalar that is read back as it is; a JSON string is one."""
    # A slash keeps words such as `no` and `null` out of the plain form.
    plain = text.translate(str.maketrans("", "", "/_-."))
    return text if "/" in text and plain.isascii() and plain.isalnum() and text[0] != "-" else json.dumps(text)
