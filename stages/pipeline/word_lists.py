"""Lists of words: CSV files, the user's `words_file` and the list that `check` hands on."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from stages.pipeline import messages, mistakes
from stages.pipeline.errors import UserError, some_of

COLUMNS = ("word", "category")


def flatten(words: Mapping[str, Sequence[str]]) -> tuple[list[str], list[str]]:
    """Return all words (category → its words) in order, and the category of each: one entry a word."""
    pairs = [(word, category) for category, listed in words.items() for word in listed]
    return [word for word, _ in pairs], [category for _, category in pairs]


def read_words(path: Path) -> dict[str, list[str]]:
    """Read and check a list of words: category → its words, both in the order in which they first appear.

    The CSV file is UTF-8 with or without a byte order mark, lines ended as on any system. Its first line names the
    columns: ``word`` and ``category``, in any order; others are left alone. A category's rows may be far apart. Spaces
    around a cell do not count, nor do empty lines. All else is text as it stands: NA, null and true are words.

    A `UserError` that names the lines if the file is no such list, or its words cannot be analysed.
    """
    (first, header), *rows = read_rows(path) or [(1, [])]
    if not header:
        raise UserError(messages.EMPTY_LIST.format(path, ",".join(COLUMNS)))
    if mistake := mistakes.in_header(header, COLUMNS):
        raise UserError(f"{path}, line {first}: {mistake}")
    words: dict[str, list[str]] = {}
    lines: dict[str, list[int]] = {}
    found = []
    for line, row in rows:
        cells = dict(zip(header, row, strict=False))
        if wrong := mistakes.in_row({name: cells.get(name, "") for name in COLUMNS}, len(row), len(header)):
            found += [f"line {line}: {mistake}" for mistake in wrong]
            continue
        words.setdefault(cells["category"], []).append(cells["word"])
        lines.setdefault(mistakes.as_seen(cells["word"]), []).append(line)
    if found:
        raise UserError(f"{path}, {some_of(found, 5)}")
    try:
        mistakes.in_word_list(words, str(path), lines)
    except ValueError as error:
        raise UserError(str(error)) from None
    return words


def write_words(path: Path, words: Mapping[str, Sequence[str]]) -> None:
    """Write a list of words (category → its words) as `read_words` reads it."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows((word, category) for category, listed in words.items() for word in listed)


def read_rows(path: Path) -> list[tuple[int, list[str]]]:
    """Return each row of a CSV file that is not blank, cells stripped, with the line that it ends on."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise mistakes.of_file(path, error) from None
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        return [(reader.line_num, [cell.strip() for cell in row]) for row in reader if row]
    except csv.Error as error:
        raise mistakes.of_file(path, error, reader.line_num) from None
