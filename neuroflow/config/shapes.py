"""What a field of the configuration holds: a section, a mapping, a list or a single value."""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

KeyPath = tuple[str | int, ...]


@dataclass(frozen=True)
class Shape:
    """A type annotation, taken apart as far as the loader needs it."""

    kind: Literal["section", "mapping", "list", "value"]
    base: Any  # the model of a section, the type of a single value
    item: Shape | None = None  # of a mapping's values, or a list's items
    optional: bool = False
    markers: tuple[Any, ...] = ()

    def child(self, key: str | int) -> Shape | None:
        """Return the shape below a key, or None where the schema has none."""
        if self.kind == "section":
            field = self.base.model_fields.get(key)
            return None if field is None else shape_of_field(field)
        return self.item


def shape_of(annotation: Any, markers: tuple[Any, ...] = (), *, optional: bool = False) -> Shape:
    """Take a type annotation apart."""
    origin = get_origin(annotation)
    if origin is Annotated:
        inner, *found = get_args(annotation)
        return shape_of(inner, (*markers, *found), optional=optional)
    if origin in (Union, types.UnionType):
        members = [member for member in get_args(annotation) if member is not type(None)]
        if len(members) == 1:
            return shape_of(members[0], markers, optional=True)
    if origin is dict:
        return Shape("mapping", dict, shape_of(get_args(annotation)[1]), optional, markers)
    if origin is tuple:
        return Shape("list", tuple, shape_of(get_args(annotation)[0]), optional, markers)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return Shape("section", annotation, None, optional, markers)
    return Shape("value", annotation, None, optional, markers)


def shape_of_field(field: FieldInfo) -> Shape:
    """Take a field's annotation apart; pydantic keeps the outermost markers beside it."""
    return shape_of(field.annotation, tuple(field.metadata))


def is_number(field: FieldInfo) -> bool:
    """Tell whether a field holds one number."""
    return shape_of_field(field).base in (int, float)


def shape_at(model: type[BaseModel], key: KeyPath) -> Shape | None:
    """Return the shape at a key path, or None where the schema has none."""
    shape: Shape | None = Shape("section", model)
    for part in key:
        if shape is None:
            return None
        shape = shape.child(part)
    return shape


def allowed_keys(model: type[BaseModel], key: KeyPath) -> tuple[str, ...]:
    """Return the keys that the section at a key path may hold; none where it is no section."""
    shape = shape_at(model, key)
    return tuple(shape.base.model_fields) if shape is not None and shape.kind == "section" else ()


def fields_of(model: type[BaseModel], prefix: KeyPath = ()) -> Iterator[tuple[KeyPath, FieldInfo]]:
    """Walk every field below a model that is no section itself, in order, with its key path."""
    for name, field in model.model_fields.items():
        shape = shape_of_field(field)
        if shape.kind == "section" and not shape.optional:
            yield from fields_of(shape.base, (*prefix, name))
        else:
            yield (*prefix, name), field


def leaves(value: Any, prefix: KeyPath = ()) -> Iterator[tuple[KeyPath, Any]]:
    """Walk the single values of nested mappings and lists."""
    if isinstance(value, Mapping) and value:
        for name, item in value.items():
            yield from leaves(item, (*prefix, name))
    elif isinstance(value, list | tuple) and value:
        for index, item in enumerate(value):
            yield from leaves(item, (*prefix, index))
    else:
        yield prefix, value


def dotted(key: KeyPath) -> str:
    """Write a key path as people do: `protocol.required_scans[0].name`."""
    text = ""
    for part in key:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if text else part
    return text


def is_path(shape: Shape) -> bool:
    """Tell whether a single value is a path."""
    return shape.kind == "value" and shape.base is Path
