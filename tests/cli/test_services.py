"""The files that keep neuroflow running: right for hostile names, understood by the programs that read them."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from neuroflow.cli import services_text
from neuroflow.cli.main import cli
from neuroflow.cli.services_text import Installation, JobShape, cron, job_name, scrontab, unit, up_job
from neuroflow.cluster.base import ArrayRequest
from neuroflow.cluster.submit import script_text
from neuroflow.config import NeuroflowConfig
from neuroflow.config.execution import PipelineSettings
from neuroflow.config.partitions import job_settings
from neuroflow.domain import Resources
from neuroflow.errors import ClusterError, ConfigError, UsageError
from tests.cluster_layer.builders import config_in, python_job
from tests.support.require import require

HOSTILE = [
    "plain",
    "a b",
    "it's",
    'say "x"',
    "; touch /tmp/x",
    "$(touch x)",
    "`touch x`",
    "$HOME",
    "*",
    "é ü 中",
    "a&b|c",
    "#x",
]
ALL_AT_ONCE = " ".join(HOSTILE).replace("/", "_")
# What shellcheck need not say: that profile scripts of environment modules lie elsewhere (SC1090, SC1091), and that
# nothing is expanded between single quotes (SC2016), which is what they are for.
UNSAID = "SC1090,SC1091,SC2016"
UNITS = ("systemd", "systemd-worker", "systemd-beat")


def installation(name: str = "plain", **environment: str) -> Installation:
    """Return an installation in a folder of this name."""
    folder = f"/opt/{name}"
    return Installation(
        config=Path(f"{folder}/neuroflow.yaml"),
        program=(f"{folder}/bin/python", "-m", "neuroflow.cli.main"),
        path=f"{folder}/bin:/usr/bin:/bin",
        environment=tuple(environment.items()),
    )


def shape(config: NeuroflowConfig, minutes: int = 1440) -> JobShape:
    return JobShape(2, 4000, minutes, job_settings(config.cluster, PipelineSettings(), partition="main"))


@pytest.fixture(scope="session")
def shellcheck() -> str:
    found = shutil.which("shellcheck")
    require("shellcheck", found is not None, "apt install shellcheck")
    assert found is not None
    return found


def check(shellcheck: str, scripts: Mapping[str, str], folder: Path, *, dialect: str = "bash") -> None:
    """Let shellcheck and bash read scripts; one call for all: its start takes the time."""
    files = []
    for name, text in scripts.items():
        file = folder / f"{name}.sh"
        file.write_text(text, encoding="utf-8")
        assert subprocess.run(["bash", "-n", file], check=False).returncode == 0, text
        files.append(file)
    command = [shellcheck, f"--shell={dialect}", f"--exclude={UNSAID}", *files]
    # Its words are UTF-8 whatever the caller's locale.
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "LC_ALL": "C.UTF-8"})
    assert done.returncode == 0, f"{done.stdout}{done.stderr}"


FULL: dict[str, Any] = {
    "account": "lab",
    "qos": "normal",
    "constraint": "avx2|ib",
    "setup_lines": ("module load apptainer/1.4",),
    "sbatch_lines": ("--mail-type=FAIL", "--comment='it is $x'"),
    "scratch": "$SLURM_TMPDIR",
}


def test_every_rendered_script_passes_shellcheck(shellcheck: str, tmp_path: Path) -> None:
    scripts: dict[str, str] = {}
    for number, name in enumerate(["plain", ALL_AT_ONCE]):
        for blocks, cluster in (("bare", {}), ("full", FULL)):
            config = config_in(tmp_path, kind="slurm", python=f"/opt/{name}/python", **cluster)
            job = replace(
                python_job(tmp_path, "pass", token=f"nf-{number}-{blocks}"),
                folder=f"/data/{name}/attempts/nf-1",
                scope="sub-01",
                resources=Resources(2, 4000, 60, gpus=number % 2),
                exclude_nodes=("n1",) if blocks == "full" else (),
            )
            for pipeline in ("bids_conversion", "qsiprep", "qsirecon", "qsiparc"):
                scripts[f"{number}-{blocks}-{pipeline}"] = script_text(replace(job, pipeline=pipeline), config.cluster)
            array = ArrayRequest("nf-array", f"/data/{name}/arrays/nf-array", (job, job), at_once=2)
            scripts[f"{number}-{blocks}-array"] = script_text(array, config.cluster)
            here = installation(name, **({"PYTHONPATH": f"/src/{name}", "SLURM_CONF": "/etc/s"} if cluster else {}))
            scripts[f"{number}-{blocks}-up"] = up_job(config, here, shape(config), stop_seconds=60)
    check(shellcheck, scripts, tmp_path)


def commands_of(text: str) -> list[str]:
    """Return what follows the five fields of a crontab's entries."""
    entries = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [re.sub(r"^(?:\S+ ){5}", "", entry) for entry in entries]


