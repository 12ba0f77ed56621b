"""The matrix in our documentation has each library with the version of the lock files and what must arrive of it."""

from __future__ import annotations

from tests.sdk.libraries import libraries
from tests.sdk.matrix import codes_of
from tests.support.documents import page


def test_documented_matrix_has_every_library_with_version_and_numbers() -> None:
    documented = [tuple(row[:6]) for row in page("docs/http.md").rows("What arrives")]

    assert documented == [
        (
            library.name,
            library.version,
            *map(str, (library.expected.sent, library.expected.rows, library.expected.persons)),
            codes_of(library.expected.rejected),
        )
        for library in libraries()
    ]
