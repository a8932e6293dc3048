"""The last digits, in which processors differ, decide nothing; another instruction set gives the same bytes."""

import json
import shutil
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
import processors
import pytest
from conftest import InProcess, Project
from torch.backends.cpu import get_cpu_capability

from stages.artefacts.files import Tensor

#: Stages that compute, after capture.
NUMERIC = ("sentences", "similarity", "correlation", "rsa", "separability", "inference", "nulls", "controls", "heads")
CAPTURED = ("activations", "sentences")
#: How much larger or smaller each captured number becomes: a thousand times as much as processors differ in float64.
NOISE = 1e-10


@pytest.mark.parametrize("name", ["embedded", "tiny_template"])
def test_noise_in_the_last_digits_moves_no_number_and_no_verdict(name, request, tmp_path, monkeypatch, capsys) -> None:
    """Of the embedded model's run, and of one of six words, where permutations tie."""
    template = request.getfixturevalue(name)
    shutil.copytree(template.root, tmp_path / "run", symlinks=True, ignore=shutil.ignore_patterns(".git", ".dvc"))
    run = InProcess(Project(tmp_path / "run"), monkeypatch, capsys)
    read, noisy = Tensor.__getitem__, []

    def with_noise(self: Tensor, places) -> np.ndarray:
        values = read(self, places)
        if self._path.stem not in CAPTURED or self._name.endswith("bias"):
            return values
        noisy.append(self._name)
        # The same as often as it is read.
        rng = np.random.default_rng(zlib.crc32(f"{self._path.name} {self._name} {places}".encode()))
        return values * (1 + NOISE * rng.standard_normal(values.shape))

    monkeypatch.setattr(Tensor, "__getitem__", with_noise)
    for stage in (*NUMERIC, "claims"):
        assert run.run(stage)[0] == 0, stage
    assert noisy
    for path in (template.root / "metrics").glob("*.csv"):
        there, here = pd.read_csv(path), pd.read_csv(tmp_path / "run/metrics" / path.name)
        exact = [column for column in there if there[column].dtype.kind not in "f" or column.startswith("p")]
        pd.testing.assert_frame_equal(there[exact], here[exact])
        pd.testing.assert_frame_equal(there, here, rtol=0, atol=1.5e-6, obj=path.name)
    there, here = (json.loads((root / "metrics/claims.json").read_text()) for root in (template.root, tmp_path / "run"))
    assert {name: claim["holds"] for name, claim in there.items()} == {name: here[name]["holds"] for name in here}


def test_an_old_processor_gives_the_same_bytes(embedded: Project, tmp_path: Path) -> None:
    """Everything but what is only drawn; `python tests/processors.py` runs all of it with three instruction sets."""
    made = shutil.ignore_patterns(".git", ".dvc", "plots", *(Path(path).name for path in embedded.outputs()))
    shutil.copytree(embedded.root, tmp_path / "run", symlinks=True, ignore=made)
    running = processors.start(tmp_path / "run", "SSE4.2", ("check", "capture", *NUMERIC))
    said, errors = running.communicate()
    assert running.returncode == 0, errors
    found, expected = (processors.outputs(root) for root in (tmp_path / "run", embedded.root))
    assert len(found) >= 14
    assert [path for path, content in found.items() if content != expected[path]] == []
    # Otherwise this would prove nothing. Elsewhere than on x86-64 there is nothing to leave out.
    assert said.splitlines()[-1] == "DEFAULT" or get_cpu_capability() not in ("AVX2", "AVX512")
