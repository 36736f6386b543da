"""The command of an attempt as lines for a shell, to be repeated by hand in a folder of one's own."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from neuroflow.cluster.folders import Folders
from neuroflow.cluster.job import JOB_NAME
from neuroflow.cluster.scratch import SCRATCH_MARK
from neuroflow.cluster.submit import code_path
from neuroflow.domain import AttemptRecord
from neuroflow.errors import NotFoundError
from neuroflow.masking import MASK, is_secret_key, mask_command, mask_text, mask_value
from neuroflow.orchestrator.services import Services
from neuroflow.views.run_logs import container_of, missing_file, script_of

# What the shell of a person may hold, and a job does not: it would change what the container sees.
_FOREIGN = tuple(
    f"{runtime}_{what}"
    for runtime in ("APPTAINER", "SINGULARITY")
    for what in ("BIND", "BINDPATH", "MOUNT", "CONTAIN", "CONTAINALL", "CLEANENV", "NV", "HOME", "WORKDIR")
)
_TAKES_VARIABLES = ("apptainer", "singularity")
# In the scripts of slurm/base.sbatch.j2: what stands around the site's own lines.
_SETUP_STARTS = "\nif ! type module "
_SETUP_ENDS = ("\nexport NEUROFLOW_SCRATCH", "\nexport PYTHONPATH=", "\nexport SUBMITIT_EXECUTOR")
_EXPORT = re.compile(r"\s*export\s+([A-Za-z_][A-Za-z0-9_]*)=")
_SOURCE = re.compile(r'^type=bind,"source=((?:[^"]|"")*)"')
_NEEDS_ESCAPES = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


@dataclass(frozen=True)
class Repeat:
    """How to repeat an attempt by hand."""

    attempt: AttemptRecord
    folder: str  # takes what the repetition writes
    command: tuple[str, ...]  # as it ran, but for masked secrets; the scratch folder is `@SCRATCH@`
    before: tuple[tuple[str, ...], ...]
    environment: Mapping[str, str]  # that the command got, where it is no container's
    notes: tuple[str, ...]
    lines: tuple[str, ...]  # for bash


def repeat_attempt(services: Services, attempt: AttemptRecord, *, folder: str) -> Repeat:
    """Return the lines that repeat what an attempt ran.

    Output, work and scratch folder are other ones: in the attempt's own, the next attempt of the run, or the
    publication of a former one, would meet what a hand left there.

    Args:
        folder: absolute; takes what the repetition writes.

    Raises:
        NotFoundError: when the attempt's folder is gone.
    """
    folders = services.folders(attempt.where)
    job = _job(services, folders, attempt)
    command, before = tuple(mask_command(job["command"])), tuple(tuple(mask_command(one)) for one in job["before"])
    environment: dict[str, str] = mask_value("environment", dict(job["environment"]))
    own = {job["output_dir"]: "out", job["work_dir"]: "work", SCRATCH_MARK: "tmp"}
    moved = {place: f"{folder}/{name}" for place, name in own.items()}
    lines = _lines(command, before=before, environment=environment, moved=moved, script=_script(services, attempt))
    notes = _notes(folders, attempt, command=command, moved=moved, lines=lines, prepares=bool(before))
    return Repeat(attempt, folder, command, before, environment, notes, lines)


def _job(services: Services, folders: Folders, attempt: AttemptRecord) -> Mapping[str, Any]:
    look = folders.look([attempt.folder], [JOB_NAME])[attempt.folder][JOB_NAME]
    if look.data is None and not look.problem:
        raise missing_file(services, attempt, JOB_NAME)
    try:
        job: Mapping[str, Any] = json.loads(look.data or b"")
        _ = job["command"], job["before"], job["environment"], job["output_dir"], job["work_dir"]
    except (ValueError, KeyError, TypeError) as error:
        raise NotFoundError(
            f"{attempt.folder}/{JOB_NAME} can't be read: {look.problem or error}",
            hint=f"`neuroflow logs run {attempt.run_id} --list` shows what there is",
        ) from error
    return job


@dataclass(frozen=True)
class _Script:
    """What a job's script did before the tool."""

    setup: tuple[str, ...] = ()  # loads what the site needs, such as modules
    code: str = ""  # lets Python find neuroflow


