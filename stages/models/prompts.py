"""From words to token ids: every prompt in a row, the word in the same place in each."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from stages.pipeline import messages
from stages.pipeline.errors import UserError, shortened, some_of

#: How tokenizers write a space.
_SPACES = ("Ġ", "▁", " ")


@dataclass(frozen=True)
class Prompts:
    """Tokenised prompts.

    Positions count the tokens of the text. A word of several tokens takes one position like any other, and tokens that
    the tokenizer adds around the text ([CLS], [SEP], <s>) take none: so positions mean the same in every prompt and
    every model. The model sees all tokens.
    """

    names: Sequence[str]  # the words
    ids: list[list[int]]  # token ids, one list a word
    tokens: list[list[str]]  # the same as the tokenizer writes them
    words: list[range]  # which tokens of each prompt are the word
    before: list[int]  # the tokens of the text before the word, counted from the prompt's start
    after: list[int]  # and after it, counted from its end
    mean: bool = False  # whether a word's vector is the mean over its tokens, not that of the last

    @property
    def word_position(self) -> int:
        """Which position is the word's."""
        return len(self.before)

    @property
    def positions(self) -> int:
        """How many positions a prompt has."""
        return len(self.before) + 1 + len(self.after)

    @cached_property
    def shared(self) -> int:
        """How many tokens all prompts begin with, before the words' own: these stay together, for a mean over them."""
        most = min(*(len(ids) - 1 for ids in self.ids), *(span.start for span in self.words))
        columns = zip(*(ids[:most] for ids in self.ids), strict=True)
        return next((i for i, column in enumerate(columns) if len(set(column)) > 1), most)


