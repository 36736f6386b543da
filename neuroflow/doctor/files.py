"""Files that tools need on a node without a network: the FreeSurfer licence, templates, the heuristic."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from neuroflow.adapters.heuristics import SHIPPED_HEURISTIC
from neuroflow.config.disk import is_file
from neuroflow.doctor.check import Check, Context, Finding, error, skipped, warning, well, where_jobs_see_it
from neuroflow.orchestrator.registry import get_registry

TOPIC = "files"
LICENCE_LINES = 4

STRANGE_LICENCE = warning(
    "licence-strange",
    "the FreeSurfer licence does not look like one",
    why="QSIRecon refuses to start with a licence that it can't read",
    mend="put the file there that came by mail: four or five lines, the first a mail address, the second a number "
    "(https://surfer.nmr.mgh.harvard.edu/registration.html)",
)
NO_TEMPLATE = error(
    "templates-missing",
    "template images are not in paths.templateflow_home",
    why="the tools would download them at run time, which fails on nodes without a network",
    mend="on a host with a network: pip install templateflow; TEMPLATEFLOW_HOME={home} python -c "
    "\"from templateflow.api import get; get('{template}')\"",
)
STUBS = error(
    "templates-empty",
    "template images are there in name only",
    why="a TemplateFlow folder begins as a tree of empty files; the tools would try to download them on the node",
    mend="on a host with a network: pip install templateflow; TEMPLATEFLOW_HOME={home} python -c "
    "\"from templateflow.api import get; get('{template}')\"",
)
BAD_HEURISTIC = error(
    "heuristic-broken",
    "HeudiConv could not use the heuristic",
    why="every conversion would fail",
    mend="edit {file}: it must be Python, and define `infotodict(seqinfo)`",
)

# What QSIPrep loads: interfaces/anatomical.py, GetTemplate, in https://github.com/PennLINC/qsiprep
TEMPLATE, INFANT_TEMPLATE = "MNI152NLin2009cAsym", "MNIInfant"


def _licence(context: Context) -> Iterator[Finding]:
    path = context.config.paths.freesurfer_license
    if path is None:
        yield skipped("paths.freesurfer_license is not set")
        return
    try:
        lines = _text(path).splitlines()
    except OSError as problem:
        yield STRANGE_LICENCE.seen(f"{path} can't be read: {problem.strerror}")
        return
    filled = [line for line in lines if line.strip()]
    if len(filled) < LICENCE_LINES or "@" not in filled[0] or not filled[1].strip().isdigit():
        yield STRANGE_LICENCE.seen(f"{path} begins with {_begin(filled)}; number of lines: {len(filled)}")
        return
    yield well(f"{path} looks like a licence")


def _text(path: Path) -> str:
    # Reading a pipe would wait for a writer that never comes.
    if not is_file(path):
        raise FileNotFoundError(0, "no such file")
    return path.read_text(encoding="utf-8", errors="replace")


def _begin(lines: list[str]) -> str:
    # A licence is personal: only what can't be one is shown.
    return "nothing" if not lines else "a mail address" if "@" in lines[0] else repr(lines[0][:20])


def _templates(context: Context) -> Iterator[Finding]:
    home = context.config.paths.templateflow_home
    if home is None:
        yield skipped("paths.templateflow_home is not set; the tools use the templates in their images")
        return
    missing, empty = [], []
    template = _template(context)
    names = required_files(template, contrast=context.config.pipelines.qsiprep.anat_modality or "T1w")
    for name in names:
        matches = list((home / f"tpl-{template}").glob(name))
        if not matches:
            missing.append(name)
        elif all(path.stat().st_size == 0 for path in matches):
            empty.append(str(matches[0].relative_to(home)))
    if missing:
        words = f"{home}/tpl-{template} lacks {', '.join(missing)}"
        yield NO_TEMPLATE.seen(words, home=home, template=template)
    if empty:
        yield STUBS.seen(f"{home}: empty: {', '.join(empty)}", home=home, template=template)
    if not missing and not empty:
        yield well(f"{template} is in {home}, with its images")


def _template(context: Context) -> str:
    return INFANT_TEMPLATE if "--infant" in context.config.pipelines.qsiprep.args else TEMPLATE


def required_files(template: str, *, contrast: str) -> tuple[str, ...]:
    """Return the files that QSIPrep loads from a template's folder, as globs."""
    suffix = "T2w" if contrast == "T2w" else "T1w"  # without an anatomical image it aligns to the T1w template
    if template == INFANT_TEMPLATE:
        return (
            f"cohort-*/tpl-{template}_cohort-*_res-1_{suffix}.nii.gz",
            f"cohort-*/tpl-{template}_cohort-*_res-1_desc-brain_mask.nii.gz",
        )
    return (f"tpl-{template}_res-01_{suffix}.nii.gz", f"tpl-{template}_res-01_desc-brain_mask.nii.gz")


def _qsiprep_is_on(context: Context) -> str:
    if reason := where_jobs_see_it(context):
        return reason
    settings = context.config.pipelines.qsiprep
    if not settings.enabled:
        return "qsiprep is disabled"
    return "pipelines.qsiprep.program is the site's own" if settings.program is not None else ""


def _heuristic(context: Context) -> Iterator[Finding]:
    file = heuristic_file(context)
    problem = problem_in_heuristic(file)
    if problem:
        yield BAD_HEURISTIC.seen(f"{file}: {problem}", file=file)
        return
    yield well(f"{file} defines infotodict")


def heuristic_file(context: Context) -> Path:
    """Return the heuristic that conversions use."""
    return context.config.pipelines.bids_conversion.heuristic or SHIPPED_HEURISTIC


def problem_in_heuristic(file: Path) -> str:
    """Return what keeps a file from being a heuristic, as far as that can be read, or nothing."""
    try:
        tree = ast.parse(_text(file), filename=str(file))
    except SyntaxError as problem:
        return f"line {problem.lineno}: {problem.msg}"
    except (OSError, ValueError) as problem:
        return str(problem)
    names = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    names |= {
        alias.asname or alias.name for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    return "" if "infotodict" in names else "it does not define infotodict"


def conversion_is_on(context: Context) -> str:
    """Say why there is no conversion to look at."""
    pipeline = get_registry(context.config).get("bids_conversion")
    if not pipeline.enabled:
        return "bids_conversion is disabled"
    if pipeline.where == "cluster":
        return where_jobs_see_it(context)
    return "conversions don't run on nodes" if context.on_node else ""


CHECKS = (
    Check(
        "licence",
        TOPIC,
        "the FreeSurfer licence",
        _licence,
        (STRANGE_LICENCE,),
        applies=where_jobs_see_it,
        on_node=True,
        quick=True,
    ),
    Check(
        "templates",
        TOPIC,
        "TemplateFlow's files, without a network",
        _templates,
        (NO_TEMPLATE, STUBS),
        applies=_qsiprep_is_on,
        on_node=True,
        quick=True,
    ),
    Check(
        "heuristic",
        TOPIC,
        "HeudiConv's heuristic defines infotodict",
        _heuristic,
        (BAD_HEURISTIC,),
        applies=conversion_is_on,
        on_node=True,
        quick=True,
    ),
)
