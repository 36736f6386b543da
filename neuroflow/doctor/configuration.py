"""Whether the configuration can be read, is closed to others, and is the one that the services use."""

from __future__ import annotations

import difflib
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from pydantic import SecretStr

from neuroflow.adapters.qsirecon_names import unknown_names
from neuroflow.config.checks import missing_files
from neuroflow.config.environment import CONFIG_VARIABLE, PREFIX, SITE_VARIABLE, variables
from neuroflow.config.load import NeuroflowConfig
from neuroflow.config.shapes import KeyPath, dotted, leaves
from neuroflow.core.database import Database
from neuroflow.core.state import StateManager
from neuroflow.doctor.check import Check, Context, Finding, error, on_slurm, skipped, warning, well
from neuroflow.doctor.files import conversion_is_on
from neuroflow.errors import ConfigError, StateError
from neuroflow.masking import is_secret_key
from neuroflow.orchestrator.keys import WORKER_CONFIG_KEY
from neuroflow.orchestrator.registry import get_registry

TOPIC = "configuration"

INVALID = error(
    "config-invalid",
    "the configuration is missing, or has wrong keys or values",
    why="no command and no service starts with it",
    mend="{hint}",
)
FILE_MISSING = error(
    "config-file-missing",
    "a file or folder that the configuration names is not there, or can't be read",
    why="the runs that need it would fail",
    mend="make it, or correct the key; `neuroflow config validate` checks again",
)
SECRETS = warning(
    "config-secrets-readable",
    "a configuration file with a password in it can be read by other users",
    why="whoever reads the password of Redis can queue tasks as you",
    mend="chmod 600 {path}",
)
WRITABLE = error(
    "config-writable",
    "a configuration file can be changed, or replaced in its folder, by other users",
    why="it names commands that neuroflow runs: whoever changes it runs commands as you",
    mend="chmod o-w {path}",
)
UNKNOWN_VARIABLE = warning(
    "config-unknown-variable",
    "a variable that begins with NEUROFLOW_ sets no key",
    why="what it was meant to set keeps its old value",
    mend="unset {name}; the name of a key's variable has two underscores between the parts, as in NEUROFLOW_REDIS__URL",
)
DEFAULT_LIMITS = warning(
    "config-default-limits",
    "a SLURM site has the limits of a workstation",
    why="so few jobs are in flight at a time, whatever the cluster could take",
    mend="set workflow.max_concurrent.{pipeline} to some hundreds (in {file})",
)
UNKNOWN_NAME = warning(
    "qsirecon-unknown-name",
    "a workflow or an atlas is none that QSIRecon is known to have",
    why="a name that the image does not know ends every run of qsirecon; a newer image may know more",
    mend="correct the name, give the absolute path of a YAML file as recon_spec, or name the dataset that has the "
    "atlas in pipelines.qsirecon.datasets",
)
OUTDATED = warning(
    "services-outdated",
    "the services were started with another configuration",
    why="they go on with the former settings until they are started again",
    mend="send `neuroflow up` SIGHUP, or stop it (or worker and beat) and start it again",
)


def _loads(context: Context) -> Iterator[Finding]:
    try:
        config = context.config
        get_registry(config)  # it alone can find dependencies that run in a circle
    except ConfigError as problem:
        first, *others = str(problem).splitlines()
        for line in others or [first]:
            yield INVALID.seen(line.strip(), hint=problem.hint)
        return
    names = ", ".join(map(str, config.files)) or "built in code"
    yield well(f"read from {names}; cluster.kind is {config.cluster.kind}, {_overridden(config)}")


def _overridden(config: NeuroflowConfig) -> str:
    """Say which keys the environment or arguments set over the files."""
    keys = [".".join(map(str, key)) for key, _ in leaves(config.model_dump())]
    found = [key for key in keys if config.source_of(key).startswith(("environment", "argument"))]
    return f"{', '.join(found)} set in the environment" if found else "nothing set in the environment"


def _files(context: Context) -> Iterator[Finding]:
    config = context.config
    if not context.on_node:
        problems = config.check_files()
    else:
        elsewhere = conversion_is_on(context)
        found = missing_files(dict(config))
        problems = [f"{dotted(key)}: {text}" for key, text in found if not (elsewhere and _is_for_conversion(key))]
    yield from (FILE_MISSING.seen(line) for line in problems)
    if not problems:
        yield well("all files and folders that it names are there")


def _is_for_conversion(key: KeyPath) -> bool:
    return key[0] == "discovery" or key[:2] in (("paths", "dicom_root"), ("pipelines", "bids_conversion"))


def _closed(context: Context) -> Iterator[Finding]:
    config = context.config
    found = []
    for path in config.files:
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & stat.S_IWOTH:
            found.append(WRITABLE.seen(f"{path} has the mode {mode:03o}", path=path))
        if mode & (stat.S_IRGRP | stat.S_IROTH) and (keys := _secrets_in(config, path)):
            found.append(
                SECRETS.seen(f"{path} has the mode {mode:03o}, and holds a secret in {', '.join(keys)}", path=path)
            )
    for folder, file in _open_folders(config.files).items():
        mode = stat.S_IMODE(folder.stat().st_mode)
        words = f"{folder} has the mode {mode:03o}, so every user can put another file in the place of {file}"
        found.append(WRITABLE.seen(words, path=folder))
    yield from found or [well("no secret in it is open to others, and none of them can change it")]


