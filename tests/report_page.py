"""The report as tests read it: its page taken apart, and a run whose words are markup."""

import json
from base64 import b64decode
from html.parser import HTMLParser

import numpy as np
from conftest import InProcess, Project


def unpacked(values: dict[str, str], layers: int) -> dict[str, np.ndarray]:
    """Unpack what `stages.pages.charts` packs."""
    return {name: np.frombuffer(b64decode(text), "<f4").reshape(layers, -1) for name, text in values.items()}


class Page(HTMLParser):
    """A page, taken apart: elements with their attributes, and texts, each with the element that opens before it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict]] = []
        self.texts: list[tuple[str, str]] = []
        self._tag = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.elements.append((tag, dict(attrs)))
        self._tag = tag

    def handle_endtag(self, tag: str) -> None:
        self._tag = ""

    def handle_data(self, data: str) -> None:
        self.texts.append((self._tag, data))

    def all(self, tag: str) -> list[dict]:
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def data(self) -> dict:
        """What the page's script draws, its similarities as arrays of shape (layers, pairs)."""
        data = json.loads(next(text for tag, text in self.texts if tag == "script" and text.startswith("{")))
        data["similarity"]["values"] = unpacked(data["similarity"]["values"], len(data["layers"]))
        return data

    @property
    def said(self) -> str:
        """All that is read."""
        return " ".join(" ".join(text for tag, text in self.texts if tag not in ("script", "style")).split())

    @property
    def captions(self) -> dict[str, str]:
        """What stands below each figure, by its file's name."""
        texts = [" ".join(text.split()) for tag, text in self.texts if tag == "figcaption"]
        return dict(zip([figure["id"] for figure in self.all("figure")], texts, strict=True))


def read_page(project: Project) -> Page:
    return Page((project.root / "plots/report.html").read_text(encoding="utf-8"))


NASTY = ["</script><script>alert(1)</script>", "<b>bold</b>", "a\"b'c", "&amp;", "{{ 7*7 }}", "“tick` ${x}"]


def report_on_nasty_words(stage: InProcess) -> Page:
    """Run the tiny project on words and categories that are markup."""
    stage.project.set(words={"<i>x": NASTY[:3], "y&z": NASTY[3:]}, prompt__multi_token="mean")
    stage.log_of("check", "capture", "similarity", "report")
    return read_page(stage.project)
