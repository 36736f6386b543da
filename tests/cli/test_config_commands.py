"""`neuroflow config` and `neuroflow init`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import jsonschema
import pytest
import yaml
from click.testing import CliRunner, Result

from neuroflow.cli.config_commands import config_group
from neuroflow.cli.init_command import init_command
from neuroflow.config import NeuroflowConfig
from neuroflow.config.describe import describe_keys
from neuroflow.config.schema import main_schema
from neuroflow.errors import ConfigError, UsageError

ROOT = Path(__file__).resolve().parents[2]
PATHS = "paths: {dicom_root: dicom, bids_root: bids, derivatives_root: deriv, work_root: work, state_dir: state}\n"
SECRETS = """\
redis: {url: 'redis://:geheim@h:6379/0'}
database: {url: 'postgresql+psycopg://me:geheim@db/x?sslpassword=geheim'}
workflow: {notifications: {slack_webhook: 'https://hooks.slack.com/services/T00/B00/geheim'}}
containers: {environment: {API_TOKEN: geheim, PROXY: 'http://u:geheim@proxy:3128', OMP_NUM_THREADS: '4'}}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "dicom").mkdir()
    (tmp_path / "neuroflow.yaml").write_text(PATHS + SECRETS)
    return tmp_path / "neuroflow.yaml"


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NEUROFLOW_CONFIG", "NEUROFLOW_SITE"):
        monkeypatch.delenv(name, raising=False)


def invoke(file: Path | None, *arguments: str) -> Result:
    return CliRunner().invoke(config_group, arguments, obj=SimpleNamespace(config_path=file))


def test_show_is_yaml_with_the_source_of_every_value(file: Path) -> None:
    result = invoke(file, "show")
    assert result.exit_code == 0
    assert f"# {file}\n" in result.output
    assert f"  dicom_root: {file.parent}/dicom  # neuroflow.yaml:1\n" in result.output
    assert "  level: INFO  # default\n" in result.output
    values = yaml.safe_load(result.output)
    assert set(values) == set(NeuroflowConfig.model_fields)
    assert values["workflow"]["max_concurrent"]["qsiparc"] == 4


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_show_hides_secrets(file: Path, options: tuple[str, ...]) -> None:
    output = invoke(file, "show", *options).output
    assert "geheim" not in output
    assert "redis://:**********@h:6379/0" in output
    assert "postgresql+psycopg://me:**********@db/x" in output
    assert "OMP_NUM_THREADS" in output


def test_show_json_has_values_sources_and_files(file: Path) -> None:
    report = json.loads(invoke(file, "show", "--json").output)
    assert report["files"] == [str(file)]
    assert report["values"]["celery"]["max_retries"] == 3
    assert report["sources"]["celery.max_retries"] == "default"
    assert report["sources"]["redis.url"] == "neuroflow.yaml:2"
    assert report["sources"]["discovery.ignore"] == "default"


def test_show_works_before_the_folders_are_there(file: Path) -> None:
    (file.parent / "dicom").rmdir()
    assert invoke(file, "show").exit_code == 0


def test_show_can_be_loaded_again(file: Path) -> None:
    file.write_text(PATHS + "cluster: {setup_lines: ['module load x  # y', 'export A=\"b: c\"']}\n")
    again = file.parent / "again.yaml"
    again.write_text(invoke(file, "show").output)
    first = NeuroflowConfig.find_and_load(file, environ={})
    assert NeuroflowConfig.find_and_load(again, environ={}).model_dump() == first.model_dump()


def test_validate_names_the_files(file: Path) -> None:
    result = invoke(file, "validate")
    assert result.exit_code == 0
    assert result.output.startswith(f"The configuration is valid: {file}\n`neuroflow doctor` ")


def test_validate_tells_all_problems_with_exit_code_2(file: Path) -> None:
    file.write_text(PATHS + "celery: {max_retries: x}\ncluster: {kind: y}\n")
    error = invoke(file, "validate").exception
    assert isinstance(error, ConfigError)
    assert error.exit_code == 2
    assert "celery.max_retries" in str(error)
    assert "cluster.kind" in str(error)