def as_cron_reads_it(command: str) -> str:
    """Return what cron hands to the shell: up to the first bare percent sign, escaped ones without their backslash."""
    cut = re.split(r"(?<!\\)%", command)
    assert len(cut) == 1, "cron would give the rest to the command's standard input"
    return command.replace(r"\%", "%")


@pytest.mark.parametrize("name", [*HOSTILE, "100%", "%%x"])
def test_what_cron_runs_is_the_command_and_nothing_else(tmp_path: Path, name: str) -> None:
    """Run the line as cron does, with a program that shows its arguments, in a folder of that name."""
    folder = tmp_path / name.replace("/", "_")
    (folder / "state" / "logs").mkdir(parents=True)
    program = folder / "show"
    program.write_text('#!/bin/sh\nprintf "%s\\n" "$PATH" "$NAMED" "$@"\n')
    program.chmod(0o755)
    here = Installation(folder / "neuroflow.yaml", (str(program),), f"{folder}:/usr/bin:/bin", (("NAMED", name),))
    # The configuration refuses some names for its own folders.
    config = config_in(tmp_path if set(name) & set("$%#") else folder, kind="slurm")
    config.logs_dir.mkdir(parents=True, exist_ok=True)

    (command,) = commands_of(cron(config, here, every_minutes=5))
    done = subprocess.run(["/bin/sh", "-c", as_cron_reads_it(command)], cwd=tmp_path, env={}, check=False)

    shown = (config.logs_dir / "tick.log").read_text(encoding="utf-8").splitlines()
    assert (done.returncode, shown) == (
        0,
        [f"{folder}:/usr/bin:/bin", name, "--config", str(folder / "neuroflow.yaml"), "tick"],
    )
    assert not (tmp_path / "x").exists()


def test_the_lines_of_cron_and_scrontab_pass_shellcheck(shellcheck: str, tmp_path: Path) -> None:
    scripts = {}
    for number, name in enumerate(["plain", ALL_AT_ONCE]):
        config = config_in(tmp_path / str(number), kind="slurm", **FULL)
        here = installation(name, PYTHONPATH=f"/src/{name}")
        scripts[f"cron-{number}"] = as_cron_reads_it(commands_of(cron(config, here, every_minutes=5))[0]) + "\n"
        scripts[f"scron-{number}"] = commands_of(scrontab(config, here, shape(config), every_minutes=5))[0] + "\n"
    check(shellcheck, scripts, tmp_path, dialect="sh")


def test_the_options_of_a_scrontab_stand_before_its_line(tmp_path: Path) -> None:
    config = config_in(tmp_path / "it's", kind="slurm", **FULL)
    lines = scrontab(config, installation(), shape(config, 60), every_minutes=10).splitlines()
    options = [line.removeprefix("#SCRON ") for line in lines if line.startswith("#SCRON ")]
    assert f"--job-name={job_name(config, 'tick')}" in options
    assert shlex.split(options[1]) == [f"--output={tmp_path}/it's/state/logs/tick-%j.log"]
    assert {"--time=60", "--account=lab", "--partition=main", "--mail-type=FAIL"} <= set(options)
    assert lines[-1].startswith("*/10 * * * * PATH=")


