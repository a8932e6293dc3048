"""Prompts: what the model would read is what the settings say, or the run stops and shows both."""

import json
import shutil

import pytest
import torch
from conftest import InProcess
from tiny_models import MINI, build
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import AutoTokenizer, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from stages.models.passes import most_tokens
from stages.models.prompts import tokenise, tokenise_sentences
from stages.pipeline.errors import UserError

TEMPLATE = "The next word is {word}"


@pytest.fixture(scope="module")
def bytes_() -> PreTrainedTokenizerBase:
    """GPT-2's kind: every byte has a token."""
    return AutoTokenizer.from_pretrained(MINI)


@pytest.fixture(scope="module")
def pieces() -> PreTrainedTokenizerBase:
    """BERT's kind: lower-cased, without accents, pieces that continue a word, [UNK] for the rest."""
    vocabulary = ["[UNK]", "the", "next", "word", "is", "do", "not", "don", "'", "t", ".", ",", "moon", "pear", "##s"]
    vocabulary += ["elan", "sofa"]
    made = Tokenizer(models.WordPiece({piece: i for i, piece in enumerate(vocabulary)}, unk_token="[UNK]"))
    made.normalizer, made.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    made.decoder = decoders.WordPiece()
    return PreTrainedTokenizerFast(tokenizer_object=made, unk_token="[UNK]")


@pytest.mark.parametrize("words", [["galaxy"], ["moon", "asteroid", "galaxy", "pear"]])
def test_words_that_the_tokenizer_does_not_know_are_named(pieces: PreTrainedTokenizerBase, words: list[str]) -> None:
    unknown = "; ".join(word for word in words if word not in ("moon", "pear"))
    with pytest.raises(UserError) as error:
        tokenise(pieces, words, TEMPLATE, "last")
    assert str(error.value).splitlines()[0] == f"words: the model's tokenizer does not know {unknown}"


def test_words_that_the_model_reads_alike_are_named(pieces: PreTrainedTokenizerBase) -> None:
    alike, setting = ["elan", "moon", "pear", "Moon", "Élan"], "similarity.reference_words"
    with pytest.raises(UserError, match=f"^{setting}: the model reads the same tokens for elan = Élan; moon = Moon; "):
        tokenise(pieces, alike, TEMPLATE, "error", setting=setting)
    tokenise(pieces, ["moon", "pear", "moon"], TEMPLATE, "error")  # a word and a reference word may be one


def test_own_normalisation_is_no_change(pieces: PreTrainedTokenizerBase, bytes_: PreTrainedTokenizerBase) -> None:
    own = ("The NEXT {word}.", "don't do not {word}, is", "Élan , is  {word}", "{word} do not", "{word}")
    quoted = ("I do not say  {word}, don't you?", ' "{word}" – it\'s 3 %', "naïve {word}\n\t_a_")
    for tokenizer, templates in ((pieces, own), (bytes_, quoted)):
        for template in templates:
            assert tokenise(tokenizer, ["moon", "Pears"], template, "last").positions > 0


@pytest.mark.parametrize("kind", ["GemmaTokenizer", "BertTokenizer"])
def test_a_tokenizer_of_another_kind_is_refused(tiny_stage: InProcess, kind: str) -> None:
    """The right vocabulary under the wrong rules: spaces become unknown tokens, or vanish."""
    folder = tiny_stage.project.root / "data/models/wrong"
    shutil.copytree(MINI, folder)
    config = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    (folder / "tokenizer_config.json").write_text(json.dumps({**config, "tokenizer_class": kind}), encoding="utf-8")
    tiny_stage.project.set(model__name="data/models/wrong", model__weights="pretrained", prompt__multi_token="last")
    code, said = tiny_stage.run("capture")
    assert code == 1
    first, second = said.strip().splitlines()
    assert first.startswith("capture: model.name: its tokenizer loses or changes what it is given")
    assert second.startswith("prompt: 'The next word is galaxy'; the model would read: ")


