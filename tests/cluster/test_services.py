"""The services that the other tests stand on do what they promise."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import psycopg
import pytest
import redis

from tests.support.apptainer import Apptainer
from tests.support.commands import run
from tests.support.demo_images import DemoImages
from tests.support.slurm import Slurm


def test_slurm_runs_a_job_and_remembers_it(slurm: Slurm, tmp_path: Path) -> None:
    output = tmp_path / "out.txt"
    words = ["sbatch", "--wait", "--parsable", "--account", slurm.account, "--partition", slurm.short_partition]
    job = run([*words, f"--output={output}", "--wrap=echo from the node"]).strip()
    assert output.read_text() == "from the node\n"
    assert run(["squeue", "--noheader", "--jobs", job, "--states=all", "--format=%T"]).strip() == "COMPLETED"


def test_slurm_refuses_an_account_that_is_not_there(slurm: Slurm) -> None:
    with pytest.raises(RuntimeError, match="Invalid account"):
        run(["sbatch", "--account", "nobodys", "--partition", slurm.partition, "--wrap=true"])


def test_an_ordinary_user_submits_jobs(slurm: Slurm, ordinary_user: str) -> None:
    as_user = ["runuser", "-u", ordinary_user, "--"] if os.geteuid() == 0 else []
    words = ["sbatch", "--wait", "--account", slurm.account, "--chdir=/tmp", "--output=/dev/null"]
    run([*as_user, *words, "--wrap=test $(id -u) != 0"])


def test_apptainer_passes_the_exit_code_on(apptainer: Apptainer) -> None:
    command = [
        apptainer.program,
        "--silent",
        "run",
        *apptainer.runtime_args,
        str(apptainer.image),
        "sh",
        "-c",
        "exit 7",
    ]
    assert subprocess.run(command, check=False, timeout=60).returncode == 7


def test_redis_never_drops_a_queue(redis_server: str) -> None:
    path = redis_server.removeprefix("redis+socket://").partition("?")[0]
    client = redis.Redis(unix_socket_path=path, decode_responses=True)
    try:
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        assert Path(path).parent.stat().st_mode & 0o777 == 0o700
    finally:
        client.close()


def test_postgres_answers(postgres_url: str) -> None:
    with psycopg.connect(postgres_url) as connection:
        assert connection.execute("select 1").fetchone() == (1,)


@pytest.mark.parametrize("pipeline", ["bids_conversion", "qsiprep", "qsirecon"])
def test_a_demo_image_answers_for_its_tool(demo_images: DemoImages, apptainer: Apptainer, pipeline: str) -> None:
    image: Path = getattr(demo_images, pipeline)
    answer = run([apptainer.program, "--silent", "run", "--containall", *apptainer.runtime_args, image, "--version"])
    assert answer.strip()


def test_the_qsiparc_image_has_its_command(demo_images: DemoImages, apptainer: Apptainer) -> None:
    words = [apptainer.program, "--silent", "run", "--containall", *apptainer.runtime_args]
    assert "--atlas" in run([*words, demo_images.qsiparc, "run", "--help"])
