"""The releases of the four tools that are known to work, each with where its image comes from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from neuroflow.data import data_path
from neuroflow.errors import UsageError

_DEFINITIONS = "containers"


@dataclass(frozen=True)
class ToolRelease:
    """One release of a pipeline's tool."""

    pipeline: str
    tool: str
    version: str
    repository: str = ""  # on Docker Hub; none: we build it ourselves
    digest: str = ""  # of the image in the registry, where it can be learnt from public text

    @property
    def reference(self) -> str:
        """The image in its registry, as docker and podman name it; by digest where it is known: a tag can move.

        Apptainer takes a tag or a digest, not both.
        """
        return f"{self.repository}@{self.digest}" if self.digest else f"{self.repository}:{self.version}"

    @property
    def definition(self) -> Path:
        """The Apptainer definition that we ship for it."""
        return data_path(_DEFINITIONS) / f"{self.tool}.def"

    def source(self) -> str:
        """Return what `apptainer pull` or `apptainer build` makes the image from."""
        return f"docker://{self.reference}" if self.repository else str(self.definition)


# The first of a pipeline is what we recommend, and what `containers/` builds. Tags as published on Docker Hub; the
# digest of QSIPrep 26.0.0 as pinned in public configuration files. It names content, so a wrong one gives no image.
KNOWN: tuple[ToolRelease, ...] = (
    ToolRelease("bids_conversion", "heudiconv", "1.5.1", "nipy/heudiconv"),
    ToolRelease("bids_conversion", "heudiconv", "1.3.4", "nipy/heudiconv"),
    ToolRelease(
        "qsiprep",
        "qsiprep",
        "26.0.0",
        "pennlinc/qsiprep",
        digest="sha256:b578687c4667ae43f4229212b3ae91c2ff842d49a29d42e64c013aaae9600373",
    ),
    ToolRelease("qsiprep", "qsiprep", "1.0.1", "pennlinc/qsiprep"),
    ToolRelease("qsirecon", "qsirecon", "26.0.0", "pennlinc/qsirecon"),
    ToolRelease("qsirecon", "qsirecon", "1.2.1", "pennlinc/qsirecon"),
    ToolRelease("qsiparc", "qsiparc", "0.1.2"),
)


def known_release(pipeline: str, version: str | None) -> ToolRelease:
    """Return a pipeline's release of a version, or the recommended one where none is named.

    Raises:
        UsageError: naming the versions that are known.
    """
    releases = [release for release in KNOWN if release.pipeline == pipeline]
    for release in releases:
        if version in (None, release.version):
            return release
    known = ", ".join(release.version for release in releases) or "none"
    raise UsageError(
        f"version {version} of {pipeline} is not in the table of known releases: {known}",
        hint="name the image yourself with --source, such as docker://pennlinc/qsiprep:26.1.1",
    )
