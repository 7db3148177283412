"""CITATION.cff is valid and names the version of this code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

import emo_bench

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(name="citation")
def citation_fixture() -> dict[str, Any]:
    content = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert isinstance(content, dict)
    return content


def test_required_fields_are_there(citation: dict[str, Any]) -> None:
    """The four fields that version 1.2.0 of the format requires."""
    assert citation["cff-version"] == "1.2.0"
    assert citation["message"]
    assert citation["title"] == "emo-bench"
    assert citation["authors"] == [{"name": "The emo-bench authors"}]


def test_version_and_licence_are_those_of_the_code(citation: dict[str, Any]) -> None:
    for entry in (citation, citation["preferred-citation"]):
        assert entry["version"] == emo_bench.__version__
        assert entry["license"] == "Apache-2.0"


def test_the_paper_is_referenced(citation: dict[str, Any]) -> None:
    (paper,) = citation["references"]
    assert [identifier["value"] for identifier in paper["identifiers"]] == ["arXiv:2402.00827"]
    assert len(paper["authors"]) == 8
