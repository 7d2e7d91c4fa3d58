"""Files of a book, written for one test."""

from pathlib import Path

import pytest

from rate_book.errors import BookInvalidError
from rate_book.form import load_book


def written(folder: Path, **files: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / f"{name}.yaml").write_text(text)
    return folder


def refused(tmp_path: Path, text: str) -> BookInvalidError:
    with pytest.raises(BookInvalidError) as caught:
        load_book([written(tmp_path, book=text)])
    assert "book.yaml" in caught.value.where
    return caught.value
