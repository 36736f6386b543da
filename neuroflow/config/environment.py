"""Settings from the environment: NEUROFLOW_REDIS__URL is redis.url."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from neuroflow.config.layers import Layer, prepare
from neuroflow.config.shapes import KeyPath, Shape, is_path, shape_of_field

PREFIX = "NEUROFLOW_"
DELIMITER = "__"
CONFIG_VARIABLE = "NEUROFLOW_CONFIG"
SITE_VARIABLE = "NEUROFLOW_SITE"


def environment_layer(model: type[BaseModel], environ: Mapping[str, str], *, base: Path) -> tuple[Layer, list[str]]:
    """Return the layer of the environment, and what is wrong with its variables."""
    values: dict[str, Any] = {}
    places: dict[KeyPath, str] = {}
    problems: list[str] = []
    # Shorter key paths first, so that a whole section in JSON yields to a variable for one of its keys.
    for name in sorted(environ, key=lambda name: (name.count(DELIMITER), name)):
        text = environ[name]
        if not text or not _is_setting(model, name):
            continue
        key, shape = _key_path(model, name)
        if shape is None:
            problems.append(f"environment {name}: {_unknown(model, name)}")
            continue
        try:
            value = _value(shape, text)
        except ValueError as error:
            problems.append(f"environment {name}: {'.'.join(key)}: {error}")
            continue
        _put(values, key, value)
        places[tuple(key)] = name
    return Layer("environment", prepare(model, values, base=base), places), problems


def _is_setting(model: type[BaseModel], name: str) -> bool:
    """Tell settings, misspelt ones included, from variables that merely share the prefix."""
    if not name.startswith(PREFIX) or name in (CONFIG_VARIABLE, SITE_VARIABLE):
        return False
    rest = name.removeprefix(PREFIX).lower()
    return DELIMITER in rest or any(rest == section or rest.startswith(f"{section}_") for section in model.model_fields)


def _key_path(model: type[BaseModel], name: str) -> tuple[list[str], Shape | None]:
    shape: Shape | None = Shape("section", model)
    key = []
    for part in name.removeprefix(PREFIX).split(DELIMITER):
        # The keys of a free mapping, such as the containers' environment, keep their case.
        part = part if shape is not None and shape.kind == "mapping" else part.lower()
        key.append(part)
        if shape is None or shape.kind in ("list", "value") or not part:
            return key, None
        shape = shape.child(part)
    return key, shape


def _value(shape: Shape, text: str) -> Any:
    if shape.kind != "value":
        return _json(shape, text)
    if text == "null" and shape.optional:
        return None
    if is_path(shape) and text.startswith('"'):
        return _json(shape, text)
    return text


def _json(shape: Shape, text: str) -> Any:
    wanted = {"list": (list, 'list, such as ["a", "b"]'), "value": (str, "text in double quotes")}.get(
        shape.kind, (dict, 'mapping, such as {"key": "value"}')
    )
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = ...
    if value is None and shape.optional:
        return None
    if not isinstance(value, wanted[0]):
        raise ValueError(f"must be JSON: a {wanted[1]}")
    return value


def _put(values: dict[str, Any], key: list[str], value: Any) -> None:
    *parents, last = key
    for parent in parents:
        below = values.setdefault(parent, {})
        if not isinstance(below, dict):
            below = values[parent] = {}
        values = below
    values[last] = value


def _unknown(model: type[BaseModel], name: str) -> str:
    known = list(variables(model))
    near = difflib.get_close_matches(name, known, n=1)
    guess = f"did you mean {near[0]}? " if near else ""
    return f"sets no key of the configuration; {guess}`neuroflow config schema --keys` lists the keys"


def variables(model: type[BaseModel], prefix: str = PREFIX) -> list[str]:
    """Return the names of all variables that set a key or a section."""
    names = []
    for name, field in model.model_fields.items():
        names.append(prefix + name.upper())
        shape = shape_of_field(field)
        if shape.kind == "section":
            names += variables(shape.base, f"{prefix}{name.upper()}{DELIMITER}")
    return names