def test_a_line_that_cron_would_refuse_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cron takes 998"):
        cron(config_in(tmp_path), installation("x" * 400), every_minutes=5)


@pytest.mark.parametrize("bad", ["a\nb", "a\rb", "\x1b[1m"])
def test_line_breaks_are_refused(tmp_path: Path, bad: str) -> None:
    config = config_in(tmp_path, kind="slurm")
    for kind in UNITS:
        with pytest.raises(ClusterError, match="line break or control character"):
            unit(config, installation(bad), kind, stop_seconds=60)
    with pytest.raises(ClusterError, match="line break or control character"):
        cron(config, installation(bad), every_minutes=5)
    with pytest.raises(ClusterError, match="line break or control character"):
        up_job(config, installation(bad), shape(config), stop_seconds=60)


# --- the job of `up`, run with stand-ins for SLURM's programs ---

STAND_IN = """#!/bin/bash
echo "{name} $*" >>"$CALLS"
{body}
"""


class Stage:
    """A folder with stand-ins, in which the script of the job runs."""

    def __init__(self, folder: Path, *, up: str, squeue: str = "", sbatch: str = "echo 17") -> None:
        self.folder = folder
        self.calls = folder / "calls"
        for name, body in {"sbatch": sbatch, "squeue": squeue, "scancel": "", "neuroflow": up}.items():
            file = folder / name
            file.write_text(STAND_IN.format(name=name, body=body))
            file.chmod(0o755)

    def start(self, monkeypatch: pytest.MonkeyPatch, *, settle_seconds: int = 0) -> subprocess.Popen[str]:
        monkeypatch.setattr(services_text, "SETTLE_SECONDS", settle_seconds)
        monkeypatch.setattr(services_text, "STARTS", 2)
        config = config_in(self.folder, kind="slurm", sbatch_lines=())
        here = Installation(self.folder / "nf.yaml", (str(self.folder / "neuroflow"),), f"{self.folder}", ())
        text = up_job(config, here, shape(config), stop_seconds=60)
        # Waits that SLURM's pace needs, and a stand-in does not.
        text = text.replace("rest 5", "rest 0.05").replace("rest 15", "rest 0.05").replace("rest 10", "rest 0.05")
        script = self.folder / "script"
        script.write_text(text)
        environment = {
            "PATH": f"{self.folder}:{os.environ['PATH']}",
            "CALLS": str(self.calls),
            "SLURM_JOB_ID": "16",
            "SLURM_CONF": "/etc/slurm.conf",
            "SBATCH_QOS": "x",
        }
        return subprocess.Popen(
            ["bash", script], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def programs(self) -> list[str]:
        return [line.split()[0] for line in self.calls.read_text().splitlines()]


SERVES = """trap 'echo "stopped" >>"$CALLS"; kill $!; exit 0' TERM
compgen -v SLURM SBATCH >>"$CALLS"
sleep 60 & wait"""


def end(process: subprocess.Popen[str]) -> str:
    output, _ = process.communicate(timeout=30)
    return output


def read_until(process: subprocess.Popen[str], words: str) -> str:
    """Read the script's output up to the line with these words."""
    assert process.stdout is not None
    seen = ""
    for text in process.stdout:
        seen += text
        if words in text:
            return seen
    raise AssertionError(seen)


def test_near_its_time_limit_up_is_stopped_in_order_and_one_successor_submitted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = Stage(tmp_path, up=SERVES)
    process = stage.start(monkeypatch, settle_seconds=60)
    read_until(process, "is process")
    deadline = time.monotonic() + 30
    while "SLURM_CONF" not in (stage.calls.read_text() if stage.calls.exists() else ""):
        assert time.monotonic() < deadline, "`up` was not started"
        time.sleep(0.01)
    process.send_signal(10)  # USR1
    output = end(process)
    assert process.returncode == 0
    assert "job 17 was submitted to follow" in output
    assert "neuroflow up has stopped" in output
    assert stage.programs() == ["neuroflow", "SLURM_CONF", "squeue", "sbatch", "stopped"]


def test_a_successor_that_waits_already_is_not_submitted_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage(tmp_path, up=SERVES, squeue="echo 16; echo 18")
    process = stage.start(monkeypatch)
    seen = read_until(process, "to follow")
    process.send_signal(10)
    seen += end(process)
    assert "job 18 waits to follow" in seen
    assert "sbatch" not in stage.programs()


def test_an_up_that_does_not_start_is_tried_again_and_starts_no_chain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = Stage(tmp_path, up="exit 3")
    process = stage.start(monkeypatch, settle_seconds=60)
    end(process)
    assert process.returncode == 3
    assert stage.programs() == ["neuroflow", "neuroflow"]


def test_one_that_breaks_after_it_was_well_leaves_its_successor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = Stage(tmp_path, up="sleep 0.5; exit 4")
    process = stage.start(monkeypatch)
    end(process)
    assert process.returncode == 4
    assert sorted(stage.programs()) == ["neuroflow", "sbatch", "squeue"]


def test_one_that_somebody_stopped_ends_the_chain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage(tmp_path, up="sleep 0.5; exit 0")
    process = stage.start(monkeypatch)
    end(process)
    assert process.returncode == 0
    assert stage.calls.read_text().splitlines()[-1] == "scancel 17"


def test_a_submission_that_fails_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage(tmp_path, up=SERVES, sbatch='[ -e "$CALLS.twice" ] && echo 17 || { touch "$CALLS.twice"; exit 1; }')
    process = stage.start(monkeypatch)
    read_until(process, "job 17 was submitted")
    process.terminate()
    assert "neuroflow up has stopped" in end(process)
    assert stage.programs().count("sbatch") == 2


def test_a_time_that_is_too_short_is_refused(tmp_path: Path) -> None:
    config = config_in(tmp_path, kind="slurm")
    with pytest.raises(UsageError, match="a job of 2 min has no time"):
        up_job(config, installation(), shape(config, 2), stop_seconds=60)


# --- systemd ---


@pytest.mark.parametrize("kind", UNITS)
def test_systemd_understands_the_unit(tmp_path: Path, kind: str) -> None:
    analyze = shutil.which("systemd-analyze")
    require("systemd", analyze is not None, "apt install systemd")
    assert analyze is not None
    hostile = tmp_path / 'it\'s a "lab" 100% é ; #'
    hostile.mkdir()
    (hostile / "neuroflow").write_text("#!/bin/sh\n")
    (hostile / "neuroflow").chmod(0o755)
    here = Installation(hostile / "$HOME %h.yaml", (str(hostile / "neuroflow"),), str(hostile), (("A", '$x %n \\ "'),))
    made = services_text.KINDS[kind].file
    (tmp_path / made).write_text(unit(config_in(tmp_path), here, kind, stop_seconds=60), encoding="utf-8")
    names = [str(tmp_path / made.replace("@.", "@bids."))]
    environment = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)}
    done = subprocess.run(
        [analyze, "verify", "--user", "--man=no", *names], env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr


def test_what_systemd_would_fill_in_is_doubled(tmp_path: Path) -> None:
    text = unit(config_in(tmp_path), installation("%h $x"[:2], A='100% "$x"'), "systemd", stop_seconds=60)
    assert 'ExecStart="/opt/%%h/bin/python" "-m" "neuroflow.cli.main" "--config" "/opt/%%h/neuroflow.yaml"' in text
    assert 'Environment="A=100%% \\"$x\\""\n' in text
    assert "TimeoutStopSec=150\n" in text


def test_up_tells_systemd_how_it_is_and_what_celery_runs_does_not(tmp_path: Path) -> None:
    text = unit(config_in(tmp_path), installation(), "systemd", stop_seconds=60)
    for line in (
        "Type=notify",
        "NotifyAccess=main",
        "TimeoutStartSec=360",
        "WatchdogSec=300",
        "ExecReload=/bin/kill -HUP $MAINPID",
    ):
        assert f"\n{line}\n" in text
    for kind in ("systemd-worker", "systemd-beat"):
        text = unit(config_in(tmp_path), installation(), kind, stop_seconds=60)
        assert "\nType=exec\n" in text
        assert "Watchdog" not in text
        assert "ExecReload" not in text


def test_a_program_whose_name_systemd_refuses_is_started_by_env(tmp_path: Path) -> None:
    text = unit(config_in(tmp_path), installation('a "b" $x'), "systemd", stop_seconds=60)
    assert 'ExecStart="/usr/bin/env" "/opt/a \\"b\\" $$x/bin/python" "-m"' in text
    with pytest.raises(ConfigError, match="systemd can't start"):
        unit(config_in(tmp_path), installation("a='b'"), "systemd", stop_seconds=60)


# --- the command ---

CONFIG = """\
paths: {dicom_root: dicom, bids_root: bids, derivatives_root: derivatives, work_root: work, state_dir: state}
cluster: {kind: slurm, account: lab, partition: main}
pipelines: {bids_conversion: {where: cluster}}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "dicom").mkdir()
    (tmp_path / "neuroflow.yaml").write_text(CONFIG)
    return tmp_path


def neuroflow(folder: Path, arguments: Sequence[str], *, code: int = 0) -> str:
    result = CliRunner().invoke(cli, ["--config", str(folder / "neuroflow.yaml"), *arguments])
    assert result.exit_code == code, result.output
    return result.output


def test_each_service_is_listed_and_can_be_rendered(folder: Path) -> None:
    neuroflow(folder, ["db", "upgrade"])
    listed = neuroflow(folder, ["services", "list"])
    for name, kind in services_text.KINDS.items():
        assert f"{name} " in listed
        neuroflow(folder, ["services", "render", name, "--output", f"{folder}/new/"])
        assert f"{folder}/neuroflow.yaml" in (folder / "new" / kind.file).read_text()


@pytest.mark.parametrize("minutes", ["7", "0", "59", "60"])
def test_a_tick_that_cron_would_make_uneven_is_refused(folder: Path, minutes: str) -> None:
    said = neuroflow(folder, ["services", "render", "cron", "--every-minutes", minutes], code=2)
    assert "1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30" in " ".join(said.split())


def test_a_file_is_replaced_only_when_asked_for(folder: Path) -> None:
    file = folder / "my.cron"
    file.write_text("mine")
    command = ["services", "render", "cron", "--output", str(file)]
    assert "is there already" in neuroflow(folder, command, code=2)
    assert file.read_text() == "mine"
    assert "wrote" in neuroflow(folder, [*command, "--force"])


@pytest.mark.parametrize(
    ("old", "new", "service", "words"),
    [
        ("where: cluster", "where: worker", "up-job", "bids_conversion works inside the worker"),
        ("where: cluster", "where: worker", "scrontab", "set pipelines.bids_conversion.where to `cluster`"),
        ("kind: slurm", "kind: local", "up-job", "there is no SLURM to give a job to"),
        ("kind: slurm", "kind: slurm", "cronjob", "there is no service 'cronjob'; there are: up-job, scrontab"),
    ],
)
def test_what_can_not_be_rendered_is_said(folder: Path, old: str, new: str, service: str, words: str) -> None:
    (folder / "neuroflow.yaml").write_text(CONFIG.replace(old, new))
    assert words in neuroflow(folder, ["services", "render", service], code=2)


def test_the_job_of_up_follows_the_partitions_settings(folder: Path) -> None:
    own = "{main: {qos: long, setup_lines: [module load redis], limits: {time_minutes: 600}}}"
    (folder / "neuroflow.yaml").write_text(CONFIG.replace("partition: main", f"partition: main, partitions: {own}"))
    neuroflow(folder, ["db", "upgrade"])
    text = neuroflow(folder, ["services", "render", "up-job"])
    assert "#SBATCH --account=lab\n#SBATCH --partition=main\n#SBATCH --qos=long\n" in text
    assert "#SBATCH --time=600\n" in text
    assert "\nmodule load redis\n" in text


def test_two_installations_have_jobs_of_two_names(tmp_path: Path) -> None:
    assert job_name(config_in(tmp_path / "a"), "up") != job_name(config_in(tmp_path / "b"), "up")
