"""What a login node offers to a pipeline: container runtimes, modules, scratch variables, TemplateFlow, a licence."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from neuroflow.cluster.survey import Survey

RUNTIMES = ("apptainer", "singularity", "podman", "docker")
# Node-local first; the others are network file systems at most sites.
SCRATCH_VARIABLES = (
    *("SLURM_TMPDIR", "TMPDIR", "LOCAL_SCRATCH", "LOCALSCRATCH", "L_SCRATCH", "LSCRATCH", "JOB_SCRATCH"),
    *("SCRATCH", "WORK", "PSCRATCH", "SCRATCHDIR", "WRKDIR"),
)
NODE_LOCAL = SCRATCH_VARIABLES[:7]

# Constant scripts: what varies comes in as arguments, and answers are lines of fields parted by tabs.
_PROGRAMS = r"""
for name in apptainer singularity podman docker; do
  path=$(command -v "$name" 2>/dev/null) || continue
  printf 'program\t%s\t%s\t%s\n' "$name" "$path" "$("$name" --version 2>/dev/null </dev/null | head -n 1)"
done
for name in SLURM_TMPDIR TMPDIR LOCAL_SCRATCH LOCALSCRATCH L_SCRATCH LSCRATCH JOB_SCRATCH SCRATCH WORK PSCRATCH \
    SCRATCHDIR WRKDIR; do
  [ -n "${!name-}" ] && printf 'variable\t%s\t%s\n' "$name" "${!name}"
done
printf 'cpus\t%s\n' "$(nproc 2>/dev/null)"
printf 'memory\t%s\n' "$(sed -n 's/^MemTotal: *\([0-9]*\) kB$/\1/p' /proc/meminfo 2>/dev/null)"
"""
# `module` is a shell function: a shell that is no login shell may have to read it first.
_MODULES = r"""
if ! type module >/dev/null 2>&1; then
  for file in /etc/profile.d/lmod.sh /etc/profile.d/z00_lmod.sh /etc/profile.d/modules.sh \
      /usr/share/lmod/lmod/init/bash /usr/share/modules/init/bash; do
    [ -r "$file" ] && . "$file" >/dev/null 2>&1 && type module >/dev/null 2>&1 && break
  done
fi
type module >/dev/null 2>&1 || exit 0
for name in apptainer singularity; do
  module -t avail "$name" 2>&1 | sed 's/^/module\t/'
done
exit 0
"""
_FILES = r"""
seen=
for folder in "$1" "${TEMPLATEFLOW_HOME-}" "${HOME-}/.cache/templateflow"; do
  case "$folder" in /?*) ;; *) continue ;; esac
  case "$seen" in *"|$folder|"*) continue ;; esac
  seen="$seen|$folder|"
  [ -d "$folder" ] || continue
  real=$(find -L "$folder" -maxdepth 3 -type f -name '*.nii.gz' -size +0c 2>/dev/null | head -n 1000 | wc -l)
  empty=$(find -L "$folder" -maxdepth 3 -type f -name '*.nii.gz' -size 0 2>/dev/null | head -n 1000 | wc -l)
  printf 'templateflow\t%s\t%s\t%s\n' "$folder" "$real" "$empty"
done
for file in "$2" "${3:+$3/license.txt}" "${FS_LICENSE-}" "${FREESURFER_HOME:+$FREESURFER_HOME/license.txt}" \
    /opt/freesurfer/license.txt /usr/local/freesurfer/license.txt; do
  [ -n "$file" ] && [ -f "$file" ] && [ -r "$file" ] && [ -s "$file" ] && printf 'licence\t%s\n' "$file"
done
exit 0
"""
_MODULE_NAME = re.compile(r"(?:[\w.+-]+/)*(?:apptainer|singularity)[\w.+-]*(?:/[\w.+-]+)*", re.IGNORECASE | re.ASCII)
_NUMBER = re.compile(r"\d+")


@dataclass(frozen=True)
class Program:
    """A container runtime on PATH."""

    path: str
    version: str  # its own words


@dataclass(frozen=True)
class TemplateFlow:
    """A TemplateFlow folder, with the number of images in it (at most 1000 are counted)."""

    folder: str
    images: int
    empty: int  # placeholders that TemplateFlow would fill from the network


@dataclass(frozen=True)
class MachineFacts:
    """What was found on the machine."""

    programs: Mapping[str, Program] = field(default_factory=dict)
    modules: tuple[str, ...] = ()  # of container runtimes, newest first
    variables: Mapping[str, str] = field(default_factory=dict)
    templateflow: tuple[TemplateFlow, ...] = ()
    licences: tuple[str, ...] = ()
    cpus: int | None = None
    memory_mb: int | None = None


def ask_machine(survey: Survey, *, environ: Mapping[str, str]) -> MachineFacts:
    """Look at the machine.

    Args:
        survey: asks the commands.
        environ: the caller's own variables, which commands don't inherit; empty where another machine is asked.
    """
    files = (environ.get("TEMPLATEFLOW_HOME", ""), environ.get("FS_LICENSE", ""), environ.get("FREESURFER_HOME", ""))
    answers = (
        survey.ask(("bash", "-c", _PROGRAMS, "the search for container runtimes")),
        survey.ask(("bash", "-c", _MODULES, "`module -t avail`")),
        survey.ask(("bash", "-c", _FILES, "the search for TemplateFlow and licence", *files)),
    )
    own = {name: environ[name] for name in SCRATCH_VARIABLES if environ.get(name)}
    return parse_machine("\n".join(answer or "" for answer in answers), own_variables=own)


def parse_machine(text: str, *, own_variables: Mapping[str, str]) -> MachineFacts:
    """Read the answers of the scripts."""
    rows = [line.split("\t") for line in text.splitlines()]
    programs = {row[1]: Program(row[2], row[3]) for row in rows if row[0] == "program" and len(row) == 4}
    variables = {row[1]: row[2] for row in rows if row[0] == "variable" and len(row) == 3}
    flows = [row[1:] for row in rows if row[0] == "templateflow" and len(row) == 4]
    licences = [row[1] for row in rows if row[0] == "licence" and len(row) == 2]
    memory_kb = _number(rows, "memory")
    return MachineFacts(
        programs=programs,
        modules=parse_modules("\n".join(row[1] for row in rows if row[0] == "module" and len(row) == 2)),
        variables={**variables, **own_variables},
        templateflow=tuple(TemplateFlow(folder, int(real), int(empty)) for folder, real, empty in flows),
        licences=tuple(dict.fromkeys(licences)),
        cpus=_number(rows, "cpus"),
        memory_mb=None if memory_kb is None else memory_kb // 1024,
    )


def parse_modules(text: str) -> tuple[str, ...]:
    """Read `module -t avail` of Lmod or of Environment Modules; return container runtimes, the newest first."""
    # Lmod ends folders with `:` and families with `/`; both mark defaults as `(default)` or `(D)`.
    lines = (re.sub(r"\s*\((?:[\w,: ]+)\)$", "", line.strip()) for line in text.splitlines())
    names = dict.fromkeys(line for line in lines if _MODULE_NAME.fullmatch(line))
    with_version = [name for name in names if "/" in name]
    return tuple(sorted(with_version or names, key=_newness, reverse=True))


def _newness(name: str) -> tuple[bool, list[int], str]:
    return ("apptainer" in name.lower(), [int(number) for number in _NUMBER.findall(name)], name)


def _number(rows: list[list[str]], name: str) -> int | None:
    return next((int(row[1]) for row in rows if row[0] == name and len(row) == 2 and row[1].isdigit()), None)
