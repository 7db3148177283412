"""Where the studio looks for MakeHuman's assets, and how their files are read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from emo_bench.errors import UserError
from factory.studio import bake_rig, makehuman

MHCLO = """# a proxy of two vertices
x_scale 0 1 2.0
y_scale 0 2 2.0
z_scale 0 3 2.0
verts 0
2
1 2 3 0.2 0.3 0.5 0.1 0.2 0.3
delete_verts
4 - 6 9
"""
OBJ = "v 0 0 0\nvt 0 0\nvt 1 0\nvt 1 1\nvt 0 1\nf 1/1 1/2 2/3 2/4\n"


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    for name in ("EMO_BENCH_MAKEHUMAN", "EMO_BENCH_ASSETS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(makehuman, "__file__", str(tmp_path / "a" / "b" / "c" / "d" / "makehuman.py"))
    return tmp_path


def test_without_assets_one_line_says_what_to_do(nowhere: Path) -> None:
    with pytest.raises(UserError, match="EMO_BENCH_MAKEHUMAN") as error:
        makehuman.makehuman_folder()
    assert "\n" not in str(error.value)


def test_asset_folders_are_searched_and_the_named_folder_comes_first(
    nowhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("extra/makehuman", "named"):
        (nowhere / name / "skins").mkdir(parents=True)
    monkeypatch.setenv("EMO_BENCH_ASSETS", str(nowhere / "extra"))
    assert makehuman.makehuman_folder() == nowhere / "extra" / "makehuman"
    monkeypatch.setenv("EMO_BENCH_MAKEHUMAN", str(nowhere / "named"))
    assert makehuman.makehuman_folder() == nowhere / "named"


def test_a_proxy_is_placed_by_the_formula_of_its_file_format(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (nowhere / "skins").mkdir()
    (nowhere / "cap.mhclo").write_text(MHCLO)
    (nowhere / "cap.obj").write_text(OBJ)
    monkeypatch.setenv("EMO_BENCH_MAKEHUMAN", str(nowhere))
    proxy = makehuman.load_proxy.__wrapped__("cap")
    body = np.array([[0, 0, 0], [4, 0, 0], [0, 6, 0], [0, 0, 8]], dtype=np.float64)
    placed = proxy.fit(body)
    np.testing.assert_allclose(placed[0], body[2])
    # Offsets grow with the distance of each axis' two reference vertices; y and z point the other way here.
    weighted = 0.2 * body[1] + 0.3 * body[2] + 0.5 * body[3]
    np.testing.assert_allclose(placed[1], weighted + np.array((0.2, -0.6, -1.2)), rtol=1e-6)
    np.testing.assert_array_equal(proxy.hidden, [4, 5, 6, 9])
    np.testing.assert_array_equal(proxy.faces, [[0, 0, 1], [0, 1, 1]])


def test_asking_for_help_bakes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        bake_rig.main(["--help"])
    assert ended.value.code == 0 and list(tmp_path.iterdir()) == []
