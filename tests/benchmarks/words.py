"""Write a list of 1,854 words in 27 categories, as large as that of THINGS, for a run of thousands of words.

    python tests/benchmarks/words.py words.csv
    dvc exp run --temp --name thousands -S words_file=words.csv      # once Git tracks the file

The words are those of the embedded model's vocabulary that are single tokens of small letters, three or more, the most
frequent first. The categories are made up, as many words to each: they stand for size, not for meaning.
"""

import argparse
import csv
import json
import re
from pathlib import Path

MODEL = Path(__file__).parents[2] / "data/models/gpt2-mini"
WORDS = 1854


def main() -> None:
    """Write the list."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, help="where to")
    file = parser.parse_args().file
    vocabulary = json.loads((MODEL / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"]
    tokens = sorted((place, token[1:]) for token, place in vocabulary.items() if re.fullmatch("Ġ[a-z]{3,}", token))
    with file.open("w", newline="", encoding="utf-8") as opened:
        rows = csv.writer(opened, lineterminator="\n")
        rows.writerow(("word", "category"))
        rows.writerows((word, f"part {27 * place // WORDS:02}") for place, (_, word) in enumerate(tokens[:WORDS]))


if __name__ == "__main__":
    main()
