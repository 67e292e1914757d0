"""Self-contained pages: their look, tables, and the page of a check."""

from collections.abc import Iterable, Sequence
from html import escape

from hardware_in_loop.control.checklist import Checklist, Status

_URGENCY = (Status.FAIL, Status.SKIPPED, Status.WARNING, Status.PASS)
_STYLE = """
:root { --ink: #222; --quiet: #5c6670; --line: #dfe4e8; --good: #00765a; --bad: #b03a00; --mid: #8a6d00; }
* { box-sizing: border-box; }
body { margin: 0; color: var(--ink); background: #fff;
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
main { max-width: 860px; margin: 0 auto; padding: 24px 18px 64px; }
h1 { font-size: 1.55rem; line-height: 1.25; margin: 0 0 4px; }
h2 { font-size: 1.12rem; margin: 36px 0 6px; }
p { margin: 0 0 10px; }
.quiet, figcaption { color: var(--quiet); font-size: .92rem; }
.verdict { border-left: 6px solid var(--good); background: #eef8f4; padding: 10px 14px; margin: 16px 0;
  font-size: 1.1rem; font-weight: 600; }
.verdict.no { border-color: var(--bad); background: #fdf3ec; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 12px; margin: 18px 0; }
.card { border: 1px solid var(--line); border-radius: 10px; padding: 10px 14px; }
.card b { display: block; font-size: 1.5rem; line-height: 1.2; font-variant-numeric: tabular-nums; }
.card span { color: var(--quiet); font-size: .9rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .88rem; font-variant-numeric: tabular-nums; }
th, td { padding: 6px 8px; text-align: left; border-bottom: 1px solid var(--line); vertical-align: top; }
th { color: var(--quiet); font-weight: 600; }
.pass, .met { color: var(--good); font-weight: 600; } .fail, .unmet { color: var(--bad); font-weight: 600; }
.warning, .skipped { color: var(--mid); font-weight: 600; }
figure { margin: 8px 0 22px; } figure img { display: block; width: 100%; height: auto; }
code { font-size: .85em; overflow-wrap: anywhere; }
@media print { figure, tr { break-inside: avoid; } }
"""


def page(title: str, body: str) -> str:
    """A whole page around its contents."""
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><title>{escape(title)}</title>'
        f"<style>{_STYLE}</style></head>\n<body><main>\n{body}\n</main></body></html>\n"
    )


def table(head: Sequence[str], rows: Iterable[Sequence[str]], marked: int | None = None) -> str:
    """A table of texts; the column `marked` is coloured by its text."""
    header = "".join(f"<th>{escape(cell)}</th>" for cell in head)

    def cells(row: Sequence[str]) -> str:
        return "".join(
            f'<td class="{escape(cell)}">{escape(cell)}</td>' if i == marked else f"<td>{escape(cell)}</td>"
            for i, cell in enumerate(row)
        )

    lines = "".join(f"<tr>{cells(row)}</tr>" for row in rows)
    return f'<div class="scroll"><table><thead><tr>{header}</tr></thead><tbody>{lines}</tbody></table></div>'


def verdict(is_good: bool, text: str) -> str:
    """The one line that matters."""
    return f'<div class="verdict{"" if is_good else " no"}">{escape(text)}</div>'


def checklist_page(checklist: Checklist) -> str:
    """The page of a check."""
    problems = checklist.problems
    counts = {status: sum(item.status is status for item in checklist.items) for status in Status}
    lines = [
        f"<h1>Check of rig {escape(checklist.rig)}</h1>",
        f'<p class="quiet">{escape(checklist.utc)}, bundle {escape(checklist.bundle)}</p>',
        verdict(not problems, "Control is allowed" if not problems else "Control is not allowed"),
    ]
    if problems:
        lines.append("<ul>" + "".join(f"<li>{escape(problem)}</li>" for problem in problems) + "</ul>")
    signed = escape(checklist.signed_by) if checklist.signed_by else "nobody"
    lines += [
        f"<p>Signed by <b>{signed}</b>. Items: "
        + ", ".join(f"{count} {status}" for status, count in counts.items() if count)
        + ".</p>",
        "<h2>To be judged by a person</h2>",
        "<p>Look at each reading: is it what the instrument at the device shows, in this unit, with this direction? "
        "Power into the grid is positive, for loads as well. Warnings do not keep from control; they say what the "
        "check could not see.</p>",
    ]
    worst_first = sorted(checklist.items, key=lambda item: _URGENCY.index(item.status))
    for kind in dict.fromkeys(item.kind for item in worst_first):
        rows = [(i.subject, i.status, i.detail) for i in checklist.items if i.kind == kind]
        lines += [f"<h2>{escape(kind.capitalize())}</h2>", table(("what", "result", "found"), rows, marked=1)]
    hashes = [(name, value) for name, value in vars(checklist.hashes).items()]
    lines += ["<h2>Valid for</h2>", table(("part", "SHA-256"), hashes)]
    return page(f"Check of {checklist.rig}", "\n".join(lines))
