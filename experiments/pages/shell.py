"""A page as one file: style, figures, values and script are inside of it."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from string import Template
from typing import Any

from matplotlib.figure import Figure

from experiments.pages.look import Style, inline

_HERE = Path(__file__).parent


def page(*, title: str, subtitle: str, parts: Sequence[tuple[str, str]], days: Sequence[Mapping[str, Any]]) -> str:
    """The page as HTML.

    Args:
        title: heading.
        subtitle: below it; HTML.
        parts: headings and contents as HTML; of an empty heading the content alone, before the others.
        days: of `days.day_values`, in the order of the groups.
    """
    links = "".join(f'<li><a href="#{anchor(name)}">{escape(name)}</a></li>' for name, _ in parts if name)
    body = "\n".join(
        f'<section id="{anchor(name)}"><h2>{escape(name)}</h2>\n{content}\n</section>' if name else content
        for name, content in parts
    )
    # `</script>` in a text would end the element that holds it.
    values = json.dumps(days, separators=(",", ":")).replace("<", "\\u003c")
    return Template(_text("page.html")).substitute(
        title=escape(title),
        heading=escape(title),
        subtitle=subtitle,
        navigation=f'<nav aria-label="Parts of this page"><ul>{links}</ul></nav>',
        style=_text("page.css"),
        body=body,
        days=values,
        script=_text("days.js"),
    )


def figure(drawn: Figure, name: str, caption: str) -> str:
    """A figure with its caption, which also describes it to those who do not see it.

    Args:
        drawn: the figure.
        name: no other figure of the page has it.
        caption: what it shows.
    """
    return f"<figure>{inline(drawn, anchor(name), caption)}<figcaption>{escape(caption)}</figcaption></figure>"


def table(
    head: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    caption: str = "",
    text: Sequence[str] = (),
    wrap: Sequence[str] = (),
) -> str:
    """A table that can be sorted; cells are HTML, the first of a row is its heading.

    Args:
        head: titles of the columns.
        rows: cells, each as `cell` makes them.
        caption: what the table is.
        text: columns aligned to the left.
        wrap: columns whose text may take several lines.
    """
    kinds = ["wrap" if name in wrap else "text" if name in text else "" for name in head]
    titles = "".join(
        f"<th{_class('text' if kind else '')}>{escape(name)}</th>" for name, kind in zip(head, kinds, strict=True)
    )
    body = "".join(
        f"<tr>{''.join(_cell(c, k, is_first=i == 0) for i, (c, k) in enumerate(zip(row, kinds, strict=True)))}</tr>"
        for row in rows
    )
    described = f"<caption>{escape(caption)}</caption>" if caption else ""
    return (
        f'<div class="scroll" role="region" tabindex="0" aria-label="{escape(caption or head[0])}">'
        f'<table class="sortable">{described}<thead><tr>{titles}</tr></thead><tbody>{body}</tbody></table></div>'
    )


def controller(style: Style) -> str:
    """Name of a controller beside its colour."""
    return f'<span class="dot" aria-hidden="true" style="background:var({style.variable})"></span>{escape(style.label)}'


def card(value: str, text: str) -> str:
    """A number that stands out."""
    return f'<div class="card"><b>{escape(value)}</b><span>{escape(text)}</span></div>'


def anchor(name: str) -> str:
    """The name as part of an address."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "part"


def _cell(content: str, kind: str, *, is_first: bool) -> str:
    value = re.match(r"\s*([-\u2212+]?[\d,]+\.?\d*(?:e[-+]?\d+)?)", re.sub(r"<[^>]*>", "", content))
    number = value[1].replace(",", "").replace("\u2212", "-") if value else ""
    # Cells of numbers that have none stand at the end, whichever way they are sorted.
    attribute = "" if kind or is_first else f' data-v="{number}"'
    tag, scope = ("th", ' scope="row"') if is_first else ("td", "")
    return f"<{tag}{scope}{_class(kind)}{attribute}>{content}</{tag}>"


def _class(name: str) -> str:
    return f' class="{name}"' if name else ""


def _text(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8").rstrip("\n")
