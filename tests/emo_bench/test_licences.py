"""The ledger: every asset and dependency has a line, and non-commercial ones are marked."""

from __future__ import annotations

import re
from importlib.metadata import distribution, requires

import pytest

from emo_bench.assets import list_assets
from emo_bench.assets.licences import NON_COMMERCIAL, ledger, package_licence


def test_every_asset_and_dependency_has_a_line() -> None:
    lines = {(line.kind, line.name) for line in ledger()}
    assert {("weights", asset.name) for asset in list_assets()} <= lines
    for line in requires("emo-bench") or []:
        name = re.match(r"[A-Za-z0-9._-]+", line)
        assert name is not None
        if 'extra == "dev"' not in line:
            assert ("package", name[0].lower().replace("_", "-")) in lines


def test_every_installed_dependency_states_a_licence() -> None:
    silent = [line.name for line in ledger() if line.here and line.licence == "unknown"]
    assert not silent


@pytest.mark.parametrize(
    ("licence", "marked"),
    [
        ("PolyForm-Noncommercial-1.0.0", True),
        ("CC BY-NC-SA 4.0", True),
        ("non-commercial", True),
        ("Apache-2.0", False),
        ("BSD-2-Clause", False),
        ("MIT", False),
        ("CC0-1.0", False),
    ],
)
def test_non_commercial_licences_are_marked(licence: str, marked: bool) -> None:
    assert bool(NON_COMMERCIAL.search(licence)) is marked


def test_what_packages_say_is_read() -> None:
    assert "MIT" in package_licence(distribution("pytest"))
    assert "BSD" in package_licence(distribution("numpy"))
