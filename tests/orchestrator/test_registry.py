"""The pipelines: their order, what is wrong with an order, and a site's overrides."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import ValidationError

from neuroflow.config import NeuroflowConfig
from neuroflow.config.recovery import Retry
from neuroflow.domain import Level, Resources
from neuroflow.errors import ConfigError, NotFoundError
from neuroflow.orchestrator.registry import BUILT_IN, Pipeline, Registry, get_registry

ORDER = ("bids_conversion", "qsiprep", "qsirecon", "qsiparc")


def pipeline(name: str, *depends_on: str) -> Pipeline:
    """Return a pipeline of which only the name and the dependencies matter."""
    return replace(BUILT_IN[0], name=name, depends_on=depends_on)


def registry_with(root: Path, **sections: object) -> Registry:
    """Return the registry of a configuration whose folders lie below `root`."""
    names = ("dicom_root", "bids_root", "derivatives_root", "work_root", "state_dir")
    paths = {name: root / name for name in names}
    paths["dicom_root"].mkdir()
    return get_registry(NeuroflowConfig.model_validate({"paths": paths, **sections}))


class TestOrder:
    def test_upstream_comes_first(self) -> None:
        assert get_registry().names() == ORDER
        assert Registry(reversed(BUILT_IN)).names() == ORDER
        assert tuple(item.name for item in get_registry()) == ORDER

    def test_levels(self) -> None:
        levels = {item.name: item.level for item in get_registry()}

        assert levels.pop("qsiprep") is Level.SUBJECT
        assert set(levels.values()) == {Level.SESSION}

    @pytest.mark.parametrize(("name", "later"), [(name, ORDER[at + 1 :]) for at, name in enumerate(ORDER)])
    def test_downstream_is_followed_to_the_end(self, name: str, later: tuple[str, ...]) -> None:
        assert tuple(item.name for item in get_registry().downstream_of(name)) == later

    def test_downstream_leaves_out_other_branches(self) -> None:
        registry = Registry([pipeline("a"), pipeline("b", "a"), pipeline("c", "a"), pipeline("d", "b")])

        assert [item.name for item in registry.downstream_of("b")] == ["d"]

    def test_routing_keys(self) -> None:
        keys = {item.name: item.routing_key for item in get_registry()}

        assert keys == {
            "bids_conversion": "bids",
            "qsiprep": "heavy",
            "qsirecon": "processing",
            "qsiparc": "processing",
        }


class TestMistakes:
    def test_a_circle_is_named(self) -> None:
        with pytest.raises(ConfigError, match=r"runs in a circle: .*\b[ab] -> [ab]\b"):
            Registry([pipeline("a", "b"), pipeline("b", "a")])

    def test_a_pipeline_cannot_need_itself(self) -> None:
        with pytest.raises(ConfigError, match="a -> a"):
            Registry([pipeline("a", "a")])

    def test_an_unknown_dependency_is_named(self) -> None:
        with pytest.raises(ConfigError, match=r"pipelines\.b\.depends_on names 'x', .* there are: a, b"):
            Registry([pipeline("a"), pipeline("b", "x")])

    def test_an_unknown_name_suggests_the_nearest(self) -> None:
        with pytest.raises(NotFoundError, match=r"no pipeline 'qsiprp'\. Did you mean 'qsiprep'\? There are: bids_"):
            get_registry().get("qsiprp")

    def test_a_name_like_no_other_suggests_nothing(self) -> None:
        with pytest.raises(NotFoundError) as caught:
            get_registry().get("zzz")

        assert "Did you mean" not in str(caught.value)
        assert "There are: bids_conversion, qsiprep, qsirecon, qsiparc" in str(caught.value)


class TestOverrides:
    def test_without_any_the_requests_are_the_built_in_ones(self, tmp_path: Path) -> None:
        registry = registry_with(tmp_path)

        assert registry.names() == ORDER
        assert [item.resources for item in registry] == [item.resources for item in BUILT_IN]
        assert [item.max_concurrent for item in registry] == [item.max_concurrent for item in BUILT_IN]

    def test_a_pipelines_own_settings_win(self, tmp_path: Path) -> None:
        settings = {"cpus": 16, "memory_mb": 64_000, "gpus": 1, "queue": "processing", "enabled": False}

        changed = registry_with(tmp_path, pipelines={"qsiprep": settings}).get("qsiprep")

        assert changed.resources == Resources(cpus=16, memory_mb=64_000, time_minutes=24 * 60, gpus=1)
        assert (changed.queue, changed.routing_key, changed.enabled) == ("processing", "processing", False)
        assert changed.settings.cpus == 16

    def test_the_others_keep_theirs(self, tmp_path: Path) -> None:
        registry = registry_with(tmp_path, pipelines={"qsiprep": {"cpus": 16}})

        assert registry.get("qsirecon").resources == get_registry().get("qsirecon").resources

    def test_retry_comes_from_the_workflow_unless_a_pipeline_has_its_own(self, tmp_path: Path) -> None:
        registry = registry_with(
            tmp_path, workflow={"retry": {"max_attempts": 7}}, pipelines={"qsiprep": {"retry": {"max_attempts": 2}}}
        )

        assert registry.get("qsiprep").retry == Retry(max_attempts=2)
        assert registry.get("qsirecon").retry == Retry(max_attempts=7)

    def test_a_pipelines_own_retry_keeps_what_it_does_not_name(self, tmp_path: Path) -> None:
        general = {
            "max_attempts": 7,
            "initial_delay_minutes": 1,
            "max_delay_minutes": 9,
            "exponential_backoff": False,
            "jitter": 0.5,
            "classes": {"timeout": {"growth": 2, "max_attempts": 4}, "node": {"delay_minutes": 5}},
        }
        own = {
            "max_attempts": 5,
            "max_delay_minutes": 2,
            "classes": {"timeout": {"growth": 3}, "site": {"retry": True}},
        }

        registry = registry_with(tmp_path, workflow={"retry": general}, pipelines={"qsiprep": {"retry": own}})

        merged = {
            "timeout": {"growth": 3, "max_attempts": 4},
            "node": {"delay_minutes": 5},
            "site": {"retry": True},
        }
        assert registry.get("qsiprep").retry == Retry.model_validate(
            general | {"max_attempts": 5, "max_delay_minutes": 2, "classes": merged}
        )
        assert registry.get("qsirecon").retry == Retry.model_validate(general)

    def test_limits_come_from_the_workflow(self, tmp_path: Path) -> None:
        registry = registry_with(tmp_path, workflow={"max_concurrent": {"qsiprep": 300, "qsiparc": 0}})

        assert [item.max_concurrent for item in registry] == [4, 300, 2, 0]

    def test_conversion_can_move_to_the_cluster(self, tmp_path: Path) -> None:
        registry = registry_with(tmp_path, pipelines={"bids_conversion": {"where": "cluster"}})

        assert get_registry().get("bids_conversion").where == "worker"
        assert registry.get("bids_conversion").where == "cluster"

    def test_qsiprep_can_run_per_session(self, tmp_path: Path) -> None:
        settings = {"level": "session", "subject_anatomical_reference": "sessionwise"}

        registry = registry_with(tmp_path, pipelines={"qsiprep": settings})

        assert get_registry().get("qsiprep").level is Level.SUBJECT
        assert registry.get("qsiprep").level is Level.SESSION

    def test_sessions_that_share_an_anatomical_reference_cannot_run_apart(self, tmp_path: Path) -> None:
        with pytest.raises(ValidationError, match="level: session needs subject_anatomical_ref"):
            registry_with(tmp_path, pipelines={"qsiprep": {"level": "session"}})

    def test_the_others_cover_a_session_and_nothing_else(self, tmp_path: Path) -> None:
        with pytest.raises(ValidationError, match=r"is 'subject', but one run .* covers a session"):
            registry_with(tmp_path, pipelines={"qsirecon": {"level": "subject"}})

    def test_dependencies_can_change_and_the_order_follows(self, tmp_path: Path) -> None:
        registry = registry_with(
            tmp_path, pipelines={"qsirecon": {"depends_on": []}, "qsiprep": {"depends_on": ["qsiparc"]}}
        )
        names = registry.names()

        assert registry.get("qsirecon").depends_on == ()
        assert names.index("qsirecon") < names.index("qsiparc") < names.index("qsiprep")

    def test_a_circle_in_the_configuration_is_an_error(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="circle"):
            registry_with(tmp_path, pipelines={"bids_conversion": {"depends_on": ["qsiparc"]}})
