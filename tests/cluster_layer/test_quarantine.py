"""What earlier attempts left half done is moved with its path, never deleted, and never mistaken for this one's."""

from __future__ import annotations

from pathlib import Path

import pytest

from neuroflow.cluster import claim
from neuroflow.cluster.publish import begin, make_plan
from neuroflow.cluster.quarantine import PutAside, put_aside, unfinished_publication


def fill(root: Path, *names: str, text: str = "x") -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def aside(root: Path, *, again: bool = False) -> PutAside:
    return put_aside(root / "out-b", root / "work", token="b", again=again)


def test_a_first_attempt_finds_nothing(tmp_path: Path) -> None:
    assert aside(tmp_path / "run-1") == PutAside()
    assert not (tmp_path / "run-1").exists()


def test_a_requeued_jobs_own_output_is_put_aside_life_by_life(tmp_path: Path) -> None:
    for life in (2, 3):
        fill(tmp_path, "out-b/half", text=f"before life {life}")
        assert aside(tmp_path, again=True).moved == (f"quarantine/b-life-{life}/out-b",)
        assert (tmp_path / "quarantine" / f"b-life-{life}" / "out-b" / "half").read_text() == f"before life {life}"


def test_only_outputs_of_other_attempts_are_moved(tmp_path: Path) -> None:
    fill(tmp_path, "out-a/half", "out-b/mine", "notes/x", "out-file", "elsewhere/x")
    (tmp_path / "out-link").symlink_to(tmp_path / "elsewhere")
    assert aside(tmp_path).moved == ("quarantine/b/out-a",)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "elsewhere", "notes", "out-b", "out-file", "out-link", "quarantine",
    ]  # fmt: skip


def test_locks_are_moved_and_files_that_only_look_so_are_not(tmp_path: Path) -> None:
    work = tmp_path / "work"
    fill(work, "fs/scripts/IsRunning.lh+rh", "heudiconv.lock", ".hidden.lock", "padlock", "sub.lock/inside")
    fill(work, "packages.lock", text="a list of packages" * 1000)
    fill(work, ".cache/matplotlib/fontlist-v390.json.matplotlib-lock")
    (work / "link.lock").symlink_to("heudiconv.lock")
    place = "quarantine/b/work"
    assert sorted(aside(tmp_path).moved) == [
        f"{place}/.cache/matplotlib/fontlist-v390.json.matplotlib-lock",
        f"{place}/.hidden.lock", f"{place}/fs/scripts/IsRunning.lh+rh", f"{place}/heudiconv.lock",
    ]  # fmt: skip
    left = [path.name for path in sorted(work.iterdir())]
    assert left == [".cache", "fs", "link.lock", "packages.lock", "padlock", "sub.lock"]


def test_own_output_that_can_not_be_moved_stops_the_attempt(tmp_path: Path) -> None:
    fill(tmp_path, "out-b/half", "quarantine")  # a file, where a folder is needed
    with pytest.raises(OSError, match="quarantine"):
        aside(tmp_path, again=True)


def test_what_can_not_be_moved_is_said_and_in_nobodys_way(tmp_path: Path) -> None:
    fill(tmp_path, "out-a/half", "quarantine")
    found = aside(tmp_path)
    assert found.moved == ()
    assert "out-a can't be put aside: " in found.problems[0]


def unfinished(root: Path, token: str) -> None:
    fill(root, f"out-{token}/sub-01/a.txt")
    (root / "attempts" / token).mkdir(parents=True)
    plan = make_plan(root / f"out-{token}", root / "dataset", owned=("sub-01",), token=token)
    assert begin(plan, folder=root / "attempts" / token)


def test_an_unfinished_publication_of_an_earlier_attempt_is_found_and_the_attempt_fenced(tmp_path: Path) -> None:
    unfinished(tmp_path, "a")
    plan = unfinished_publication(tmp_path / "out-b", attempts=tmp_path / "attempts")
    assert plan is not None
    assert plan.token == "a"
    assert claim.is_fenced(tmp_path / "attempts" / "a")


def test_output_whose_publication_had_not_begun_is_no_unfinished_one(tmp_path: Path) -> None:
    fill(tmp_path, "out-a/half", "out-c/half", "attempts/a/job.json")
    assert unfinished_publication(tmp_path / "out-b", attempts=tmp_path / "attempts") is None
    assert unfinished_publication(tmp_path / "none" / "out-b", attempts=tmp_path / "attempts") is None
