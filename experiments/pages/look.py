"""How figures of pages look: colours that follow the reader's light or dark mode, marks, and SVG inside of the page."""

import io
import re
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from html import escape
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

WIDTH_IN = 7.2
_AGENT_COLOURS = 6
"""In the style sheet; later agents begin again, with other marks."""
_VARIABLES = (
    *("--ink", "--quiet", "--line", "--c-none", "--c-rule", "--c-mpc", "--c-oracle"),
    *(f"--c-{i}" for i in range(_AGENT_COLOURS)),
)
"""Colours of the style sheet, which differ in light and dark."""
_STANDS_FOR = {f"#01{i:02x}01": name for i, name in enumerate(_VARIABLES)}
"""Colour that a figure is drawn with -> variable that is put in its place in the SVG."""
_DRAWN = {name: drawn for drawn, name in _STANDS_FOR.items()}
INK, QUIET, RULE_LINE = _DRAWN["--ink"], _DRAWN["--quiet"], _DRAWN["--line"]
_REFERENCE_LABELS = {"none": "no control", "rule": "rule", "mpc": "MPC", "oracle": "oracle"}
_REFERENCE_MARKS = {"none": "x", "rule": "s", "mpc": "P", "oracle": "*"}
_AGENT_MARKS = "oD^vph<>"
_RC_PARAMS: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "gridenv",
    "font.family": ["sans-serif"],
    "font.size": 9.0,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.edgecolor": QUIET,
    "axes.labelcolor": INK,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "grid.color": RULE_LINE,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "legend.fontsize": 9.0,
    "text.color": INK,
    "figure.constrained_layout.use": True,
}


@dataclass(frozen=True)
class Style:
    """How a controller is drawn, everywhere on a page."""

    label: str
    colour: str
    """For figures; stands for the variable."""
    variable: str
    """Of the style sheet, such as `--c-rule`."""
    mark: str


def styles(references: Sequence[str], agents: Sequence[str]) -> dict[str, Style]:
    """Looks of the controllers of a page: no two are alike in colour and mark."""
    chosen = {}
    for name in references:
        variable = f"--c-{name}" if name in _REFERENCE_LABELS else "--c-none"
        chosen[name] = _style(_REFERENCE_LABELS.get(name, name), variable, _REFERENCE_MARKS.get(name, "X"))
    return chosen | series({name: agent_label(name) for name in agents})


def series(labels: Mapping[str, str]) -> dict[str, Style]:
    """Looks of things that are alike, by name; `labels` says what each is called."""
    return {
        name: _style(label, f"--c-{i % _AGENT_COLOURS}", _AGENT_MARKS[i % len(_AGENT_MARKS)])
        for i, (name, label) in enumerate(labels.items())
    }


def faint(label: str) -> Style:
    """Look of one of many that do not stand out."""
    return _style(label, "--c-none", ".")


def agent_label(name: str) -> str:
    """What an agent is called: `sb3_ppo (storage_ieee33)` is `SB3 PPO (storage_ieee33)`."""
    agent, brackets, rest = name.partition(" (")
    return f"{agent.upper().replace('_', ' ')}{brackets}{rest}"


def label(name: str) -> str:
    """What a controller is called, reference or agent."""
    return _REFERENCE_LABELS.get(name, agent_label(name))


def _style(label: str, variable: str, mark: str) -> Style:
    return Style(label, _DRAWN[variable], variable, mark)


def drawing() -> AbstractContextManager[None]:
    """Settings in force while a figure is drawn."""
    return mpl.rc_context(_RC_PARAMS)


def inline(figure: Figure, name: str, description: str) -> str:
    """The figure as SVG for the middle of a page.

    Args:
        figure: drawn within `drawing`.
        name: no other figure of the page has it; ids of its parts begin with it.
        description: what it shows, for those who do not see it.
    """
    buffer = io.StringIO()
    with drawing():
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>\s*|<!--.*?-->\s*", "", text, flags=re.DOTALL)
    text = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', text)
    text = re.sub(r'(url\(|href=")#', rf"\1#{name}-", text)
    for colour, variable in _STANDS_FOR.items():
        text = text.replace(colour, f"var({variable})")
    text = re.sub(r'(<svg [^>]*?)width="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg [^>]*?)height="[^"]*"', r"\1", text, count=1)
    return text.replace("<svg ", f'<svg role="img" aria-label="{escape(description)}" ', 1)
