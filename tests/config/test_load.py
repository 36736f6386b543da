"""Layers: which one wins, where a value comes from, what paths are relative to."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from neuroflow.config import NeuroflowConfig
from neuroflow.errors import ConfigError

from .conftest import PATHS, Load, Problems, Write

SITE = """\
cluster: {name: big, kind: slurm, account: lab, sbatch_lines: [a, b]}
workflow: {max_concurrent: {qsiprep: 100, qsiparc: 400}}
"""


def test_a_file_with_the_paths_alone_is_enough(load: Load, tmp_path: Path) -> None:
    config = load()
    assert config.paths.dicom_root == tmp_path / "dicom"
    assert config.workflow.max_concurrent.of("qsiprep") == 1
    assert config.files == (tmp_path / "neuroflow.yaml",)


def test_each_layer_overrides_the_weaker_ones(load: Load, write: Write) -> None:
    write(SITE, paths="", name="site-configs/big.yaml")
    text = "site: big\nworkflow: {max_concurrent: {qsiprep: 50}}\ncelery: {worker_concurrency: 2, max_retries: 5}\n"
    config = load(
        text,
        environ={"NEUROFLOW_CELERY__WORKER_CONCURRENCY": "8", "NEUROFLOW_CELERY__MAX_RETRIES": "6"},
        overrides={"celery": {"max_retries": 7}},
    )
    assert config.workflow.max_concurrent.model_dump() == {
        "bids_conversion": 4,
        "qsiprep": 50,
        "qsirecon": 2,
        "qsiparc": 400,
    }
    assert config.celery.worker_concurrency == 8
    assert config.celery.max_retries == 7
    assert config.cluster.account == "lab"


def test_every_value_knows_where_it_comes_from(load: Load, write: Write, tmp_path: Path) -> None:
    site = write(SITE, paths="", name="site-configs/big.yaml")
    config = load("site: big\n", environ={"NEUROFLOW_REDIS__URL": "embedded"}, overrides={"logging.level": "DEBUG"})
    assert config.files == (tmp_path / "neuroflow.yaml", site)
    assert config.source_of("paths.bids_root") == "neuroflow.yaml:3"
    assert config.source_of("cluster.account") == "big.yaml:1"
    assert config.source_of("workflow.max_concurrent.qsiparc") == "big.yaml:2"
    assert config.source_of("workflow.max_concurrent.qsirecon") == "default"
    assert config.source_of("redis.url") == "environment"
    assert config.source_of("logging.level") == "argument"
    assert config.source_of("logging.format") == "default"
    assert config.source_of("no.such.key") == "default"


def test_a_list_replaces_the_weaker_list(load: Load, write: Write) -> None:
    write(SITE, paths="", name="site-configs/big.yaml")
    assert load("site: big\ncluster: {sbatch_lines: [c]}\n").cluster.sbatch_lines == ("c",)


def test_an_empty_section_keeps_what_weaker_layers_say(load: Load, write: Write) -> None:
    write(SITE, paths="", name="site-configs/big.yaml")
    config = load("site: big\ncluster:\n  # account: other\nworkflow:\n  max_concurrent:\n")
    assert config.cluster.account == "lab"
    assert config.workflow.max_concurrent.qsiprep == 100


def test_null_takes_a_weaker_value_back(load: Load, write: Write) -> None:
    write(SITE, paths="", name="site-configs/big.yaml")
    assert load("site: big\ncluster: {account: null}\n").cluster.account is None


def test_paths_are_relative_to_the_file_that_names_them(load: Load, write: Write, tmp_path: Path) -> None:
    text = "pipelines: {qsiprep: {image: images/q.sif}, qsirecon: {datasets: {a: atlases}, recon_spec: ../r.yaml}}\n"
    site = write(text, paths="", name="sites/deep/one.yaml")
    config = load("site: sites/deep/one.yaml\nlogging: {file: n.log}\n", check_files=False)
    assert config.logging.file == tmp_path / "n.log"
    assert config.pipelines.qsiprep.image == str(site.parent / "images" / "q.sif")
    assert config.pipelines.qsirecon.datasets == {"a": site.parent / "atlases"}
    assert config.pipelines.qsirecon.recon_spec == str(tmp_path / "sites" / "r.yaml")


def test_paths_of_variables_and_arguments_are_relative_to_the_working_directory(load: Load, tmp_path: Path) -> None:
    config = load(
        environ={"NEUROFLOW_PATHS__WORK_ROOT": "w", "NEUROFLOW_PIPELINES__QSIRECON__DATASETS": '{"a": "b"}'},
        overrides={"paths": {"bids_root": Path("b")}},
        cwd=tmp_path / "elsewhere",
        check_files=False,
    )
    assert config.paths.work_root == tmp_path / "elsewhere" / "w"
    assert config.paths.bids_root == tmp_path / "elsewhere" / "b"
    assert config.pipelines.qsirecon.datasets == {"a": tmp_path / "elsewhere" / "b"}


@pytest.mark.parametrize("image", ["pennlinc/qsiprep:26.1.1", "docker://pennlinc/qsiprep:26.1.1"])
def test_an_image_reference_is_no_path(load: Load, image: str) -> None:
    config = load(f"containers: {{runtime: docker}}\npipelines: {{qsiprep: {{image: '{image}'}}}}\n")
    assert config.pipelines.qsiprep.image == image


def test_a_name_of_a_recon_spec_is_no_path(load: Load) -> None:
    assert load("pipelines: {qsirecon: {recon_spec: mrtrix_singleshell}}").pipelines.qsirecon.recon_spec == (
        "mrtrix_singleshell"
    )


def test_home_is_expanded(load: Load) -> None:
    assert load("logging: {file: ~/n.log}\n").logging.file == Path.home() / "n.log"


def test_dotted_and_nested_arguments_go_together(load: Load) -> None:
    config = load(overrides={"celery.max_retries": 1, "celery": {"worker_concurrency": 2}})
    assert (config.celery.max_retries, config.celery.worker_concurrency) == (1, 2)


def test_the_object_is_frozen(load: Load) -> None:
    config = load()
    with pytest.raises(ValidationError):
        config.celery.max_retries = 9  # type: ignore[misc]
    with pytest.raises(ValidationError):
        config.celery = config.celery  # type: ignore[misc]


def test_an_object_built_in_code_reads_neither_files_nor_the_environment(
    load: Load, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    load("celery: {max_retries: 9}\n")
    monkeypatch.setenv("NEUROFLOW_CELERY__MAX_RETRIES", "8")
    monkeypatch.chdir(tmp_path)
    config = NeuroflowConfig(paths=load().paths)
    assert config.celery.max_retries == 3
    assert config.files == ()
    assert config.source_of("celery.max_retries") == "default"


# --- the site file -------------------------------------------------------------------------------


def test_a_site_beside_the_file_comes_before_a_shipped_one(load: Load, write: Write, tmp_path: Path) -> None:
    shipped = load("site: local\n").files[1]
    own = write("cluster: {name: mine}\n", paths="", name="site-configs/local.yaml")
    assert shipped.name == "local.yaml"
    assert load("site: local\n").files[1] == own


def test_the_environment_names_the_site_before_the_file_does(load: Load, write: Write, tmp_path: Path) -> None:
    write("cluster: {name: one}\n", paths="", name="one.yaml")
    write("cluster: {name: two}\n", paths="", name="sub/two.yaml")
    config = load("site: ./one.yaml\n", environ={"NEUROFLOW_SITE": "./two.yaml"}, cwd=tmp_path / "sub")
    assert config.cluster.name == "two"


def test_an_unknown_site_names_the_known_ones(problems: Problems, write: Write) -> None:
    write("", paths="cluster: {}\n", name="site-configs/bigcluster.yaml")
    (line,) = problems("site: bigclustr\n")
    assert line.startswith("neuroflow.yaml:7: site: there is no site 'bigclustr'; did you mean 'bigcluster'?")
    assert "looked in site-configs" in line


@pytest.mark.parametrize("site", ["../../no/such.yaml", "~no-such-user-here/x", "'a\\0b'", '"a\\0b"', "x.yaml"])
def test_a_site_file_that_is_not_there_is_a_problem(problems: Problems, site: str) -> None:
    (line,) = problems(f"site: {site}\n")
    assert line.startswith("neuroflow.yaml:7: site: ")


@pytest.mark.parametrize("site", ["[a]", "{a: b}", "7", "''"])
def test_a_site_that_is_no_name_is_a_problem(problems: Problems, site: str) -> None:
    (line,) = problems(f"site: {site}\n")
    assert "must be the name of a site" in line


def test_what_is_wrong_in_a_site_file_names_that_file(problems: Problems, write: Write) -> None:
    write("cluster:\n  kind: slrum\n  site: x\nsite: other\n", paths="", name="site-configs/s.yaml")
    lines = problems("site: s\n")
    assert any(line.startswith("site-configs/s.yaml:2: cluster.kind: is 'slrum'") for line in lines)
    assert any(line.startswith("site-configs/s.yaml:3: cluster.site: is no key") for line in lines)
    assert any(line.startswith("site-configs/s.yaml:4: site: a site file can't name another") for line in lines)


# --- what follows from it ------------------------------------------------------------------------


def test_embedded_urls_lie_in_the_state_folder(load: Load, tmp_path: Path) -> None:
    config = load("redis: {url: embedded}\n")
    assert config.database_url() == f"sqlite:///{tmp_path}/state/neuroflow.db"
    assert config.redis_url() == f"redis+socket://{tmp_path}/state/redis/redis.sock?virtual_host=0"
    assert config.redis_socket() == tmp_path / "state" / "redis" / "redis.sock"
    assert config.attempts_dir == tmp_path / "state" / "attempts"
    assert config.logs_dir == tmp_path / "state" / "logs"


def test_other_urls_are_used_as_they_are(load: Load) -> None:
    config = load("redis: {url: 'rediss://:pw@h:1/2'}\ndatabase: {url: 'postgresql://u:p%40@h/d'}\n")
    assert config.redis_url() == "rediss://:pw@h:1/2"
    assert config.redis_socket() is None
    assert config.database_url() == "postgresql+psycopg://u:p%40@h/d"


def test_a_socket_path_that_is_too_long_gives_way_to_a_short_one(tmp_path: Path) -> None:
    (tmp_path / "dicom").mkdir()
    sockets = set()
    for name in ("a" * 150, "b" * 150):
        values = {key: str(tmp_path / key) for key in ("dicom_root", "bids_root", "derivatives_root", "work_root")}
        config = NeuroflowConfig(paths={**values, "state_dir": str(tmp_path / name)}, redis={"url": "embedded"})  # type: ignore[arg-type]
        socket = config.redis_socket()
        assert socket is not None
        assert len(str(socket).encode()) <= 107
        assert socket.parent.parent == Path("/tmp")
        sockets.add(socket)
    assert len(sockets) == 2


def test_special_characters_of_the_state_folder_survive_in_the_redis_url(tmp_path: Path) -> None:
    text = PATHS.replace("state_dir: state", "state_dir: 'st a&te ü'")
    (tmp_path / "dicom").mkdir()
    (tmp_path / "neuroflow.yaml").write_text(text + "redis: {url: embedded}\n")
    config = NeuroflowConfig.find_and_load(tmp_path / "neuroflow.yaml", environ={})
    assert config.redis_url().endswith("/st%20a%26te%20%C3%BC/redis/redis.sock?virtual_host=0")


def test_secrets_are_not_in_the_representation(load: Load) -> None:
    config = load("redis: {url: 'redis://:geheim@h/0'}\n")
    assert "geheim" not in repr(config) + str(config)


def test_missing_files_are_told_without_raising_when_asked(load: Load) -> None:
    config = load("pipelines: {qsiprep: {image: q.sif}}\n", check_files=False)
    (line,) = config.check_files()
    assert "pipelines.qsiprep.image: the file" in line
    with pytest.raises(ConfigError, match=r"q\.sif' does not exist"):
        load("pipelines: {qsiprep: {image: q.sif}}\n")
