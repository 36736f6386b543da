"""`neuroflow init --site NAME` on a new name asks the cluster, writes what it said, and loses no file."""

from __future__ import annotations

import datetime
import shutil
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest
import yaml
from click.testing import CliRunner, Result

from neuroflow.cli import init_files
from neuroflow.cli.init_command import init_command
from neuroflow.cli.site_text import Findings, site_text
from neuroflow.cli.yaml_text import comment, scalar
from neuroflow.cluster.survey import Silence
from neuroflow.cluster.survey_machine import MachineFacts, Program
from neuroflow.config import NeuroflowConfig
from neuroflow.config.schema import main_schema, site_schema
from neuroflow.errors import ConfigError, UsageError
from tests.support.fake_slurm import fake_slurm, system_only
from tests.support.slurm import Slurm

EXPECTED = Path(__file__).parent / "recorded" / "big.yaml"
APPTAINER = "echo apptainer version 1.4.1"


def init(*arguments: str | Path) -> Result:
    return CliRunner().invoke(init_command, [str(argument) for argument in arguments])


def ok(*arguments: str | Path) -> str:
    result = init(*arguments)
    assert result.exit_code == 0, (result.output, result.exception)
    return result.output


def load(folder: Path) -> NeuroflowConfig:
    return NeuroflowConfig.find_and_load(folder / "neuroflow.yaml", environ={})


Use = Callable[..., Path]


@pytest.fixture
def use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Use:
    """Return a function that puts a recorded cluster, or none, in place of the machine's programs."""

    def place(recorded: str | None, **instead: str) -> Path:
        folder = tmp_path / "programs"
        shutil.rmtree(folder, ignore_errors=True)
        if recorded is None:
            system_only(folder)
        else:
            fake_slurm(folder, recorded, instead=instead)
        monkeypatch.setenv("PATH", str(folder))
        monkeypatch.setenv("HOME", str(tmp_path))
        for name in ("TEMPLATEFLOW_HOME", "FS_LICENSE", "FREESURFER_HOME", "SCRATCH", "WORK", "TMPDIR"):
            monkeypatch.delenv(name, raising=False)
        return tmp_path / "study"

    return place


def today() -> str:
    return datetime.datetime.now(datetime.UTC).date().isoformat()


def test_a_recorded_cluster_becomes_the_recorded_file(use: Use) -> None:
    folder = use("survey_by_hand", apptainer=APPTAINER)
    before = today()
    ok(folder, "--site", "big")
    text = (folder / "site-configs" / "big.yaml").read_text()
    for old, new in (
        *((day, "2026-03-01") for day in (before, today())),  # two, at midnight
        ("\n  # (/", " (/"),  # wrapped, or not, by how long this test's own folder is
        (str(folder.parent / "programs"), "/usr/bin"),
    ):
        text = text.replace(old, new)
    assert text == EXPECTED.read_text()


@pytest.mark.parametrize("recorded", ["survey_22.05", "survey_by_hand", "survey_old_by_hand", None])
def test_what_is_written_loads_and_fits_the_schemas(use: Use, recorded: str | None) -> None:
    folder = use(recorded)
    output = ok(folder, "--site", "new")
    config = load(folder)
    assert (config.cluster.name, config.cluster.kind) == ("new", "slurm" if recorded else "local")
    for file, schema in (("site-configs/new.yaml", site_schema()), ("neuroflow.yaml", main_schema())):
        values = yaml.safe_load((folder / file).read_text())
        assert list(jsonschema.Draft202012Validator(schema).iter_errors(values)) == []
    assert "no container runtime was found" in output
    assert [path.name for path in folder.rglob("*.tmp")] == []


def test_what_is_chosen_on_the_recorded_cluster(use: Use) -> None:
    folder = use("survey_22.05", apptainer=APPTAINER)
    ok(folder, "--site", "lab")
    cluster = load(folder).cluster
    assert (cluster.account, cluster.partition, cluster.qos, cluster.accounting) == ("root", "main", None, True)
    assert cluster.limits.model_dump() == {"cpus": 16, "memory_mb": 64000, "time_minutes": 2880, "gpus": None}
    assert {name: one.preemptible for name, one in cluster.partitions.items()} == {
        "main": None,
        "short": None,
        "spot": True,
    }


def test_an_old_cluster_without_accounting(use: Use) -> None:
    folder = use("survey_old_by_hand")
    ok(folder, "--site", "attic")
    cluster = load(folder).cluster
    assert (cluster.account, cluster.accounting, cluster.scratch) == (None, False, "/scratch/local")


