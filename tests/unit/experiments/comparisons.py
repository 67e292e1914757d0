"""Files of comparisons made by hand, and what can be said of a page."""

import json
import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from experiments.stored import RESULTS_FILE

STARTS = ["2016-01-04T00:00", "2016-01-05T00:00", "2016-01-06T00:00"]
VOID = {"meta", "link", "br", "img"}


def interval(mean: float, half: float = 0.5) -> dict[str, float]:
    return {"mean": mean, "low": mean - half, "high": mean + half}


def controller(return_eur: list[float], score: float | None = None, seeds: tuple[int, ...] = ()) -> dict[str, Any]:
    mean = sum(return_eur) / len(return_eur)
    return {
        "return_eur": interval(mean),
        "economic_eur": interval(mean + 0.25),
        "constraint_eur": interval(0.25, 0.125),
        "cost": {"v_band": 0.0125, "thermal": 0.0},
        "cost_interval": {"v_band": interval(0.0125, 0.005), "thermal": interval(0.0, 0.0)},
        "score": score,
        "score_interval": None if score is None else interval(score, 0.125),
        "loss_kwh": 100.0,
        "v_min_pu": 0.94,
        "v_max_pu": 1.02,
        "confidence_over": "seeds" if seeds else "episodes",
        "per_episode": {
            "return_eur": return_eur,
            "economic_eur": [value + 0.25 for value in return_eur],
            "loss_kwh": [100.0] * 3,
            "v_min_pu": [0.94, None, 0.97],
            "v_max_pu": [1.02] * 3,
            "cost": {"v_band": [0.0375, 0.0, 0.0], "thermal": [0.0] * 3},
            "return_eur_per_seed": {str(seed): [value + seed for value in return_eur] for seed in seeds},
        },
    }


def entry(task: str = "Storage-IEEE33-v0", agent: str = "ppo", **changes: Any) -> dict[str, Any]:
    experiment = f"{task.lower()}_{agent}"
    seeds = (0, 1)
    evaluation = {
        "task": task,
        "split": "test",
        "experiment": experiment,
        "agent": agent,
        "seeds": list(seeds),
        "episodes": 3,
        "episodes_hash": "a" * 64,
        "episode_starts": STARTS,
        "steps_per_episode": 96,
        "config_hash": "c" * 64,
        "controllers": {
            agent: controller([-6.0, -4.0, -5.0], 0.75, seeds),
            "oracle": controller([-3.0, -3.0, -3.0], 1.0),
            "rule": controller([-11.0, -12.0, -10.0], 0.0),
        },
        "warnings": [],
    }
    made = {
        "experiment": experiment,
        "agent": agent,
        "steps": 96_000,
        "training_s": 90.0,
        "seeds_together": False,
        "learning": {
            "split": "validation",
            "references_eur": {"rule": -11.0, "oracle": -3.0},
            "seeds": {str(s): {"steps": [10, 20, 40], "return_eur": [-14.0 - s, -8.0, -5.0]} for s in seeds},
        },
        "made_with": {
            "trained_utc": ["2026-05-04T10:00:00+00:00"],
            "machines": ["A processor, 2 cores, cpu: cpu"],
            "python": ["3.11.4"],
            "packages": {"jax": ["0.10.1"], "gridenv": ["0.1.0"]},
            "commits": [f"{'b' * 40}+"],
            "data_hash": ["d" * 64],
        },
        "evaluation": evaluation,
    }
    evaluation |= changes
    return made


def comparison(folder: Path, name: str, *entries: dict[str, Any]) -> Path:
    """The folder of a comparison."""
    (folder / name).mkdir(parents=True)
    (folder / name / RESULTS_FILE).write_text(json.dumps({"comparison": name, "settings": {}, "entries": entries}))
    return folder / name


class Page(HTMLParser):
    """What a page is made of; a tag that is closed by another fails."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, (tag, self.getpos())

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]

    def days(self) -> Any:
        """The values that the script shows."""
        found = re.search(r'<script type="application/json" id="days">(.*?)</script>', self.text, re.DOTALL)
        assert found is not None
        return json.loads(found[1])


def check_page(text: str) -> Page:
    """What holds for every page: one file, names that are used once, figures and tables that say what they are."""
    page = Page(text)
    addresses = [value for _, a in page.tags for name, value in a.items() if name in ("src", "href", "xlink:href")]
    assert all(address and address.startswith(("#", "data:")) for address in addresses)
    assert not re.search(r"@import|url\((?!#)", text)
    assert set(re.findall(r"https?://[^\s\"'<]+", text)) <= {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
    }
    ids = Counter(a["id"] for _, a in page.tags if "id" in a)
    assert [name for name, count in ids.items() if count > 1] == []
    assert {a[1:] for a in addresses if a and a.startswith("#")} <= set(ids)
    assert all(a.get("role") == "img" and a.get("aria-label") for a in page.all("svg"))
    assert all(a.get("for") in ids for a in page.all("label"))
    assert page.all("html")[0]["lang"] == "en"
    assert "prefers-color-scheme: dark" in text
    # Colours that a figure is drawn with stand for those of the style sheet; none may be left.
    assert not re.search(r"#01[0-9a-f]{2}01", text)
    assert "$" not in re.sub(r"<script>.*?</script>", "", text, flags=re.DOTALL)
    return page
