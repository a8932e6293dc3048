"""Capture beside the post's way, on a model of GPT-2-XL's shape: seconds of the forward pass, of writing, peak memory.

    python tests/benchmarks/capture.py --folder FOLDER [--words 34]

FOLDER is the one that tests/benchmarks/xl.py made. The post's way: one batch of all prompts, the language-model head,
a hook in every layer that copies Q, K and V of every token, and nothing written. Each way runs in a process of its own,
the weights loaded before the clock starts; Linux and macOS only.
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT)]

TEMPLATE = "The next word is {word}"


def word_list(tokenizer, number: int) -> list[str]:
    """List words of one token each, to any number."""
    found = [t[1:] for t in tokenizer.get_vocab() if t.startswith("Ġ") and t[1:].isalpha() and t.isascii() is False]
    return sorted(found)[:number]


def the_posts_way(folder: Path, number: int) -> tuple[float, float]:
    """Do what the post's notebook does; give the seconds of the forward pass, and 0 of writing."""
    import torch
    from transformers import AutoTokenizer, GPT2LMHeadModel

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = GPT2LMHeadModel.from_pretrained(folder).eval()
    activations = {}

    def hook_of(layer: int):
        def hook(module, inputs, output):
            for name, part in zip("qkv", torch.split(output.detach(), model.config.n_embd, dim=2), strict=True):
                activations[f"attn_{layer}_{name}"] = part.cpu().numpy().copy()

        return hook

    for layer, block in enumerate(model.transformer.h):
        block.attn.c_attn.register_forward_hook(hook_of(layer))
    ids = torch.tensor([tokenizer(TEMPLATE.format(word=w))["input_ids"] for w in word_list(tokenizer, number)])
    warm = torch.tensor([[1]])
    with torch.no_grad():
        model(warm)
        start = time.perf_counter()
        model(ids)
    return time.perf_counter() - start, 0.0


def offloaded(folder: Path, number: int) -> tuple[float, float]:
    """Do what stage capture does with weights that stay on disk until they are needed."""
    return ours(folder, number, device_map="auto", max_memory={"cpu": "0.4GB"})


def ours(folder: Path, number: int, **spread) -> tuple[float, float]:
    """Do what stage capture does; give the seconds of its passes, and of writing what they catch."""
    import tempfile

    import torch

    from stages.artefacts.tensors import TensorWriter
    from stages.models.capture import capture, shapes
    from stages.models.load import load
    from stages.models.projections import find_projections
    from stages.models.prompts import tokenise

    loaded = load(str(folder), "main", "pretrained", 0, "float32", "cpu", **spread)
    prompts = tokenise(loaded.tokenizer, word_list(loaded.tokenizer, number), TEMPLATE, "error")
    projections = find_projections(loaded.model)
    if not spread:  # touch the weights once, as the other way does
        with torch.no_grad():
            loaded.model(torch.tensor([[1]]))
    writing = 0.0
    with tempfile.TemporaryDirectory() as temporary:
        sizes = shapes(projections, number, prompts.positions)
        with TensorWriter(Path(temporary) / "activations.safetensors", sizes) as file:

            def write(*block) -> None:
                nonlocal writing
                began = time.perf_counter()
                file.write(*block)
                writing += time.perf_counter() - began

            start = time.perf_counter()
            capture(loaded.model, projections, prompts, write, range(prompts.positions))
            return time.perf_counter() - start - writing, writing


WAYS = {"the post's way": the_posts_way, "this repository": ours, "from disk": offloaded}


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--words", type=int, default=34)
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.way:
        print(*WAYS[arguments.way](arguments.folder, arguments.words))
        return
    print(f"{arguments.words} words of 5 tokens, {arguments.folder}")
    print(f"{'':18}{'forward s':>10}{'writing s':>10}{'peak GB':>9}")
    seconds = {}
    for way in WAYS:
        child = subprocess.Popen(
            [sys.executable, __file__, *sys.argv[1:], "--way", way], stdout=subprocess.PIPE, text=True
        )
        seconds[way], writing = map(float, child.stdout.read().split()[-2:])
        _, _, usage = os.wait4(child.pid, 0)
        unit = 1 if sys.platform == "darwin" else 1024
        print(f"{way:18}{seconds[way]:10.2f}{writing:10.2f}{usage.ru_maxrss * unit / 1e9:9.2f}", flush=True)
    post, here, _ = seconds.values()
    print(
        f"the forward pass is {post / here:.1f} times as fast as the post's way; from disk: 0.4 GB of weights at a time"
    )


if __name__ == "__main__":
    main()
