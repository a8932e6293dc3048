"""Artefacts: what is written comes back, the same bytes each time, and a damaged file is named."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file
from tensor_files import write_tensors

from stages.artefacts.files import Tensors, TensorWriter, read_json, write_json
from stages.artefacts.layers import layer_numbers, vectors_at
from stages.artefacts.schema import OFF, STATUS, TABLES, UNDEFINED
from stages.artefacts.tables import read_reason, read_table, write_table
from stages.pipeline.errors import UserError

RSA = {column: np.linspace(-1, 1, 3) for column in TABLES["rsa.csv"].columns}
HEADS = {names: {"value": np.arange(6.0).reshape(2, 3)} for names in (("d", "q"), ("rsa", "qk"))}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write everything into a folder of its own."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def saved(name: str, content: dict | str, *layers: list[int] | None) -> list[str]:
    """Write a table and return its lines."""
    write_table(Path(name), name, content, *layers)
    return Path(name).read_text(encoding="utf-8").splitlines()


# JSON and tensors


def test_json_is_rounded_and_takes_numpy() -> None:
    content = {"b": np.float64(0.12345678), "a": [np.int64(3), -0.0], "c": {"d": None, "é": True}}
    write_json(Path("x.json"), content)
    assert read_json(Path("x.json")) == {"b": 0.123457, "a": [3, 0.0], "c": {"d": None, "é": True}}
    assert "-0.0" not in Path("x.json").read_text(encoding="utf-8")
    with pytest.raises(FloatingPointError, match="summary"):
        write_json(Path("summary.json"), {"a": float("inf")})
    assert not Path("summary.json").exists()


def test_tensors_come_back_and_have_the_same_bytes_each_time() -> None:
    """Written row by row, in any order; the record is sorted JSON in one key."""
    values = np.random.default_rng(0).normal(size=(5, 2, 3))
    for name in ("a", "b"):
        with TensorWriter(Path(name), {"b": (5, 2, 3), "a": (4,)}, {"words": ["b", "é"], "metric": "m"}) as file:
            file.write("b", 3, values[3:])
            file.write("b", 0, values[:3])
            file.write("a", 1, np.array([1.0, 2.0]))
            for wrong in ((4, values[:2]), (0, values[:, :1])):
                with pytest.raises(ValueError, match="do not fit b"):
                    file.write("b", *wrong)
    assert Path("a").read_bytes() == Path("b").read_bytes()
    found = load_file(Path("a"))
    np.testing.assert_array_equal(found["b"], values.astype(np.float32))
    np.testing.assert_array_equal(found["a"], [0, 1, 2, 0])
    np.testing.assert_array_equal(np.asarray(Tensors(Path("a"))["b"]), found["b"])  # as for one layer
    header = Path("a").read_bytes()
    size = int.from_bytes(header[:8], "little")
    assert json.loads(header[8 : 8 + size])["__metadata__"] == {"record": '{"metric": "m", "words": ["b", "é"]}'}
    assert Tensors(Path("a")).record == {"words": ["b", "é"], "metric": "m"}


def test_vectors_of_every_layer() -> None:
    """Of twelve: the tenth does not come before the second."""
    arrays = {f"attn_{layer}_q": np.full((2, 5, 3), layer) + np.arange(5)[:, None] for layer in range(12)}
    record = {"positions": list(range(5)), "length": 5}
    write_tensors(Path("a"), {**arrays, "attn_0_q_bias": np.zeros(3)}, record)
    tensors = Tensors(Path("a"))
    assert layer_numbers(tensors) == list(range(12))
    for layer, found in enumerate(vectors_at(-1, "tokens.target", tensors, names="q")):
        np.testing.assert_array_equal(found["q"], np.full((2, 3), layer + 4))
    with pytest.raises(UserError, match="no tensor v"):
        tensors["v"]


def test_a_token_that_was_not_kept() -> None:
    write_tensors(Path("a"), {"attn_0_q": np.zeros((2, 2, 3))}, {"positions": [1, 4], "length": 5})
    said = "tokens.target: token 3 is not among those that capture.positions kept of 5: 1, 4"
    with pytest.raises(UserError, match=said):
        vectors_at(-2, "tokens.target", Tensors(Path("a")))


# Tables: what comes back


def test_a_tidy_table_comes_back_with_its_gaps_and_text_that_looks_like_a_number_or_nothing(capsys) -> None:
    cells = {"value": np.array([0.5, -0.0]), "low": np.array([0.1, 0.2]), "high": np.array([1.0, 2.0])}
    holes = {**cells, "value": np.array([np.nan, 1.0])}
    names = ["NA", "null", "nan", "1e5", "007", "None", "a, b", 'say "so"', "prompt"]
    written = {("b", "qk", "all"): cells, **{("b", "qv", name): cells for name in names}}
    written["rsa_corrected", "qk", "all"] = holes
    header, *rows = saved("sentences.csv", written, [3, 11])
    assert capsys.readouterr().out == f"sentences.csv: no rsa_corrected of qk in layers 3: {STATUS[UNDEFINED]}\n"
    assert header == "layer,sentence,measure,of,value,low,high,status"
    assert rows[:2] == ["3,all,b,qk,0.5,0.1,1.0,", "3,NA,b,qv,0.5,0.1,1.0,"]
    assert rows[len(names) + 1 : len(names) + 3] == [
        "3,all,rsa_corrected,qk,,0.1,1.0,undefined",
        "11,all,b,qk,0.0,0.2,2.0,",
    ]
    found = read_table(Path("sentences.csv"), [3, 11])
    assert list(found) == list(written)
    for key, columns in written.items():
        for column, values in columns.items():
            np.testing.assert_array_equal(found[key][column], values)


@pytest.mark.parametrize("layers", [None, [3, 11]])
def test_a_table_of_two_keys_comes_back_in_its_shape_and_with_the_models_own_numbers(layers) -> None:
    lines = saved("heads.csv", HEADS, layers)
    assert lines[0] == "layer,head,measure,of,value,status"
    numbers = layers or [0, 1]
    expected = [[str(layer), str(head)] for layer in numbers for head in range(3) for _ in HEADS]
    assert [row.split(",")[:2] for row in lines[1:]] == expected
    assert read_reason(Path("heads.csv")) == ""
    assert (lines[1], lines[-1]) == (f"{numbers[0]},0,d,q,0.0,", f"{numbers[1]},2,rsa,qk,5.0,")
    for names, cells in read_table(Path("heads.csv"), layers).items():
        np.testing.assert_array_equal(cells["value"], HEADS[names]["value"])
    for wrong in ([3], [3, 7], [3, 11, 19], *([None] if layers else [])):
        with pytest.raises(UserError, match="not a row for each layer and head, in order"):
            read_table(Path("heads.csv"), wrong)
    with pytest.raises(ValueError, match=r"must .*length"):
        saved("heads.csv", HEADS, [3])


def test_words_in_a_table_stay_words_though_all_look_like_numbers() -> None:
    words = np.array([["1e5", "007", "1.50"], ["7", "1", "0"]])
    saved("influence.csv", {("d", "q"): {"value": np.arange(6.0).reshape(2, 3), "word": words}})
    np.testing.assert_array_equal(read_table(Path("influence.csv"))["d", "q"]["word"], words)


def test_correlations_of_matrices_of_two_widths(capsys: pytest.CaptureFixture) -> None:
    """Of three widths, none is left: test_other_models."""
    content = {name: np.arange(2.0) for name in TABLES["correlation.csv"].columns if "q" not in name}
    write_table(Path("correlation.csv"), "correlation.csv", content, [3, 11], why=" (q 8, k 4, v 4)")
    assert set(read_table(Path("correlation.csv"), [3, 11])) == set(content)
    said = "correlation.csv: qk, qv are empty: the matrices differ in their number of units (q 8, k 4, v 4)\n"
    assert capsys.readouterr().out == said


def test_every_status_is_a_known_one() -> None:
    assert {status for table in TABLES.values() for status in table.empty.values()} | {OFF} == set(STATUS)


# Tables: what is refused

NUMBER, CODE = FloatingPointError, AssertionError


@pytest.mark.parametrize(
    ("name", "content", "error", "said"),
    [
        ("rsa.csv", {**RSA, "qv": np.array([1, np.nan, 2])}, NUMBER, "rsa.csv: not a finite number in qv;"),
        ("heads.csv", {**HEADS, ("d", "q"): {"value": np.full((2, 3), np.inf)}}, NUMBER, "not a finite .* of d q"),
        ("controls.csv", {("a", "q"): {"value": [np.nan], "low": [0], "high": [0]}}, NUMBER, "value of a q"),
        ("rsa.csv", {**RSA, "qk_rank": RSA["qk"]}, CODE, "qk_rank"),
        ("controls.csv", {("d_of_input", "x"): {"value": np.zeros(3)}}, CODE, "high, low"),
        ("inference.csv", {("cles", "q"): {"low": np.zeros(3)}}, CODE, "lacks: value"),
    ],
)
def test_what_must_not_stand_in_a_table_is_not_written(folder: Path, name, content, error, said) -> None:
    with pytest.raises(error, match=said):
        saved(name, content)
    assert not list(folder.iterdir())


def without(start: str) -> Callable[[str], str]:
    return lambda text: "".join(line for line in text.splitlines(keepends=True) if not line.startswith(start))


CONTROLS = {("b", of): dict.fromkeys(("value", "low", "high"), np.array([0.5, 0.6])) for of in ("qk", "qv")}


@pytest.mark.parametrize(
    ("name", "content", "change", "said"),
    [
        ("rsa.csv", RSA, lambda text: text.replace("-1.0,", ",", 1), "an empty cell"),
        ("rsa.csv", RSA, lambda text: text.replace("-1.0,", "x,", 1), "could not convert string to float"),
        ("rsa.csv", RSA, lambda text: text.splitlines()[0] + "\n", "no row"),
        ("rsa.csv", RSA, lambda text: text.replace("qv,", "vq,", 1), "no column qv"),
        ("heads.csv", HEADS, without("0,1,"), "not a row for each layer and head, in order"),
        ("heads.csv", HEADS, lambda text: text[:-2], "last line is not whole"),  # though its cells may be empty
        ("heads.csv", OFF, lambda text: text.replace("off", "asleep"), "not a table of this pipeline"),
        ("controls.csv", CONTROLS, without("1,b,qv"), "not a row for each layer"),
        ("controls.csv", CONTROLS, lambda text: text.replace("0.5,0.5,", ",0.5,", 1), "an empty cell"),
    ],
)
def test_a_table_that_is_not_whole_is_named(name: str, content, change: Callable, said: str) -> None:
    text = "\n".join([*saved(name, content), ""])
    Path(name).write_text(change(text), encoding="utf-8")
    with pytest.raises(UserError, match=said):
        read_table(Path(name))
