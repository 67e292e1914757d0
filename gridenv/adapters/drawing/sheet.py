"""An empty picture measured in pixels, x to the right and y downwards, and what is put on it."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path as FilePath
from typing import Any, Literal, TypeVar

import matplotlib as mpl
import numpy as np
from matplotlib.artist import Artist
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection, PathCollection, PolyCollection
from matplotlib.figure import Figure
from matplotlib.path import Path
from matplotlib.transforms import IdentityTransform
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from gridenv.adapters.drawing.colours import INK, PAPER

A = TypeVar("A", bound=Artist)
_DPI = 100
_POINTS_PER_INCH = 72.0
_POINTS_PER_PX = _POINTS_PER_INCH / _DPI
_DESIGN_SIZE = (960, 540)
"""Sizes of text and symbols hold for a picture of this size and grow with it."""
_SMALLEST_SCALE, _LARGEST_SCALE = 0.9, 3.0
_FONTS = {False: "DejaVuSans.ttf", True: "DejaVuSans-Bold.ttf"}
"""They come with matplotlib, so a picture looks the same everywhere."""
Align = Literal["left", "center", "right"]
Baseline = Literal["top", "center", "bottom"]
_ANCHORS = {"left": "l", "center": "m", "right": "r", "top": "a", "bottom": "d"}


@dataclass
class Label:
    """A text that can change; Pillow draws it, which takes a tenth of the time that it takes matplotlib."""

    place: tuple[float, float]
    text: str
    font: ImageFont.FreeTypeFont
    colour: str
    anchor: str


class Sheet:
    """A picture in the making. Moving things are drawn by `paint`, all others once."""

    def __init__(self, size: tuple[int, int]) -> None:
        self.width, self.height = size
        share = min(self.width / _DESIGN_SIZE[0], self.height / _DESIGN_SIZE[1])
        self.scale = float(np.clip(share, _SMALLEST_SCALE, _LARGEST_SCALE))
        figure = Figure(figsize=(self.width / _DPI, self.height / _DPI), dpi=_DPI, facecolor=PAPER)
        self._canvas = FigureCanvasAgg(figure)
        self._axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
        self._axes.set_axis_off()
        self._axes.set_xlim(0, self.width)
        self._axes.set_ylim(self.height, 0)
        self._labels: list[Label] = []
        self._ground: Any = None

    def px(self, size: float | int) -> float:
        """Pixels of a size given for a picture of 960 by 540."""
        return size * self.scale

    def text(
        self,
        place: tuple[float, float],
        text: str = "",
        *,
        size: float = 10.0,
        align: Align = "left",
        baseline: Baseline = "center",
        colour: str = INK,
        bold: bool = False,
    ) -> Label:
        """Text at a place, `size` as for `px`; it may be changed until the next `paint`."""
        anchor = _ANCHORS[align] + ("m" if baseline == "center" else _ANCHORS[baseline])
        label = Label(place, text, _font(self.px(size), bold), colour, anchor)
        self._labels.append(label)
        return label

    def text_width(self, text: str, size: float = 10.0, bold: bool = False) -> float:
        """Width of a text, pixels."""
        return float(_font(self.px(size), bold).getlength(text))

    def fitted(self, text: str, width: float, size: float = 10.0) -> str:
        """As much of a text as there is room for."""
        if self.text_width(text, size) <= width:
            return text
        while text and self.text_width(text + "…", size) > width:
            text = text[:-1]
        return text.rstrip() + "…"

    def lines(
        self, lines: Sequence[NDArray[np.float64]] = (), *, widths_px: Any = 1.0, moving: bool = False, **style: Any
    ) -> LineCollection:
        """Lines [point, 2]."""
        made = LineCollection(lines, linewidths=np.asarray(widths_px) * _POINTS_PER_PX, **style)
        return self._put(made, moving)

    def areas(
        self, areas: Sequence[NDArray[np.float64]] = (), *, edge_px: float = 0.0, moving: bool = False, **style: Any
    ) -> PolyCollection:
        """Filled polygons [point, 2]."""
        return self._put(PolyCollection(areas, linewidths=edge_px * _POINTS_PER_PX, **style), moving)

    def marks(
        self,
        paths: Sequence[Path],
        places: Any,
        radius_px: Any,
        *,
        edge_px: Any = 1.0,
        moving: bool = False,
        **style: Any,
    ) -> PathCollection:
        """Outlines of the square from -1 to 1, blown up to a radius, at places [n, 2]; paths and sizes repeat."""
        made = PathCollection(
            list(paths),
            sizes=mark_sizes(radius_px),
            offsets=np.reshape(places, (-1, 2)),
            offset_transform=self._axes.transData,
            linewidths=np.asarray(edge_px) * _POINTS_PER_PX,
            **style,
        )
        made.set_transform(IdentityTransform())
        return self._put(made, moving)

    def _put(self, made: A, moving: bool) -> A:
        made.set_animated(moving)
        self._axes.add_artist(made)
        return made

    def finish(self) -> None:
        """Draw what does not move."""
        self._canvas.draw()
        self._ground = self._canvas.copy_from_bbox(self._axes.figure.bbox)

    def paint(self, moving: Sequence[Artist]) -> NDArray[np.uint8]:
        """The picture [height, width, 3] with the moving things drawn in this order, and all texts."""
        self._canvas.restore_region(self._ground)
        for artist in moving:
            self._axes.draw_artist(artist)
        image = Image.fromarray(np.asarray(self._canvas.buffer_rgba())[..., :3])
        pen = ImageDraw.Draw(image)
        for label in self._labels:
            if label.text:
                pen.text(label.place, label.text, fill=label.colour, font=label.font, anchor=label.anchor)
        return np.array(image)


@cache
def _font(size_px: float, bold: bool) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(FilePath(mpl.get_data_path(), "fonts", "ttf", _FONTS[bold]), size_px)


def mark_sizes(radius_px: Any) -> NDArray[np.float64]:
    """Sizes as collections of markers want them: area in square points."""
    sizes: NDArray[np.float64] = np.square(np.atleast_1d(np.asarray(radius_px, float)) * _POINTS_PER_PX)
    return sizes


def line_points(widths_px: Any) -> list[float]:
    """Widths in points."""
    return [float(width) * _POINTS_PER_PX for width in np.atleast_1d(widths_px)]


def rectangle(left: float, top: float, right: float, bottom: float) -> NDArray[np.float64]:
    """Corners of a rectangle [4, 2]."""
    return np.array([(left, top), (right, top), (right, bottom), (left, bottom)])
