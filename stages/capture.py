"""Run every word's prompts through the model and catch the query, key and value vectors of every layer with hooks."""

from stages.artefacts.files import TensorWriter, write_json
from stages.models.capture import biases, capture_several, embeddings, shapes, write_weights
from stages.models.load import load_chosen
from stages.models.passes import most_tokens
from stages.models.projections import describe, find_projections, overview
from stages.models.prompts import check_same_frame, tokenise, tokenise_sentences
from stages.models.prove import prove
from stages.pipeline.settings import check_ahead, find_token
from stages.pipeline.stage import Stage, run
from stages.pipeline.word_lists import flatten, read_words


def main(stage: Stage) -> None:
    prompt, sentences, loaded = stage.settings.prompt, stage.settings.sentences, load_chosen(stage.settings.model)
    model, projections = loaded.model, find_projections(loaded.model)
    shape, added = overview(model, projections), biases(projections)
    print(model, *(f"{name:18} {value}" for name, value in shape.items()), sep="\n")
    words, categories = flatten(read_words(stage.input("data/word_list.csv")))
    listed = stage.settings.similarity.reference_words
    how = (prompt.multi_token, getattr(model, "start", None), most_tokens(model))
    prompts = tokenise(loaded.tokenizer, words, prompt.template, *how)
    both, further, rows = {"words": prompts}, {}, len(words) + len(listed)
    if listed:
        key = "similarity.reference_words"
        both["reference words"] = tokenise(loaded.tokenizer, listed, prompt.template, *how, setting=key)
        check_same_frame(*both.values())
    if sentences.enabled:
        further = tokenise_sentences(loaded.tokenizer, [*words, *listed], sentences.templates, *how)

    chosen, length = stage.settings.capture.positions, prompts.positions
    check_ahead(stage.ahead, [projection.layer for projection in projections], length)
    every = range(length) if chosen == "all" else (find_token(token, length, "capture.positions") for token in chosen)
    positions = sorted({*every, prompts.word_position})
    record = {"positions": positions, "length": length, "word_position": prompts.word_position}
    attention = {**describe(model, projections), "proof": prove(model, projections, prompts)}
    print(*(f"{name:18} {value}" for name, value in attention.items()), sep="\n")

    sizes, whole = shapes(projections, rows, len(positions)), {**added, **embeddings(model, [*both.values()])}
    sizes |= {name: values.shape for name, values in whole.items()}
    with TensorWriter(stage.output("data/activations.safetensors"), sizes, {**record, "words": len(words)}) as file:
        for name, values in whole.items():
            file.write(name, 0, values)
        way = capture_several(model, projections, both, file.write, positions)["words"]
    print(f"attn_{projections[0].layer}_q {sizes[f'attn_{projections[0].layer}_q']} (words, tokens, units)")
    named = {"names": [*further], "templates": [sentences.templates[name] for name in further]}
    sizes = shapes(projections, len(further) * rows, 1) if further else {}
    with TensorWriter(stage.output("data/sentences.safetensors"), sizes, named) as file:
        capture_several(model, projections, further, file.write, way=way)
    if not further:
        print("sentences.enabled is false: no further sentence is run")
    write_weights(stage.output("data/projections.safetensors"), projections)
    write_json(
        stage.output("data/capture.json"),
        {
            **loaded.provenance,
            "overview": shape,
            "attention": {**attention, "prompts": way},
            "prompt": {"template": prompt.template, "multi_token": prompt.multi_token},
            **{"words": words, "reference_words": listed, "categories": categories},
            **record,
            **{"token_ids": prompts.ids, "tokens": prompts.tokens},
        },
    )


if __name__ == "__main__":
    run("capture", main, __doc__)
