"""Bundles on disk: what is written is read back, and whatever is wrong with one is said in one line."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx", reason="extra hil: makes the network of the bundle")
pytest.importorskip("onnxruntime", reason="extra hil: runs the network of the bundle")

from gridenv.core.channels import ChannelSet
from gridenv.core.errors import BundleError
from gridenv.policy.bundle import is_bundle, read_bundle, write_bundle
from gridenv.policy.manifest import FORMAT_VERSION, Manifest
from gridenv.policy.runtime import load_policy
from tests.unit.policy.bundles import ACTION, OBSERVATION, small_bundle, small_manifest

FILES = {"policy.onnx", "manifest.json", "golden.npz", "SHA256SUMS"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_bundle(tmp_path / "b", small_bundle())
    return tmp_path / "b"


def sign(folder: Path) -> None:
    """State the sums of the files as they are now."""
    names = sorted(path.name for path in folder.iterdir() if path.name != "SHA256SUMS")
    sums = [f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n" for name in names]
    (folder / "SHA256SUMS").write_text("".join(sums))


def edit_manifest(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    entries = json.loads((folder / "manifest.json").read_text())
    change(entries)
    (folder / "manifest.json").write_text(json.dumps(entries))
    sign(folder)


def message(folder: Path) -> str:
    """The one line that refuses the bundle."""
    with pytest.raises(BundleError) as refused:
        load_policy(folder)
    lines = str(refused.value).splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith(f"bundle '{folder}'")
    return lines[0]


def test_a_bundle_is_read_back_as_it_was_written(folder: Path) -> None:
    assert {path.name for path in folder.iterdir()} == FILES
    written, read = small_bundle(), read_bundle(folder)
    assert read.manifest == written.manifest
    assert read.onnx == written.onnx
    np.testing.assert_array_equal(read.golden.observation, written.golden.observation)
    np.testing.assert_array_equal(read.golden.action, written.golden.action)
    assert read.golden.observation.shape == (64, 2)


def test_writing_again_replaces_the_bundle_and_leaves_other_files_alone(folder: Path) -> None:
    (folder / "evaluation.json").write_text("{}")
    write_bundle(folder, small_bundle(update=8))
    assert load_policy(folder).manifest.update == 8
    assert (folder / "evaluation.json").read_text() == "{}"


def test_folders_of_bundles_are_told_from_others_even_when_incomplete(folder: Path, tmp_path: Path) -> None:
    (folder / "SHA256SUMS").unlink()
    (folder / "policy.onnx").unlink()
    assert is_bundle(folder)
    assert not is_bundle(tmp_path)


def test_a_bundle_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BundleError, match=r"bundle '.*file': cannot be written .*name a folder that can be"):
        write_bundle(tmp_path / "file", small_bundle())


def test_missing_folders_and_files_are_named(folder: Path, tmp_path: Path) -> None:
    assert "no such folder" in message(tmp_path / "none")
    (folder / "golden.npz").unlink()
    (folder / "SHA256SUMS").unlink()
    assert "lacks golden.npz, SHA256SUMS" in message(folder)


@pytest.mark.parametrize("name", sorted(FILES - {"SHA256SUMS"}))
def test_cut_and_changed_files_are_refused(folder: Path, name: str) -> None:
    whole = (folder / name).read_bytes()
    (folder / name).write_bytes(whole[:-10])
    assert f"{name} ({len(whole) - 10} bytes) is cut off or was changed" in message(folder)
    (folder / name).write_bytes(whole[:-10] + bytes(10))
    assert f"{name} ({len(whole)} bytes) is cut off or was changed" in message(folder)


@pytest.mark.parametrize("sums", ["", "not a sum\n", f"{'0' * 64}  policy.onnx\n", f"{'0' * 64}  ../policy.onnx\n"])
def test_damaged_sums_are_refused(folder: Path, sums: str) -> None:
    (folder / "SHA256SUMS").write_text(sums)
    assert "SHA256SUMS is damaged" in message(folder)


def test_files_that_hold_something_else_are_refused_although_their_sums_are_right(folder: Path) -> None:
    for name, culprit in (
        ("golden.npz", "golden.npz is damaged"),
        ("policy.onnx", "policy.onnx cannot be run"),
        ("manifest.json", "manifest.json is not JSON"),
    ):
        (folder / name).write_bytes(b"something else")
        sign(folder)
        assert culprit in message(folder)
        write_bundle(folder, small_bundle())


def test_golden_pairs_of_another_shape_are_refused(folder: Path) -> None:
    archive = BytesIO()
    np.savez(archive, observation=np.zeros((64, 3), np.float32), action=np.zeros((64, 2), np.float32))
    (folder / "golden.npz").write_bytes(archive.getvalue())
    sign(folder)
    assert "observation is float32[64, 3]; the manifest needs float32[64, 2]" in message(folder)


@pytest.mark.parametrize(
    ("change", "culprit"),
    [
        (lambda m: m.update(format_version=2), "format_version is 2; this version of gridenv reads 1"),
        (lambda m: m.pop("format_version"), "format_version is None"),
        (lambda m: m.pop("step_s"), "step_s is missing"),
        (lambda m: m.update(colour="red"), "unknown key 'colour'"),
        (lambda m: m.update(seed="three"), "seed is 'three'; it must be a whole number"),
        (lambda m: m["action"][0].update(high=250.0), "the action channels have the fingerprint"),
        (lambda m: m["observation"].reverse(), "names, units, ranges or order were changed"),
        (lambda m: m["observation"][0].update(scale=0.0), "observation: channel 'bus.1.v_pu': scale must be > 0"),
        (lambda m: m["observation"][0].pop("unit"), "observation: entry 0 is no channel: {'name'"),
        (lambda m: m["action"].append("more"), "action: entry 2 is no channel: 'more'"),
        (lambda m: m["observation"][0].update(low="0"), "observation: entry 0 is no channel: {'name'"),
    ],
)
def test_manifests_that_are_wrong_are_refused_although_their_sums_are_right(
    folder: Path, change: Callable[[dict[str, Any]], object], culprit: str
) -> None:
    edit_manifest(folder, change)
    assert culprit in message(folder)


def test_a_manifest_that_is_no_mapping_is_refused() -> None:
    with pytest.raises(BundleError, match=r"here: is not a mapping"):
        Manifest.from_json([FORMAT_VERSION], "here")


def test_other_channels_are_refused_and_the_first_difference_is_named() -> None:
    manifest = small_manifest()
    manifest.check_channels(OBSERVATION, ACTION, "rig 'r'", "bundle 'b'")
    scaled = ChannelSet((replace(OBSERVATION.channels[0], scale=0.1), OBSERVATION.channels[1]))
    with pytest.raises(BundleError) as refused:
        manifest.check_channels(scaled, ChannelSet(ACTION.channels[:1]), "rig 'r'", "bundle 'b'")
    first, second = str(refused.value).splitlines()
    assert first.startswith(
        "bundle 'b': has other observation channels than rig 'r': entry 0 is 'bus.1.v_pu' (0.5..1.5"
    )
    assert "1 + 0.05 x" in first
    assert "1 + 0.1 x" in first
    assert "other action channels than rig 'r': 2 in the bundle and 1 there" in second
