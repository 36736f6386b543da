"""Turn what pydantic found into lines for people: where, which key, what is wrong, what is allowed."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, SecretStr, ValidationError

from neuroflow.config.layers import Layer
from neuroflow.config.shapes import KeyPath, allowed_keys, dotted, fields_of, shape_at
from neuroflow.errors import ConfigError
from neuroflow.masking import is_secret_key, mask_text

_LONGEST_VALUE = 80
_NO_KEY = "is no key of the configuration"
_KEYS_HINT = f"`neuroflow config schema --keys` lists the keys; {ConfigError.hint}"

# What should have been there, by the kind of pydantic's error.
_WANTED = {
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "int_parsing": "must be a whole number",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "int_parsing_size": "must be a smaller number",
    "float_parsing": "must be a number",
    "float_type": "must be a number",
    "finite_number": "must be a finite number",
    "path_type": "must be a path, as a text",
    "tuple_type": "must be a list, such as [a, b]",
    "dict_type": "must be a mapping of keys to values",
    "model_type": "must be a mapping of keys to values",
    "model_attributes_type": "must be a mapping of keys to values",
}


def problem_lines(error: ValidationError, model: type[BaseModel], layers: Sequence[Layer]) -> list[str]:
    """Return one line for each thing that is wrong; `layers` has the strongest first."""
    lines = []
    for item in error.errors(include_url=False):
        key = tuple(part for part in item["loc"] if part != "[key]")
        named = f"{dotted(key)}: " if key else ""  # what concerns several sections names them itself
        lines.append(f"{place_of(key, layers)}: {named}{_what(item, key, model)}".replace("\n", " "))
    return lines


def place_of(key: KeyPath, layers: Sequence[Layer]) -> str:
    """Name the place that a person has to look at for a key: where it, or the nearest one above it, was written."""
    for length in range(len(key), 0, -1):
        for layer in layers:
            if layer.holds(key[:length]):
                return layer.place(key[:length])
    files = [layer for layer in layers if layer.path is not None]
    return str(files[0].path) if files else "configuration"


def _what(item: Any, key: KeyPath, model: type[BaseModel]) -> str:
    kind, value = item["type"], item["input"]
    if kind == "missing":
        return f"is missing: {_description(model, key)}"
    if kind == "extra_forbidden":
        return _unknown(key, model)
    if kind == "literal_error":
        return f"is {_shown(value, key, model)}, allowed: {item['ctx']['expected'].replace(' or ', ', ')}{_near(item)}"
    if kind == "value_error":
        return str(item["ctx"]["error"])
    if kind == "string_type":
        return f"is {_shown(value, key, model)}, but must be a text{_quotes(value)}"
    if kind == "none_required":
        return f"is {_shown(value, key, model)}, but must be left out"
    wanted = _WANTED.get(kind) or f"{item['msg'][:1].lower()}{item['msg'][1:]}".replace("input should", "must")
    quotes = _quotes(value) if kind == "path_type" else ""
    return f"is {_shown(value, key, model)}, but {wanted}{quotes}"


def _description(model: type[BaseModel], key: KeyPath) -> str:
    parent = shape_at(model, key[:-1])
    field = parent.base.model_fields.get(key[-1]) if parent is not None and parent.kind == "section" else None
    return str(field.description) if field is not None else "it is needed"


def _quotes(value: Any) -> str:
    return " (put it in quotes)" if isinstance(value, bool | int | float) else ""


def _shown(value: Any, key: KeyPath, model: type[BaseModel]) -> str:
    """Show a value in a few words, unless it could be a secret."""
    shape = shape_at(model, key)
    if (shape is not None and shape.base is SecretStr) or any(is_secret_key(str(part)) for part in key):
        return "a value that is not shown"
    if value is None:
        return "empty"
    if isinstance(value, bool):
        return str(value).lower()
    text = mask_text(repr(value))
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}..."


def _near(item: Any) -> str:
    choices = [choice.strip("'") for choice in item["ctx"]["expected"].replace(" or ", ", ").split(", ")]
    near = difflib.get_close_matches(str(item["input"]), choices, n=1) if isinstance(item["input"], str) else []
    return f"; did you mean '{near[0]}'?" if near else ""


def _unknown(key: KeyPath, model: type[BaseModel]) -> str:
    name = str(key[-1])
    allowed = allowed_keys(model, key[:-1])
    near = difflib.get_close_matches(name, allowed, n=1)
    elsewhere = [dotted(path) for path, _ in fields_of(model) if path[-1] == name]
    if near:
        guess = f"; did you mean '{near[0]}'?"
    elif elsewhere:
        guess = f"; did you mean {' or '.join(elsewhere[:2])}?"
    else:
        guess = ""
    return f"{_NO_KEY}{guess} Allowed here: {', '.join(allowed)}"


def config_error(problems: Sequence[str]) -> ConfigError:
    """Gather all problems in one error."""
    # The same thing may have been found twice: by the schema, and by the look at the disk.
    unique = list(dict.fromkeys(problems))
    hint = _KEYS_HINT if any(_NO_KEY in line for line in unique) else None
    if len(unique) == 1:
        return ConfigError(unique[0], hint=hint)
    lines = (f"the configuration has {len(unique)} problems:", *(f"  {line}" for line in unique))
    return ConfigError("\n".join(lines), hint=hint)
