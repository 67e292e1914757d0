"""The report of a run: one page that needs nothing else."""

from collections.abc import Mapping
from html import escape

from hardware_in_loop.control import figures
from hardware_in_loop.control.log import Log
from hardware_in_loop.control.pages import page, table, verdict
from hardware_in_loop.control.summary import Summary, summarise

_MS_PER_S = 1e3
_MOST_EVENTS = 200
_SHOWN_EVENTS = ("start", "state", "problem", "problem_over", "order", "refused", "wall_clock_step", "failed", "end")


def report_page(log: Log) -> str:
    """The page of a run."""
    summary = summarise(log)
    header = log.header
    lines = [
        f"<h1>Rig {escape(str(header['rig']))}, mode {escape(str(header['mode']))}</h1>",
        f'<p class="quiet">{escape(str(header["utc"]))}, task {escape(str(header["task"]))}, bundle '
        f"{escape(str(header['bundle']))}</p>",
        verdict(summary.is_go, "Go" if summary.is_go else "No-go"),
        table(("condition", "met", "detail"), [(c.name, _met(c.is_met), c.detail) for c in summary.criteria], marked=1),
        _cards(log, summary),
        "<h2>States and trajectories</h2>",
        _figure(
            figures.trajectories(log),
            "Grey lines: limits. What is let through follows what is asked for inside limits, ramps and predicted "
            "voltages; read back is what the device shows.",
        ),
        "<h2>Times</h2>",
        table(("step", "p50 ms", "p99 ms", "max ms"), [_time_row(n, t) for n, t in summary.times_s.items() if t]),
        _figure(figures.jitter(log), "Dashed: period. Both axes are logarithmic."),
        "<h2>What the supervisor changed</h2>",
        _counts(summary.interventions, summary.cycles, "Nothing."),
        "<h2>What was wrong</h2>",
        _counts(summary.findings, summary.cycles, "Nothing."),
        *_gap(log),
        "<h2>Events</h2>",
        _events(log),
        "<h2>Identity</h2>",
        table(("part", "SHA-256"), [(name, str(value)) for name, value in header["hashes"].items()]),
    ]
    return page(f"Run on {header['rig']}", "\n".join(lines))


def _met(is_met: bool) -> str:
    return "met" if is_met else "unmet"


def _cards(log: Log, summary: Summary) -> str:
    total = summary.times_s.get("total", {})
    states = ", ".join(f"{state} {count}" for state, count in summary.state_cycles.items())
    cards = [
        (f"{summary.duration_s:,.1f} s", f"{summary.cycles:,} cycles of {_MS_PER_S * log.header['period_s']:g} ms"),
        (f"{summary.late}", "deadline misses"),
        (f"{summary.missed}", "cycles with a missed exchange"),
        (f"{_MS_PER_S * total.get('p99', float('nan')):.1f} ms", "99 % of cycles end by"),
        (f"{len(summary.interventions)}", "kinds of interventions"),
    ]
    shown = "".join(f'<div class="card"><b>{escape(b)}</b><span>{escape(s)}</span></div>' for b, s in cards)
    return f'<div class="cards">{shown}</div><p class="quiet">Cycles by state: {escape(states)}.</p>'


def _time_row(name: str, times: Mapping[str, float]) -> tuple[str, str, str, str]:
    return (name, *(f"{_MS_PER_S * times[key]:.3f}" for key in ("p50", "p99", "max")))  # type: ignore[return-value]


def _counts(counts: Mapping[str, int], cycles: int, none: str) -> str:
    if not counts:
        return f"<p>{none}</p>"
    return table(("kind", "cycles", "share"), [(k, f"{n}", f"{n / cycles:.1%}") for k, n in counts.items()])


def _gap(log: Log) -> list[str]:
    """Differences of simulation and rig, if somebody has put them beside the record."""
    gaps = log.gaps
    if not gaps:
        return []
    rows = [(g.channel, g.unit, f"{g.mean:+.3g}", f"{g.rms:.3g}", f"{g.largest:.3g}", f"{g.cycles}") for g in gaps]
    return [
        "<h2>Simulation and rig</h2>",
        "<p>Measured less simulated on the same inputs.</p>",
        table(("channel", "unit", "mean", "r.m.s.", "largest", "cycles"), rows),
    ]


def _events(log: Log) -> str:
    rows: list[tuple[str, str, str]] = []
    for event in (e for e in log.events if e.kind in _SHOWN_EVENTS):
        data = {k: v for k, v in event.data.items() if k not in ("times_s", "cycle", "hash")}
        subject = str(data.pop("subject", ""))
        detail = ", ".join(f"{k} {v}" for k, v in data.items() if v is not None)
        row = (f"{event.t_s:.2f}", event.kind, f"{detail}{f' ({subject})' if subject else ''}")
        # All devices of a rig often miss the same cycle.
        if (
            rows
            and subject
            and rows[-1][:2] == row[:2]
            and rows[-1][2].split(" (")[0].split(",")[0] == detail.split(",")[0]
        ):
            rows[-1] = (*row[:2], f"{rows[-1][2].removesuffix(')')}, {subject})")
        else:
            rows.append(row)
    more = f"<p>{len(rows) - _MOST_EVENTS} more in events.jsonl.</p>" if len(rows) > _MOST_EVENTS else ""
    return table(("s", "event", "detail"), rows[:_MOST_EVENTS]) + more


def _kind(detail: str) -> str:
    return detail.split(" (")[0].split(",")[0]


def _figure(image: str, caption: str) -> str:
    text = escape(caption)
    return f'<figure><img src="{image}" alt="{text}"><figcaption>{text}</figcaption></figure>'
