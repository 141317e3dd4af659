"""No case of the table is without a test."""

from __future__ import annotations

from collections import Counter

from tests.edge import (
    test_cases_accounts,
    test_cases_credentials,
    test_cases_download,
    test_cases_framing,
    test_cases_names,
    test_cases_upload,
)

CASES = [
    *test_cases_framing.CASES,
    *test_cases_upload.CASES,
    *test_cases_names.CASES,
    *test_cases_download.CASES,
    *test_cases_credentials.CASES,
    *test_cases_accounts.CASES,
]
NEEDS_A_SCANNER = {42}


def test_every_number_has_its_cases() -> None:
    """A rule of the table would be kept by nobody."""
    assert {case.number for case in CASES} == {*range(1, 82), 110} - NEEDS_A_SCANNER


def test_every_case_has_a_name_of_its_own() -> None:
    """A failure could not be told from another."""
    assert [name for name, times in Counter(map(str, CASES)).items() if times > 1] == []
