r"""Train a small GPT-2 and its tokenizer from a text file with one passage a line.

The committed weights were made with

    python train.py corpus.txt --out gpt2-mini --work work --device cuda --precision bfloat16 --compile \
        --width 170 --batch 128 --steps 11773 --decay 0.3204

and a model folder is judged, on the passages that were held out, with

    python train.py corpus.txt --evaluate gpt2-mini
"""

import argparse
import hashlib
import json
import math
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from tqdm import tqdm
from transformers import GPT2Config, GPT2LMHeadModel, logging

END = "<|endoftext|>"
WORDS = Path(__file__).with_name("words.csv")
PROMPT = ["The", " next", " word", " is"]  # the pipeline's prompt: one token each
FREE = {"corpus", "out", "work", "resume", "evaluate", "steps", "decay", "device", "compile", "precision", "save_every"}


def read_passages(path, share):
    """Read a text file, one passage a line; return the held-out passages, the first `share` of them, and the rest."""
    try:
        passages = [line for line in Path(path).read_text(encoding="utf-8").split("\n") if line.strip()]
    except UnicodeDecodeError:
        raise SystemExit(f"train.py: {path} is not UTF-8 text") from None
    if len(passages) < 2:
        raise SystemExit(f"train.py: {path} has fewer than two passages, one a line")
    cut = max(1, int(len(passages) * share))
    return passages[:cut], passages[cut:]


def train_tokenizer(passages, words, size):
    """Train a byte-level BPE in which every listed word, with its leading space, is one token.

    A word that is rare in the text would stay in pieces, so the trainer sees every listed word `floor` times more, a
    number that doubles until all are whole. Their tokens come from merges like any other's; none is an added token.

    Parameters
    ----------
    passages, words : list of str
    size : int
        Number of tokens, the 256 bytes and the end-of-text token included.
    """
    whole = [*PROMPT, *(" " + word for word in words)]
    for floor in (250 * 2**n for n in range(10)):
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        settings = {"vocab_size": size, "special_tokens": [END], "show_progress": False}
        trainer = trainers.BpeTrainer(initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), **settings)
        tokenizer.train_from_iterator([*passages, *(("." + word) * floor for word in whole)], trainer)
        broken = [word for word in whole if len(tokenizer.encode(word).ids) > 1]
        if not broken:
            return tokenizer
    raise SystemExit(f"train.py: --vocab {size} is too small; still in pieces: {', '.join(broken)}")


def encode(tokenizer, passages):
    """Turn each passage into an array of token ids, closed by the end-of-text token."""
    end = tokenizer.token_to_id(END)
    return [np.array([*encoding.ids, end], dtype=np.int64) for encoding in tokenizer.encode_batch(passages)]


def repetitions(passages, listed, rare, most):
    """Decide how often each passage is shown in one pass over the text.

    A passage with a listed word (`listed`: their tokens) that the text holds fewer than `rare` times is repeated, so
    that the word is seen about `rare` times, but the passage at most `most` times.
    """
    counts = np.bincount(np.concatenate(passages), minlength=max(listed) + 1)
    times = np.ones(len(counts), dtype=np.int64)
    times[listed] = np.clip(np.ceil(rare / np.maximum(counts[listed], 1)), 1, most)
    return np.array([times[ids].max() for ids in passages])


def rows_of_pass(passages, repeats, context, seed, number):
    """Shuffle the passages of one pass over the text and cut them into rows of `context` + 1 tokens.

    The order follows from the seed and the number of the pass alone, so a resumed run finds its place by counting.
    """
    rng = np.random.default_rng([seed, number])
    stream = np.concatenate([passages[i] for i in rng.permutation(np.repeat(np.arange(len(passages)), repeats))])
    rows = np.lib.stride_tricks.sliding_window_view(stream, context + 1)[::context]
    return torch.from_numpy(rng.permutation(rows))


def learning_rate(step, settings):
    """Share of the highest rate: rises in the first steps, stays, and falls to 0 in the last share of the steps."""
    rise = (step + 1) / max(1, settings.warmup)
    fall = (settings.steps - step) / max(1, settings.steps * settings.decay)
    return min(1.0, rise, fall)