def test_commands_that_hang_or_fail_leave_a_question(use: Use) -> None:
    refused = "echo 'error: Connection refused' >&2; exit 1"
    folder = use("survey_by_hand", sacctmgr="exec sleep 60", sinfo=refused, sacct=refused)
    output = ok(folder, "--site", "big", "--timeout", "0.5")
    assert "(and 4 more calls of sacctmgr): no answer within 0.5 s" in output
    assert "sinfo -h -e -o '%R|%c|%m|%G|%D|%f': ended with 1: error: Connection refused" in output
    cluster = load(folder).cluster
    assert (cluster.account, cluster.partition, cluster.accounting) == (None, "normal", True)  # the default of the key
    assert "# TODO sacct did not answer" in (folder / "site-configs" / "big.yaml").read_text()


def test_a_partition_without_any_known_limit(use: Use) -> None:
    folder = use("survey_old_by_hand", sinfo="exit 1")
    ok(folder, "--site", "attic")
    assert load(folder).cluster.partitions["all"].limits.model_dump(exclude_none=True) == {}
    values = yaml.safe_load((folder / "site-configs" / "attic.yaml").read_text())
    assert list(jsonschema.Draft202012Validator(site_schema()).iter_errors(values)) == []


def test_without_slurm_a_local_site_or_a_refusal(use: Use) -> None:
    folder = use(None)
    error = init(folder, "--site", "here", "--kind", "slurm").exception
    assert isinstance(error, UsageError)
    assert "--kind local" in error.hint
    assert not folder.exists()
    ok(folder, "--site", "here", "--kind", "auto")
    assert load(folder).cluster.kind == "local"


def test_a_local_site_on_a_cluster(use: Use) -> None:
    folder = use("survey_22.05", scontrol="echo asked >> $HOME/asked")
    ok(folder, "--site", "here", "--kind", "local")
    assert load(folder).cluster.kind == "local"
    assert not (folder.parent / "asked").exists()


