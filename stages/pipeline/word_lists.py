"""Lists of words: what can be analysed, and CSV files (the user's `words_file`, the list that `check` hands on)."""

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from stages.pipeline.errors import UserError, some_of

COLUMNS = ("word", "category")
#: Tabs, line breaks and the like: a table or a log could not hold them.
NO_TEXT = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def check_words(
    words: Mapping[str, Sequence[str]], source: str = "words", lines: Mapping[str, Sequence[int]] | None = None
) -> None:
    """Check that a list of words can be analysed.

    Parameters
    ----------
    words : mapping of str to sequence of str
        Category → its words.
    source : str
        Where they are listed, for messages: the key of params.yaml, or a file.
    lines : mapping of str to sequence of int, optional
        Word → the lines of the file that hold it, for messages.

    Raises
    ------
    ValueError
        If there are fewer than two categories, fewer than two words in one, fewer than three pairs of words within or
        across categories, or a word is listed twice.
    """
    if len(words) < 2:
        raise ValueError(f"{source}: {len(words)} category, at least two are compared: add words of another")
    first: dict[str, str] = {}
    for word, category in zip(*flatten(words), strict=True):
        if word in first:
            where = f"twice in {category}" if first[word] == category else f"in {first[word]} and in {category}"
            where += f" (lines {' and '.join(map(str, lines[word]))})" if lines else ""
            raise ValueError(f"{source}: {word!r} is listed {where}: each word counts once")
        first[word] = category
    for category, listed in words.items():
        if len(listed) < 2:
            found = "is empty" if not listed else "has a single word"
            raise ValueError(f"{source}: the category {category} {found}, a pair within it needs at least two")
    within = sum(len(listed) * (len(listed) - 1) // 2 for listed in words.values())
    for name, pairs in {"within": within, "across": len(first) * (len(first) - 1) // 2 - within}.items():
        if pairs < 3:
            raise ValueError(f"{source}: {pairs} word pairs {name} categories, a correlation needs three: add words")


def flatten(words: Mapping[str, Sequence[str]]) -> tuple[list[str], list[str]]:
    """List all words in order, and the category of each.

    Parameters
    ----------
    words : mapping of str to sequence of str
        Category → its words.

    Returns
    -------
    words, categories : list of str
        Both of the same length: one entry a word.
    """
    pairs = [(word, category) for category, listed in words.items() for word in listed]
    return [word for word, _ in pairs], [category for _, category in pairs]


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
            elif NO_TEXT.search(cell):
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
    """Yield each row that is not blank, cells stripped, with the line that it ends on."""
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
