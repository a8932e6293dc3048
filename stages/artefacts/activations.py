"""What the captured files hold at one token: the words' vectors, those of the reference words, the biases."""

from collections.abc import Callable, Sequence

import numpy as np

from stages.artefacts.layerwise import Layers
from stages.artefacts.tensors import Tensors
from stages.geometry.names import EMBEDDING, MATRICES, WITH_INPUT
from stages.pipeline import messages
from stages.pipeline.errors import UserError
from stages.pipeline.schema import OWN_SENTENCE
from stages.pipeline.settings import find_token
from stages.pipeline.stage import Stage


def find_position(activations: Tensors, token: int | str, setting: str) -> int:
    """Return the position in the prompt that a `setting` means, from 0; errors as `find_token`.

    `token` is a position, negative from the end; or "word", the word's own token (the last, where it has several).
    """
    record = activations.record
    return record["word_position"] if token == "word" else find_token(token, record["length"], setting)


def vectors_at_target(stage: Stage, names: Sequence[str] = WITH_INPUT) -> Layers:
    """Return the vectors of all words, and of the reference words, at the token that a stage compares them at."""
    files = (Tensors(stage.input(f"data/{name}.safetensors")) for name in ("activations", "reference"))
    return vectors_at(stage.settings.tokens.target, "tokens.target", *files, names=names)


def vectors_at(
    token: int | str,
    setting: str,
    activations: Tensors,
    reference: Tensors | None = None,
    names: Sequence[str] = WITH_INPUT,
) -> Layers:
    """Return the vectors of all words at one token, and behind them those of the reference words, if any.

    By name, float32, shape (words + reference words, units). `token` and `setting` as `find_position`; the files are
    `data/activations.safetensors` and `data/reference.safetensors`.

    Raises
    ------
    UserError
        If the prompt has no such token, or its vectors were not kept.
    """
    files = [file for file in (activations, reference) if file and file.names]
    kept, length = activations.record["positions"], activations.record["length"]
    place, numbers = find_position(activations, token, setting), layer_numbers(activations)
    if place not in kept:
        found = f"{length}: {', '.join(map(str, kept))}"
        raise UserError(messages.NOT_KEPT.format(setting, place, found))

    def read(layer: int) -> dict[str, np.ndarray]:
        at = kept.index(place)  # where the reference words have been kept, too
        keys = {name: f"attn_{numbers[layer]}_{name}" for name in names}
        return {name: np.concatenate([file[key][:, at] for file in files]) for name, key in keys.items()}

    return Layers(numbers, read)


def embedding_similarity(
    compare: Callable[[np.ndarray], np.ndarray], activations: Tensors, reference: Tensors
) -> dict[str, np.ndarray]:
    """Return the similarities of the model's own vectors of the words, shape (1, pairs), by name, if it has any.

    `compare` takes vectors of the words and, behind them, of the reference words.
    """
    files = [file for file in (activations, reference) if EMBEDDING in file.names]
    try:
        return {EMBEDDING: compare(np.concatenate([file[EMBEDDING][:] for file in files])[None])} if files else {}
    except FloatingPointError as error:
        print(f"no similarities of the input embeddings: {error}")
        return {}


def layer_numbers(activations: Tensors) -> list[int]:
    """List the layers in `data/activations.safetensors`, as the model numbers them."""
    numbers = sorted({int(name.split("_")[1]) for name in activations.names if name != EMBEDDING})
    return numbers or [activations.record["layers"]]  # raises the error that this is another file


def vectors_in_sentences(own: Layers, template: str, sentences: Tensors) -> tuple[list[str], Layers]:
    """Return the sentences' names, and the vectors of all words at their own token in each.

    By name, float32, shape (sentences, words + reference words, units). First come those of `vectors_at` at "word",
    `own`, in the sentence `template`, which counts once; then those of `data/sentences.safetensors`.
    """
    listed = sentences.record["templates"]
    further = [place for place, other in enumerate(listed) if other != template]

    def read(place: int) -> dict[str, np.ndarray]:
        found = {}
        for name, values in own.read(place).items():
            others = sentences[f"attn_{own.numbers[place]}_{name}"][:].reshape(len(listed), *values.shape)
            found[name] = np.concatenate([values[None], others[further]])
        return found

    names = sentences.record["names"]
    return [OWN_SENTENCE, *(names[place] for place in further)], Layers(own.numbers, read)


def read_biases(activations: Tensors) -> dict[str, np.ndarray]:
    """Read the projections' biases from `data/activations.safetensors`: by matrix, float32, shape (layers, units).

    They are 0 where a projection has none.
    """
    layers = layer_numbers(activations)
    biases = {}
    for matrix in MATRICES:
        none = np.zeros(activations[f"attn_{layers[0]}_{matrix}"].shape[-1], dtype=np.float32)
        names = [f"attn_{layer}_{matrix}_bias" for layer in layers]
        biases[matrix] = np.stack([activations[name][:] if name in activations.names else none for name in names])
    return biases
