"""What holds across the checkout: import contracts, site files that load, scripts that parse, pins that agree."""

from __future__ import annotations

import json
import os
import re
import sys
import tomllib
from pathlib import Path

import jsonschema
import pytest
import yaml

from neuroflow.config.load import NeuroflowConfig
from neuroflow.config.schema import main_schema, site_schema
from tests.support.commands import run

CHECKOUT = Path(__file__).resolve().parents[1]
SITE_FILES = sorted((CHECKOUT / "site-configs").glob("*.yaml"))
SHELL_SCRIPTS = sorted((CHECKOUT / "tests" / "cluster").glob("*.sh"))
COMMENTED_KEY = re.compile(r"^( *)# ((?:  )*[a-z_]+:(?: .*)?)$", re.MULTILINE)


def load_with_site(site: Path, folder: Path) -> NeuroflowConfig:
    """Load a minimal configuration that names a site file."""
    (folder / "dicom").mkdir()
    names = ["bids_root", "derivatives_root", "work_root", "state_dir"]
    paths = [f"  dicom_root: {folder}/dicom", *(f"  {name}: {folder}/site/{name}" for name in names)]
    main = folder / "neuroflow.yaml"
    main.write_text("\n".join([f"site: {site}", "paths:", *paths]) + "\n", encoding="utf-8")
    return NeuroflowConfig.find_and_load(main, environ={}, check_files=False)


def test_imports_keep_their_contracts() -> None:
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as run; run()", "--no-cache"]
    run(command, cwd=CHECKOUT)


@pytest.mark.parametrize("site", SITE_FILES, ids=lambda path: path.stem)
def test_a_site_file_loads(site: Path, tmp_path: Path) -> None:
    assert load_with_site(site, tmp_path).cluster.name


@pytest.mark.parametrize("site", SITE_FILES, ids=lambda path: path.stem)
def test_a_site_file_validates_against_the_schema(site: Path) -> None:
    text = site.read_text(encoding="utf-8")
    assert text.startswith("# yaml-language-server: $schema=./schema.json\n")
    assert list(jsonschema.Draft202012Validator(site_schema()).iter_errors(yaml.safe_load(text))) == []


def test_the_shipped_schema_is_current() -> None:
    shipped = json.loads((CHECKOUT / "site-configs" / "schema.json").read_text(encoding="utf-8"))
    assert shipped == site_schema(), "run `neuroflow config schema --site > site-configs/schema.json`"


def test_the_examples_in_the_site_files_page_load(tmp_path: Path) -> None:
    page = (CHECKOUT / "docs" / "site-files.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    assert len(blocks) == 2
    for number, block in enumerate(blocks):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "page.yaml").write_text(block, encoding="utf-8")
        load_with_site(folder / "page.yaml", folder)


def test_the_schemas_are_schemas() -> None:
    for schema in (site_schema(), main_schema()):
        jsonschema.Draft202012Validator.check_schema(schema)


def test_the_schema_refuses_what_the_loader_refuses() -> None:
    validator = jsonschema.Draft202012Validator(site_schema())
    assert not validator.is_valid({"cluster": {"nmae": "x"}})
    assert not validator.is_valid({"cluster": {"partitions": {"gpu": {"limits": {"cpus": 0}}}}})
    assert not validator.is_valid({"site": "other"})
    assert validator.is_valid({"cluster": {"limits": None}, "paths": {"templateflow_home": "/x"}})


def test_every_example_has_its_sources_and_its_row_in_the_table() -> None:
    table = (CHECKOUT / "site-configs" / "README.md").read_text(encoding="utf-8")
    for site in SITE_FILES:
        assert f"`{site.name}`" in table
        text = site.read_text(encoding="utf-8")
        if "public documentation" in text:
            assert "https://" in text
            assert re.search(r"read on\s+(?:# )?20\d\d-\d\d-\d\d", text)


def test_a_shipped_site_is_named_as_its_file(tmp_path: Path) -> None:
    named = [path for path in SITE_FILES if path.stem != "template"]
    assert named
    for number, path in enumerate(named):
        folder = tmp_path / str(number)
        folder.mkdir()
        assert load_with_site(path, folder).cluster.name == path.stem


def test_the_examples_in_the_template_are_right(tmp_path: Path) -> None:
    text = (CHECKOUT / "site-configs" / "template.yaml").read_text(encoding="utf-8")
    site = tmp_path / "all-of-it.yaml"
    site.write_text(COMMENTED_KEY.sub(r"\1\2", text), encoding="utf-8")
    config = load_with_site(site, tmp_path)
    assert config.cluster.account == "lab"
    assert config.cluster.limits.memory_mb == 180000
    assert config.pipelines.qsirecon.partition == "short"
    assert config.workflow.max_concurrent.qsiparc == 400


@pytest.mark.parametrize("script", SHELL_SCRIPTS, ids=lambda path: path.name)
def test_a_shell_script_parses(script: Path) -> None:
    run(["bash", "-n", script])
    is_a_program = script.read_text(encoding="utf-8").startswith("#!")
    assert os.access(script, os.X_OK) == is_a_program


def test_the_images_hold_the_versions_that_the_demo_asks_for() -> None:
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))
    demo = dict(re.split(r"[=>]=", line) for line in project["project"]["optional-dependencies"]["demo"])
    pins = (CHECKOUT / "containers" / "demo" / "requirements-heudiconv.txt").read_text(encoding="utf-8")
    builder = (CHECKOUT / "tests" / "cluster" / "build-images.sh").read_text(encoding="utf-8")
    assert f"heudiconv=={demo['heudiconv']}" in pins
    assert f"dcm2niix=={demo['dcm2niix']}" in pins
    assert f"qsiparc=={demo['qsiparc']}" in builder
