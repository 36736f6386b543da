"""Whether a cluster behind SSH can be used: the way there, neuroflow's release there, and the names of folders."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import neuroflow
from neuroflow.doctor.check import Check, Context, Finding, behind_ssh, error, skipped, well
from neuroflow.doctor.folders import shared_folders
from neuroflow.doctor.mounts import existing
from neuroflow.doctor.node_checks import nonce_file
from neuroflow.errors import ClusterError, CommandError, ConfigError, HostUnreachable
from neuroflow.orchestrator.place import Place

TOPIC = "SSH"

UNREACHABLE = error(
    "ssh-unreachable",
    "the login node can't be reached, is not the one that is known, or refuses this user",
    why="nothing can be submitted, and no job be judged",
    mend="{hint}",
)
NO_NEUROFLOW = error(
    "ssh-no-neuroflow",
    "cluster.python does not start on the login node, or has no neuroflow in it",
    why="job folders are made by it, and jobs run with it",
    mend="install it there: {python} -m pip install neuroflow=={version}; or correct cluster.python",
)
OTHER_VERSION = error(
    "ssh-other-version",
    "the cluster has another neuroflow than this machine",
    why="submissions are refused: jobs would leave records that this release may not understand",
    mend="install the same release there: {python} -m pip install neuroflow=={version}",
)
NO_STATE = error(
    "ssh-state-not-writable",
    "cluster.ssh.state_dir can't be written to on the cluster",
    why="each submission writes its job's folder there",
    mend="make it there, for this user (`ls -ld {folder}` on the login node), or correct cluster.ssh.state_dir",
)
OTHER_FOLDER = error(
    "ssh-other-folder",
    "what is written here into a folder is not seen on the login node by the name that it has there",
    why="jobs would not find their inputs, or publish results where nobody looks for them",
    mend="correct `{folder}` in cluster.ssh.paths (`ls -ld {there}` on the login node), or mount it here",
)
# A host that answers nothing is tried three times, each for cluster.ssh.connect_timeout_seconds.
_LOGIN_SECONDS = 240.0
_VERSION = "import neuroflow; print(neuroflow.__version__)"
# Prints those of its arguments that are no files.
_MISSING = 'for file; do test -f "$file" || printf "%s\\n" "$file"; done'


def _login(context: Context) -> Iterator[Finding]:
    config = context.config
    python = str(config.cluster.python)
    versions = {"python": python, "version": neuroflow.__version__}
    try:
        said = context.ask(python, "-c", _VERSION).check().stdout.strip()
    except (HostUnreachable, ConfigError) as problem:
        yield UNREACHABLE.seen(str(problem), hint=problem.hint)
        return
    except CommandError as problem:
        if problem.timed_out:
            yield UNREACHABLE.seen(str(problem), hint=problem.hint)
        else:
            yield NO_NEUROFLOW.seen(str(problem), **versions)
        return
    words = f"{context.login_node.user}@{config.cluster.ssh.host} has neuroflow {said} ({python})"
    if said != neuroflow.__version__:
        yield OTHER_VERSION.seen(f"{words}, and this machine {neuroflow.__version__}", **versions)
    else:
        yield well(words)


def _state(context: Context) -> Iterator[Finding]:
    state = context.config.cluster.ssh.state_dir
    folder = f"{state}/doctor/nf-doctor-{secrets.token_hex(6)}"
    try:
        context.login_node.folders.make({folder: {"file": b"neuroflow"}})
        look = context.login_node.folders.look([folder], ["file"])[folder]["file"]
    except ClusterError as problem:
        yield NO_STATE.seen(f"{state}: {problem}", folder=state)
        return
    finally:
        with suppress(ClusterError):
            context.ask("rm", "-rf", "--", folder)
    if look.data != b"neuroflow":
        yield NO_STATE.seen(f"{state}: what was written is not there: {look.problem or 'no such file'}", folder=state)
    else:
        yield well(f"{state} can be written to there")


def _paths(context: Context) -> Iterator[Finding]:
    place = Place.of(context.config, where=context.config.cluster.kind)
    nonce = secrets.token_hex(6)
    here = {}
    for key, folder in shared_folders(context).items():
        nearest = existing(folder)  # the folder may be made later
        if nearest == folder or place.name(nearest) != str(nearest):
            here[key] = nearest
    if not here:
        yield skipped("no folder is seen here that the cluster has to see as well")
        return
    there = {str(nonce_file(place.name(folder), nonce, by="login")): key for key, folder in here.items()}
    with ExitStack() as stack:
        for folder in here.values():
            file = nonce_file(str(folder), nonce, by="login")
            stack.callback(file.unlink, missing_ok=True)
            file.touch()
        answer = context.ask("sh", "-c", _MISSING, "sh", *there)
    missing = answer.check().stdout.splitlines()
    for key in (there[name] for name in missing if name in there):
        folder, name = here[key], place.name(here[key])
        words = f"paths.{key}: {folder} here is {name} there, and a file that was written here is not seen there"
        yield OTHER_FOLDER.seen(words, folder=folder, there=name)
    if not missing:
        same = dict.fromkeys(f"{folder} is {place.name(folder)} there" for folder in here.values())
        yield well("; ".join(same))


CHECKS = (
    Check(
        "ssh",
        TOPIC,
        "the login node, and its neuroflow",
        _login,
        (UNREACHABLE, NO_NEUROFLOW, OTHER_VERSION),
        applies=behind_ssh,
        quick=True,
        seconds=_LOGIN_SECONDS,
    ),
    Check("ssh-state", TOPIC, "the jobs' own folders", _state, (NO_STATE,), needs=("ssh",), applies=behind_ssh),
    Check(
        "ssh-paths",
        TOPIC,
        "folders by their names on the cluster",
        _paths,
        (OTHER_FOLDER,),
        needs=("ssh", "folders-writable"),
        applies=behind_ssh,
        quick=True,
    ),
)