def test_validate_finds_dependencies_in_a_circle(file: Path) -> None:
    file.write_text(PATHS + "pipelines: {bids_conversion: {depends_on: [qsiparc]}}\n")
    error = invoke(file, "validate").exception
    assert isinstance(error, ConfigError)
    assert "circle" in str(error)


def test_schema_is_json_schema() -> None:
    schema = json.loads(invoke(None, "schema").output)
    assert schema["additionalProperties"] is False
    assert set(schema["properties"]) == {"site", *NeuroflowConfig.model_fields}


def test_schema_keys_lists_every_key() -> None:
    output = invoke(None, "schema", "--keys").output
    assert "workflow.max_concurrent.qsiprep  (whole number from 0; default: 1)\n    Runs in flight." in output
    assert "paths.dicom_root  (path; required)" in output
    assert "protocol.required_scans[].pattern  (text; required)" in output
    for info in describe_keys(NeuroflowConfig):
        assert f"{info.key}  (" in output


def test_the_help_of_the_commands_imports_neither_pydantic_nor_celery() -> None:
    code = (
        "import sys\n"
        "import neuroflow.cli.config_commands, neuroflow.cli.init_command, neuroflow.cli.up_command\n"
        "print(sorted({'pydantic', 'celery', 'sqlalchemy', 'yaml', 'redis', 'structlog'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


# --- init ----------------------------------------------------------------------------------------


def init(*arguments: str | Path) -> Result:
    return CliRunner().invoke(init_command, [str(argument) for argument in arguments])


def test_init_asks_nothing_and_writes_a_file_that_loads(tmp_path: Path) -> None:
    result = init(tmp_path / "study")
    assert result.exit_code == 0, result.output
    file = tmp_path / "study" / "neuroflow.yaml"
    assert f"Wrote {file}" in result.output
    config = NeuroflowConfig.find_and_load(file, environ={})
    assert config.paths.bids_root == tmp_path / "study" / "data" / "bids"
    assert [path.name for path in (tmp_path / "study").iterdir() if path.name != "data"] == ["neuroflow.yaml"]


def test_init_writes_what_a_lab_must_decide(tmp_path: Path) -> None:
    init(tmp_path)
    text = (tmp_path / "neuroflow.yaml").read_text()
    assert len(text.splitlines()) < 75
    config = NeuroflowConfig.find_and_load(tmp_path / "neuroflow.yaml", environ={})
    assert [scan.name for scan in config.protocol.required_scans] == ["T1w", "dwi"]
    assert config.redis.url.get_secret_value() == "embedded"
    for key in ("site:", "freesurfer_license:", "templateflow_home:", "image:", "max_concurrent:"):
        assert f" {key}" in text
    assert "docs/configuration.md" in text


def test_the_short_file_validates_against_the_schema(tmp_path: Path) -> None:
    init(tmp_path, "--site", "local")
    text = (tmp_path / "neuroflow.yaml").read_text()
    assert list(jsonschema.Draft202012Validator(main_schema()).iter_errors(yaml.safe_load(text))) == []


def test_init_comments_every_key(tmp_path: Path) -> None:
    init(tmp_path, "--all-keys")
    text = (tmp_path / "neuroflow.yaml").read_text()
    for info in describe_keys(NeuroflowConfig):
        if "[]" not in info.key and ".retry." not in info.key and ".partitions." not in info.key:
            assert f" {info.key.rpartition('.')[2]}:" in text


def test_the_commented_defaults_of_init_are_the_defaults(tmp_path: Path) -> None:
    init(tmp_path, "--all-keys")
    file = tmp_path / "neuroflow.yaml"
    plain = NeuroflowConfig.find_and_load(file, environ={})
    lines = file.read_text().splitlines()
    keys = {info.key.rpartition(".")[2] for info in describe_keys(NeuroflowConfig)}
    file.write_text("\n".join(_uncommented(line, keys) for line in lines))
    assert NeuroflowConfig.find_and_load(file, environ={}).model_dump() == plain.model_dump()


def _uncommented(line: str, keys: set[str]) -> str:
    indent, mark, rest = line.partition("# ")
    known = mark and not indent.strip() and indent and rest.partition(":")[0] in keys and "`" not in rest[:3]
    return indent + rest if known else line


@pytest.mark.parametrize("name", ["with space", "quote's", 'double"', "no", "ü: #x", "- dash", "{a}", "*star", "123"])
def test_init_takes_any_folder_name(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    result = init(tmp_path, "--dicom-root", name, "--work-root", tmp_path / f"{name} work")
    assert result.exit_code == 0, (result.output, result.exception)
    config = NeuroflowConfig.find_and_load(tmp_path / "neuroflow.yaml", environ={})
    assert config.paths.dicom_root == tmp_path / name
    assert config.paths.work_root == tmp_path / f"{name} work"


def test_init_never_overwrites_without_force(tmp_path: Path) -> None:
    file = tmp_path / "neuroflow.yaml"
    file.write_text("precious\n")
    error = init(tmp_path).exception
    assert isinstance(error, UsageError)
    assert "--force" in error.hint
    assert file.read_text() == "precious\n"
    assert init(tmp_path, "--force").exit_code == 0
    assert file.read_text().startswith("# The configuration of neuroflow")
    assert (tmp_path / "neuroflow.yaml.old").read_text() == "precious\n"


def test_init_leaves_a_dangling_link_alone(tmp_path: Path) -> None:
    (tmp_path / "neuroflow.yaml").symlink_to(tmp_path / "gone")
    assert isinstance(init(tmp_path).exception, UsageError)
    assert (tmp_path / "neuroflow.yaml").is_symlink()


def test_init_with_a_site(tmp_path: Path) -> None:
    (tmp_path / "site-configs").mkdir()
    (tmp_path / "site-configs" / "big.yaml").write_text("cluster: {name: big}\n")
    result = init(tmp_path, "--site", "big")
    assert result.exit_code == 0
    assert f"The site is that of {tmp_path / 'site-configs' / 'big.yaml'}" in result.output
    assert NeuroflowConfig.find_and_load(tmp_path / "neuroflow.yaml", environ={}).cluster.name == "big"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--site", "./nosuch.yaml"), "nosuch.yaml does not exist"),
        (("--work-root", "data/bids/work"), "is inside bids_root"),
        (("--bids-root", "a\nb: c"), "line break"),
        (("--bids-root", ""), "is empty"),
        (("--bids-root", "$HOME/x"), "variables are not expanded"),
    ],
)
def test_init_writes_nothing_that_would_not_load(tmp_path: Path, arguments: tuple[str, ...], expected: str) -> None:
    error = init(tmp_path / "s", *arguments).exception
    assert isinstance(error, ConfigError)
    assert expected in str(error)
    assert ".tmp" not in str(error)
    assert not list((tmp_path / "s").glob("*.yaml")) + list((tmp_path / "s").glob(".neuroflow*"))


