"""Lists of words as CSV files: the user's own (`words_file`), and the one that `check` hands on."""

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from stages.pipeline.errors import UserError, some_of
from stages.pipeline.settings import check_words

COLUMNS = ("word", "category")


def read_words(path: Path) -> dict[str, list[str]]:
    """Read and check a list of words.

    The first line names the columns: ``word`` and ``category``, in any order; others are left alone. Spaces around a
    cell do not count, nor do empty lines. All else is text as it stands: NA, null and true are words.

    Parameters
    ----------
    path : Path
        A CSV file: UTF-8 with or without a byte order mark, lines ended as on any system.

    Returns
    -------
    dict of str to list of str
        Category → its words, both in the order in which they first appear; a category's rows may be far apart.

    Raises
    ------
    UserError
        If the file is no such list, or its words fail `check_words`; the message names the lines.
    """
    rows = _rows(path)
    line, header = next(rows, (1, []))
    places = _columns(path, line, header)
    words: dict[str, list[str]] = {}
    lines: dict[str, list[int]] = {}
    mistakes = []
    for line, row in rows:
        if len(row) != len(header):
            hint = "; text with a comma in it goes in quotes" if len(row) > len(header) else ""
            mistakes.append(f"line {line}: {len(row)} cells, the first line names {len(header)} columns{hint}")
            continue
        word, category = (row[place] for place in places)
        for name, cell in zip(COLUMNS, (word, category), strict=True):
            if not cell:
                mistakes.append(f"line {line}: the {name} is empty")
            elif re.search(r"[\x00-\x1f\x7f-\x9f]", cell):
                mistakes.append(f"line {line}: the {name} {cell!r} holds a character that is no text")
        words.setdefault(category, []).append(word)
        lines.setdefault(word, []).append(line)
    if mistakes:
        raise UserError(f"{path}, {some_of(mistakes, 5)}")
    try:
        check_words(words, str(path), lines)
    except ValueError as error:
        raise UserError(str(error)) from None
    return words


def write_words(path: Path, words: Mapping[str, Sequence[str]]) -> None:
    """Write a list of words (category → its words) as `read_words` reads it."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows((word, category) for category, listed in words.items() for word in listed)


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Give each row that is not blank, cells stripped, with the line that it ends on."""
    try:
        content = path.read_bytes()
        text = content.decode("utf-8-sig")
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UserError(f"{path}, line {line}: not UTF-8 text: save it as CSV in that encoding") from None
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        for row in reader:
            if row:
                yield reader.line_num, [cell.strip() for cell in row]
    except csv.Error as error:
        raise UserError(f"{path}, line {reader.line_num}: not valid CSV: {error}") from None


def _columns(path: Path, line: int, header: list[str]) -> list[int]:
    """Find the two columns in the first line."""
    if not header:
        raise UserError(f"{path} is empty: its first line must be {','.join(COLUMNS)}")
    for name in COLUMNS:
        if header.count(name) != 1:
            found = f"two columns {name}" if name in header else f"no column {name}"
            other = re.search(r"[;\t|]", header[0]) if len(header) == 1 else None
            why = f"cells are separated by {other.group()!r} instead of a comma" if other else f"found {header}"
            raise UserError(f"{path}, line {line}: {found}: the first line must be {','.join(COLUMNS)}; {why}")
    return [header.index(name) for name in COLUMNS]
