"""Files of tensors for tests: written at once, by safetensors itself."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file


def write_tensors(path: Path, tensors: Mapping, record: Mapping | None = None, dtype: type = np.float32) -> None:
    arrays = {name: np.ascontiguousarray(array, dtype=dtype) for name, array in tensors.items()}
    save_file(arrays, path, None if record is None else {"record": json.dumps(record, sort_keys=True)})
