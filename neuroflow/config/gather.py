"""Gather the layers that come from files: the main file, and the site file that it or the environment names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel

from neuroflow.config.document import Document, read_document
from neuroflow.config.environment import SITE_VARIABLE
from neuroflow.config.find import find_main_file, find_site_file
from neuroflow.config.layers import Layer, file_layer
from neuroflow.config.problems import config_error
from neuroflow.errors import ConfigError


def gather_files(
    model: type[BaseModel], path: Path | None, *, environ: Mapping[str, str], cwd: Path
) -> tuple[list[Layer], list[str]]:
    """Return the layers of the main file and of the site file, the main one first, and what is wrong with them.

    Raises:
        ConfigError: when there is no main file, or no sense can be made of a file as a whole.
    """
    main = read_document(find_main_file(path, environ=environ, cwd=cwd))
    problems = list(main.problems)
    site = _site_document(main, problems, environ=environ, cwd=cwd)
    main.values.pop("site", None)
    documents = [main] if site is None else [main, site]
    if any(document.problems and not document.values for document in documents):
        # Every key would be reported as missing: that is noise.
        raise config_error(problems)
    return [file_layer(model, document) for document in documents], problems


def _site_document(main: Document, problems: list[str], *, environ: Mapping[str, str], cwd: Path) -> Document | None:
    if environ.get(SITE_VARIABLE):
        site, base, place = environ[SITE_VARIABLE], cwd, f"environment {SITE_VARIABLE}"
    elif main.values.get("site") is not None:
        site, base, place = main.values["site"], main.path.parent, f"{main.path}:{main.lines[('site',)]}"
    else:
        return None
    if not isinstance(site, str) or not site.strip():
        problems.append(f"{place}: site: is {site!r}, but must be the name of a site, or the path of a site file")
        return None
    try:
        document = read_document(find_site_file(site, base=base, beside=main.path.parent))
    except ConfigError as error:
        problems.append(f"{place}: site: {error}")
        return None
    if "site" in document.values:
        line = document.lines["site",]
        document.problems.append(f"{document.path}:{line}: site: a site file can't name another site file")
        del document.values["site"]
    problems += document.problems
    return document
