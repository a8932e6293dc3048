"""Write a list of 1,854 words in 27 categories, as large as that of THINGS, for a run of thousands of words.

    python tests/benchmarks/words.py words.csv
    dvc exp run --temp --name thousands -S words_file=words.csv      # once Git tracks the file

The words are those of the embedded model's vocabulary that are single tokens of small letters, three or more, the most
frequent first. The categories are made up: token embeddings are cut into three equal parts along their first principal
component, each part into three along its own, and those once more. They stand for size, not for meaning.
"""

import argparse
import csv
import json
import re
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

MODEL = Path(__file__).parents[2] / "data/models/gpt2-mini"
WORDS = 1854


def cut(vectors: np.ndarray, places: np.ndarray, times: int = 3) -> list[np.ndarray]:
    """Cut places into three along the first principal component of their vectors, and each part again."""
    if not times:
        return [places]
    centred = vectors[places] - vectors[places].mean(axis=0)
    along = np.argsort(centred @ np.linalg.svd(centred, full_matrices=False)[2][0], kind="stable")
    return [whole for part in np.array_split(along, 3) for whole in cut(vectors, places[part], times - 1)]


def main() -> None:
    """Write the list."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, help="where to")
    file = parser.parse_args().file
    vocabulary = json.loads((MODEL / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"]
    tokens = sorted((place, token[1:]) for token, place in vocabulary.items() if re.fullmatch("Ġ[a-z]{3,}", token))
    places, words = zip(*tokens[:WORDS], strict=True)
    weights = load_file(MODEL / "model.safetensors")
    embeddings = next(values for name, values in weights.items() if name.endswith("wte.weight"))[list(places)]
    with file.open("w", newline="", encoding="utf-8") as opened:
        rows = csv.writer(opened, lineterminator="\n")
        rows.writerow(("word", "category"))
        for number, part in enumerate(cut(embeddings.astype(np.float64), np.arange(WORDS))):
            rows.writerows((words[place], f"part {number:02}") for place in sorted(part))


if __name__ == "__main__":
    main()
