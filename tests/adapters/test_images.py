"""The runtimes' answers about images are read as they write them, and their commands are argument lists."""

from __future__ import annotations

import json

import pytest

from neuroflow.adapters.runtimes.images import (
    inspect_command,
    parse_labels,
    parse_stored_image,
    pull_command,
    read_signature,
    told_versions,
)
from neuroflow.errors import AdapterError

ID = "sha256:9f8e7d6c5b4a39281706f5e4d3c2b1a09f8e7d6c5b4a39281706f5e4d3c2b1a0"
DIGEST = "sha256:b578687c4667ae43f4229212b3ae91c2ff842d49a29d42e64c013aaae9600373"
# The parts that are read, of what Docker 27 and Podman 5 write.
DOCKER = [
    {
        "Id": ID,
        "RepoTags": ["pennlinc/qsiprep:26.0.0"],
        "RepoDigests": [f"pennlinc/qsiprep@{DIGEST}"],
        "Size": 23_456_789_012,
        "Config": {"Labels": {"org.opencontainers.image.version": "26.0.0"}},
    }
]
PODMAN = [
    {
        "Id": ID.removeprefix("sha256:"),
        "Digest": DIGEST,
        "RepoDigests": [f"docker.io/pennlinc/qsiprep@{DIGEST}"],
        "Size": 23_456_789_012,
        "Labels": {"org.opencontainers.image.version": "26.0.0"},
        "Config": {"Env": ["PATH=/bin"]},
    }
]


@pytest.mark.parametrize("answer", [DOCKER, PODMAN])
def test_docker_and_podman_tell_id_digest_size_and_labels(answer: object) -> None:
    found = parse_stored_image(json.dumps(answer))
    assert found is not None
    assert (found.image_id, found.digest, found.size) == (ID, DIGEST, 23_456_789_012)
    assert found.labels == {"org.opencontainers.image.version": "26.0.0"}


def test_an_image_that_was_built_here_has_no_digest_of_a_registry() -> None:
    found = parse_stored_image(json.dumps([{"Id": ID, "RepoDigests": [], "Config": {"Labels": None}}]))
    assert found is not None
    assert (found.digest, found.size, found.labels) == ("", None, {})


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", '[{"Size": 1}]', "Error: No such image"])
def test_an_answer_that_can_not_be_read_is_no_image(text: str) -> None:
    assert parse_stored_image(text) is None


def test_apptainers_labels_are_read() -> None:
    text = json.dumps({"data": {"attributes": {"labels": {"neuroflow.pipeline": "qsiparc"}}}, "type": "container"})
    assert parse_labels(text) == {"neuroflow.pipeline": "qsiparc"}
    assert parse_labels('{"data": {"attributes": {"labels": null}}}') == {}
    assert parse_labels("FATAL: no such file") == {}


@pytest.mark.parametrize(
    ("text", "versions"),
    [
        ("QSIPrep v26.1.1", ("26.1.1",)),
        ("QSIRecon v26.0.0\n", ("26.0.0",)),
        ("qsiparc, version 0.1.2", ("0.1.2",)),
        ("1.5.1", ("1.5.1",)),
        ("QSIPrep v1.0.0rc2", ("1.0.0rc2",)),
        ("demo 1.0.0 (command line of QSIPrep 26.1.1)", ("1.0.0", "26.1.1")),
        ("no version", ()),
    ],
)
def test_the_versions_are_found_in_what_a_tool_says(text: str, versions: tuple[str, ...]) -> None:
    assert told_versions(text) == versions


@pytest.mark.parametrize(
    ("exit_code", "text", "note", "problem"),
    [
        (0, "INFO:    Verified signature(s) from image 'a.sif'", "signed, and as it was signed", ""),
        (
            255,
            "FATAL:   Failed to verify container: integrity: signature not found for object group 1",
            "not signed",
            "",
        ),
        (
            255,
            "FATAL:   Failed to verify container: integrity: signature object 5 not valid: openpgp: signature made by "
            "unknown entity",
            "signed with a key that is not in the keyring here",
            "",
        ),
        (
            255,
            "INFO:    Verifying image\nFATAL:   Failed to verify container: integrity: data object integrity "
            "compromised: 4",
            "",
            "its signature does not fit: FATAL:   Failed to verify container: integrity: data object integrity "
            "compromised: 4",
        ),
    ],
)
def test_a_signature_that_does_not_fit_is_wrong_and_a_missing_one_is_not(
    exit_code: int, text: str, note: str, problem: str
) -> None:
    # As Apptainer 1.4.5 wrote it.
    assert read_signature(exit_code, text) == (note, problem)


def test_registries_are_pulled_and_all_else_is_built() -> None:
    target = "/images/it's here:1.sif"
    assert pull_command("apptainer", "docker://a/b:1", target) == ("apptainer", "pull", target, "docker://a/b:1")
    assert pull_command("singularity", "oras://r/b:1", target)[:2] == ("singularity", "pull")
    for source in ("/defs/a.def", "oci-archive:/tmp/a.tar", "/images/sandbox"):
        assert pull_command("apptainer", source, target) == ("apptainer", "build", target, source)
    assert pull_command("docker", "docker://a/b:1", "") == ("docker", "pull", "a/b:1")


def test_the_host_has_no_images() -> None:
    with pytest.raises(AdapterError, match="host"):
        inspect_command("host", "x")
    with pytest.raises(AdapterError, match="host"):
        pull_command("host", "x", "y")
