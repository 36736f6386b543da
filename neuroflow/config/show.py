"""Show a loaded configuration to people: its values with their sources, its secrets hidden."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, SecretStr

from neuroflow.config.describe import default_in_yaml
from neuroflow.config.load import NeuroflowConfig
from neuroflow.config.shapes import KeyPath, dotted, leaves
from neuroflow.masking import MASK, is_secret_key, mask_text


def shown_values(config: NeuroflowConfig) -> dict[str, Any]:
    """Return all values as plain data, with secrets hidden."""
    return {name: _shown(name, getattr(config, name)) for name in type(config).model_fields}


def _shown(key: str, value: Any) -> Any:
    if isinstance(value, BaseModel):
        return {name: _shown(name, getattr(value, name)) for name in type(value).model_fields}
    if isinstance(value, Mapping):
        return {str(name): _shown(str(name), item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_shown(key, item) for item in value]
    if isinstance(value, SecretStr):
        # URLs and `embedded` tell where something is; only their passwords are secret.
        return mask_text(value.get_secret_value()) if key == "url" else MASK
    if isinstance(value, str):
        return MASK if is_secret_key(key) else mask_text(value)
    return str(value) if isinstance(value, Path) else value


def sources(config: NeuroflowConfig) -> dict[str, str]:
    """Return the source of every value, by dotted key; a list has one source."""
    return {dotted(key): config.source_of_key(key) for key in _value_keys(shown_values(config))}


def _value_keys(values: Mapping[str, Any]) -> list[KeyPath]:
    keys = []
    for key, _ in leaves(values):
        plain = tuple(part for part in key[: _first_index(key)])
        if plain not in keys:
            keys.append(plain)
    return keys


def _first_index(key: KeyPath) -> int:
    return next((index for index, part in enumerate(key) if isinstance(part, int)), len(key))


def as_yaml(config: NeuroflowConfig) -> str:
    """Write the configuration as YAML, each value with its source in a comment."""
    lines = [f"# {path}" for path in config.files]
    lines += _section_lines(config, shown_values(config), ())
    return "\n".join(lines) + "\n"


def _section_lines(config: NeuroflowConfig, values: Mapping[str, Any], prefix: KeyPath) -> list[str]:
    indent = "  " * len(prefix)
    lines = []
    for name, value in values.items():
        key = (*prefix, name)
        label = default_in_yaml(name)
        if isinstance(value, Mapping) and value:
            lines += [f"{indent}{label}:", *_section_lines(config, value, key)]
        else:
            lines.append(f"{indent}{label}: {default_in_yaml(value)}  # {config.source_of_key(key)}")
    return lines
