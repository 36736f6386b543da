"""AppContext: what every command is given, loaded only when a command asks for it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from neuroflow.config import NeuroflowConfig
    from neuroflow.core.database import Database
    from neuroflow.orchestrator.services import Services


class AppContext:
    """The command line's own options, and the configuration and services that they lead to."""

    def __init__(self, config_path: Path | None = None, *, debug: bool = False, verbose: bool = False) -> None:
        self.config_path = config_path
        self.debug = debug
        self.verbose = verbose
        self._config: NeuroflowConfig | None = None
        self._services: Services | None = None

    def config(self, *, check_files: bool = True) -> NeuroflowConfig:
        """Load the configuration, once; without `check_files`, also where files that it names are still missing.

        Raises:
            ConfigError: with every problem of the files, keys and values.
        """
        if self._config is None:
            from neuroflow.config import NeuroflowConfig
            from neuroflow.sharing import share

            config = NeuroflowConfig.find_and_load(self.config_path, check_files=check_files)
            if config.paths.group is not None:
                share()  # before the first file, which may be the log, is made
            self._config = config
        return self._config

    def services(self, *, check_files: bool = True) -> Services:
        """Connect to the database and build the services, once.

        Raises:
            StateError: when the database has no schema, or one of another version.
        """
        if self._services is None:
            from neuroflow.orchestrator.services import Services

            config = self.config(check_files=check_files)
            self._configure_log(config)
            self._services = Services.from_config(config)
        return self._services

    @contextmanager
    def database(self) -> Iterator[Database]:
        """Connect to the database whatever its schema."""
        from neuroflow.core.database import Database

        config = self.config()
        self._configure_log(config)
        database = Database.from_config(config)
        try:
            yield database
        finally:
            database.close()

    def _configure_log(self, config: NeuroflowConfig) -> None:
        from neuroflow import log

        # What a command did is its output; its log would say it twice.
        level = config.logging.level if self.verbose else "WARNING"
        log.configure(config.logging.model_copy(update={"level": level}), service="cli")

    def close(self) -> None:
        """Close the database's connections."""
        if self._services is not None:
            self._services.database.close()


pass_app = click.make_pass_decorator(AppContext)
