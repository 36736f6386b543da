"""Learn a new site for `neuroflow init --site NAME`: ask the cluster and the machine, and write what they said."""

from __future__ import annotations

import datetime
import getpass
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from neuroflow.cli.site_text import MARK, Findings, site_text
from neuroflow.cluster.survey import Survey
from neuroflow.cluster.survey_machine import MachineFacts, ask_machine
from neuroflow.cluster.survey_slurm import ask_slurm
from neuroflow.cluster.transport import LocalTransport, Transport
from neuroflow.config.find import find_site_file
from neuroflow.errors import ConfigError, UsageError
from neuroflow.orchestrator.registry import largest_request
from neuroflow.orchestrator.site_choice import choose

Kind = Literal["auto", "slurm", "local"]
FOLDER = "site-configs"
# A comment's next line: neither a question of its own nor a key that is commented out.
_CONTINUED = re.compile(r"\n *# (?!TODO|(?:account|accounting|partition|partitions|qos|runtime|scratch|setup_lines):)")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*", re.ASCII)


@dataclass(frozen=True)
class LearnedSite:
    """A new site file, and what was found for neuroflow.yaml on the way."""

    path: Path
    text: str
    findings: Findings

    @property
    def machine(self) -> MachineFacts:
        """What the machine offers."""
        return self.findings.machine

    def to_do(self) -> list[str]:
        """Return what the file says that it could not learn."""
        lines = _CONTINUED.sub(" ", self.text).splitlines()
        return [line.partition("TODO ")[2] for line in lines if line.lstrip().startswith("# TODO ")]


def is_to_be_learned(site: str, *, folder: Path, force: bool) -> bool:
    """Tell whether a site has to be asked for: its name is new, or its file was written so and is to be refreshed.

    Raises:
        ConfigError: when a path is named and there is no such file.
        UsageError: when the name can't be a site's.
    """
    own = folder / FOLDER / f"{site}.yaml"
    try:
        found = find_site_file(site, base=folder, beside=folder)
    except ConfigError:
        if "/" in site or site.startswith("~") or site.endswith((".yaml", ".yml")):
            raise
        if not _NAME.fullmatch(site):
            raise UsageError(
                f"--site: {site!r} can't be the name of a site", hint="use letters, digits, '.', '_' and '-'"
            ) from None
        return True
    return force and found == own and _is_ours(own)


def _is_ours(file: Path) -> bool:
    try:
        return file.read_text(encoding="utf-8").startswith(MARK)
    except (OSError, UnicodeDecodeError):
        return False


def learn_site(
    name: str,
    *,
    folder: Path,
    kind: Kind = "auto",
    timeout: float = 20.0,
    transport: Transport | None = None,
    environ: Mapping[str, str] | None = None,
) -> LearnedSite:
    """Ask everything, and write the file's text; a command that does not answer becomes a comment in it.

    Raises:
        UsageError: when SLURM is asked for by name and its commands are not there.
    """
    survey = Survey(transport or LocalTransport(), timeout=timeout)
    slurm = None if kind == "local" else ask_slurm(survey, user=getpass.getuser())
    if slurm is None and kind == "slurm":
        raise UsageError(
            "SLURM's commands are not there: `scontrol` can't be started",
            hint=f"load the site's SLURM module, or extend PATH (now {os.environ.get('PATH', 'not set')}); "
            "`--kind local` writes a site without SLURM",
        )
    machine = ask_machine(survey, environ=os.environ if environ is None else environ)
    findings = Findings(
        name=name,
        when=datetime.datetime.now(datetime.UTC).date().isoformat(),
        machine=machine,
        silences=tuple(survey.silences),
        asked_slurm=kind != "local",
        slurm=slurm,
        choice=None if slurm is None else choose(slurm, request=largest_request()),
    )
    return LearnedSite(folder / FOLDER / f"{name}.yaml", site_text(findings), findings)
