"""Results move into the dataset whole, and an interruption at any line is made good by a repetition."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from neuroflow.cluster.globs import files_matching, listed_matching, matches, owned_names
from neuroflow.cluster.publish import begin, interrupted_plan, make_plan, publish

OWNED = ("sub-01", "sub-01.html", "sub-01_*.html", "logs/**/sub-01.log")


def tree(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def contents(root: Path) -> dict[str, str]:
    return {
        str(path.relative_to(root)): path.read_text()
        for path in sorted(root.rglob("*"))
        if path.is_file() and ".neuroflow" not in path.parts
    }


NEW = {
    "sub-01/dwi/a.txt": "new",
    "sub-01.html": "new report",
    "logs/x/sub-01.log": "new log",
    "dataset_description.json": "{}\n",
    "desc/shared.tsv": "new shared",
}
OLD = {
    "sub-01/dwi/a.txt": "old",
    "sub-01/dwi/obsolete.txt": "old",
    "sub-01_old.html": "old report of a run that is no more",
    "sub-02/dwi/a.txt": "another subject's",
    "sub-012.html": "another subject's",
    "dataset_description.json": "{}\n",
    "desc/shared.tsv": "old shared",
}
AFTER = {
    "sub-01/dwi/a.txt": "new",
    "sub-01.html": "new report",
    "logs/x/sub-01.log": "new log",
    "sub-02/dwi/a.txt": "another subject's",
    "sub-012.html": "another subject's",
    "dataset_description.json": "{}\n",
    "desc/shared.tsv": "new shared",
}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "attempt").mkdir()
    tree(tmp_path / "out", NEW)
    tree(tmp_path / "dataset", OLD)
    return tmp_path


def run(place: Path) -> None:
    plan = make_plan(place / "out", place / "dataset", owned=OWNED, token="t1")
    begin(plan, folder=place / "attempt")
    publish(plan)


def test_owned_names_are_swapped_whole_and_the_rest_is_written_file_by_file(place: Path) -> None:
    run(place)
    assert contents(place / "dataset") == AFTER
    assert set(contents(place / "out")) <= {"dataset_description.json", "desc/shared.tsv"}, "copies only"


def test_what_was_replaced_is_kept(place: Path) -> None:
    run(place)
    kept = place / "dataset" / ".neuroflow" / "replaced" / "t1"
    assert (kept / "sub-01" / "dwi" / "obsolete.txt").read_text() == "old"
    assert (kept / "sub-01_old.html").read_text().startswith("old report")
    assert not (kept / "sub-02").exists()


def test_a_new_dataset_is_made(tmp_path: Path) -> None:
    (tmp_path / "attempt").mkdir()
    tree(tmp_path / "out", NEW)
    run(tmp_path)
    assert contents(tmp_path / "dataset") == NEW


def test_an_identical_shared_file_is_left_alone(place: Path) -> None:
    before = (place / "dataset" / "dataset_description.json").stat()
    run(place)
    after = (place / "dataset" / "dataset_description.json").stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_links_stay_links_and_read_only_files_move(place: Path) -> None:
    (place / "out" / "sub-01" / "link").symlink_to("dwi/a.txt")
    (place / "out" / "shared-link").symlink_to("sub-01/dwi")
    (place / "out" / "sub-01" / "dwi" / "a.txt").chmod(0o444)
    (place / "out" / "desc" / "shared.tsv").chmod(0o444)
    (place / "out" / "sub-01").chmod(0o555)
    run(place)
    assert (place / "dataset" / "sub-01" / "link").readlink() == Path("dwi/a.txt")
    assert (place / "dataset" / "shared-link").readlink() == Path("sub-01/dwi")
    assert (place / "dataset" / "desc" / "shared.tsv").read_text() == "new shared"


class Crash(BaseException):
    """A process that ends in the middle."""


def crash_at(step: int, real: Callable[..., None], *, before: bool) -> Callable[..., None]:
    """Wrap an operating system call so that the process ends at its n-th use."""
    seen = iter(range(10_000))

    def wrapped(*args: object, **kwargs: object) -> None:
        now = next(seen) == step
        if now and before:
            raise Crash
        real(*args, **kwargs)
        if now:
            raise Crash

    return wrapped


def other_file_system(source: Path, target: Path) -> None:
    """Refuse to rename from the output folder into the dataset."""
    if "out" in Path(source).parts and "dataset" in Path(target).parts:
        raise OSError(18, "Invalid cross-device link")
    REAL_RENAME(source, target)


REAL_RENAME = os.rename


@pytest.mark.parametrize("across", [False, True])
@pytest.mark.parametrize("before", [False, True])
@pytest.mark.parametrize("step", range(12))
def test_a_repetition_makes_an_interruption_good(
    place: Path, monkeypatch: pytest.MonkeyPatch, step: int, before: bool, across: bool
) -> None:
    rename = other_file_system if across else REAL_RENAME
    monkeypatch.setattr(os, "rename", crash_at(step, rename, before=before))
    try:
        run(place)
        crashed = False
    except Crash:
        crashed = True
    monkeypatch.setattr(os, "rename", rename)
    plan = interrupted_plan(place / "attempt")
    assert plan is not None
    begin(plan, folder=place / "attempt")
    publish(plan)
    assert contents(place / "dataset") == AFTER
    kept = place / "dataset" / ".neuroflow" / "replaced" / "t1"
    assert (kept / "sub-01" / "dwi" / "obsolete.txt").read_text() == "old"
    assert crashed or not before or step > 4


def test_results_cross_file_systems(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "rename", other_file_system)
    run(place)
    assert contents(place / "dataset") == AFTER
    assert list((place / "dataset").rglob("*.tmp")) == []


@pytest.mark.parametrize(
    ("path", "pattern", "expected"),
    [
        ("sub-01", "sub-01", True),
        ("sub-01/x", "sub-01", False),
        ("sub-01/ses-a/dwi/x.nii.gz", "sub-01/**/*.nii.gz", True),
        ("sub-01/x.nii.gz", "sub-01/**/*.nii.gz", True),
        ("sub-01/.hidden/x.nii.gz", "sub-01/**/*.nii.gz", False),
        (".heudiconv/01", ".heudiconv/01", True),
        (".bidsignore", "*", False),
        ("a/b", "*", False),
        ("sub-02", "sub-[01]2", True),
        ("sub-02", "sub-[!0]2", False),
        ("x\ny.txt", "x*.txt", True),
        ("a+b(c).txt", "a+b(c).txt", True),
        ("[x", "[x", True),
        ("a/b/c", "a/**", True),
        ("a", "a/**", False),
    ],
)
def test_globs(path: str, pattern: str, expected: bool) -> None:
    assert matches(path, pattern) is expected


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("sub-01/ses-1", ["sub-01/ses-1"]),
        ("sub-01/ses-9", []),
        ("**/sub-01/ses-1", ["derivatives/gqi/sub-01/ses-1", "sub-01/ses-1"]),
        ("**/sub-01_ses-1*.html", ["reports/sub-01_ses-1.html", "reports/sub-01_ses-1_desc.html"]),
        ("**/sub-0*", ["derivatives/gqi/sub-0"]),
        ("*/gqi", ["derivatives/gqi"]),
        ("absent/**", []),
    ],
)
def test_only_whole_labels_are_owned(tmp_path: Path, pattern: str, expected: list[str]) -> None:
    files = [
        "sub-01/ses-1/x",
        "sub-01/ses-10/x",
        "derivatives/gqi/sub-01/ses-1/x",
        "derivatives/gqi/sub-0/x",
        "derivatives/gqi/sub-02/sub-01/ses-1/x",
        "reports/sub-01_ses-1.html",
        "reports/sub-01_ses-1_desc.html",
        "reports/sub-01_ses-10.html",
        ".hidden/sub-01/ses-1/x",
    ]
    tree(tmp_path, dict.fromkeys(files, "x"))
    assert sorted(owned_names(tmp_path, pattern)) == expected


def test_a_neighbouring_sessions_report_is_never_retired(tmp_path: Path) -> None:
    (tmp_path / "attempt").mkdir()
    tree(tmp_path / "out", {"sub-01_ses-1.html": "new"})
    tree(tmp_path / "dataset", {"sub-01_ses-10.html": "kept", "sub-01_ses-1_old.html": "retired"})
    plan = make_plan(tmp_path / "out", tmp_path / "dataset", owned=("**/sub-01_ses-1*.html",), token="t1")
    begin(plan, folder=tmp_path / "attempt")
    publish(plan)
    assert contents(tmp_path / "dataset") == {"sub-01_ses-1.html": "new", "sub-01_ses-10.html": "kept"}


def test_empty_files_and_broken_links_are_no_output(tmp_path: Path) -> None:
    tree(tmp_path, {"a.txt": "", "b.txt": "x"})
    (tmp_path / "c.txt").symlink_to("nowhere")
    (tmp_path / "d.txt").symlink_to("b.txt")
    assert files_matching(tmp_path, "*.txt") == ["b.txt", "d.txt"]
    assert files_matching(tmp_path / "absent", "*") == []


def test_only_the_named_files_and_folders_are_looked_into(tmp_path: Path) -> None:
    tree(tmp_path, {"sub-01/dwi/a.txt": "x", "sub-01/dwi/b.txt": "", "sub-01.txt": "x", "sub-02/dwi/a.txt": "x"})
    assert listed_matching(tmp_path, "**/*.txt", names=["sub-01", "sub-01.txt"]) == ["sub-01/dwi/a.txt", "sub-01.txt"]
    assert listed_matching(tmp_path, "**", names=["absent"]) == []


def test_results_that_can_not_be_looked_at_are_not_taken_for_placed(tmp_path: Path) -> None:
    out, attempt = tmp_path / "out", tmp_path / "attempt"
    (out / "sub-01" / "ses-1").mkdir(parents=True)
    (out / "sub-01" / "ses-1" / "a.txt").write_text("x")
    attempt.mkdir()
    plan = make_plan(out, tmp_path / "dataset", owned=("sub-01/ses-1",), token="t")
    assert begin(plan, folder=attempt)
    (out / "sub-01").rename(tmp_path / "away")
    (out / "sub-01").symlink_to("sub-01")  # each look below it fails with ELOOP, as it may with EIO or ESTALE
    with pytest.raises(OSError, match="symbolic links"):
        publish(plan)
