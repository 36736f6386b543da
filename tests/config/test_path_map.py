"""Each path has one name on the cluster, by whole folders, and the same one again on the way back."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuroflow.config.path_map import PathMap

names = st.text(string.ascii_letters + string.digits + " ._-é'", min_size=1, max_size=8).filter(
    lambda text: text not in (".", "..")
)
paths = st.lists(names, min_size=1, max_size=4).map(lambda parts: "/" + "/".join(parts))


@pytest.mark.parametrize(
    ("path", "there"),
    [
        ("/mnt/lab", "/project/lab"),
        ("/mnt/lab/bids/sub-01", "/project/lab/bids/sub-01"),
        ("/mnt/lab2/bids", "/mnt/lab2/bids"),
        ("/mnt/lab/scratch/work", "/scratch/us/work"),
        ("/mnt", "/mnt"),
        ("/elsewhere/mnt/lab", "/elsewhere/mnt/lab"),
    ],
)
def test_the_longest_whole_folder_decides(path: str, there: str) -> None:
    names = PathMap({"/mnt/lab": "/project/lab", "/mnt/lab/scratch": "/scratch/us"})
    assert names.there(path) == there


def test_without_names_all_paths_are_the_same() -> None:
    assert PathMap({}).there("/data/x") == PathMap({}).here("/data/x") == "/data/x"


@given(below=paths)
def test_the_root_can_have_another_name(below: str) -> None:
    assert PathMap({"/": "/nfs/labserver"}).there(below) == f"/nfs/labserver{below}"
    assert PathMap({"/nfs/labserver": "/"}).there(f"/nfs/labserver{below}") == below


@given(prefix=paths, target=paths, below=paths)
def test_a_path_below_a_prefix_keeps_what_follows_it(prefix: str, target: str, below: str) -> None:
    assert PathMap({prefix: target}).there(prefix + below) == target + below


@given(prefix=paths, target=paths, other=paths)
def test_what_is_not_below_a_prefix_is_left_alone(prefix: str, target: str, other: str) -> None:
    translated = PathMap({prefix: target}).there(other)
    assert translated == other or other == prefix or other.startswith(prefix + "/")


@given(pairs=st.dictionaries(names, names, max_size=4), below=paths, data=st.data())
def test_the_way_there_and_back_ends_where_it_began(pairs: dict[str, str], below: str, data: st.DataObject) -> None:
    unique = {f"/here/{name}": f"/there/{number}-{target}" for number, (name, target) in enumerate(pairs.items())}
    both = PathMap(unique)
    path = data.draw(st.sampled_from(sorted(unique))) + below if unique else below
    assert both.here(both.there(path)) == path