def test_letters_that_vanish_are_seen() -> None:
    made = Tokenizer(models.BPE({c: i for i, c in enumerate("abcdefgmno ")}, []))
    made.decoder = decoders.Fuse()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=made)
    with pytest.raises(UserError, match=r"prompt: 'a moon!'; the model would read: 'a moon'"):
        tokenise(tokenizer, ["moon", "bed"], "a {word}!", "last")


def test_a_space_that_is_a_token_of_its_own_is_the_words(bytes_: PreTrainedTokenizerBase) -> None:
    """Behind some letters GPT-2's kind of tokenizer leaves the space alone."""
    listed = ["xylophone", "élan", "éclair", "über", "ñandu", "żubr"]
    lone = next(word for word in listed if bytes_.tokenize(f" {word}")[0] == "Ġ")
    for words in (["galaxy", lone], [lone, "galaxy"]):
        prompts, row = tokenise(bytes_, words, TEMPLATE, "last"), words.index(lone)
        assert (prompts.word_position, prompts.positions) == (4, 5)
        assert prompts.tokens[row][prompts.words[row].start] == "Ġ"
        assert prompts.words[row].stop == len(prompts.ids[row])
    with pytest.raises(UserError, match=rf"words of several tokens: {lone} = Ġ "):
        tokenise(bytes_, ["galaxy", lone], TEMPLATE, "error")
    # Of two spaces the first is a token of its own whatever the word, and the sentence's.
    prompts = tokenise(bytes_, ["galaxy", "moon"], "The next word is  {word}", "error")
    assert prompts.tokens[0][prompts.words[0].start] == "Ġgalaxy"


#: Behind some of them a letter is a token of its own, behind others it is not: which, depends on the tokenizer.
WORDS = ["star", "moon", "hand", "cup", "rain", "snow", "door", "wall", "galaxy", "banana"]


def test_words_that_take_the_sentence_apart_are_named(bytes_: PreTrainedTokenizerBase) -> None:
    apart = {letter: [w for w in WORDS if bytes_.tokenize(f" {w}{letter}")[-1] == letter] for letter in "ydrs"}
    letter = next(letter for letter, some in apart.items() if 0 < len(some) < len(WORDS))
    with pytest.raises(UserError) as error:
        tokenise(bytes_, WORDS[:5], f"The {{word}}{letter} are next", "last")
    first, second = str(error.value).splitlines()
    assert second == "put a space between {word} and the rest"
    assert {word for word in WORDS if repr(word) in first} < {*WORDS[:5]}
    with pytest.raises(UserError, match=r"^sentences.templates.glued, 'The {word}.': the text around the word"):
        tokenise_sentences(bytes_, WORDS, {"glued": f"The {{word}}{letter}"}, "last", None, None)


def test_prompts_that_are_too_long_are_told_before_anything_runs(tiny_stage: InProcess) -> None:
    tiny_stage.project.set(prompt__template="so " * 70 + "{word}")
    code, said = tiny_stage.run("capture")
    assert (code, said.strip()) == (1, "capture: prompt.template: 71 tokens with 'galaxy', the model takes 64")
    templates = {"a": "a {word}", "long": "so " * 80 + "{word}"}
    tiny_stage.project.set(prompt__template="so {word}", sentences__templates=templates)
    code, said = tiny_stage.run("capture")
    assert (code, said.strip().startswith("capture: sentences.templates.long, ")) == (1, True)
    assert said.endswith(": 81 tokens with 'galaxy', the model takes 64\n")


@pytest.mark.parametrize(
    ("name", "most"),
    [*((name, 128) for name in ("gpt2", "llama", "bert", "opt", "distilbert")), ("roberta", 126), ("bloom", None)],
)
def test_how_many_tokens_a_model_takes_is_how_many_it_can_read(name: str, most: int | None) -> None:
    model = build(name)
    assert most_tokens(model) == most
    with torch.no_grad():
        model(torch.full((1, most or 50), 7))
        if most and name != "llama":  # whose rotary embedding goes on
            with pytest.raises((IndexError, RuntimeError)):
                model(torch.full((1, most + 1), 7))