def tokenise(
    tokenizer: Any,
    words: Sequence[str],
    template: str,
    multi_token: str,
    start: int | None = None,
    most: int | None = None,
    setting: str = "words",
) -> Prompts:
    """Insert every word into the template, which holds ``{word}`` once, and tokenise it.

    Parameters
    ----------
    tokenizer : transformers tokenizer
        A fast one: it tells which characters a token covers.
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
    reads = _read(tokenizer, words, template, start)
    _check_read(tokenizer, reads, template, setting)
    long = [read for read in reads if len(read.span) > 1]
    several = [f"{read.word} = {' '.join(read.tokens[read.span.start : read.span.stop])}" for read in long]
    if several and multi_token == "error":
        better = _space_before(tokenizer, words, template, len(several))
        raise UserError(messages.SEVERAL_TOKENS.format(setting, some_of(several, 100), better))
    before, after = _frame(reads, template)
    longest = max(reads, key=lambda read: len(read.ids))
    if most and len(longest.ids) > most:
        raise UserError(messages.TOO_LONG.format(len(longest.ids), shortened(repr(longest.word)), most))
    ids, tokens = [read.ids for read in reads], [read.tokens for read in reads]
    spans = [read.span for read in reads]
    return Prompts(words, ids, tokens, spans, before, after, multi_token == "mean")


class _Read(NamedTuple):
    """A text as a tokenizer reads it: which of its tokens are the text's `own`, and which of these are the word's."""

    word: str
    text: str
    ids: list[int]
    tokens: list[str]
    own: list[int]
    span: range


def _read(tokenizer: Any, words: Sequence[str], template: str, start: int | None) -> list[_Read]:
    """Read every word in the template, behind the token `start`, if any.

    A word's tokens are those that cover it, and a space before them if it is a token of its own where other words'
    tokens begin with it.
    """
    if not tokenizer.is_fast:
        raise UserError(messages.NO_FAST_TOKENIZER)
    head, tail = template.split("{word}")
    texts, begun = [head + word + tail for word in words], [] if start is None else [start]
    reads, spaces = [], []
    for word, text, read in zip(words, texts, tokenizer(texts).encodings, strict=True):
        ids = [*begun, *read.ids]
        tokens = tokenizer.convert_ids_to_tokens(ids)
        own = [i for i, special in enumerate(read.special_tokens_mask, len(begun)) if not special]
        # A token covers the word where their characters overlap; a leading space may belong to the token as well.
        covers = [a < len(head) + len(word) and b > len(head) for a, b in read.offsets]
        covering = [i for i in own if covers[i - len(begun)]]
        first, stop = (covering[0], covering[-1] + 1) if covering else (0, 0)
        spaces.append(first - 1 in own and tokens[first - 1] in _SPACES and tokens[first][:1] not in _SPACES)
        reads.append(_Read(word, text, ids, tokens, own, range(first, stop)))
    if all(spaces):
        return reads
    both = zip(reads, spaces, strict=True)
    return [read._replace(span=range(read.span.start - space, read.span.stop)) for read, space in both]


def _check_read(tokenizer: Any, reads: Sequence[_Read], template: str, setting: str) -> None:
    """Raise a `UserError` for words that are unknown, alike or nothing to the model, and for texts that read another.

    A tokenizer's own normalisation is no change; words are not blamed where the sentence is unknown as well.
    """
    unknown = {read.word: {i for i in read.own if read.ids[i] == tokenizer.unk_token_id} for read in reads}
    if any(unknown.values()) and all(unknown[read.word].issubset(read.span) for read in reads):
        some = some_of([*filter(unknown.get, unknown)], 10)
        raise UserError(messages.UNKNOWN_WORDS.format(setting, some, tokenizer.unk_token))
    backend = tokenizer.backend_tokenizer
    normalise = backend.normalizer.normalize_str if backend.normalizer else str

    def plain(text: str) -> str:
        # Some decoders put spaces around punctuation, and contract this.
        return " ".join(re.sub(r"([\W_])", r" \1 ", normalise(text.replace(" do not", " don't"))).split())

    alike: dict[tuple[int, ...], dict[str, None]] = {}
    for read in reads:
        decoded = backend.decode([read.ids[i] for i in read.own], skip_special_tokens=False)
        if read.text != decoded and plain(read.text) != plain(decoded):
            raise UserError(messages.CHANGED_TEXT.format(read.text, decoded))
        alike.setdefault(tuple(read.ids), {})[read.word] = None
    if same := [" = ".join(some) for some in alike.values() if len(some) > 1]:
        raise UserError(messages.SAME_TOKENS.format(setting, some_of(same, 10)))
    if none := [read.word for read in reads if not read.span]:
        raise UserError(messages.NO_OWN_TOKEN.format(setting, template, some_of(none, 5)))


def _frame(reads: Sequence[_Read], template: str) -> tuple[list[int], list[int]]:
    """Return the places of the text's tokens before the word, and after it; they must be the same in every prompt."""
    around = [
        (
            tuple(i for i in read.own if i < read.span.start),
            tuple(i - len(read.ids) for i in read.own if i >= read.span.stop),
            (*read.ids[: read.span.start], None, *read.ids[read.span.stop :]),
        )
        for read in reads
    ]
    usual = Counter(around).most_common(1)[0][0]
    if others := [repr(read.word) for read, other in zip(reads, around, strict=True) if other != usual]:
        spaced = re.search(r"(^|\s)\{word\}(\s|$)", template)
        said = messages.OTHER_TEXT if spaced else messages.OTHER_TEXT_WITHOUT_SPACE
        raise UserError(said.format(template, some_of(others, 5)))
    return [*usual[0]], [*usual[1]]


def _space_before(tokenizer: Any, words: Sequence[str], template: str, several: int) -> str:
    """Return how many words would be single tokens behind a space, in words; nothing where that does not help."""
    if " {word}" in template:
        return ""
    spaced = template.replace("{word}", " {word}")
    try:
        single = sum(len(word) == 1 for word in tokenise(tokenizer, words, spaced, "last").words)
    except UserError:
        return ""
    return messages.SPACE_BEFORE.format(single, len(words), spaced) if single > len(words) - several else ""


def tokenise_sentences(
    tokenizer: Any, words: Sequence[str], templates: Mapping[str, str], *how: Any
) -> dict[str, Prompts]:
    """Tokenise the words in every sentence, `how` as `tokenise`; a mistake names its sentence."""
    found = {}
    for name, template in templates.items():
        try:
            found[name] = tokenise(tokenizer, words, template, *how)
        except UserError as error:
            said = str(error).replace("prompt.template: ", "")
            raise UserError(messages.IN_SENTENCE.format(name, shortened(repr(template)), said)) from None
    return found


def check_same_frame(prompts: Prompts, reference: Prompts) -> None:
    """Raise a `UserError` if the reference words' prompts do not have the tokens of the others around the word."""
    if (prompts.before, prompts.after) != (reference.before, reference.after):
        raise UserError(messages.OTHER_TEXT_OF_REFERENCE)
