"""The embedded model: what its folder holds, what its tokenizer promises, and that its weights are whole."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from tiny_models import caught
from tiny_models import load as load_model
from tokenizers import Tokenizer
from transformers import AutoTokenizer, GPT2LMHeadModel

from stages.models.projections import find_projections
from stages.models.prompts import tokenise
from stages.pipeline.word_lists import flatten, read_words

FOLDER = Path(__file__).parents[1] / "data" / "models" / "gpt2-mini"
WORDS = read_words(FOLDER / "words.csv")
RECORDED = json.loads((FOLDER / "evaluation.json").read_text(encoding="utf-8"))
MODEL = {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"}
TOLERANCE = 0.002  # bits per byte; processors differ by less than a hundredth of it
TINY = [
    *("--vocab", "1500", "--layers", "2", "--width", "16", "--heads", "2", "--context", "16"),
    *("--batch", "4", "--warmup", "1", "--decay", "0", "--save-every", "2"),
]


@pytest.fixture(scope="module")
def train():
    spec = importlib.util.spec_from_file_location("gpt2_mini_train", FOLDER / "train.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_folder_holds_what_it_should_and_stays_small():
    names = {path.name for path in FOLDER.iterdir() if path.name != "__pycache__"}
    assert names == MODEL | {"README.md", "evaluation.json", "sample.txt", "train.py", "words.csv"}
    assert sum(path.stat().st_size for path in FOLDER.iterdir() if path.is_file()) <= 8 * 2**20


def test_words_are_the_post_s_and_243_more_in_a_list_as_the_pipeline_takes_it():
    sizes = [len(listed) for listed in WORDS.values()]
    assert list(WORDS)[:3] == ["space", "furniture", "fruit"]
    assert sizes[:3] == [10, 13, 11]
    assert (len(sizes), sum(sizes)) == (17, 277)
    assert all(12 <= size <= 25 for size in sizes[3:])


def test_every_word_is_one_token_and_its_prompt_five():
    tokenizer = AutoTokenizer.from_pretrained(FOLDER, local_files_only=True)
    added = set(tokenizer.get_added_vocab())
    for word in flatten(WORDS)[0]:
        assert tokenizer.tokenize(f" {word}") == [f"Ġ{word}"]
        assert f"Ġ{word}" not in added
        assert tokenizer.tokenize(f"The next word is {word}") == ["The", "Ġnext", "Ġword", "Ġis", f"Ġ{word}"]


def test_bits_per_byte_on_the_sample_are_as_recorded(train):
    model = GPT2LMHeadModel.from_pretrained(FOLDER, dtype=torch.float32, local_files_only=True).eval()
    sample = (FOLDER / "sample.txt").read_text(encoding="utf-8").splitlines()
    bits = train.bits_per_byte(model, Tokenizer.from_file(str(FOLDER / "tokenizer.json")), sample)
    assert bits == pytest.approx(RECORDED["sample_bits_per_byte"], abs=TOLERANCE)


def test_weights_are_stored_in_half_precision_and_compute_in_single():
    with safe_open(FOLDER / "model.safetensors", "pt") as file:
        assert {file.get_slice(name).get_dtype() for name in file.keys()} == {"F16"}  # noqa: SIM118  it is no dict
        assert "lm_head.weight" not in file.keys()  # noqa: SIM118
    config = json.loads((FOLDER / "config.json").read_text(encoding="utf-8"))
    assert (config["dtype"], config["activation_function"], config["n_layer"]) == ("float32", "gelu_new", 8)


def test_card_states_the_recorded_figures():
    card = (FOLDER / "README.md").read_text(encoding="utf-8")
    for key in ("held_out_bits_per_byte", "earlier_checkpoint_bits_per_byte", "sample_bits_per_byte"):
        assert f"{RECORDED[key]:.4f}" in card
    assert RECORDED["corpus_sha256"] in card


def test_every_layer_is_alive():
    """The health check of the card: words move Q, K and V by at least 1 % of their mean, so that float32 is enough."""
    loaded = load_model(FOLDER, dtype="float32")
    prompts = tokenise(loaded.tokenizer, flatten(WORDS)[0][:34], "The next word is {word}", "error")
    for name, vectors in caught(loaded.model, find_projections(loaded.model), prompts, [4])[0].items():
        if not name.endswith(("x", "bias")):
            mean = vectors[:, 0].mean(axis=0)
            assert np.linalg.norm(vectors[:, 0] - mean, axis=1).mean() >= 0.01 * np.linalg.norm(mean), name


@pytest.fixture(scope="module")
def trained(train, tmp_path_factory):
    """Folders of three short runs: in one go, stopped half-way and resumed, and with another seed."""
    root = tmp_path_factory.mktemp("train")

    def run(name, *options):
        out = ["--out", str(root / name), "--work", str(root / "work")]
        train.main([str(FOLDER / "sample.txt"), *out, *TINY, *options])
        return root / name

    straight = run("straight", "--steps", "6")
    other = run("other", "--steps", "6", "--seed", "1")
    run("resumed", "--steps", "3")
    return straight, run("resumed", "--steps", "6", "--resume"), other


def test_training_is_determined_by_the_seed_and_can_be_resumed(trained):
    straight, resumed, other = ((folder / "model.safetensors").read_bytes() for folder in trained)
    assert resumed == straight
    assert other != straight


def test_trained_folder_goes_through_capture_and_names_no_path(trained):
    folder = trained[0]
    assert {path.name for path in folder.iterdir()} == MODEL
    for name in ("config.json", "tokenizer_config.json"):
        assert str(folder.parent) not in (folder / name).read_text(encoding="utf-8")
    loaded = load_model(folder, dtype="float32")
    prompts = tokenise(loaded.tokenizer, ["moon", "pear"], "The next word is {word}", "last")
    values, *_ = caught(loaded.model, find_projections(loaded.model), prompts)
    assert values["attn_1_v"].shape == (2, prompts.positions, 16)


def test_a_checkpoint_of_other_settings_is_refused(train, trained):
    work = str(trained[0].parent / "work")
    with pytest.raises(SystemExit, match="other settings: layers"):
        train.main([str(FOLDER / "sample.txt"), "--work", work, "--resume", *TINY, "--steps", "6", "--layers", "3"])


@pytest.mark.parametrize("options", [[], ["--evaluate", "nowhere"]])
def test_a_missing_file_is_one_plain_line(train, tmp_path, monkeypatch, options):
    monkeypatch.chdir(tmp_path)
    text = FOLDER / "sample.txt" if options else "nowhere.txt"
    with pytest.raises(SystemExit) as stopped:
        train.main([str(text), *options])
    assert "No such file" in stopped.value.code
    assert "\n" not in stopped.value.code
