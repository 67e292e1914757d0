"""A picture of a feeder: diagram, header, series of the episode so far, legend."""

import numpy as np
from numpy.typing import NDArray

from gridenv.adapters.drawing import colours
from gridenv.adapters.drawing.diagram import Diagram
from gridenv.adapters.drawing.layout import FeederLayout
from gridenv.adapters.drawing.legend import Legend
from gridenv.adapters.drawing.panel import Panel
from gridenv.adapters.drawing.scene import Scene, check
from gridenv.adapters.drawing.sheet import Sheet
from gridenv.core.errors import ConfigError
from gridenv.core.units import HOURS_PER_DAY, PERCENT

Picture = NDArray[np.uint8]
"""[height, width, 3], red, green, blue."""
DEFAULT_SIZE = (960, 540)
SMALLEST_SIZE, LARGEST_SIZE = (480, 360), (7680, 4320)
_MARGIN = 14.0
_HEADER = 50.0
_PANEL_WIDTH = 232.0
_MINUTES_PER_HOUR = 60


def draw(scene: Scene, layout: FeederLayout, size: tuple[int, int] = DEFAULT_SIZE) -> Picture:
    """One picture. For many of the same network keep a `Canvas`, which is faster.

    Args:
        scene: what is shown.
        layout: of the network.
        size: width and height in pixels.

    Raises:
        ConfigError: for a size that is not allowed.
        DataError: for a scene that does not fit the layout.
    """
    return Canvas(layout, size).draw(scene)


class Canvas:
    """Draws scenes of one network; what does not change between them is drawn once."""

    def __init__(self, layout: FeederLayout, size: tuple[int, int] = DEFAULT_SIZE) -> None:
        """Raise for a size that is not allowed.

        Raises:
            ConfigError: outside 480 by 360 to 7680 by 4320.
        """
        for name, found, least, most in zip(("width", "height"), size, SMALLEST_SIZE, LARGEST_SIZE, strict=True):
            if not least <= found <= most:
                raise ConfigError(f"picture: {name} is {found} pixels; allowed: {least}..{most}; choose one in between")
        self._layout = layout
        self._size = size
        self._structure: tuple[object, ...] | None = None

    def draw(self, scene: Scene) -> Picture:
        """The picture of a scene.

        Raises:
            DataError: for a scene that does not fit the layout.
        """
        check(scene, self._layout)
        if scene.structure != self._structure:
            self._prepare(scene)
            self._structure = scene.structure
        self._diagram.update(scene)
        self._panel.update(scene)
        self._clock.text = _clock(scene)
        self._progress.text = _progress(scene)
        room = self._sheet.width - 3 * self._sheet.px(_MARGIN) - self._sheet.text_width(_progress(scene))
        self._summary.text = self._sheet.fitted(_summary(scene), room)
        return self._sheet.paint([*self._diagram.moving, *self._panel.moving])

    def _prepare(self, scene: Scene) -> None:
        """Everything that stays the same as long as the structure of the scenes does."""
        self._sheet = sheet = Sheet(self._size)
        px = sheet.px
        margin, top = px(_MARGIN), px(_HEADER)
        width = sheet.width - 2 * margin
        kinds = [d.kind for d in scene.devices]
        # Whether there are arrows and sectors is known once the diagram is placed; they never cost a row by themselves.
        roomy = Legend(sheet, kinds, has_arrows=True, has_pies=True)
        bottom = sheet.height - roomy.height(width) - px(10)
        right = sheet.width - margin
        panel_left = right - px(_PANEL_WIDTH) if scene.series else right
        self._panel = Panel(sheet, scene, (panel_left, top, right, bottom))
        diagram_right = panel_left - px(16) if scene.series else right
        self._diagram = Diagram(sheet, self._layout, scene, (margin, top, diagram_right, bottom))
        has_arrows = self._diagram.has_arrows and scene.branch_p_kw is not None
        legend = Legend(sheet, kinds, has_arrows=has_arrows, has_pies=self._diagram.has_pies)
        legend.draw(margin, sheet.height - legend.height(width) - px(4), width)
        sheet.text((margin, px(16)), scene.title, size=14.0, bold=True)
        self._summary = sheet.text((margin, px(36)), size=10.0, colour=colours.GREY)
        self._clock = sheet.text((right, px(16)), size=14.0, align="right", bold=True)
        self._progress = sheet.text((right, px(36)), size=10.0, align="right", colour=colours.GREY)
        sheet.finish()


def _clock(scene: Scene) -> str:
    if scene.hour is None:
        return ""
    minutes = round(scene.hour * _MINUTES_PER_HOUR) % (HOURS_PER_DAY * _MINUTES_PER_HOUR)
    return f"{minutes // _MINUTES_PER_HOUR:02d}:{minutes % _MINUTES_PER_HOUR:02d}"


def _progress(scene: Scene) -> str:
    return f"step {scene.step}" + (f" of {scene.n_step}" if scene.n_step else "")


def _summary(scene: Scene) -> str:
    """Voltages and loadings in a line of words."""
    v_pu = scene.phase_v_pu
    known = v_pu[np.isfinite(v_pu)]
    if not len(known):
        return "no supply"
    worst = scene.worst_v_pu
    parts = [f"voltage {known.min():.3f} … {known.max():.3f} pu"]
    outside, dark = int(colours.is_outside_band(worst).sum()), int(np.isnan(worst).sum())
    if outside:
        parts.append(f"{_count(outside, 'bus', 'buses')} outside the band")
    if dark:
        parts.append(f"{_count(dark, 'bus', 'buses')} without supply")
    loading = np.asarray(scene.loading, float)
    if np.isfinite(loading).any():
        parts.append(f"highest loading {PERCENT * np.nanmax(loading):.0f} %")
    return "  ·  ".join(parts)


def _count(n: int, one: str, many: str) -> str:
    return f"{n} {one if n == 1 else many}"
