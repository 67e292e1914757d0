"""A trained policy as a folder: written, read and checked with NumPy alone; see docs/bundles.md.

`policy.onnx` is the network, `manifest.json` says what its numbers mean and what made it, `golden.npz` holds recorded
pairs of observation and action, `SHA256SUMS` the hashes of the three.
"""

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gridenv.core.archives import DAMAGED
from gridenv.core.errors import BundleError, raise_collected
from gridenv.policy.manifest import Manifest

POLICY_FILE = "policy.onnx"
MANIFEST_FILE = "manifest.json"
GOLDEN_FILE = "golden.npz"
SUMS_FILE = "SHA256SUMS"
GOLDEN_PAIRS = 64
"""Recorded pairs in a bundle."""
_SUMMED = (POLICY_FILE, MANIFEST_FILE, GOLDEN_FILE)
_SUM_LINE = re.compile(r"([0-9a-f]{64})  (\S+)")
"""As the command `sha256sum` writes and checks it."""
_ANEW = "make the bundle anew with `gridenv export`"


@dataclass(frozen=True, kw_only=True, eq=False)
class Golden:
    """Observations from episodes of the task and what the learner's own policy did there, both normalised."""

    observation: NDArray[np.float32]
    """[pair, n_observation]"""
    action: NDArray[np.float32]
    """[pair, n_action]"""


@dataclass(frozen=True, kw_only=True, eq=False)
class Bundle:
    """Contents of a bundle in memory."""

    name: str
    """How messages call it: its folder."""
    onnx: bytes
    """Network from `observation` [batch, n_observation] to `action` [batch, n_action], normalised float32."""
    manifest: Manifest
    golden: Golden


def is_bundle(folder: Path) -> bool:
    """Whether a folder is meant to be a bundle, be it complete or not."""
    return any((folder / name).is_file() for name in (POLICY_FILE, MANIFEST_FILE, SUMS_FILE))


def read_bundle(folder: Path) -> Bundle:
    """A bundle whose sums, format and channel fingerprints are right.

    Args:
        folder: as `write_bundle` made it; other files in it are left alone.

    Raises:
        BundleError: if a file is missing, cut off or changed, the format is of another version, or the channels do not
            have the fingerprint that the manifest states.
    """
    name = str(folder)
    contents = _checked_contents(folder)
    try:
        entries = json.loads(contents[MANIFEST_FILE])
    except ValueError as error:
        raise BundleError(f"bundle '{name}': {MANIFEST_FILE} is not JSON ({error}); {_ANEW}") from error
    manifest = Manifest.from_json(entries, f"bundle '{name}': {MANIFEST_FILE}")
    golden = _golden(contents[GOLDEN_FILE], manifest, name)
    return Bundle(name=name, onnx=contents[POLICY_FILE], manifest=manifest, golden=golden)


def write_bundle(folder: Path, bundle: Bundle) -> None:
    """Write a bundle; it is complete once its sums are there, which come last.

    Args:
        folder: made if need be; the files of an older bundle in it are replaced, others left alone.
        bundle: what to write.

    Raises:
        BundleError: if there cannot be such a folder.
    """
    archive = BytesIO()
    np.savez_compressed(archive, observation=bundle.golden.observation, action=bundle.golden.action)
    contents = {
        POLICY_FILE: bundle.onnx,
        MANIFEST_FILE: f"{json.dumps(bundle.manifest.to_json(), indent=2, allow_nan=False)}\n".encode(),
        GOLDEN_FILE: archive.getvalue(),
    }
    sums = "".join(f"{_sha256(content)}  {name}\n" for name, content in contents.items())
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Without sums the folder counts as incomplete for as long as old and new files are mixed in it.
        (folder / SUMS_FILE).unlink(missing_ok=True)
        for name, content in {**contents, SUMS_FILE: sums.encode()}.items():
            _write_file(folder / name, content)
    except OSError as error:
        raise BundleError(f"bundle '{folder}': cannot be written ({error}); name a folder that can be") from error


def _checked_contents(folder: Path) -> dict[str, bytes]:
    """Contents of the three files, equal to their sums."""
    name = str(folder)
    if not folder.is_dir():
        raise BundleError(f"bundle '{name}': no such folder; name a folder that `gridenv export` made")
    missing = [file for file in (*_SUMMED, SUMS_FILE) if not (folder / file).is_file()]
    if missing:
        raise BundleError(f"bundle '{name}': lacks {', '.join(missing)}; copy the whole folder, or {_ANEW}")
    try:
        stated = _stated_sums((folder / SUMS_FILE).read_bytes(), name)
        contents = {file: (folder / file).read_bytes() for file in _SUMMED}
    except OSError as error:
        raise BundleError(f"bundle '{name}': cannot be read ({error}); check its permissions") from error
    raise_collected(
        [
            f"bundle '{name}': {file} ({len(content)} bytes) is cut off or was changed: its SHA-256 is "
            f"{_sha256(content)[:12]}..., {SUMS_FILE} says {stated[file][:12]}...; copy the bundle again, or {_ANEW}"
            for file, content in contents.items()
            if _sha256(content) != stated[file]
        ],
        BundleError,
    )
    return contents


def _stated_sums(content: bytes, name: str) -> Mapping[str, str]:
    lines = content.decode("ascii", errors="replace").splitlines()
    found = [_SUM_LINE.fullmatch(line) for line in lines]
    sums = {match[2]: match[1] for match in found if match}
    if len(sums) != len(lines) or set(sums) != set(_SUMMED):
        raise BundleError(
            f"bundle '{name}': {SUMS_FILE} is damaged; allowed: one line of SHA-256 and name for each of "
            f"{', '.join(_SUMMED)}; copy the bundle again, or {_ANEW}"
        )
    return sums


def _golden(content: bytes, manifest: Manifest, name: str) -> Golden:
    shapes = {
        "observation": (GOLDEN_PAIRS, len(manifest.observation)),
        "action": (GOLDEN_PAIRS, len(manifest.action)),
    }
    try:
        with np.load(BytesIO(content), allow_pickle=False) as archive:
            arrays: dict[str, NDArray[Any]] = {key: archive[key] for key in shapes}
    except DAMAGED as error:
        raise BundleError(f"bundle '{name}': {GOLDEN_FILE} is damaged ({error}); {_ANEW}") from error
    raise_collected(
        [
            f"bundle '{name}': {GOLDEN_FILE}: {key} is {array.dtype}{list(array.shape)}; the manifest needs "
            f"float32{list(shapes[key])}; {_ANEW}"
            for key, array in arrays.items()
            if array.shape != shapes[key] or array.dtype != np.float32
        ],
        BundleError,
    )
    return Golden(observation=arrays["observation"], action=arrays["action"])


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _write_file(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
