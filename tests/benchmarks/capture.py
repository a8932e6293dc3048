"""Capture beside the post's way, on a model of GPT-2-XL's shape: seconds of the forward pass, of writing, peak memory.

    python tests/benchmarks/capture.py --folder FOLDER [--words 34]

FOLDER is the one that tests/benchmarks/xl.py made. The post's way: one batch of all prompts, the language-model head,
a hook in every layer that copies Q, K and V of every token, and nothing written. Each way runs in a process of its own,
the weights loaded before the clock starts; Linux and macOS only.
"""

import argparse
import tempfile
import time
from functools import partial
from pathlib import Path

from timing import alone

TEMPLATE = "The next word is {word}"


def word_list(tokenizer, number: int) -> list[str]:
    """List words of one token each, to any number."""
    return sorted(token[1:] for token in tokenizer.get_vocab() if token[0] == "Ġ" and token[1:].isalpha())[:number]


def the_posts_way(folder: Path, number: int) -> tuple[float, float]:
    """Do what the post's notebook does; return the seconds of the forward pass, and 0 of writing."""
    import torch
    from transformers import AutoTokenizer, GPT2LMHeadModel

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = GPT2LMHeadModel.from_pretrained(folder).eval()
    activations = {}

    def hook(layer: int, module, inputs, output) -> None:
        for name, part in zip("qkv", torch.split(output.detach(), model.config.n_embd, dim=2), strict=True):
            activations[f"attn_{layer}_{name}"] = part.cpu().numpy().copy()

    for layer, block in enumerate(model.transformer.h):
        block.attn.c_attn.register_forward_hook(partial(hook, layer))
    ids = torch.tensor([tokenizer(TEMPLATE.format(word=w))["input_ids"] for w in word_list(tokenizer, number)])
    with torch.no_grad():
        model(torch.tensor([[1]]))
        start = time.perf_counter()
        model(ids)
    return time.perf_counter() - start, 0.0


def ours(folder: Path, number: int, **spread) -> tuple[float, float]:
    """Do what stage capture does; return the seconds of its passes, and of writing what they catch."""
    import torch
    from tiny_models import load

    from stages.artefacts.files import TensorWriter
    from stages.models.capture import capture, shapes
    from stages.models.projections import find_projections
    from stages.models.prompts import tokenise

    loaded = load(folder, dtype="float32", **spread)
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


WAYS = {
    "the post's way": the_posts_way,
    "this repository": ours,
    "0.4 GB at a time": partial(ours, device_map="auto", max_memory={"cpu": "0.4GB"}),
}


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--words", type=int, default=34)
    arguments = parser.parse_args()
    print(f"{arguments.words} words of 5 tokens, {arguments.folder}")
    print(f"{'':18}{'forward s':>10}{'writing s':>10}{'peak GB':>9}")
    for way, work in WAYS.items():
        (forward, writing), peak = alone(work, arguments.folder, arguments.words)
        print(f"{way:18}{forward:10.2f}{writing:10.2f}{peak:9.2f}", flush=True)


if __name__ == "__main__":
    main()
