"""Images for tests: a SIF's header on nothing, and an OCI archive of busybox that Apptainer builds a real SIF from."""

from __future__ import annotations

import hashlib
import io
import json
import shlex
import shutil
import struct
import tarfile
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

HEADER_BYTES = 128


def fake_sif(path: Path, *, content: bytes = b"squashfs", identity: str | None = None, cut: int = 0) -> str:
    """Write a file with the header of a SIF, and return its id; `cut` leaves out so many bytes at its end."""
    sif_id = uuid.UUID(identity) if identity else uuid.uuid4()
    header = struct.pack(
        "<32s10s3s3s16s8q",
        b"#!/usr/bin/env run-singularity\n",
        b"SIF_MAGIC\0",
        b"01\0",
        b"02\0",
        sif_id.bytes,
        *(1_700_000_000, 1_700_000_000, 47, 48, HEADER_BYTES, 0, HEADER_BYTES, len(content)),
    )
    raw = header + content
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(raw[: len(raw) - cut])
    return str(sif_id)


def write_oci_archive(
    path: Path, *, version: str, tool: str = "QSITool", programs: Mapping[str, str] | None = None
) -> Path:
    """Write an image whose entry point tells a version, as `docker save` or skopeo would.

    Args:
        tool: its name, as it says it.
        programs: further programs, each with what it says.
    """
    busybox = shutil.which("busybox")
    assert busybox is not None
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        _add(tar, "bin/")
        _add(tar, "bin/busybox", Path(busybox).read_bytes(), mode=0o755)
        _add(tar, "bin/sh", link="busybox")
        _add(tar, "bin/tool", f"#!/bin/sh\necho '{tool} v{version}'\n".encode(), mode=0o755)
        for name, says in (programs or {}).items():
            _add(tar, f"bin/{name}", f"#!/bin/sh\necho {shlex.quote(says)}\n".encode(), mode=0o755)
        for applet in ("env", "grep"):
            _add(tar, f"bin/{applet}", link="busybox")
    blobs: dict[str, bytes] = {}
    raw = layer.getvalue()
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {
            "Entrypoint": ["/bin/tool"],
            "Env": ["PATH=/bin"],
            "Labels": {"org.opencontainers.image.version": version},
        },
        "rootfs": {"type": "layers", "diff_ids": [_blob({}, raw)["digest"]]},
    }
    kind = "application/vnd.oci.image"
    manifest = {
        "schemaVersion": 2,
        "config": {"mediaType": f"{kind}.config.v1+json", **_blob(blobs, json.dumps(config).encode())},
        "layers": [{"mediaType": f"{kind}.layer.v1.tar", **_blob(blobs, raw)}],
    }
    index = {
        "schemaVersion": 2,
        "manifests": [{"mediaType": f"{kind}.manifest.v1+json", **_blob(blobs, json.dumps(manifest).encode())}],
    }
    with tarfile.open(path, "w") as tar:
        _add(tar, "oci-layout", b'{"imageLayoutVersion": "1.0.0"}')
        _add(tar, "index.json", json.dumps(index).encode())
        _add(tar, "blobs/")
        _add(tar, "blobs/sha256/")
        for digest, data in blobs.items():
            _add(tar, f"blobs/sha256/{digest}", data)
    return path


def _blob(blobs: dict[str, bytes], data: bytes) -> dict[str, Any]:
    digest = hashlib.sha256(data).hexdigest()
    blobs[digest] = data
    return {"digest": f"sha256:{digest}", "size": len(data)}


def _add(tar: tarfile.TarFile, name: str, data: bytes = b"", *, mode: int = 0o644, link: str | None = None) -> None:
    info = tarfile.TarInfo(name)
    info.mode = mode
    if name.endswith("/"):
        info.type, info.mode = tarfile.DIRTYPE, 0o755
    elif link is not None:
        info.type, info.linkname = tarfile.SYMTYPE, link
    info.size = len(data)
    tar.addfile(info, io.BytesIO(data))
