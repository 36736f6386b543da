"""Write the files of `neuroflow init`: checked before they appear, whole or not at all, never over another unasked."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from neuroflow.cluster.files import remove_stale_drafts
from neuroflow.config import NeuroflowConfig
from neuroflow.config.environment import SITE_VARIABLE
from neuroflow.errors import ConfigError, UsageError


@dataclass(frozen=True)
class NewFile:
    """A file to write, and whether one that is there may be replaced; its former text is kept as FILE.old."""

    path: Path
    text: str
    replace: bool

    def check(self) -> None:
        """Refuse to replace what must not be.

        Raises:
            UsageError: when something is there.
        """
        # lexists: a dangling link is something that is there, too.
        if os.path.lexists(self.path) and not self.replace:
            raise _exists(self.path)


def check_texts(main: NewFile, *, site: NewFile | Path | None, stage: Path) -> list[str]:
    """Load the texts before they are written where they belong; return what they name and is not there.

    Args:
        main: the new neuroflow.yaml.
        site: the site file, new or there already.
        stage: the folder to do it in; relative paths are taken from here.

    Raises:
        ConfigError: when they would not load.
    """
    names: dict[Path, Path] = {_staged(main, stage): main.path}
    environ: dict[str, str] = {}  # the caller's may hold another configuration
    if isinstance(site, NewFile):
        names[_staged(site, stage)] = site.path
    if site is not None:
        environ[SITE_VARIABLE] = str(_staged(site, stage) if isinstance(site, NewFile) else site)
    try:
        for new in (main, site) if isinstance(site, NewFile) else (main,):
            _staged(new, stage).write_text(new.text, encoding="utf-8")
        config = NeuroflowConfig.find_and_load(_staged(main, stage), environ=environ, check_files=False)
        return [_in_terms_of(line, names) for line in config.check_files()]
    except OSError as error:
        raise cannot_write(main.path, error) from error
    except ConfigError as error:
        raise ConfigError(_in_terms_of(str(error), names), hint="nothing was written") from None
    finally:
        for staged in names:
            staged.unlink(missing_ok=True)


def _staged(file: NewFile, stage: Path) -> Path:
    return stage / f".{file.path.name}.{os.getpid()}.tmp"


def _in_terms_of(text: str, names: dict[Path, Path]) -> str:
    for staged, path in names.items():
        text = text.replace(str(staged), str(path))
    return text


def write(files: list[NewFile]) -> None:
    """Write files; when one of them can't be written, none is.

    Raises:
        UsageError: naming the file and why.
    """
    for file in files:
        file.check()
    done: list[NewFile] = []
    try:
        for file in files:
            _publish(file)
            done.append(file)
    except UsageError:
        for file in done:
            _take_back(file)
        raise


def _publish(file: NewFile) -> None:
    temporary = file.path.with_name(f".{file.path.name}.{os.getpid()}.tmp")
    try:
        file.path.parent.mkdir(parents=True, exist_ok=True)
        remove_stale_drafts(file.path)
        temporary.write_text(file.text, encoding="utf-8")
        if file.replace:
            if file.path.is_file():
                shutil.copy2(file.path, old_of(file.path))
            temporary.replace(file.path)
            return
        # A link fails where a rename would replace a file that has appeared meanwhile.
        file.path.hardlink_to(temporary)
    except FileExistsError as error:
        raise _exists(file.path) from error
    except OSError as error:
        raise cannot_write(file.path, error) from error
    finally:
        temporary.unlink(missing_ok=True)


def _take_back(file: NewFile) -> None:
    file.path.unlink(missing_ok=True)
    if os.path.lexists(old_of(file.path)):
        old_of(file.path).replace(file.path)


def old_of(path: Path) -> Path:
    """Return where the former text of a replaced file is kept."""
    return path.with_name(f"{path.name}.old")


def cannot_write(path: Path, error: OSError) -> UsageError:
    """Return the error of a file that the system does not let one write."""
    return UsageError(f"{path} can't be written: {error.strerror}", hint="name a folder where you may write")


def _exists(path: Path) -> UsageError:
    return UsageError(f"{path} exists", hint="edit it, or replace it with --force")