def test_init_says_what_is_not_there_yet(tmp_path: Path) -> None:
    result = init(tmp_path, "--dicom-root", "gone", "--freesurfer-license", "/no/license.txt")
    assert result.exit_code == 0
    assert "To do:" in result.output
    assert "paths.dicom_root: the folder" in result.output
    assert "paths.freesurfer_license: the file '/no/license.txt' does not exist" in result.output


def test_the_environment_does_not_leak_into_init(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEUROFLOW_SITE", "nosuch")
    assert init(tmp_path).exit_code == 0


# --- the example at the repository's root ----------------------------------------------------------


@pytest.mark.parametrize("site", [None, "local"])
def test_the_example_loads(site: str | None) -> None:
    environ = {"NEUROFLOW_SITE": site} if site else {}
    config = NeuroflowConfig.find_and_load(ROOT / "neuroflow.yaml", environ=environ, check_files=False)
    assert config.redis_url() == "redis://127.0.0.1:6379/0"
    assert config.workflow.schedule == "0 2 */3 * *"
    assert [scan.name for scan in config.protocol.required_scans] == ["T1w", "dwi"]


def test_the_example_leaves_the_limits_to_the_site() -> None:
    config = NeuroflowConfig.find_and_load(
        ROOT / "neuroflow.yaml", environ={"NEUROFLOW_SITE": "single-node-slurm"}, check_files=False
    )
    assert config.source_of("workflow.max_concurrent.qsiprep").startswith("single-node-slurm.yaml:")
