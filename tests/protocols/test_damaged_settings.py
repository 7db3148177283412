"""TOML files with other values, types, keys and bytes: each is read or refused in one line, whatever kind of file it
claims to be.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.campaign import input_of
from tests.fuzz.judging import READ, REFUSED, judge
from tests.fuzz.reader import Place
from tests.fuzz.settings_files import READERS, open_settings, settings_files

(READER,) = READERS


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return open_settings(tmp_path_factory.mktemp("prepared"), tmp_path_factory.mktemp("scratch"))


def test_the_valid_files_are_read(place: Place, tmp_path: Path) -> None:
    files = settings_files(tmp_path)
    assert len(files) == 7
    assert [judge(place(content)).outcome for content in files] == [READ] * len(files)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(min_value=100, max_value=10**6))
def test_a_changed_file_is_read_or_refused_in_one_line(place: Place, number: int) -> None:
    content = input_of(READER, settings_files(Path()), 0, number)
    verdict = judge(place(content))
    assert verdict.outcome in (READ, REFUSED), (verdict, content)
