"""From words to token ids: every prompt in a row, the word in the same place in each."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from stages.pipeline.errors import UserError, shortened, some_of

#: How tokenizers write a space.
_SPACES = ("Ġ", "▁", " ")


@dataclass(frozen=True)
class Prompts:
    """Tokenised prompts.

    Positions count the tokens of the text. A word of several tokens takes one position like any other, and tokens that
    the tokenizer adds around the text ([CLS], [SEP], <s>) take none: so positions mean the same in every prompt and
    every model. The model sees all tokens.

    Attributes
    ----------
    names : sequence of str
        The words.
    ids : list of list of int
        Token ids, one list a word.
    tokens : list of list of str
        The same as the tokenizer writes them.
    words : list of range
        Which tokens of each prompt are the word.
    before, after : list of int
        The tokens of the text before the word, counted from the prompt's start, and after it, counted from its end.
    """

    names: Sequence[str]
    ids: list[list[int]]
    tokens: list[list[str]]
    words: list[range]
    before: list[int]
    after: list[int]

    @property
    def word_position(self) -> int:
        """Which position is the word's."""
        return len(self.before)

    @property
    def positions(self) -> int:
        """How many positions a prompt has."""
        return len(self.before) + 1 + len(self.after)

    @property
    def shared(self) -> int:
        """How many tokens all prompts begin with; at least one token of each prompt is left over."""
        shortest = min(map(len, self.ids)) - 1
        columns = zip(*(ids[:shortest] for ids in self.ids), strict=True)
        different = (i for i, column in enumerate(columns) if len(set(column)) > 1)
        return next(different, shortest)

    def sources(self) -> np.ndarray:
        """Which token each position is read from, shape (words, positions): at the word, its last token."""
        return np.array(
            [
                [*self.before, word[-1], *(len(ids) + i for i in self.after)]
                for ids, word in zip(self.ids, self.words, strict=True)
            ]
        )


def tokenise(
    tokenizer: Any,
    words: Sequence[str],
    template: str,
    multi_token: str,
    start: int | None = None,
    most: int | None = None,
    setting: str = "words",
) -> Prompts:
    """Insert every word into the template and tokenise it.

    Parameters
    ----------
    tokenizer : transformers tokenizer
        A fast one: it tells which characters a token covers.
    words : sequence of str
    template : str
        Holds ``{word}`` once.
    multi_token : {"error", "last", "mean"}
        "error" refuses words of several tokens.
    start : int, optional
        A token to put before each prompt, which takes no position.
    most : int, optional
        How many tokens the model takes.
    setting : str
        The key of params.yaml that lists the words, for messages.

    Raises
    ------
    UserError
        For words of several tokens (all of them listed), words that the tokenizer does not know or does not tell apart,
        a prompt that it reads as another text or that is too long, and where the text around the word is tokenised
        differently from word to word.
    """
    head, tail = template.split("{word}")
    texts = [head + word + tail for word in words]
    ids, offsets, inner = _encode(tokenizer, texts, start)
    # A token covers the word where their characters overlap; a leading space may belong to the token as well.
    covering = [
        [i for i in some if row[i][0] < len(head) + len(word) and row[i][1] > len(head)]
        for word, row, some in zip(words, offsets, inner, strict=True)
    ]
    _check_known(tokenizer, words, ids, inner, covering, setting)
    _check_read(tokenizer, texts, [[row[i] for i in some] for row, some in zip(ids, inner, strict=True)])
    _check_different(words, ids, setting)
    if none := [word for word, some in zip(words, covering, strict=True) if not some]:
        raise UserError(f"{setting}: no token of their own in {template!r}: {some_of(none, 5)}")
    tokens = [tokenizer.convert_ids_to_tokens(row) for row in ids]
    own = _spans(tokens, inner, covering)
    pieces = {word: row[span.start : span.stop] for word, row, span in zip(words, tokens, own, strict=True)}
    several = [f"{word} = {' '.join(some)}" for word, some in pieces.items() if len(some) > 1]
    if several and multi_token == "error":
        raise UserError(
            f"{setting} of several tokens: {some_of(several, 100)}\n"
            f"{_space_before(tokenizer, words, template, len(several))}"
            "choose other words, or set prompt.multi_token to last or mean (of their tokens' vectors)"
        )
    before, after = _frame(words, template, ids, inner, own)
    longest, word = max(zip(ids, words, strict=True), key=lambda pair: len(pair[0]))
    if most and len(longest) > most:
        raise UserError(f"prompt.template: {len(longest)} tokens with {shortened(repr(word))}, the model takes {most}")
    return Prompts(words, ids, tokens, own, before, after)


def _encode(
    tokenizer: Any, texts: Sequence[str], start: int | None
) -> tuple[list[list[int]], list[list[tuple[int, int]]], list[list[int]]]:
    """Return each text's token ids, which characters each token covers, and which tokens are the text's own."""
    if not tokenizer.is_fast:
        raise UserError(
            "model.name: its tokenizer cannot tell which characters a token covers (it has no fast version)"
        )
    encoded = tokenizer(list(texts), return_offsets_mapping=True, return_special_tokens_mask=True)
    begun = {"input_ids": [start], "offset_mapping": [(0, 0)], "special_tokens_mask": [1]}
    ids, offsets, masks = (
        [[*(first if start is not None else []), *row] for row in encoded[name]] for name, first in begun.items()
    )
    return ids, offsets, [[i for i, special in enumerate(mask) if not special] for mask in masks]


