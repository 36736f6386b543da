"""Variables: nested names, JSON, and misspelt names that must not be ignored."""

from __future__ import annotations

import pytest

from .conftest import Load, Problems


def test_nested_names_set_nested_keys(load: Load) -> None:
    config = load(
        environ={
            "NEUROFLOW_REDIS__URL": "redis://redis:6379/0",
            "NEUROFLOW_WORKFLOW__MAX_CONCURRENT__QSIPREP": "12",
            "NEUROFLOW_CLUSTER__ACCOUNTING": "false",
            "neuroflow_redis__url": "redis://ignored",
            "UNRELATED": "x",
        }
    )
    assert config.redis_url() == "redis://redis:6379/0"
    assert config.workflow.max_concurrent.qsiprep == 12
    assert config.cluster.accounting is False


def test_lists_and_mappings_are_json(load: Load) -> None:
    config = load(
        environ={
            "NEUROFLOW_CLUSTER__SBATCH_LINES": '["--a", "--b"]',
            "NEUROFLOW_CELERY": '{"max_retries": 1, "worker_concurrency": 2}',
            "NEUROFLOW_CELERY__MAX_RETRIES": "5",
            "NEUROFLOW_PROTOCOL__REQUIRED_SCANS": '[{"name": "dwi", "pattern": "dwi"}]',
        }
    )
    assert config.cluster.sbatch_lines == ("--a", "--b")
    assert (config.celery.max_retries, config.celery.worker_concurrency) == (5, 2)
    assert config.protocol.required_scans[0].name == "dwi"
    assert config.source_of("celery.max_retries") == "environment"


def test_the_keys_of_a_free_mapping_keep_their_case(load: Load) -> None:
    config = load(environ={"NEUROFLOW_CONTAINERS__ENVIRONMENT__OMP_Num": "4"})
    assert config.containers.environment == {"OMP_Num": "4"}


def test_null_takes_an_optional_value_back_and_an_empty_variable_is_none(load: Load) -> None:
    config = load(
        "cluster: {account: lab, partition: long}\n",
        environ={"NEUROFLOW_CLUSTER__ACCOUNT": "null", "NEUROFLOW_CLUSTER__PARTITION": ""},
    )
    assert config.cluster.account is None
    assert config.cluster.partition == "long"


def test_a_retry_policy_of_one_pipeline_can_be_given(load: Load) -> None:
    config = load(environ={"NEUROFLOW_PIPELINES__QSIPREP__RETRY__MAX_ATTEMPTS": "7"})
    assert config.pipelines.qsiprep.retry is not None
    assert config.pipelines.qsiprep.retry.max_attempts == 7


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("NEUROFLOW_REDIS_URL", "x", "sets no key of the configuration; did you mean NEUROFLOW_REDIS__URL?"),
        ("NEUROFLOW_REDIS__URLL", "x", "did you mean NEUROFLOW_REDIS__URL?"),
        ("NEUROFLOW_REDIS__URL__X", "x", "did you mean NEUROFLOW_REDIS__URL?"),
        ("NEUROFLOW_CELERI__MAX_RETRIES", "1", "did you mean NEUROFLOW_CELERY__MAX_RETRIES?"),
        ("NEUROFLOW_CELERY__", "1", "sets no key of the configuration"),
        ("NEUROFLOW___", "1", "sets no key of the configuration"),
        ("NEUROFLOW_CLUSTER__SBATCH_LINES", "--a", 'cluster.sbatch_lines: must be JSON: a list, such as ["a", "b"]'),
        ("NEUROFLOW_CLUSTER__SBATCH_LINES", '{"a": 1}', "cluster.sbatch_lines: must be JSON: a list"),
        ("NEUROFLOW_CLUSTER__SBATCH_LINES__0", "--a", "sets no key of the configuration"),
        ("NEUROFLOW_CELERY", "[" * 100_000, "celery: must be JSON: a mapping"),
        ("NEUROFLOW_CELERY", '{"max_retry": 3}', "celery.max_retry: is no key of the configuration; did you mean 'max"),
        ("NEUROFLOW_CELERY__MAX_RETRIES", "1e3", "celery.max_retries: is '1e3', but must be a whole number"),
        ("NEUROFLOW_CELERY__MAX_RETRIES", "9" * 5000, "celery.max_retries: is '999"),
        ("NEUROFLOW_PATHS__WORK_ROOT", "a\nb", "holds a line break or control character"),
    ],
)
def test_a_bad_variable_is_named(problems: Problems, name: str, value: str, expected: str) -> None:
    (line,) = problems(environ={name: value})
    assert line.startswith(f"environment {name}: ")
    assert expected in line


def test_variables_that_merely_share_the_prefix_are_left_alone(load: Load) -> None:
    load(environ={"NEUROFLOW_HOME": "x", "NEUROFLOW_TEST_POSTGRES": "y", "NEUROFLOW_CONFIG": "z"})


def test_a_path_may_be_a_json_text(load: Load) -> None:
    assert str(load(environ={"NEUROFLOW_PATHS__WORK_ROOT": '"/big/work"'}).paths.work_root) == "/big/work"
