"""Working layer by layer: the same results, and memory that does not grow with the number of layers."""

import tracemalloc
from pathlib import Path

import numpy as np
import psutil
import pytest
from conftest import InProcess

from stages.artefacts.files import Tensors, TensorWriter, read_json, write_json
from stages.artefacts.layers import Layers, each_layer
from stages.geometry.comparison import pairwise
from stages.geometry.similarity import cosine
from stages.pipeline.progress import stack


def test_an_error_names_its_layer() -> None:
    similar = np.random.default_rng(0).normal(size=(3, 10))
    similar[2] = 1
    layers = Layers(range(3), lambda layer: dict.fromkeys("qkv", similar[layer]))
    with pytest.raises(FloatingPointError, match=r"^layer 2: a correlation is undefined"):
        stack(each_layer("test", pairwise, layers))


def test_what_was_read_of_a_file_is_not_kept_in_memory(tmp_path: Path) -> None:
    """Pages of a mapped file count as memory as long as it stays open."""
    layer, layers = np.ones((1, 2**20), dtype=np.float32), 24
    with TensorWriter(tmp_path / "a.safetensors", {"q": (layers, layer.size)}) as file:
        for place in range(layers):
            file.write("q", place, layer)
    tensors = Tensors(tmp_path / "a.safetensors")
    before = psutil.Process().memory_info().rss
    assert sum(float(tensors["q"][place].sum()) for place in range(layers)) == layers * layer.size
    assert psutil.Process().memory_info().rss - before < layers * layer.nbytes / 2


def test_similarities_need_little_more_than_two_matrices() -> None:
    words, units = 600, 400
    vectors = np.random.default_rng(0).standard_normal((words, units), dtype=np.float32)
    tracemalloc.start()
    cosine(vectors)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    matrix, scaled, pairs = 8 * words**2, 8 * words * units, 4 * words**2
    assert peak < 1.2 * (2 * matrix + 3 * scaled + pairs)


def many_layers(stage: InProcess, layers: int) -> None:
    """Extend the tiny project to more words and layers: 90 words, 32 units."""
    root, rng = stage.project.root, np.random.default_rng(0)
    names = [f"w{i}" for i in range(90)]
    categories = sorted("abc"[i % 3] for i in range(90))
    captured = read_json(root / "data/capture.json")
    (root / "data/capture.json").unlink()
    changed = {"words": names, "categories": categories, "word_position": -1}
    write_json(root / "data/capture.json", captured | changed)
    path = root / "data/activations.safetensors"
    path.unlink()  # not through a link into DVC's cache
    shapes = {f"attn_{layer}_{name}": (90, 5, 32) for layer in range(layers) for name in "qkvx"}
    with TensorWriter(path, shapes, {"positions": list(range(5)), "length": 5, "word_position": 4}) as file:
        for name in shapes:
            file.write(name, 0, rng.normal(size=(90, 5, 32)))


@pytest.mark.parametrize("name", ["similarity", "correlation", "rsa", "separability", "heads"])
def test_memory_of_a_stage_does_not_grow_with_layers(tiny_stage: InProcess, name: str) -> None:
    peaks = []
    for layers in (5, 25):
        many_layers(tiny_stage, layers)
        tiny_stage.log_of("similarity")
        tracemalloc.start()
        tiny_stage.log_of(name)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    pairs = 90 * 89 // 2
    assert peaks[1] - peaks[0] < 20 * 4 * pairs * 8 / 4  # a quarter of what the similarities of 20 more layers take
