"""Artefacts: what is written comes back, the same bytes each time, and a damaged file is named."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file
from tensor_files import write_tensors

from stages.artefacts.activations import layer_numbers, vectors_at
from stages.artefacts.empty import empty_cells
from stages.artefacts.files import read_json, write_json
from stages.artefacts.results import Results
from stages.artefacts.schema import NOT_APPLICABLE, OFF, STATUS, TABLES, UNDEFINED
from stages.artefacts.tables import read_reason, read_table, write_table
from stages.artefacts.tensors import TensorWriter, open_tensors, read_record
from stages.pipeline.errors import UserError

RSA = {column: np.linspace(-1, 1, 3) for column in TABLES["rsa.csv"].columns}
HEADS = {column: np.arange(6.0).reshape(2, 3) for column in TABLES["heads.csv"].flat}


def test_a_table_comes_back_rounded(tmp_path: Path) -> None:
    columns = {**RSA, "qk": np.array([0.12345678, -1e-9, 1.0])}
    write_table(tmp_path / "rsa.csv", "rsa.csv", columns)
    text = (tmp_path / "rsa.csv").read_bytes().decode()
    assert text.splitlines()[0] == "layer,qk,qv,kv,qk_within,qv_within,kv_within,qk_across,qv_across,kv_across"
    assert text.splitlines()[1].startswith("0,0.123457,")
    assert "-0.0," not in text
    assert "\r" not in text
    np.testing.assert_array_equal(read_table(tmp_path / "rsa.csv")["qk"], [0.123457, 0, 1])


def test_a_number_that_is_not_finite_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(FloatingPointError, match=r"rsa.csv: not a finite number in qv"):
        write_table(tmp_path / "rsa.csv", "rsa.csv", {**RSA, "qv": np.array([1, np.nan, 2])})
    with pytest.raises(FloatingPointError, match="summary"):
        write_json(tmp_path / "summary.json", {"a": float("inf")})
    assert not list(tmp_path.iterdir())


def test_json_is_rounded_and_takes_numpy(tmp_path: Path) -> None:
    content = {"b": np.float64(0.12345678), "a": [np.int64(3), -0.0], "c": {"d": None, "é": True}}
    write_json(tmp_path / "x.json", content)
    assert read_json(tmp_path / "x.json") == {"b": 0.123457, "a": [3, 0.0], "c": {"d": None, "é": True}}
    assert "-0.0" not in (tmp_path / "x.json").read_text(encoding="utf-8")


def write_rows(path: Path, tensors: dict, record: dict, dtype: type = np.float32) -> None:
    with TensorWriter(path, {name: values.shape for name, values in tensors.items()}, record, dtype) as file:
        for name, values in tensors.items():
            for row in range(len(values)):
                file.write(name, row, values[row : row + 1])


def test_tensors_come_back_and_have_the_same_bytes_each_time(tmp_path: Path) -> None:
    tensors = {name: np.random.default_rng(0).normal(size=(2, 3)) for name in "qkvx"}
    for path in (tmp_path / "a", tmp_path / "b"):
        write_rows(path, tensors, {"words": ["b", "é"], "metric": "cosine"})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    np.testing.assert_array_equal(load_file(tmp_path / "a")["k"], tensors["k"].astype(np.float32))
    assert read_record(tmp_path / "a") == {"words": ["b", "é"], "metric": "cosine"}


def activations(path: Path) -> Path:
    tensors = {f"attn_{i}_q": np.full((2, 5, 3), i) + np.arange(5)[:, None] for i in range(12)}
    record = {"positions": list(range(5)), "length": 5}
    write_tensors(path, {**tensors, "attn_0_q_bias": np.zeros(3)}, record)
    return path


def test_vectors_of_every_layer(tmp_path: Path) -> None:
    with open_tensors(activations(tmp_path / "a")) as tensors:
        assert layer_numbers(tensors) == list(range(12))
        for layer in range(12):
            vectors = vectors_at(-1, "tokens.target", tensors, names="q").read(layer)["q"]
            np.testing.assert_array_equal(vectors, np.full((2, 3), layer + 4))


@pytest.mark.parametrize("token", [1, 4, -1, -4])
def test_vectors_of_a_token_that_was_kept(tmp_path: Path, token: int) -> None:
    """Of a prompt of five tokens, the second and the last: both ways of counting find their vectors."""
    with open_tensors(activations(tmp_path / "all")) as tensors:
        expected = vectors_at(token, "tokens.target", tensors, names="q").read(0)["q"]
        kept = {name: tensors[name][:][:, [1, 4]] for name in tensors.names if not name.endswith("bias")}
    write_tensors(tmp_path / "kept", kept, {"positions": [1, 4], "length": 5})
    with open_tensors(tmp_path / "kept") as tensors:
        np.testing.assert_array_equal(vectors_at(token, "tokens.target", tensors, names="q").read(0)["q"], expected)


def test_a_token_that_was_not_kept(tmp_path: Path) -> None:
    write_tensors(tmp_path / "a", {"attn_0_q": np.zeros((2, 2, 3))}, {"positions": [1, 4], "length": 5})
    expected = "tokens.target: token 3 is not among those that capture.positions kept of 5: 1, 4"
    with open_tensors(tmp_path / "a") as tensors, pytest.raises(UserError, match=expected):
        vectors_at(-2, "tokens.target", tensors)


@pytest.mark.parametrize("token", [5, -6])
def test_a_token_outside_the_prompt(tmp_path: Path, token: int) -> None:
    with (
        open_tensors(activations(tmp_path / "a")) as tensors,
        pytest.raises(UserError, match=f"tokens.target: {token} is outside the prompt of 5 tokens: -5 to 4"),
    ):
        vectors_at(token, "tokens.target", tensors, names="q").read(0)["q"]


@pytest.mark.parametrize("read", [read_record, read_table, read_json])
@pytest.mark.parametrize("content", [None, b"", b"\x00\xff cut", b"layer,qk\n0,x\n", b"[1, 2"])
def test_a_damaged_file_is_named(tmp_path: Path, read, content: bytes | None) -> None:
    path = tmp_path / "rsa.csv"
    if content is not None:
        path.write_bytes(content)
    expected = "is not there" if content is None else "is cut short or not a"
    with pytest.raises(UserError, match=expected) as error:
        read(path)
    assert "rsa.csv" in str(error.value)
    assert len(str(error.value).splitlines()) <= 2


def test_a_file_cut_short_is_named(tmp_path: Path) -> None:
    path = activations(tmp_path / "a.safetensors")
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(UserError, match="cut short"), open_tensors(path):
        pass


def test_a_table_with_an_empty_cell_is_named(tmp_path: Path) -> None:
    write_table(tmp_path / "rsa.csv", "rsa.csv", RSA)
    text = (tmp_path / "rsa.csv").read_text(encoding="utf-8").replace("-1.0,", ",", 1)
    (tmp_path / "rsa.csv").write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match="an empty cell"):
        read_table(tmp_path / "rsa.csv")
    (tmp_path / "spectra.csv").write_text("layer,measure,of,value,status\n0,overlap,qk,,undefined\n", encoding="utf-8")
    with pytest.raises(UserError, match="an empty cell"):
        read_table(tmp_path / "spectra.csv")


def test_a_table_of_two_keys_comes_back_in_its_shape(tmp_path: Path) -> None:
    write_table(tmp_path / "heads.csv", "heads.csv", HEADS)
    lines = (tmp_path / "heads.csv").read_text(encoding="utf-8").splitlines()
    assert lines[0] == "layer,head,measure,of,value,status"
    assert lines[1] == "0,0,d,q,0.0,"
    assert lines[-1] == "1,2,rsa,kv,5.0,"
    for column, values in read_table(tmp_path / "heads.csv").items():
        np.testing.assert_array_equal(values, HEADS[column])


def test_columns_that_are_empty_as_a_whole_are_left_out(tmp_path: Path) -> None:
    without = {name: np.arange(3.0) for name in TABLES["correlation.csv"].columns if "q" not in name}
    write_table(tmp_path / "correlation.csv", "correlation.csv", without)
    assert set(read_table(tmp_path / "correlation.csv")) == set(without)


def test_a_table_may_have_gaps_only_where_it_says_so(tmp_path: Path) -> None:
    gap = {name: values.copy() for name, values in HEADS.items()}
    gap["q"][1, 1] = np.nan
    write_table(tmp_path / "heads.csv", "heads.csv", gap)
    np.testing.assert_array_equal(read_table(tmp_path / "heads.csv")["q"], gap["q"])
    assert "\n1,1,d,q,,undefined\n" in (tmp_path / "heads.csv").read_text(encoding="utf-8")
    gap["q"][1, 1] = np.inf
    with pytest.raises(FloatingPointError, match=r"heads\.csv: not a finite number in value of d q"):
        write_table(tmp_path / "heads.csv", "heads.csv", gap)
    with pytest.raises(FloatingPointError, match="not a finite number in qk"):
        write_table(tmp_path / "rsa.csv", "rsa.csv", {**RSA, "qk": np.full_like(RSA["qk"], np.nan)})


@pytest.mark.parametrize("lost", ["0,1,", "1,2,", "0,"])
def test_a_table_that_lacks_a_row_is_named(tmp_path: Path, lost: str) -> None:
    write_table(tmp_path / "heads.csv", "heads.csv", HEADS)
    lines = (tmp_path / "heads.csv").read_text(encoding="utf-8").splitlines(keepends=True)
    (tmp_path / "heads.csv").write_text("".join(x for x in lines if not x.startswith(lost)), encoding="utf-8")
    with pytest.raises(UserError, match="not a row for each layer and head, in order"):
        read_table(tmp_path / "heads.csv")


def test_a_table_cut_in_its_last_line_is_named_though_its_cells_may_be_empty(tmp_path: Path) -> None:
    write_table(tmp_path / "heads.csv", "heads.csv", HEADS)
    text = (tmp_path / "heads.csv").read_text(encoding="utf-8")
    (tmp_path / "heads.csv").write_text(text[:-2], encoding="utf-8")
    with pytest.raises(UserError, match="last line is not whole"):
        read_table(tmp_path / "heads.csv")


@pytest.mark.parametrize("name", [name for name, table in TABLES.items() if table.switch])
def test_a_stage_that_had_nothing_to_do_leaves_a_row_that_says_why(tmp_path: Path, name: str) -> None:
    path, table = tmp_path / name, TABLES[name]
    assert table.reasons[OFF] == f"{table.switch} is false"
    assert (NOT_APPLICABLE in table.reasons) == (table.switch == "nulls.enabled")
    for status, reason in table.reasons.items():
        write_table(path, name, status)
        columns = [*table.keys, *table.columns]
        assert path.read_text(encoding="utf-8") == ",".join([*columns, "status\n"]) + "," * len(columns) + f"{status}\n"
        assert read_table(path) == read_table(path, [3, 11]) == {}
        assert read_reason(path) == reason
        results = Results(lambda _: path, record={})
        assert (getattr(results, path.stem), results.reasons[path.stem]) == ({}, reason)


def test_a_table_with_rows_has_no_reason_to_be_empty(tmp_path: Path) -> None:
    write_table(tmp_path / "heads.csv", "heads.csv", HEADS)
    assert read_reason(tmp_path / "heads.csv") == ""


@pytest.mark.parametrize("status", ["", "asleep"])
def test_a_row_of_no_known_status_is_no_table(tmp_path: Path, status: str) -> None:
    (tmp_path / "heads.csv").write_text(f"layer,head,measure,of,value,status\n,,,,,{status}\n", encoding="utf-8")
    with pytest.raises(UserError, match="not a table of this pipeline"):
        read_table(tmp_path / "heads.csv")


def test_every_status_is_a_known_one() -> None:
    assert {status for table in TABLES.values() for status in table.empty.values()} | {OFF} == set(STATUS)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("rsa.csv", {**RSA, "qk_rank": RSA["qk"]}),
        ("correlation.csv", {"qk_rank": np.zeros(3)}),
        ("heads.csv", {**HEADS, "x": HEADS["q"]}),
        ("controls.csv", {("sd_within", "q"): dict.fromkeys(("value", "low", "high", "p"), np.zeros(3))}),
        ("rsa.csv", {"qk": RSA["qk"]}),
        ("controls.csv", {("d_of_input", "x"): {"value": np.zeros(3)}}),
        ("nulls.csv", {("rsa", "qk", "spectrum"): {"value": np.zeros(3)}}),
        ("inference.csv", {("cles", "q"): {"low": np.zeros(3)}}),
    ],
)
def test_a_column_that_is_not_declared_or_lacks_is_an_error_of_the_code(tmp_path: Path, name: str, content) -> None:
    with pytest.raises(AssertionError, match="columns that the table"):
        write_table(tmp_path / name, name, content)
    assert not list(tmp_path.iterdir())


def test_text_that_looks_like_a_number_or_nothing_stays_text(tmp_path: Path) -> None:
    names = ["NA", "null", "nan", "1e5", "007", "None", "a, b", 'say "so"', "prompt"]
    content = {("rsa", "qk", name): {"value": np.arange(2.0)} for name in names}
    write_table(tmp_path / "sentences.csv", "sentences.csv", content)
    assert [sentence for *_, sentence in read_table(tmp_path / "sentences.csv")] == names


def test_matrices_of_three_widths_leave_a_table_without_a_number(tmp_path: Path) -> None:
    write_table(tmp_path / "correlation.csv", "correlation.csv", {}, [3, 11])
    lines = (tmp_path / "correlation.csv").read_text(encoding="utf-8").splitlines()
    assert lines[1:] == ["3,,,,,,", "11,,,,,,"]
    assert read_table(tmp_path / "correlation.csv", [3, 11]) == {}
    assert empty_cells("correlation.csv", {}, [3, 11]) == [
        "correlation.csv: qk, qv, kv are empty: the matrices differ in their number of units"
    ]


def test_the_table_of_a_stage_that_cannot_be_switched_off_has_rows(tmp_path: Path) -> None:
    with pytest.raises(AssertionError):
        write_table(tmp_path / "rsa.csv", "rsa.csv", {})
    (tmp_path / "rsa.csv").write_text(",".join(["layer", *RSA]) + "\n", encoding="utf-8")
    with pytest.raises(UserError, match="no row"):
        read_table(tmp_path / "rsa.csv")


def test_a_tensor_that_is_not_there_is_named(tmp_path: Path) -> None:
    with open_tensors(activations(tmp_path / "a")) as tensors, pytest.raises(UserError, match="no tensor v"):
        tensors["v"]


def test_records_are_sorted_json_in_one_key(tmp_path: Path) -> None:
    write_rows(tmp_path / "a", {"q": np.zeros(2)}, {"b": 1, "a": 2})
    header = (tmp_path / "a").read_bytes()
    size = int.from_bytes(header[:8], "little")
    assert json.loads(header[8 : 8 + size])["__metadata__"] == {"record": '{"a": 2, "b": 1}'}


def test_a_file_written_piece_by_piece_reads_as_one(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(5, 2, 3)).astype(np.float32)
    with TensorWriter(tmp_path / "a", {"b": (5, 2, 3), "a": (4,)}) as file:
        file.write("b", 3, values[3:])
        file.write("b", 0, values[:3])
        file.write("a", 1, np.array([1.0, 2.0]))
        with pytest.raises(ValueError, match="do not fit b"):
            file.write("b", 4, values[:2])
        with pytest.raises(ValueError, match="do not fit b"):
            file.write("b", 0, values[:, :1])
    found = load_file(tmp_path / "a")
    np.testing.assert_array_equal(found["b"], values)
    np.testing.assert_array_equal(found["a"], [0, 1, 2, 0])


def test_written_piece_by_piece_or_at_once_a_file_holds_the_same(tmp_path: Path) -> None:
    values, record = np.random.default_rng(0).normal(size=(5, 3)), {"words": ["naïve", "moon"], "metric": "cosine"}
    write_tensors(tmp_path / "whole", {"q": values}, record, np.float64)
    write_rows(tmp_path / "pieces", {"q": values}, record, np.float64)
    for name in ("whole", "pieces"):
        np.testing.assert_array_equal(load_file(tmp_path / name)["q"], values)
        assert read_record(tmp_path / name) == record


# Long tables


def test_long_tables_come_back_as_they_were_written(tmp_path: Path) -> None:
    cells = {"value": np.array([0.5, -0.0]), "low": np.array([0.1, 0.2]), "high": np.array([1.0, 2.0])}
    holes = {**cells, "value": np.array([np.nan, 1.0])}
    written = {("b", "qk", "all"): cells, ("b", "qv", "NA"): cells, ("rsa_corrected", "qk", "all"): holes}
    write_table(tmp_path / "sentences.csv", "sentences.csv", written)
    text = (tmp_path / "sentences.csv").read_bytes().decode()
    header, *rows = text.splitlines()
    assert header == "layer,sentence,measure,of,value,low,high,status"
    assert rows[:3] == [
        "0,all,b,qk,0.5,0.1,1.0,",
        "0,NA,b,qv,0.5,0.1,1.0,",
        "0,all,rsa_corrected,qk,,0.1,1.0,undefined",
    ]
    assert "-0" not in text
    found = read_table(tmp_path / "sentences.csv")
    assert list(found) == list(written)
    np.testing.assert_array_equal(found["b", "qv", "NA"]["low"], cells["low"])
    np.testing.assert_array_equal(found["rsa_corrected", "qk", "all"]["value"], holes["value"])


def test_columns_that_some_measures_have_are_empty_for_the_others(tmp_path: Path) -> None:
    value = {"value": np.array([0.5, 0.6])}
    tested = {("rsa", "qk"): dict.fromkeys(("value", "low", "high", "p", "p_familywise"), value["value"])}
    write_table(tmp_path / "inference.csv", "inference.csv", tested | {("cles", "q"): value})
    found = read_table(tmp_path / "inference.csv")
    assert list(found["rsa", "qk"]) == ["value", "low", "high", "p", "p_familywise"]
    assert list(found["cles", "q"]) == ["value"]
    lines = (tmp_path / "inference.csv").read_text(encoding="utf-8").splitlines()
    assert lines[1:3] == ["0,rsa,qk,0.5,0.5,0.5,0.5,0.5,", "0,cles,q,0.5,,,,,not applicable"]
    assert empty_cells("inference.csv", found, range(2)) == []  # it is so in every run


@pytest.mark.parametrize("lost", ["1,b,qv", "0,b,qk"])
def test_a_long_table_that_lacks_a_row_is_named(tmp_path: Path, lost: str) -> None:
    cells = dict.fromkeys(("value", "low", "high"), np.array([0.5, 0.6]))
    path = tmp_path / "controls.csv"
    write_table(path, "controls.csv", {("b", "qk"): cells, ("b", "qv"): cells})
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text("".join(line for line in lines if not line.startswith(lost)), encoding="utf-8")
    with pytest.raises(UserError, match="not a row for each layer"):
        read_table(path)


def test_layers_without_a_score_are_named_in_short() -> None:
    def gap(*layers: int) -> dict:
        return {"value": np.where(np.isin(np.arange(9), layers), np.nan, 0.5)}

    which = "rsa_corrected"
    table = {(which, "qk", "all"): gap(0, 1, 2, 5, 7, 8), (which, "qv", "all"): gap(), ("d", "q", "all"): gap()}
    why = STATUS[UNDEFINED]
    said = f"sentences.csv: no {which} of qk in layers 0 to 2, 5, 7, 8: {why}"
    assert empty_cells("sentences.csv", table, range(9)) == [said]
    said = f"sentences.csv: no {which} of qk in layers 3 to 5, 17, 27, 31: {why}"
    assert empty_cells("sentences.csv", table, [3, 4, 5, 7, 11, 17, 19, 27, 31]) == [said]


def test_a_hybrids_rows_have_the_models_own_numbers(tmp_path: Path) -> None:
    path, layers = tmp_path / "heads.csv", [3, 11]
    write_table(path, "heads.csv", HEADS, layers)
    rows = path.read_text(encoding="utf-8").splitlines()[1:]
    expected = [[str(layer), str(head)] for layer in layers for head in range(3) for _ in HEADS]
    assert [row.split(",")[:2] for row in rows] == expected
    for column, values in read_table(path, layers).items():
        np.testing.assert_allclose(values, HEADS[column], atol=1e-6)
    for wrong in (None, [3], [3, 7], [3, 11, 19]):
        with pytest.raises(UserError, match="not a row for each layer and head, in order"):
            read_table(path, wrong)
    with pytest.raises(ValueError, match=r"must .*length"):
        write_table(path, "heads.csv", HEADS, [3])


def test_a_hole_that_is_not_allowed_is_an_error(tmp_path: Path) -> None:
    holes = {("a", "q"): {"value": np.array([np.nan]), "low": np.zeros(1), "high": np.zeros(1)}}
    with pytest.raises(FloatingPointError, match="not a finite number in value of a q"):
        write_table(tmp_path / "controls.csv", "controls.csv", holes)
    assert not (tmp_path / "controls.csv").exists()
