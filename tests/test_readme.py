"""What the README says of this repository is so."""

import json
import re

from conftest import ROOT

from stages.findings.claims import CLAIMS
from stages.findings.summary import ASKED
from stages.findings.words import in_words

README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_its_claims_tables_are_those_of_the_committed_run() -> None:
    claims = json.loads((ROOT / "metrics/claims.json").read_text(encoding="utf-8"))
    assert set(claims) == set(ASKED)
    for name, claim in claims.items():
        asked = ASKED[name]
        post = f"{claim['post']} | " if name in CLAIMS else ""
        row = f"| {asked.finding} | {post}{in_words(claim['measured'])} | {'yes' if claim['holds'] else 'no'} |"
        assert row in README, row


def test_every_file_and_figure_that_it_links_is_there() -> None:
    links = [link for link in re.findall(r"\]\(([^)\s]+)\)", README) if not link.startswith("http")]
    assert links
    headings = re.findall(r"^#+ (.+)$", README, re.MULTILINE)
    anchors = {"#" + re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    assert [link for link in links if link not in anchors and not (ROOT / link).exists()] == []


def test_it_shows_every_figure() -> None:
    for figure in (ROOT / "plots/figures").glob("*.png"):
        assert f"(plots/figures/{figure.name})" in README