def test_licence_and_templateflow_go_into_neuroflow_yaml(use: Use, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = use("survey_22.05")
    flow = folder.parent / ".cache" / "templateflow" / "tpl-x"
    flow.mkdir(parents=True)
    (flow / "a.nii.gz").write_text("x")
    licence = folder.parent / "license.txt"
    licence.write_text("key")
    monkeypatch.setenv("FS_LICENSE", str(licence))
    ok(folder, "--site", "lab")
    paths = load(folder).paths
    assert (paths.freesurfer_license, paths.templateflow_home) == (licence, flow.parent)


def test_a_module_becomes_a_setup_line(use: Use) -> None:
    modules = "module() { [ \"$3\" = apptainer ] && printf '/apps:\\napptainer/1.3.4\\napptainer/1.4.2\\n' >&2; }"
    folder = use("survey_22.05")
    folder.parent.joinpath("bash_env").write_text(modules)
    machine = folder.parent / "programs" / "bash"
    target = machine.resolve()
    machine.unlink()
    machine.write_text(f'#!{target}\nBASH_ENV={folder.parent}/bash_env exec {target} "$@"\n')
    machine.chmod(0o755)
    ok(folder, "--site", "lab")
    config = load(folder)
    assert config.cluster.setup_lines == ("module load apptainer/1.4.2",)
    assert config.containers.runtime == "apptainer"


# --- files ---


def test_files_that_are_there_stay_without_force(use: Use) -> None:
    folder = use("survey_22.05")
    ok(folder, "--site", "lab")
    before = {path: path.read_text() for path in folder.rglob("*.yaml")}
    assert isinstance(init(folder, "--site", "lab").exception, UsageError)
    assert {path: path.read_text() for path in folder.rglob("*.yaml")} == before


def test_force_asks_again_and_keeps_the_former_file_and_the_labs_own(use: Use) -> None:
    folder = use("survey_22.05")
    ok(folder, "--site", "lab")
    site, main = folder / "site-configs" / "lab.yaml", folder / "neuroflow.yaml"
    site.write_text(site.read_text().replace("partition: main", "partition: mine"))
    main.write_text(main.read_text().replace("min_files: 1", "min_files: 7"))
    use("survey_old_by_hand")
    output = ok(folder, "--site", "lab", "--force")
    assert f"Kept {main}" in output
    assert load(folder).cluster.partition == "all"
    assert "partition: mine" in (folder / "site-configs" / "lab.yaml.old").read_text()
    assert load(folder).protocol.required_scans[0].min_files == 7


def test_a_study_that_is_there_gets_a_site_file_beside_it(use: Use) -> None:
    folder = use("survey_22.05")
    ok(folder)
    main = folder / "neuroflow.yaml"
    before = main.read_text()
    output = ok(folder, "--site", "lab")
    assert main.read_text() == before
    assert f"To do: {main}: write `site: lab` into it" in output
    assert (folder / "site-configs" / "lab.yaml").exists()
    assert isinstance(init(folder, "--site", "other", "--work-root", "elsewhere").exception, UsageError)
    assert not (folder / "site-configs" / "other.yaml").exists()


def test_force_replaces_the_labs_file_where_it_names_another_site(use: Use) -> None:
    folder = use("survey_22.05")
    ok(folder)
    ok(folder, "--site", "lab", "--force")
    assert load(folder).cluster.name == "lab"
    assert (folder / "neuroflow.yaml.old").exists()


def test_a_site_file_written_by_hand_is_used_and_never_replaced(use: Use) -> None:
    folder = use("survey_22.05")
    (folder / "site-configs").mkdir(parents=True)
    own = folder / "site-configs" / "own.yaml"
    own.write_text("cluster: {name: own, kind: slurm}\n")
    ok(folder, "--site", "own")
    ok(folder, "--site", "own", "--force")
    assert own.read_text() == "cluster: {name: own, kind: slurm}\n"
    assert load(folder).cluster.name == "own"


def test_a_dry_run_prints_both_files_and_writes_none(use: Use) -> None:
    folder = use("survey_22.05")
    output = ok(folder, "--site", "lab", "--dry-run")
    assert f"# --- {folder}/site-configs/lab.yaml" in output
    assert f"# --- {folder}/neuroflow.yaml" in output
    assert not folder.exists()


def test_nothing_is_half_written(use: Use, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = use("survey_22.05")
    real = init_files._publish

    def fails_at_the_second(file: init_files.NewFile) -> None:
        if file.path.name == "neuroflow.yaml":
            raise UsageError("disk full")
        real(file)

    monkeypatch.setattr(init_files, "_publish", fails_at_the_second)
    assert isinstance(init(folder, "--site", "lab").exception, UsageError)
    assert [path for path in folder.rglob("*") if path.is_file()] == []


def test_a_folder_where_one_may_not_write(use: Use) -> None:
    folder = use("survey_22.05")
    folder.write_text("a file\n")
    result = init(folder, "--site", "lab")
    assert result.exit_code != 0
    assert folder.read_text() == "a file\n"


@pytest.mark.parametrize("name", ["-x", ".hidden", "a b", "a\nb", "ü", ""])
def test_a_name_that_can_not_be_a_sites(use: Use, name: str) -> None:
    error = init(use("survey_22.05"), f"--site={name}").exception
    assert isinstance(error, UsageError | ConfigError)


# --- text ---


@pytest.mark.parametrize("text", ["lab", "/tmp", "no", "null", "1e3", "a: b", "# x", "ü", "a'b\"c", "", "0123", "~"])
def test_a_scalar_is_read_back_as_it_was(text: str) -> None:
    assert yaml.safe_load(f"key: {scalar(text)} # end") == {"key": text}


def test_no_answer_ends_a_comment() -> None:
    evil = "1.0\ncluster: {name: evil}\r\x85\u2028pwned: true"
    machine = MachineFacts(programs={"apptainer": Program("/x\ny: 1", evil)}, variables={"SCRATCH": evil})
    text = site_text(Findings("x", "2026-01-01", machine, (Silence(evil, evil, evil),)))
    assert yaml.safe_load(text)["cluster"]["name"] == "x"
    assert set(yaml.safe_load(text)) == {"cluster", "containers", "workflow"}
    assert comment("") == []


# --- the real cluster ---


def test_the_real_cluster(slurm: Slurm, tmp_path: Path) -> None:
    ok(tmp_path, "--site", "real")
    config = load(tmp_path)
    assert config.cluster.partition == slurm.partition
    assert config.cluster.partitions[slurm.spot_partition].preemptible
    assert config.cluster.limits.cpus
    assert config.cluster.account
    assert "not learned" not in (tmp_path / "site-configs" / "real.yaml").read_text()
