"""The tools behind the pipelines, as a dataset's description names them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import quote

from neuroflow.domain import ContainerRun


@dataclass(frozen=True)
class Tool:
    """A tool's own name, and where its code is."""

    name: str
    code_url: str


TOOLS = {
    "bids_conversion": Tool("HeudiConv", "https://github.com/nipy/heudiconv"),
    "qsiprep": Tool("QSIPrep", "https://github.com/PennLINC/qsiprep"),
    "qsirecon": Tool("QSIRecon", "https://github.com/PennLINC/qsirecon"),
    "qsiparc": Tool("QSIParc", "https://github.com/snbb/qsiparc"),
}


def generated_by(run: ContainerRun, *, own_program: bool) -> dict[str, object]:
    """Return a run's tool as a member of GeneratedBy; what the tool itself writes of it goes before this.

    https://bids-specification.readthedocs.io/en/v1.10.0/glossary.html#generatedby-metadata

    Args:
        own_program: the site calls a program of its own in place of the pipeline's tool.
    """
    tool = TOOLS.get(run.pipeline)
    entry: dict[str, object]
    if own_program or tool is None:
        entry = {"Name": PurePosixPath(run.program[0]).name if run.program else run.pipeline}
    else:
        entry = {"Name": tool.name, "CodeURL": tool.code_url}
    if run.version:
        entry["Version"] = run.version
    if run.image:
        entry["Container"] = _container(run.runtime, run.image)
    return entry


def _container(runtime: str, image: str) -> dict[str, str]:
    if "://" in image:
        return {"Type": runtime, "Tag": image.partition("://")[2], "URI": image}
    if image.startswith("/"):
        return {"Type": runtime, "Tag": PurePosixPath(image).name, "URI": f"file://{quote(image)}"}
    return {"Type": runtime, "Tag": image, "URI": f"docker://{image}"}
