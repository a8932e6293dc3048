"""Run every word's prompts through the model and catch the query, key and value vectors of every layer with hooks."""

from stages.artefacts.files import write_json
from stages.artefacts.tensors import TensorWriter
from stages.models.capture import biases, capture, capture_sentences, embeddings, shapes
from stages.models.load import load_chosen
from stages.models.passes import most_tokens
from stages.models.projections import describe, find_projections, overview
from stages.models.prompts import Prompts, check_same_frame, tokenise, tokenise_sentences
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
    prompts, reference, further = tokenise(loaded.tokenizer, words, prompt.template, *how), None, {}
    if listed:
        reference = tokenise(loaded.tokenizer, listed, prompt.template, *how, setting="similarity.reference_words")
        check_same_frame(prompts, reference)
    if sentences.enabled:
        further = tokenise_sentences(loaded.tokenizer, [*words, *listed], sentences.templates, *how)

    chosen, length = stage.settings.capture.positions, prompts.positions
    check_ahead(stage.ahead, [projection.layer for projection in projections], length)
    every = range(length) if chosen == "all" else (find_token(token, length, "capture.positions") for token in chosen)
    positions = sorted({*every, prompts.word_position})
    record = {"positions": positions, "length": length, "word_position": prompts.word_position}
    attention = {**describe(model, projections), "proof": prove(model, projections, prompts)}
    print(*(f"{name:18} {value}" for name, value in attention.items()), sep="\n")

    def catch(path: str, prompts: Prompts | None) -> str:
        sizes = shapes(projections, len(prompts.ids), len(positions)) if prompts else {}
        whole = {**added, **embeddings(model, prompts)} if prompts else {}
        sizes |= {name: values.shape for name, values in whole.items()}
        with TensorWriter(stage.output(path), sizes, record) as file:
            if not prompts:
                return ""
            way, refused = capture(model, projections, prompts, file.write, positions)
            for name, values in whole.items():
                file.write(name, 0, values)
        first = f"attn_{projections[0].layer}_q"
        told = f"prompts {way}", f"{first:18} {sizes[first]} (words, tokens, units)"
        print(*(f"prompts not {name}: {why}" for name, why in refused.items()), *told, sep="\n")
        return way

    attention["prompts"] = catch("data/activations.safetensors", prompts)
    catch("data/reference.safetensors", reference)
    named = {"names": [*further], "templates": [sentences.templates[name] for name in further]}
    sizes = shapes(projections, len(further) * len([*words, *listed]), 1) if further else {}
    with TensorWriter(stage.output("data/sentences.safetensors"), sizes, named) as file:
        ways = capture_sentences(model, projections, further, file.write, attention["prompts"])
    said = [f"sentence {name}: prompts {way}" for name, way in ways.items()]
    print(*(said or ["sentences.enabled is false: no further sentence is run"]), sep="\n")
    write_json(
        stage.output("data/capture.json"),
        {
            **loaded.provenance,
            "overview": shape,
            "attention": attention,
            "prompt": {"template": prompt.template, "multi_token": prompt.multi_token},
            **{"words": words, "reference_words": listed, "categories": categories},
            **record,
            **{"token_ids": prompts.ids, "tokens": prompts.tokens},
        },
    )


if __name__ == "__main__":
    run("capture", main, __doc__)