def make_model(settings, end):
    """Make an untrained GPT-2 of the size that the settings say."""
    sizes = {"n_positions": settings.context, "n_embd": settings.width, "n_layer": settings.layers}
    no_dropout = dict.fromkeys(["resid_pdrop", "embd_pdrop", "attn_pdrop"], 0.0)
    ends = dict.fromkeys(["bos_token_id", "eos_token_id"], end)
    config = GPT2Config(vocab_size=settings.vocab, n_head=settings.heads, **sizes, **no_dropout, **ends)
    config._attn_implementation = "eager"  # torch.compile fuses it; at this context that is the fastest on a CPU
    return GPT2LMHeadModel(config)


def orthogonalise(gradient, coefficients, steps, eps):
    """Make the singular values of a gradient about 1, as torch's Muon does, but in float32 instead of bfloat16."""
    a, b, c = coefficients
    x = gradient.T if len(gradient) > gradient.shape[1] else gradient
    x = x / x.norm().clamp(min=eps)
    for _ in range(steps):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.T if len(gradient) > gradient.shape[1] else x


def make_optimizers(model, lr, vector_lr, table_lr):
    """Muon for the matrices of the blocks, AdamW for the embeddings, and at a rate of its own for biases and gains.

    At the rate of the matrices AdamW brings the gains of the first layers from 1 to 0 within a few hundred steps: these
    layers then see no word any more.
    """
    matrices = [p for p in model.transformer.h.parameters() if p.ndim == 2]
    vectors = [p for p in model.parameters() if p.ndim == 1]
    tables = [p for p in model.parameters() if p.ndim == 2 and not any(p is matrix for matrix in matrices)]
    groups = [{"params": tables, "peak": table_lr}, {"params": vectors, "peak": vector_lr}]
    return [
        torch.optim.Muon([{"params": matrices, "peak": lr}], lr=lr, weight_decay=0.1, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(groups, lr=lr, weight_decay=0.0, betas=(0.9, 0.95), fused=True),
    ]


def bits_per_byte(model, tokenizer, passages):
    """Measure how many bits a byte of text costs under the model: models with different tokenizers can be compared.

    Each passage is read on its own, after an end-of-text token, in windows of the model's context. The end-of-text
    token that closes it is predicted too and counts as one byte, the end of the line.

    Parameters
    ----------
    model : GPT2LMHeadModel
    tokenizer : tokenizers.Tokenizer
    passages : list of str
    """
    context, end, windows, nats = model.config.n_positions, tokenizer.token_to_id(END), [], 0.0
    for ids in encode(tokenizer, passages):
        ids = torch.from_numpy(np.concatenate([[end], ids]))
        windows += [ids[i : i + context + 1] for i in range(0, len(ids) - 1, context)]
    windows.sort(key=len)  # a batch of windows of like length has little padding
    with torch.inference_mode():
        for i in range(0, len(windows), 16):
            rows = torch.nn.utils.rnn.pad_sequence(windows[i : i + 16], batch_first=True, padding_value=-100)
            logits = model(rows[:, :-1].clamp(min=0).to(model.device)).logits.float().cpu()
            nats += F.cross_entropy(logits.flatten(0, 1), rows[:, 1:].flatten(), reduction="sum").item()
    return nats / math.log(2) / sum(len(passage.encode()) + 1 for passage in passages)


def evaluate(folder, passages):
    """Bits per byte of the model in `folder`, its stored weights computed in float32."""
    config = GPT2Config.from_json_file(folder / "config.json")
    model = GPT2LMHeadModel.from_pretrained(folder, config=config, dtype=torch.float32, local_files_only=True)
    return bits_per_byte(model.eval(), Tokenizer.from_file(str(folder / "tokenizer.json")), passages)


def publish(path, write):
    """Let `write` make a file beside `path`, then rename it: a reader never meets half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    write(temporary)
    temporary.chmod(0o644)
    temporary.replace(path)


def save_folder(model, tokenizer, folder):
    """Write the folder that `from_pretrained` loads: weights stored in half precision, computed in float32."""
    weights = {name: p.detach().cpu().half().contiguous() for name, p in model.named_parameters()}  # tied ones once
    config = model.config.to_diff_dict() | {"architectures": ["GPT2LMHeadModel"], "dtype": "float32"}
    special = dict.fromkeys(["bos_token", "eos_token", "unk_token"], END)
    special |= {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": model.config.n_positions}
    publish(folder / "model.safetensors", lambda path: save_file(weights, path, metadata={"format": "pt"}))
    publish(folder / "tokenizer.json", lambda path: tokenizer.save(str(path), pretty=False))
    for name, content in [("tokenizer_config.json", special), ("config.json", config)]:
        text = json.dumps(content, indent=2, sort_keys=True) + "\n"
        publish(folder / name, lambda path, text=text: path.write_text(text, encoding="utf-8", newline="\n"))


def load_checkpoint(path, settings):
    """Load a checkpoint; refuse one that a run wrote whose settings, those in FREE aside, or whose text differ."""
    checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    saved, step = checkpoint["settings"], checkpoint["step"]
    other = [key for key in saved if key not in FREE and saved[key] != getattr(settings, key, None)]
    schedules = [(s["steps"], s["decay"]) for s in (saved, vars(settings))]
    if schedules[0] != schedules[1] and step > min(steps * (1 - decay) for steps, decay in schedules):
        other.append("steps or decay (the learning rate falls already)")
    if other:
        raise SystemExit(f"train.py: {path} was written with other settings: {', '.join(other)}")
    return checkpoint


def train(settings):
    """Train as the settings say and write the model folder."""
    device = torch.device(settings.device)
    mixed = settings.precision == "bfloat16" or (settings.precision == "auto" and device.type != "cpu")
    if not mixed:  # processors without bfloat16 take four times as long for it as for all the rest of a step
        torch.optim._muon._zeropower_via_newtonschulz = orthogonalise
    torch.manual_seed(settings.seed)
    held_out, training = read_passages(settings.corpus, settings.held_out)
    if not training:
        raise SystemExit("train.py: --held-out leaves no passage to train on")
    words = [line.split(",")[0] for line in WORDS.read_text(encoding="utf-8").split()[1:]]  # below the header
    settings.text = hashlib.sha256("\n".join([*held_out, *training, *words]).encode()).hexdigest()
    latest = settings.work / "checkpoint.pt"
    checkpoint = load_checkpoint(latest, settings) if settings.resume else None
    old = checkpoint and Tokenizer.from_str(checkpoint["tokenizer"])
    tokenizer = old or train_tokenizer(training, words, settings.vocab)
    encoded = encode(tokenizer, training)
    listed = [tokenizer.token_to_id("Ġ" + word) for word in words]  # Ġ is how byte-level BPE writes a space
    repeats = repetitions(encoded, listed, settings.rare, settings.most)
    tokens = sum(len(ids) * n for ids, n in zip(encoded, repeats, strict=True))
    batches = (tokens - 1) // settings.context // settings.batch
    if not batches:
        raise SystemExit("train.py: the text is shorter than one batch; lower --batch or --context")
    model = make_model(settings, tokenizer.token_to_id(END)).to(device)
    optimizers = make_optimizers(model, settings.lr, settings.vector_lr, settings.table_lr)
    first = checkpoint["step"] if checkpoint else 0
    if checkpoint:
        model.load_state_dict(checkpoint["model"])
        for optimizer, state in zip(optimizers, checkpoint["optimizers"], strict=True):
            optimizer.load_state_dict(state)
    print(f"{model.num_parameters():,} parameters; {tokens:,} tokens a pass, repetitions included", flush=True)

    def loss_of(rows):
        with torch.autocast(device.type, torch.bfloat16, enabled=mixed):
            logits = model(rows[:, :-1]).logits
        return F.cross_entropy(logits.float().flatten(0, 1), rows[:, 1:].flatten())

    def save(path):
        state = {"model": model.state_dict(), "optimizers": [o.state_dict() for o in optimizers], "step": step + 1}
        fixed = {key: value for key, value in vars(settings).items() if not isinstance(value, Path)}
        torch.save(state | {"settings": fixed, "tokenizer": tokenizer.to_str()}, path)

    loss_of = torch.compile(loss_of) if settings.compile else loss_of
    bar = tqdm(range(first, settings.steps), initial=first, total=settings.steps, unit="step", mininterval=1.0)
    for step in bar:
        if step in (first, step // batches * batches):
            rows = rows_of_pass(encoded, repeats, settings.context, settings.seed, step // batches)
        start = step % batches * settings.batch
        loss = loss_of(rows[start : start + settings.batch].to(device))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["peak"] * learning_rate(step, settings)
            optimizer.step()
            optimizer.zero_grad()
        bar.set_postfix(loss=f"{loss.item():.3f}", refresh=False)
        if (step + 1) % settings.save_every == 0 or step + 1 == settings.steps:
            publish(latest, save)
            bar.write(f"step {step + 1:,}: held-out loss {bits_per_byte(model, tokenizer, held_out):.4f} bits per byte")
    save_folder(model, tokenizer, settings.out)
    print(f"{settings.out}: {evaluate(settings.out, held_out):.4f} bits per byte on the held-out passages, as stored")


def main(arguments=None):
    """Read the command line, then train or evaluate."""
    logging.disable_progress_bar()  # of from_pretrained
    parser = argparse.ArgumentParser("train.py", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    add = parser.add_argument
    add("corpus", type=Path, help="text file, UTF-8, one passage a line")
    add("--evaluate", type=Path, metavar="FOLDER", help="train nothing; print the bits per byte of this model folder")
    add("--out", type=Path, default=Path("gpt2-mini"), help="folder for the model (default: %(default)s)")
    add("--work", type=Path, default=Path("work"), help="folder for the checkpoint (default: %(default)s)")
    add("--resume", action="store_true", help="go on from the checkpoint in --work")
    add("--compile", action="store_true", help="use torch.compile: faster, needs a C++ compiler")
    here = torch.accelerator.current_accelerator(check_available=True) or "cpu"
    add("--device", default=str(here), help="cpu, cuda, mps, ... (default here: %(default)s)")
    add("--precision", choices=["auto", "float32", "bfloat16"], default="auto", help="auto: float32 on a CPU")
    for name, default in {"vocab": 6144, "layers": 8, "width": 160, "heads": 5, "context": 128, "batch": 16}.items():
        add(f"--{name}", type=int, default=default, help="default: %(default)s")
    for name, kind, default, text in [
        ("steps", int, 1000, "training steps"),
        ("seed", int, 0, "seed of the weights and of the order of the passages"),
        ("held-out", float, 0.005, "share of the passages, from the top of the file, that is never trained on"),
        ("lr", float, 6e-3, "highest learning rate, of matrices"),
        ("vector-lr", float, 6e-4, "the same, of biases and gains"),
        ("table-lr", float, 6e-3, "the same, of embeddings"),
        ("warmup", int, 200, "first steps, in which the learning rate rises"),
        ("decay", float, 0.3, "last share of the steps, in which it falls; --resume may change both before"),
        ("rare", int, 300, "repeat passages with a listed word rarer than this"),
        ("most", int, 4, "show a passage at most so often in a pass"),
        ("save-every", int, 1000, "steps between checkpoints"),
    ]:
        add(f"--{name}", type=kind, default=default, help=f"{text} (default: %(default)s)")
    settings = parser.parse_args(arguments)
    if settings.width % settings.heads:
        parser.error("--heads must divide --width")
    try:
        if settings.evaluate:
            held_out, _ = read_passages(settings.corpus, settings.held_out)
            print(f"{settings.evaluate}: {evaluate(settings.evaluate, held_out):.4f} bits per byte")
        else:
            train(settings)
    except KeyboardInterrupt:
        raise SystemExit("train.py: interrupted; --resume goes on from the last checkpoint") from None
    except (OSError, SafetensorError) as error:
        raise SystemExit(f"train.py: {str(error).splitlines()[0]}") from None


if __name__ == "__main__":
    main()