def _check_known(
    tokenizer: Any,
    words: Sequence[str],
    ids: Sequence[list[int]],
    inner: Sequence[list[int]],
    covering: Sequence[list[int]],
    setting: str,
) -> None:
    """Raise a `UserError` for words that the tokenizer does not know, unless the sentence is unknown as well."""
    unknown, none = [], tokenizer.unk_token_id
    for word, row, some, own in zip(words, ids, inner, covering, strict=True):
        found = {i for i in some if row[i] == none}
        if not found.issubset(own):
            return  # not the words' fault, as `_check_read` tells
        unknown += [word] if found else []
    if unknown:
        raise UserError(
            f"{setting}: the model's tokenizer does not know {some_of(unknown, 10)}\n"
            f"it reads each as {tokenizer.unk_token}; choose other words"
        )


def _check_read(tokenizer: Any, texts: Sequence[str], ids: Sequence[list[int]]) -> None:
    """Raise a `UserError` if tokens do not say what the text says, up to the tokenizer's own normalisation."""
    backend = tokenizer.backend_tokenizer
    normalise = backend.normalizer.normalize_str if backend.normalizer else str

    def plain(text: str) -> str:
        # Some decoders put spaces around punctuation, and contract this.
        return " ".join(re.sub(r"([\W_])", r" \1 ", normalise(text.replace(" do not", " don't"))).split())

    for text, read in zip(texts, backend.decode_batch(list(ids), skip_special_tokens=False), strict=True):
        if text != read and plain(text) != plain(read):
            raise UserError(
                "model.name: its tokenizer loses or changes what it is given; its files may be those of another kind\n"
                f"prompt: {text!r}; the model would read: {read!r}"
            )


def _check_different(words: Sequence[str], ids: Sequence[list[int]], setting: str) -> None:
    """Raise a `UserError` that lists words which are the same tokens to the model."""
    alike: dict[tuple[int, ...], dict[str, None]] = {}
    for word, row in zip(words, ids, strict=True):
        alike.setdefault(tuple(row), {})[word] = None
    if same := [" = ".join(some) for some in alike.values() if len(some) > 1]:
        raise UserError(f"{setting}: the model reads the same tokens for {some_of(same, 10)}; leave one of each out")


def _spans(tokens: Sequence[list[str]], inner: Sequence[list[int]], covering: Sequence[list[int]]) -> list[range]:
    """Return which tokens are each word's: those that cover it, and a space before them if it is a token of its own.

    Such a space is the word's where other words' tokens begin with it.
    """
    begins = [some[0] for some in covering]
    alone = [
        first - 1 in some and row[first - 1] in _SPACES and row[first][:1] not in _SPACES
        for row, some, first in zip(tokens, inner, begins, strict=True)
    ]
    taken = [first - (lone and not all(alone)) for first, lone in zip(begins, alone, strict=True)]
    return [range(first, some[-1] + 1) for first, some in zip(taken, covering, strict=True)]


def _frame(
    words: Sequence[str], template: str, ids: Sequence[list[int]], inner: Sequence[list[int]], own: Sequence[range]
) -> tuple[list[int], list[int]]:
    """Return the places of the text's tokens before the word, and after it; they must be the same in every prompt."""
    around = [
        (
            tuple(i for i in some if i < span.start),
            tuple(i - len(row) for i in some if i >= span.stop),
            (*row[: span.start], None, *row[span.stop :]),
        )
        for row, some, span in zip(ids, inner, own, strict=True)
    ]
    usual = Counter(around).most_common(1)[0][0]
    if others := [repr(word) for word, other in zip(words, around, strict=True) if other != usual]:
        spaced = re.search(r"(^|\s)\{word\}(\s|$)", template)
        raise UserError(
            f"prompt.template: the text around the word is tokenised differently from word to word in {template!r}: "
            f"{some_of(others, 5)}\n{'choose other words' if spaced else 'put a space between {word} and the rest'}"
        )
    return [*usual[0]], [*usual[1]]


def _space_before(tokenizer: Any, words: Sequence[str], template: str, several: int) -> str:
    """Return how many words would be single tokens behind a space, in words; nothing where that does not help."""
    head, tail = template.split("{word}")
    if head.endswith(" "):
        return ""
    spaced = f"{head} {{word}}{tail}"
    try:
        prompts = tokenise(tokenizer, words, spaced, "last")
    except UserError:
        return ""
    single = sum(len(word) == 1 for word in prompts.words)
    if single <= len(words) - several:
        return ""
    return f'{single} of {len(words)} are single tokens with a space before {{word}}: prompt.template: "{spaced}"; or '


def check_same_frame(prompts: Prompts, reference: Prompts) -> None:
    """Raise a `UserError` if the reference words' prompts do not have the tokens of the others around the word."""
    if (prompts.before, prompts.after) != (reference.before, reference.after):
        raise UserError(
            "similarity.reference_words: the prompt around them has other tokens than around the words; "
            "put a space between {word} and the rest of prompt.template"
        )
