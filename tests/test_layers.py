"""Working layer by layer: the same results, and memory that does not grow with the number of layers."""

import tracemalloc
from pathlib import Path

import numpy as np
import psutil
import pytest
from conftest import InProcess
from tensor_files import write_tensors

from stages.artefacts.files import Tensors, read_json, write_json
from stages.geometry.similarity import cosine


def test_what_was_read_of_a_file_is_not_kept_in_memory(tmp_path: Path) -> None:
    """Pages of a mapped file count as memory as long as it stays open."""
    layers, size = 24, 2**20
    write_tensors(tmp_path / "a.safetensors", {"q": np.ones((layers, size))})
    tensors = Tensors(tmp_path / "a.safetensors")
    before = psutil.Process().memory_info().rss
    assert sum(float(tensors["q"][place].sum()) for place in range(layers)) == layers * size
    assert psutil.Process().memory_info().rss - before < 4 * layers * size / 2


def test_similarities_need_little_more_than_two_matrices() -> None:
    words, units = 600, 400
    vectors = np.random.default_rng(0).standard_normal((words, units), dtype=np.float32)
    tracemalloc.start()
    cosine(vectors)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    matrix, scaled, pairs = 8 * words**2, 8 * words * units, 4 * words**2
    assert peak < 1.2 * (2 * matrix + 3 * scaled + pairs)


@pytest.mark.parametrize("stage", ["similarity", "correlation", "rsa", "separability", "heads"])
def test_memory_of_a_stage_does_not_grow_with_layers(tiny_stage: InProcess, stage: str) -> None:
    """Of the tiny project with more words and layers: 90 words, 32 units."""
    rng, peaks = np.random.default_rng(0), []
    data = tiny_stage.project.root / "data"
    captured = read_json(data / "capture.json")
    captured |= {"words": [f"w{i}" for i in range(90)], "categories": [*"abc" * 30], "word_position": -1}
    for layers in (5, 25):
        for name in ("capture.json", "activations.safetensors"):
            (data / name).unlink()  # not through a link into DVC's cache
        write_json(data / "capture.json", captured)
        tensors = {f"attn_{layer}_{name}": rng.normal(size=(90, 5, 32)) for layer in range(layers) for name in "qkvx"}
        record = {"positions": list(range(5)), "length": 5, "word_position": 4, "words": 90}
        write_tensors(data / "activations.safetensors", tensors, record)
        tiny_stage.log_of("similarity")
        tracemalloc.start()
        tiny_stage.log_of(stage)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    pairs = 90 * 89 // 2
    assert peaks[1] - peaks[0] < 20 * 4 * pairs * 8 / 4  # a quarter of what the similarities of 20 more layers take
