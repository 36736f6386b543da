"""Load the configuration: defaults < site file < neuroflow.yaml < environment < arguments."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Self

from pydantic import Field, PrivateAttr, ValidationError, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from neuroflow.config.checks import missing_files
from neuroflow.config.derived import database_url, redis_socket, redis_url
from neuroflow.config.environment import environment_layer
from neuroflow.config.execution import Cluster, Containers, Pipelines
from neuroflow.config.fields import Section
from neuroflow.config.gather import gather_files
from neuroflow.config.layers import Layer, LayerSource, argument_layer
from neuroflow.config.paths import Paths
from neuroflow.config.problems import config_error, place_of, problem_lines
from neuroflow.config.sections import Celery, Database, Discovery, Doctor, Logging, Protocol, Redis, Workflow
from neuroflow.config.shapes import KeyPath, dotted, leaves, shape_of_field
from neuroflow.config.upkeep import Metrics, Retention, StatusFile

# The strongest layer first. Set only while `find_and_load` builds its object: the class itself
# reads neither files nor the environment, so that NeuroflowConfig(paths=...) is what it says.
_layers: ContextVar[tuple[Layer, ...]] = ContextVar("neuroflow_config_layers", default=())


class NeuroflowConfig(BaseSettings):
    """Every setting of neuroflow."""

    model_config = SettingsConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    paths: Paths = Field(description="Where the data lives.")
    database: Database = Field(default_factory=Database, description="The state database.")
    redis: Redis = Field(default_factory=Redis, description="Celery's broker and result backend.")
    logging: Logging = Field(default_factory=Logging, description="Structured logs.")
    discovery: Discovery = Field(default_factory=Discovery, description="How session folders are found and named.")
    protocol: Protocol = Field(default_factory=Protocol, description="What a complete session holds.")
    workflow: Workflow = Field(default_factory=Workflow, description="The master workflow.")
    celery: Celery = Field(default_factory=Celery, description="The workers.")
    containers: Containers = Field(default_factory=Containers, description="The container runtime.")
    cluster: Cluster = Field(default_factory=Cluster, description="One site's facts.")
    pipelines: Pipelines = Field(default_factory=Pipelines, description="Overrides of the pipelines.")
    doctor: Doctor = Field(default_factory=Doctor, description="What `neuroflow doctor` goes by.")
    status: StatusFile = Field(default_factory=StatusFile, description="The snapshot that `neuroflow status` can read.")
    metrics: Metrics = Field(default_factory=Metrics, description="Prometheus metrics.")
    retention: Retention = Field(default_factory=Retention, description="What is deleted, and after how many days.")

    _sources: tuple[Layer, ...] = PrivateAttr(default=())

    @model_validator(mode="after")
    def _retries_fit(self) -> Self:
        for name in type(self.pipelines).model_fields:
            try:
                getattr(self.pipelines, name).retry.over(self.workflow.retry)
            except ValidationError as error:
                reason = error.errors(include_url=False)[0]["ctx"]["error"]
                raise ValueError(f"pipelines.{name}.retry, over workflow.retry: {reason}") from error
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read from our layers only: they know where each value was written, which pydantic's own don't."""
        return (init_settings, *(LayerSource(settings_cls, layer) for layer in _layers.get()))

    @classmethod
    def find_and_load(
        cls,
        path: Path | None = None,
        *,
        overrides: Mapping[str, Any] | None = None,
        environ: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        check_files: bool = True,
    ) -> Self:
        """Find, merge and check the configuration.

        Raises:
            ConfigError: with all problems, each on one line with its file, line and key path.
        """
        environ = os.environ if environ is None else environ
        cwd = (Path.cwd() / cwd) if cwd is not None else Path.cwd()
        files, problems = gather_files(cls, path, environ=environ, cwd=cwd)
        variables, bad_variables = environment_layer(cls, environ, base=cwd)
        layers = (argument_layer(cls, overrides or {}, base=cwd), variables, *files)
        config, invalid = cls._build(layers)
        problems += bad_variables + invalid
        if check_files:
            sections = dict(config) if config is not None else cls._readable_sections(layers)
            problems += [f"{place_of(key, layers)}: {dotted(key)}: {text}" for key, text in missing_files(sections)]
        if problems or config is None:
            raise config_error(problems)
        return config

    @classmethod
    def _build(cls, layers: tuple[Layer, ...]) -> tuple[Self | None, list[str]]:
        reset = _layers.set(layers)
        try:
            config = cls()  # its values come from the layers
        except ValidationError as error:
            return None, problem_lines(error, cls, layers)
        finally:
            _layers.reset(reset)
        config._sources = layers
        return config, []

    @classmethod
    def _readable_sections(cls, layers: tuple[Layer, ...]) -> dict[str, Section]:
        """Build what can be built of a broken configuration, so that the disk is looked at all the same."""
        found = {}
        values: dict[str, Any] = {}
        for layer in reversed(layers):
            values = _merged(values, layer.values)
        for name, field in cls.model_fields.items():
            model = shape_of_field(field).base
            try:
                found[name] = model.model_validate(values.get(name, {}))
            except ValidationError:
                continue
        return found

    def check_files(self) -> list[str]:
        """Return one line for each folder or file that the configuration names and that is not there."""
        return [f"{place_of(key, self._sources)}: {dotted(key)}: {text}" for key, text in missing_files(dict(self))]

    @property
    def digest(self) -> str:
        """Tell this configuration from another one, but for secrets."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:12]

    @property
    def files(self) -> tuple[Path, ...]:
        """The files it was read from, the main one first; none when it was built in code."""
        return tuple(layer.path for layer in self._sources if layer.path is not None)

    def source_of(self, key_path: str) -> str:
        """Say where a value comes from: `default`, `neuroflow.yaml:12`, `environment` or `argument`."""
        wanted = next((key for key, _ in leaves(self.model_dump()) if dotted(key) == key_path), None)
        return self.source_of_key(wanted if wanted is not None else tuple(key_path.split(".")))

    def source_of_key(self, key: KeyPath) -> str:
        """Say where the value at a key path comes from."""
        layer = self.layer_of(key)
        return "default" if layer is None else layer.source(key)

    def layer_of(self, key: KeyPath) -> Layer | None:
        """Return the layer that the value at a key path comes from; None for a default."""
        return next((layer for layer in self._sources if layer.holds(key)), None)

    def database_url(self) -> str:
        """Return the SQLAlchemy URL of the state database, password included."""
        return database_url(self.database.url, self.paths.state_dir)

    def redis_url(self) -> str:
        """Return the URL of broker and result backend, password included."""
        return redis_url(self.redis.url, self.paths.state_dir, shared=self.paths.group is not None)

    def redis_socket(self) -> Path | None:
        """Return the socket of the embedded Redis, or None where another one is used."""
        return redis_socket(self.redis.url, self.paths.state_dir, shared=self.paths.group is not None)

    @property
    def attempts_dir(self) -> Path:
        """The folder of the attempts' own folders."""
        return self.paths.state_dir / "attempts"

    @property
    def arrays_dir(self) -> Path:
        """The folder of the job arrays' own folders."""
        return self.paths.state_dir / "arrays"

    @property
    def backups_dir(self) -> Path:
        """The folder of the database's backups."""
        return self.database.backup.folder or self.paths.state_dir / "backups"

    @property
    def logs_dir(self) -> Path:
        """The folder of neuroflow's own logs."""
        return self.paths.state_dir / "logs"


def _merged(lower: Mapping[str, Any], upper: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(lower)
    for name, value in upper.items():
        below = result.get(name)
        both = isinstance(below, Mapping) and isinstance(value, Mapping)
        result[name] = _merged(below, value) if both else value  # type: ignore[arg-type]
    return result
