"""Every relative link and picture of the README and the documents leads somewhere, headings included."""

import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
_ELSEWHERE = ("http:", "https:", "mailto:")


def _prose(page: Path) -> str:
    return re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


@cache
def _anchors(page: Path) -> set[str]:
    """Names that headings get: lower case, punctuation dropped, blanks to hyphens."""
    headings = re.findall(r"^#+ +(.+?) *$", _prose(page), re.MULTILINE)
    plain = [re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", h) for h in headings]
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in plain}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_relative_links_lead_to_files_and_headings(page: Path) -> None:
    broken = []
    for link in _LINK.findall(_prose(page)):
        if link.startswith(_ELSEWHERE):
            continue
        path, _, heading = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (heading and heading not in _anchors(target)):
            broken.append(link)
    assert not broken


def test_every_document_can_be_reached_from_the_readme() -> None:
    found, todo = set(), [ROOT / "README.md"]
    while todo:
        page = todo.pop()
        if page in found:
            continue
        found.add(page)
        links = (link.partition("#")[0] for link in _LINK.findall(_prose(page)) if not link.startswith(_ELSEWHERE))
        for target in ((page.parent / link).resolve() for link in links if link):
            todo += [target] if target.suffix == ".md" else sorted(target.glob("*.md")) if target.is_dir() else []
    assert sorted(str(page.relative_to(ROOT)) for page in PAGES if page not in found) == []
