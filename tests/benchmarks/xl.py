"""Run every stage on a model of GPT-2-XL's shape, with random weights: time and peak memory of each.

    python tests/benchmarks/xl.py [--folder FOLDER] [--words NUMBER or FILE]

The weights (48 layers, 1600 units, 25 heads, 50,257 tokens: 6.2 GB in float32) are made once in FOLDER, which stays.
With `--folder data/models/gpt2-mini` it is the embedded model that runs. In the place of the 34 words `--words` takes a
list, or makes one: the most frequent words of the embedded model's vocabulary that are single tokens of three small
letters or more, in 27 made-up categories. The stages run in a temporary copy of the repository.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from timing import alone  # which says where conftest is

from conftest import ROOT, copy_repository  # isort: skip

TOKENIZER = ROOT / "data/models/gpt2-mini/tokenizer.json"


def make(folder: Path) -> None:
    """Save a GPT-2-XL-shaped model with random weights and the embedded model's tokenizer."""
    import torch
    from tiny_models import saved
    from transformers import GPT2Config, GPT2Model

    torch.manual_seed(0)
    config = GPT2Config(vocab_size=50257, n_positions=1024, n_embd=1600, n_layer=48, n_head=25, dtype="float32")
    saved(GPT2Model(config), folder)


def words(number: int) -> str:
    """List the words, equally many of each category: the categories stand for size, not for meaning."""
    vocabulary = json.loads(TOKENIZER.read_text(encoding="utf-8"))["model"]["vocab"]
    tokens = sorted((place, token[1:]) for token, place in vocabulary.items() if re.fullmatch("Ġ[a-z]{3,}", token))
    rows = [f"{word},part {27 * place // number:02}\n" for place, (_, word) in enumerate(tokens[:number])]
    return "".join(["word,category\n", *rows])


def measure(command: list[str], folder: Path, env: dict[str, str]) -> tuple[float, float]:
    """Return seconds and peak memory (GB) of a command."""
    start = time.perf_counter()
    child = subprocess.Popen(command, cwd=folder, env=env, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    if status:
        sys.exit(f"{' '.join(command)} failed")
    unit = 1 if sys.platform == "darwin" else 1024
    return time.perf_counter() - start, usage.ru_maxrss * unit / 1e9


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "gpt2-xl-shaped")
    parser.add_argument("--words", help="how many, or a words_file")
    arguments = parser.parse_args()
    folder = arguments.folder.resolve()
    if not (folder / "config.json").exists():
        print(f"making the weights in {folder} (a minute or two, 6.2 GB)")
        alone(make, folder)  # here its peak would count as every child's
    with tempfile.TemporaryDirectory() as temporary:
        project = copy_repository(Path(temporary) / "repository")
        project.set(model__name=str(folder))
        if arguments.words:
            made = arguments.words.isdigit()
            listed = words(int(arguments.words)) if made else Path(arguments.words).read_text(encoding="utf-8")
            (project.root / "words.csv").write_text(listed, encoding="utf-8")
            project.set(words_file="words.csv")
        print(f"{'stage':14}{'seconds':>9}{'peak GB':>9}")
        total = 0.0
        for stage in project.repro("--force", "--dry"):  # in the order in which they need each other
            seconds, peak = measure([sys.executable, "-m", f"stages.{stage}"], project.root, project.env)
            total += seconds
            print(f"{stage:14}{seconds:9.1f}{peak:9.2f}", flush=True)
        size = sum(path.stat().st_size for path in (project.root / "data").glob("*.safetensors")) / 1e6
        print(f"{'all':14}{total:9.1f}    {size:.0f} MB of tensors under data/")


if __name__ == "__main__":
    main()
