"""Pictures as a film in a file."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import chain
from pathlib import Path

import numpy as np
from PIL import Image

from gridenv.adapters.drawing.frame import Picture
from gridenv.core.errors import ConfigError, DataError, MissingExtraError
from gridenv.network.spec import Number

SUFFIXES = (".gif", ".mp4")
_LARGEST_FPS = {".gif": 50.0, ".mp4": 240.0}
"""GIF counts in hundredths of a second, and players slow down what is shown for less than two of them."""
_TICKS_PER_SECOND, _MS_PER_TICK = 100, 10
_COLOURS = 256
_RGB = 3


def save_movie(frames: Iterable[Picture], path: str | Path, fps: Number = 10.0) -> None:
    """Write pictures to a GIF (any machine) or MP4 (needs ffmpeg). The file appears when it is complete.

    Args:
        frames: pictures of one size; they are read one by one.
        path: file that ends in `.gif` or `.mp4`.
        fps: pictures a second; in a GIF rounded to hundredths of a second.

    Raises:
        ConfigError: for another suffix, a folder that does not exist, or a speed that is not allowed.
        DataError: without pictures, or for pictures that differ in size or are no pictures.
        MissingExtraError: for `.mp4` without ffmpeg.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise ConfigError(f"movie '{path}': suffix is '{path.suffix}'; allowed: {' and '.join(SUFFIXES)}; rename it")
    if not path.parent.is_dir():
        raise ConfigError(
            f"movie '{path}': there is no folder '{path.parent}'; allowed: one that exists; make it first"
        )
    if not 0.0 < fps <= _LARGEST_FPS[suffix]:
        raise ConfigError(
            f"movie '{path}': fps is {fps}; allowed: above 0, at most {_LARGEST_FPS[suffix]:g}; choose another"
        )
    pictures = _checked(frames, path)
    write = _write_gif if suffix == ".gif" else _write_mp4
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".movie-") as folder:
        part = Path(folder) / f"movie{suffix}"
        write(pictures, part, path, fps)
        part.replace(path)


def _checked(frames: Iterable[Picture], path: Path) -> Iterator[Picture]:
    """The pictures, with the first one looked at before anything is written."""
    iterator = iter(frames)
    first = next(iterator, None)
    if first is None:
        raise DataError(f"movie '{path}': there are no frames; allowed: one or more; draw the episode first")
    shape = np.shape(first)

    def check() -> Iterator[Picture]:
        for number, frame in enumerate(chain([first], iterator)):
            if np.ndim(frame) != _RGB or np.shape(frame)[-1] != _RGB or np.asarray(frame).dtype != np.uint8:
                found = f"{np.asarray(frame).dtype}{list(np.shape(frame))}"
                raise DataError(f"movie '{path}': frame {number} is {found}; allowed: uint8 [height, width, 3]")
            if np.shape(frame) != shape:
                raise DataError(
                    f"movie '{path}': frame {number} has shape {np.shape(frame)}; allowed: {shape}, that of the first; "
                    "draw all with one canvas"
                )
            yield frame

    return check()


def _write_gif(pictures: Iterator[Picture], part: Path, path: Path, fps: Number) -> None:
    del path
    images = (Image.fromarray(picture).quantize(_COLOURS, dither=Image.Dither.NONE) for picture in pictures)
    ticks = max(1, round(_TICKS_PER_SECOND / fps))
    next(images).save(part, save_all=True, append_images=images, duration=ticks * _MS_PER_TICK, loop=0)


def _write_mp4(pictures: Iterator[Picture], part: Path, path: Path, fps: Number) -> None:
    ffmpeg = shutil.which("ffmpeg")
    if ffmpeg is None:
        raise MissingExtraError(
            f"movie '{path}': ffmpeg is not on the PATH; needed for .mp4; install ffmpeg "
            "(such as `apt install ffmpeg` or `conda install ffmpeg`), or write a .gif"
        )
    first = next(pictures)
    height, width, _ = first.shape
    command = [ffmpeg, "-loglevel", "error", "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}"]
    command += ["-r", f"{fps:g}", "-i", "-", "-an", "-c:v", "libx264", "-pix_fmt", "yuv420p", "-crf", "18"]
    # The colour format halves width and height, so both have to be even.
    command += ["-vf", "pad=ceil(iw/2)*2:ceil(ih/2)*2:color=white", "-movflags", "+faststart", str(part)]
    with (
        tempfile.TemporaryFile() as log,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=log, stderr=log) as process,
    ):
        assert process.stdin is not None
        try:
            for picture in chain([first], pictures):
                process.stdin.write(np.ascontiguousarray(picture).tobytes())
            process.stdin.close()
        except BrokenPipeError:  # ffmpeg gave up; its log says why
            with suppress(BrokenPipeError):
                process.stdin.close()
        except BaseException:
            process.kill()
            raise
        if process.wait() != 0:
            log.seek(0)
            why = log.read().decode(errors="replace").strip().splitlines() or ["no message"]
            raise MissingExtraError(
                f"movie '{path}': {ffmpeg} failed: {why[-1]}; needed: ffmpeg with libx264; install it, or write a .gif"
            )