def _script(services: Services, attempt: AttemptRecord) -> _Script:
    if attempt.where != "slurm":
        code = code_path()
        return _Script(code=f'export PYTHONPATH={shell_word(code)}"${{PYTHONPATH:+:$PYTHONPATH}}"' if code else "")
    try:
        text = script_of(services, attempt).data.decode("utf-8", "replace")
    except NotFoundError:
        return _Script()
    code = next((line for line in text.splitlines() if line.startswith("export PYTHONPATH=")), "")
    start = text.find(_SETUP_STARTS)
    if start < 0:
        return _Script(code=code)
    end = min((place for name in _SETUP_ENDS if (place := text.find(name, start)) >= 0), default=start)
    return _Script(tuple(_masked(line) for line in text[start:end].splitlines() if line.strip()), code)


def _masked(line: str) -> str:
    found = _EXPORT.match(line)
    return f"export {found[1]}={MASK}" if found and is_secret_key(found[1]) else mask_text(line)


def _notes(
    folders: Folders,
    attempt: AttemptRecord,
    *,
    command: Sequence[str],
    moved: Mapping[str, str],
    lines: Sequence[str],
    prepares: bool,
) -> tuple[str, ...]:
    notes = [
        f"attempt {attempt.number} of run {attempt.run_id}: {attempt.pipeline} of {attempt.scope}, {attempt.status}"
        + (f" on {attempt.host}" if attempt.host else ""),
        "it wrote into other folders, and nothing that you make here is published; as it ran: "
        + ", ".join(place for place in moved if place != SCRATCH_MARK),
    ]
    if prepares:
        notes.append("the first commands prepare the input; they may add what a dataset lacks at its top, as they did")
    if any(MASK in line for line in lines):
        notes.append(f"secrets are masked: put them in place of {MASK}")
    # What the commands before make is not there yet.
    sources = [path for path in _sources(folders, attempt, command) if not path.startswith(tuple(moved))]
    notes += [f"NOT THERE ANY MORE: {path}" for path in sorted(folders.missing(sources))]
    if attempt.where == "slurm":
        notes.append("run it where the jobs run: on a node, in a job with the same cores and memory")
    return tuple(notes)


def _sources(folders: Folders, attempt: AttemptRecord, command: Sequence[str]) -> list[str]:
    found = [match[1].replace('""', '"') for word in command if (match := _SOURCE.match(word))]
    container = container_of(folders, attempt)
    if container is not None and container.image and container.image.startswith("/"):
        found.append(container.image)
    if container is not None:
        found += [rule.root for rule in container.inputs]
    return sorted(set(found))


def _lines(
    command: Sequence[str],
    *,
    before: Sequence[Sequence[str]],
    environment: Mapping[str, str],
    moved: Mapping[str, str],
    script: _Script,
) -> tuple[str, ...]:
    def words(parts: Sequence[str]) -> str:
        return " ".join(shell_word(_moved(part, moved)) for part in parts)

    _, work_dir, _ = moved
    code = f"{script.code}; " if script.code else ""
    return (
        "(",  # a shell of its own: nothing of it stays in the shell that it is pasted into
        "set -e",
        *script.setup,
        *((f"unset {' '.join(_FOREIGN)}",) if command[0] in _TAKES_VARIABLES else ()),
        f"mkdir -p {words(list(moved))}",
        f"cd {words([work_dir])}",
        *(f"( {code}{words(one)} )" for one in before),
        *(f"export {name}={shell_word(_moved(value, moved))}" for name, value in environment.items()),
        words(command),
        ")",
    )


def _moved(text: str, places: Mapping[str, str]) -> str:
    """Put other folders in the place of an attempt's own; in Apptainer's mounts a quote is written twice."""
    for old, new in places.items():
        if _SOURCE.match(text):
            old, new = old.replace('"', '""'), new.replace('"', '""')
        text = text.replace(old, new)
    return text


def shell_word(text: str) -> str:
    """Quote one word for bash; control characters are spelled out, so that a terminal is not steered by them."""
    if not _NEEDS_ESCAPES.search(text):
        return shlex.quote(text)
    safe = text.replace("\\", "\\\\").replace("'", "\\'")
    return "$'" + _NEEDS_ESCAPES.sub(_spelled, safe) + "'"


def _spelled(found: re.Match[str]) -> str:
    return "".join(f"\\x{byte:02x}" for byte in found.group().encode())
