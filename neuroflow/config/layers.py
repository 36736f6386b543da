"""The layers of the configuration: files, environment and arguments, each with where its values were written."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from neuroflow.config.document import Document
from neuroflow.config.fields import FileOr
from neuroflow.config.shapes import KeyPath, Shape, is_path, shape_of_field


@dataclass(frozen=True)
class Layer:
    """What one source says, as plain values with absolute paths."""

    name: str  # for people: a file's name, "environment" or "argument"
    values: Mapping[str, Any]
    places: Mapping[KeyPath, str] = field(default_factory=dict)  # line numbers, or names of variables
    path: Path | None = None  # of a file

    def holds(self, key: KeyPath) -> bool:
        """Tell whether this layer says something under a key path."""
        value: Any = self.values
        for part in key:
            if isinstance(value, list | tuple):
                value = dict(enumerate(value))
            if not isinstance(value, Mapping) or part not in value:
                return False
            value = value[part]
        return True

    def source(self, key: KeyPath) -> str:
        """Name the source in short: `neuroflow.yaml:12`, `environment`."""
        mark = self._mark(key)
        return f"{self.name}:{mark}" if self.path is not None and mark else self.name

    def place(self, key: KeyPath) -> str:
        """Name the source in full, for an error: the file's path and line, the variable."""
        mark = self._mark(key)
        if self.path is not None:
            return f"{self.path}:{mark}" if mark else str(self.path)
        return f"{self.name} {mark}".rstrip()

    def _mark(self, key: KeyPath) -> str:
        for length in range(len(key), 0, -1):
            if key[:length] in self.places:
                return self.places[key[:length]]
        return ""


class LayerSource(PydanticBaseSettingsSource):
    """Hand a layer to pydantic-settings, which merges mappings deeply and lets lists replace each other."""

    def __init__(self, settings_cls: type[BaseSettings], layer: Layer) -> None:
        super().__init__(settings_cls)
        self._layer = layer

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:
        """Return one section's raw value."""
        return self._layer.values.get(field_name), field_name, False

    def __call__(self) -> dict[str, Any]:
        return dict(self._layer.values)


def file_layer(model: type[BaseModel], document: Document) -> Layer:
    """Make a layer of a file; its relative paths are relative to its own folder."""
    return Layer(
        name=document.path.name,
        values=prepare(model, document.values, base=document.path.parent),
        places={key: str(line) for key, line in document.lines.items()},
        path=document.path,
    )


def argument_layer(model: type[BaseModel], overrides: Mapping[str, Any], *, base: Path) -> Layer:
    """Make a layer of arguments: nested mappings, or dotted keys such as `redis.url`."""
    nested: dict[str, Any] = {}
    for name, value in overrides.items():
        *parents, last = name.split(".")
        level = nested
        for parent in parents:
            level = level.setdefault(parent, {})
        if isinstance(value, Mapping) and isinstance(level.get(last), dict):
            level[last].update(value)
        else:
            level[last] = dict(value) if isinstance(value, Mapping) else value
    return Layer("argument", prepare(model, nested, base=base))


def prepare(model: type[BaseModel], values: Mapping[str, Any], *, base: Path) -> dict[str, Any]:
    """Make paths absolute, and drop sections that hold nothing (`cluster:` with every line commented out)."""
    prepared = {}
    for name, value in values.items():
        field_info = model.model_fields.get(name)
        if field_info is None:
            prepared[name] = value
            continue
        shape = shape_of_field(field_info)
        if value is None and shape.kind in ("section", "mapping") and not shape.optional:
            continue
        prepared[name] = _prepared(shape, value, base)
    return prepared


def _prepared(shape: Shape, value: Any, base: Path) -> Any:
    if shape.kind == "section" and isinstance(value, Mapping):
        return prepare(shape.base, value, base=base)
    if shape.kind == "mapping" and shape.item is not None and isinstance(value, Mapping):
        return {name: _prepared(shape.item, item, base) for name, item in value.items()}
    if shape.kind == "list" and shape.item is not None and isinstance(value, list | tuple):
        return [_prepared(shape.item, item, base) for item in value]
    if isinstance(value, Path) or (isinstance(value, str) and value.strip()):
        if is_path(shape):
            return absolute(str(value), base)
        if any(isinstance(marker, FileOr) and marker.is_file(str(value)) for marker in shape.markers):
            return absolute(str(value), base)
    return value


def absolute(text: str, base: Path) -> str:
    """Make a path absolute against a folder; what the schema refuses is left as it is, for its message."""
    if "\0" in text or "$" in text:
        return text
    try:
        path = base / Path(text).expanduser()
    except RuntimeError:
        return text
    # '..' is followed on disk, as a shell command would, not cut off the text.
    return os.path.realpath(path) if ".." in path.parts else str(path)
