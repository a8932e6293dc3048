"""The report as tests read it: its page taken apart, and a run whose words are markup."""

import json
from base64 import b64decode
from html.parser import HTMLParser

import numpy as np
from conftest import Project
from safetensors.numpy import load_file
from tensor_files import write_tensors

from stages.artefacts.files import Tensors, read_json, write_json


def unpacked(values: dict[str, str], layers: int) -> dict[str, np.ndarray]:
    """Unpack what `stages.pages.contents` packs."""
    return {name: np.frombuffer(b64decode(text), "<f4").reshape(layers, -1) for name, text in values.items()}


class Page(HTMLParser):
    """A page, taken apart: its elements with their attributes, and its text by the element that holds it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict]] = []
        self.texts: list[tuple[str, str]] = []
        self._open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in ("meta", "img", "input", "link", "br", "source", "path"):
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        self.texts.append((self._open[-1] if self._open else "", data))

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


def make_nasty(project: Project) -> None:
    """Insert words that are markup where the report reads words."""
    path = project.root / "data/similarity.safetensors"
    record = {**Tensors(path).record, "words": NASTY, "categories": ["<i>x"] * 3 + ["y&z"] * 3}
    tensors = load_file(path)
    path.unlink()  # not through a link into DVC's cache
    write_tensors(path, tensors, record, np.float64)
    captured = project.root / "data/capture.json"
    content = {**read_json(captured), "words": NASTY, "categories": record["categories"]}
    captured.unlink()
    write_json(captured, content)
