"""The schema of params.yaml: its sections, their keys, and what each may be."""

from typing import Annotated, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

from stages.geometry.names import CandidateName, ComparisonName, MetricName, TransformName
from stages.pipeline import mistakes

#: Instead of a sentence's name, in `metrics/sentences.csv`: all of them, and that of `prompt.template`.
ALL_SENTENCES, OWN_SENTENCE = "all", "prompt"


class Section(BaseModel):
    """A block of params.yaml: no unknown key, no key left out, no silent conversion."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


Text = Annotated[str, mistakes.TRIMMED, mistakes.VISIBLE]
Template = Annotated[str, mistakes.ONE_WORD, mistakes.VISIBLE_LINES]
Words = Annotated[list[Text], Field(description="a list, one word a line, each after a dash: - pear")]
Memory = Annotated[str, Field(pattern=r"^\d+(\.\d+)? ?[KMGT]i?B$", description="an amount of memory such as 8GB")]
Draws = Annotated[int, Field(ge=20, le=100_000)]
Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]
Positions = Annotated[list[int], Field(min_length=1, description="a list of whole numbers such as [1, -1]")]


class Switch(Section):
    """Something that is done or left out."""

    enabled: bool


class Model(Section):
    """Which model, and how it computes."""

    name: Text
    revision: Text
    part: Literal["encoder", "decoder"]
    weights: Literal["pretrained", "random"]
    seed: Seed
    dtype: Literal["auto", "float64", "float32", "bfloat16", "float16"]
    device: Literal["auto", "cpu", "cuda", "mps"]
    device_map: Literal["none", "auto"]
    max_memory: dict[int | Text, Memory] = Field(description="a mapping such as {0: 20GB, cpu: 8GB}")
    _together = model_validator(mode="after")(mistakes.in_model)


class Prompt(Section):
    """The sentence around each word."""

    template: Template
    multi_token: Literal["error", "last", "mean"]


class Tokens(Section):
    """Which tokens of the prompt the analyses read."""

    context: int
    target: Literal["word"] | int


class Capture(Section):
    """What of the activations is kept."""

    positions: Literal["all"] | Positions


class Similarity(Section):
    """How alike two words' vectors are."""

    metric: MetricName
    transform: TransformName
    reference_words: Annotated[Words, mistakes.SPREAD, mistakes.ONCE]
    average_sentences: bool


class Sentences(Switch):
    """Further sentences around each word."""

    templates: Annotated[dict[Text, Template], mistakes.not_called(ALL_SENTENCES, OWN_SENTENCE), mistakes.ONCE] = Field(
        min_length=2, description="a name for each of two or more sentences, and behind it the sentence"
    )
    bootstraps: Literal["auto"] | Draws


class Rsa(Section):
    """How alike two matrices' similarities are."""

    comparison: ComparisonName


class Inference(Switch):
    """Tests and intervals."""

    permutations: int = Field(ge=19, le=1_000_000)
    shuffles: Literal["auto", "independent", "crossed"]
    bootstraps: Literal["auto"] | Draws
    alpha: float = Field(ge=0.0002, le=0.5)  # the most draws of nulls reach no lower
    seed: Seed


class Nulls(Switch):
    """The ladder of nulls."""

    draws: Literal["auto"] | Annotated[int, Field(ge=20, le=10_000)]
    precision: Literal["auto", "double", "single"]
    seed: Seed


class RdmFile(Section):
    """A geometry in a file of `data/rdms`."""

    file: Text
    holds: Literal["auto", "distances", "similarities"] = "auto"


class RdmOfRun(Section):
    """A layer of another run."""

    run: Text
    matrix: Literal["q", "k", "v", "x", "embedding"]
    layer: int = Field(default=0, ge=0)


Candidate = Annotated[
    CandidateName | RdmFile | RdmOfRun,
    Field(
        description=f"one of {', '.join(get_args(CandidateName))}; or file: and a name in data/rdms; or run:, matrix: "
        "and layer: of another run"
    ),
]


class Rdms(Switch):
    """Other geometries of the words."""

    candidates: Annotated[dict[Text, Candidate], mistakes.not_called("all"), mistakes.NAMED_ONCE] = Field(
        min_length=1, max_length=8, description="a name for each of one to eight geometries, and behind it what it is"
    )
    counts: Text
    nonnegative: bool


class Figures(Section):
    """How the figures look."""

    theme: Literal["dark", "light"]
    dpi: int = Field(ge=50, le=600)
    bands: bool
    marks: bool


class Settings(Section):
    """The whole of params.yaml."""

    model: Model
    prompt: Prompt
    tokens: Tokens
    capture: Capture
    similarity: Similarity
    rsa: Rsa
    focus_layer: int = Field(ge=0)
    inference: Inference
    nulls: Nulls
    controls: Switch
    heads: Switch
    sentences: Sentences
    rdms: Rdms
    figures: Figures
    words_file: Text
    words: dict[Text, Words] = Field(description="a name for each category, and below it a list of its words")
    _together = model_validator(mode="after")(mistakes.in_settings)
