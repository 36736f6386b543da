"""Ask the runtimes about an image, or for one: commands are built and answers parsed here, nothing is run."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from neuroflow.errors import AdapterError

FILE_RUNTIMES = ("apptainer", "singularity")  # their images are files
ENGINES = ("docker", "podman")  # their images lie in a store of their own

# Sources that `apptainer pull` takes; all others, such as a definition, an OCI archive or a folder, are built.
_PULLED = ("docker://", "oras://", "library://", "http://", "https://")
# Apptainer's words for an image that nobody has signed, as most published ones, and for an unknown signer.
_UNSIGNED = "signature not found"
_UNKNOWN_KEY = "signature made by unknown entity"
_VERSION = re.compile(r"(?<![\w.])v?(\d{1,4}\.\d{1,3}(?:\.\d{1,3})?(?:(?:rc|a|b|\.?dev|\.?post)\d+)?)(?![\w]*\.?\d)")


@dataclass(frozen=True)
class StoredImage:
    """What docker or podman say of an image in their store."""

    image_id: str
    digest: str = ""  # of the manifest in the registry, where it came from one
    size: int | None = None
    labels: Mapping[str, str] = field(default_factory=dict)


def inspect_command(runtime: str, image: str) -> tuple[str, ...]:
    """Return the command that tells of an image as JSON."""
    if runtime in FILE_RUNTIMES:
        return (runtime, "inspect", "--json", image)
    if runtime in ENGINES:
        return (runtime, "image", "inspect", image)
    raise AdapterError(f"the runtime '{runtime}' has no images")


def parse_labels(text: str) -> dict[str, str]:
    """Return the labels that `apptainer inspect --json` wrote; none where the text is something else."""
    try:
        labels = json.loads(text)["data"]["attributes"]["labels"]
        return {str(name): str(value) for name, value in (labels or {}).items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}


def parse_stored_image(text: str) -> StoredImage | None:
    """Return what `docker image inspect` or `podman image inspect` wrote, None where it can't be read."""
    try:
        first = json.loads(text)[0]
        identity = str(first["Id"])
        digests = [str(item).partition("@")[2] for item in first.get("RepoDigests") or ()]
        labels = (first.get("Config") or {}).get("Labels") or first.get("Labels") or {}
        size = first.get("Size")
    except (ValueError, KeyError, TypeError, IndexError, AttributeError):
        return None
    # Podman writes the id without the algorithm.
    return StoredImage(
        identity if ":" in identity else f"sha256:{identity}",
        digest=digests[0] if digests else "",
        size=size if isinstance(size, int) else None,
        labels={str(name): str(value) for name, value in labels.items()},
    )


def signature_command(runtime: str, image: str) -> tuple[str, ...]:
    """Return the command that checks a SIF's signatures against the local keyring only: nodes have no network."""
    return (runtime, "verify", "--local", image)


def read_signature(exit_code: int, text: str) -> tuple[str, str]:
    """Return what `apptainer verify` says of an image in words, and what is wrong with it."""
    if exit_code == 0:
        return "signed, and as it was signed", ""
    if _UNSIGNED in text:
        return "not signed", ""
    if _UNKNOWN_KEY in text:
        return "signed with a key that is not in the keyring here", ""
    lines = text.strip().splitlines()
    return "", f"its signature does not fit: {lines[-1].strip() if lines else 'no reason given'}"


def pull_command(runtime: str, source: str, target: str) -> tuple[str, ...]:
    """Return the command that makes the image `target` from a source; neither is read by a shell."""
    if runtime in ENGINES:
        return (runtime, "pull", source.removeprefix("docker://"))
    if runtime not in FILE_RUNTIMES:
        raise AdapterError(f"the runtime '{runtime}' has no images to pull")
    if source.startswith(_PULLED):
        return (runtime, "pull", target, source)
    return (runtime, "build", target, source)


def told_versions(text: str) -> tuple[str, ...]:
    """Return the versions in what a tool wrote for `--version`.

    `QSIPrep v26.1.1`, `qsiparc, version 0.1.2` and `1.5.1` are seen.
    """
    return tuple(_VERSION.findall(text))
