"""JSON schemas of neuroflow.yaml and of a site file, for editors; the loader itself stays the judge."""

from __future__ import annotations

from typing import Any

from neuroflow.config.load import NeuroflowConfig

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_SITE = {
    "description": "One site's facts (cluster, containers, pipelines): the name of a file in site-configs/, or a path.",
    "type": "string",
}


def main_schema() -> dict[str, Any]:
    """Return the schema of neuroflow.yaml."""
    schema = _from_models()
    schema["title"] = "neuroflow.yaml"
    schema["properties"] = {"site": _SITE, **schema["properties"]}
    return schema


def site_schema() -> dict[str, Any]:
    """Return the schema of a site file: the same sections, and none that it must have."""
    schema = _from_models()
    schema["title"] = "A site file of neuroflow"
    schema.pop("required", None)
    return schema


def _from_models() -> dict[str, Any]:
    schema = NeuroflowConfig.model_json_schema()
    for part in (schema, *schema["$defs"].values()):
        part["properties"] = {name: _allowing_empty(field) for name, field in part.get("properties", {}).items()}
    # A layer need not hold what another one does: a site file may name some of the paths, and others not.
    schema["$defs"]["Paths"].pop("required", None)
    schema["description"] = "Sections and keys, as docs/configuration.md lists them."
    return {"$schema": _DIALECT, **schema}


def _allowing_empty(field: dict[str, Any]) -> dict[str, Any]:
    """Allow a section without keys, which YAML reads as null, as the loader does."""
    if "$ref" not in field:
        return field
    rest = {name: value for name, value in field.items() if name != "$ref"}
    return {"anyOf": [{"$ref": field["$ref"]}, {"type": "null"}], **rest}
