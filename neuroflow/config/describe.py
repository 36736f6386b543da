"""Describe every key of the configuration from its models: for `config schema`, `init` and the documentation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import yaml
from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from neuroflow.config.fields import FileOr
from neuroflow.config.shapes import KeyPath, Shape, dotted, shape_of_field

_TYPE_NAMES = {bool: "true or false", int: "whole number", float: "number", Path: "path", SecretStr: "secret text"}


@dataclass(frozen=True)
class KeyInfo:
    """One key, in words."""

    key: str
    type: str
    default: str  # as it would be written in YAML; empty where the key is required
    required: bool
    description: str


def describe_keys(model: type[BaseModel], prefix: KeyPath = ()) -> Iterator[KeyInfo]:
    """Walk all keys that hold a value, in the order of the models."""
    for name, field in model.model_fields.items():
        shape = shape_of_field(field)
        if shape.kind == "section" and not shape.optional:
            yield from describe_keys(shape.base, (*prefix, name))
            continue
        yield _info(field, shape, (*prefix, name))
        if shape.kind == "section":
            yield from describe_keys(shape.base, (*prefix, name))
        elif shape.kind == "list" and shape.item is not None and shape.item.kind == "section":
            yield from describe_keys(shape.item.base, (*prefix, f"{name}[]"))
        elif shape.kind == "mapping" and shape.item is not None and shape.item.kind == "section":
            yield from describe_keys(shape.item.base, (*prefix, name, "NAME"))


def _info(field: FieldInfo, shape: Shape, key: KeyPath) -> KeyInfo:
    required = field.is_required()
    return KeyInfo(
        key=dotted(key),
        type=_type_in_words(shape, field),
        default="" if required else default_in_yaml(field.get_default(call_default_factory=True)),
        required=required,
        description=str(field.description),
    )


def _type_in_words(shape: Shape, field: FieldInfo | None = None) -> str:
    if shape.kind == "section":
        return "mapping"
    if shape.kind == "mapping" and shape.item is not None:
        return f"mapping of names to {_type_in_words(shape.item)}"
    if shape.kind == "list" and shape.item is not None:
        items = _type_in_words(shape.item)
        return f"list of {items}s" if items in ("text", "path", "mapping") else f"list of: {items}"
    if get_origin(shape.base) is Literal:
        return ", ".join(str(choice) for choice in get_args(shape.base))
    if any(isinstance(marker, FileOr) for marker in shape.markers):
        return "name or path"
    return _TYPE_NAMES.get(shape.base, "text") + (_bounds(field) if field is not None else "")


def _bounds(field: FieldInfo) -> str:
    words = {"ge": "from", "gt": "above", "le": "to", "lt": "below"}
    bounds = [
        f"{word} {getattr(marker, name):g}"
        for marker in field.metadata
        for name, word in words.items()
        if getattr(marker, name, None) is not None
    ]
    return f" {' '.join(bounds)}" if bounds else ""


def default_in_yaml(value: Any) -> str:
    """Write a default on one line, as YAML; nothing for none."""
    if value is None:
        return "null"
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if isinstance(value, tuple):
        value = list(value)
    text = yaml.safe_dump(value, default_flow_style=True, width=10_000, allow_unicode=True)
    return str(text).removesuffix("...\n").strip()