def _open_folders(files: Iterable[Path]) -> dict[Path, Path]:
    """Return the folders in which every user can replace what leads to a file, with the first such file of each."""
    found: dict[Path, Path] = {}
    for file in files:
        for folder in (*file.absolute().parents, *file.resolve().parents):
            mode = folder.stat().st_mode
            # In a sticky folder, such as /tmp, only owners can rename and remove.
            if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
                found.setdefault(folder, file)
    return found


def _secrets_in(config: NeuroflowConfig, path: Path) -> list[str]:
    """Return the keys of a file whose values are secrets."""
    found = []
    for key, value in leaves(config.model_dump()):
        if not config.source_of_key(key).startswith(f"{path.name}:"):
            continue
        secret = value.get_secret_value() if isinstance(value, SecretStr) else ""
        # A URL is a secret once it holds a password.
        if (secret and _has_password(secret)) or (value and is_secret_key(str(key[-1])) and value != ()):
            found.append(".".join(map(str, key)))
    return found


def _has_password(url: str) -> bool:
    authority = url.partition("://")[2].rpartition("@")[0]
    return ":" in authority or "password=" in url or "hooks.slack.com" in url


def _variables(context: Context) -> Iterator[Finding]:
    known = {*variables(NeuroflowConfig), CONFIG_VARIABLE, SITE_VARIABLE}
    # Keys of free mappings, such as the containers' environment, and what the services tell each other.
    unknown = [
        name
        for name in sorted(context.environ)
        if name.startswith(PREFIX) and "__" not in name and name not in known and not name.startswith("NEUROFLOW_TEST_")
    ]
    for name in unknown:
        near = difflib.get_close_matches(name, known, n=1)
        guess = f"; did you mean {near[0]}?" if near else ""
        yield UNKNOWN_VARIABLE.seen(f"{name} is set, and no key is called so{guess}", name=name)
    if not unknown:
        yield well("every NEUROFLOW_ variable sets a key")


def _limits(context: Context) -> Iterator[Finding]:
    config = context.config
    low = [
        pipeline.name
        for pipeline in get_registry(config)
        if pipeline.enabled and pipeline.where == "cluster" and _is_default(config, pipeline.name)
    ]
    for name in low:
        yield DEFAULT_LIMITS.seen(
            f"workflow.max_concurrent.{name} is {config.workflow.max_concurrent.of(name)}, its default",
            pipeline=name,
            file=config.files[0] if config.files else "neuroflow.yaml",
        )
    if not low:
        yield well("workflow.max_concurrent was set for this cluster")


def _is_default(config: NeuroflowConfig, pipeline: str) -> bool:
    return config.source_of_key(("workflow", "max_concurrent", pipeline)) == "default"


def _names(context: Context) -> Iterator[Finding]:
    found = [UNKNOWN_NAME.seen(words) for words in unknown_names(context.config.pipelines.qsirecon)]
    yield from found or [well("the workflow and the atlases of QSIRecon are files, or names that are known")]


def _qsirecon_is_on(context: Context) -> str:
    settings = context.config.pipelines.qsirecon
    if not settings.enabled:
        return "pipelines.qsirecon is disabled"
    return "pipelines.qsirecon.program is the site's own" if settings.program else ""


def _services(context: Context) -> Iterator[Finding]:
    database = Database.from_config(context.config)
    try:
        database.check()
        value = StateManager(database).get_value(WORKER_CONFIG_KEY)
    except StateError:
        yield skipped("the database can't be asked")
        return
    finally:
        database.close()
    if value is None:
        yield skipped("no worker has been started yet")
    elif value[0].get("digest") != context.config.digest:
        since = f"{value[1]:%Y-%m-%d %H:%M} UTC"
        yield OUTDATED.seen(f"the workers read another configuration than this one, at {since}")
    else:
        yield well("the workers have this configuration")


CHECKS = (
    Check(
        "configuration",
        TOPIC,
        "it loads; all problems at once",
        _loads,
        (INVALID,),
        needs=(),
        quick=True,
    ),
    Check("configuration-files", TOPIC, "what it names is there", _files, (FILE_MISSING,), quick=True, on_node=True),
    Check("configuration-mode", TOPIC, "its files are closed to others", _closed, (SECRETS, WRITABLE), quick=True),
    Check("environment", TOPIC, "variables that set nothing", _variables, (UNKNOWN_VARIABLE,), needs=()),
    Check("limits", TOPIC, "workflow.max_concurrent fits a cluster", _limits, (DEFAULT_LIMITS,), applies=on_slurm),
    Check(
        "qsirecon-names",
        TOPIC,
        "QSIRecon has the workflow and the atlases that are named",
        _names,
        (UNKNOWN_NAME,),
        applies=_qsirecon_is_on,
    ),
    Check("services", TOPIC, "the services have this configuration", _services, (OUTDATED,)),
)
