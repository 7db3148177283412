"""A server without libGL, libEGL and libGLES: what needs no landmarks works, the rest says what to install in one
line.
"""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from emo_bench.actors.capture import block_means, resize_area
from emo_bench.errors import UserError
from emo_bench.metrics import Scorer, score, structural
from emo_bench.plug_ins.calls import plug_in_call
from emo_bench.system import opencv
from emo_bench.system.endings import exit_code
from emo_bench.system.libraries import PACKAGES, missing_library
from emo_bench.tracking import landmarks

ROOT = Path(__file__).resolve().parents[2]
NO_GL = "libGL.so.1: cannot open shared object file: No such file or directory"
NO_EGL = NO_GL.replace("GL", "EGL", 1)
INSTALL = f"apt-get install {' '.join(PACKAGES)}"
# Runs commands one after the other in one process; prints code, stdout and stderr of each.
MANY = """
import contextlib, io, json, sys
from emo_bench.cli import main
told = []
for words in json.loads(sys.argv[1]):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try: main(words)
        except SystemExit as ended: code = ended.code
    told.append((code, out.getvalue(), err.getvalue()))
print("\\n" + json.dumps(told))
"""


@pytest.fixture
def bare_environment(tmp_path: Path, actor_home: Path) -> dict[str, str]:
    """Here `import cv2` fails as it does without libGL, and with it `import mediapipe`."""
    stand_in = tmp_path / "stand-in"
    (stand_in / "cv2").mkdir(parents=True)
    (stand_in / "cv2" / "__init__.py").write_text(f"raise ImportError({NO_GL!r}, name='cv2')\n")
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(stand_in), str(ROOT)]),
        "EMO_BENCH_HOME": str(actor_home),
        "EMO_BENCH_OFFLINE": "1",
    }


def told(commands: list[list[str]], environment: dict[str, str]) -> list[tuple[int, str, str]]:
    done = subprocess.run(
        [sys.executable, "-c", MANY, json.dumps(commands)], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return [tuple(one) for one in json.loads(done.stdout.splitlines()[-1])]


def test_commands_without_landmarks_work_and_the_others_say_what_to_install(
    bare_environment: dict[str, str], protocol_file: str, actor_home: Path, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for i in range(2):
            picture = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
            Image.fromarray(picture).save(tmp_path / name / f"{i}.png")
    scored = ["score", str(tmp_path / "a"), "--reference", str(tmp_path / "b"), "--metrics"]
    runs = str(tmp_path / "runs")
    run = ["run", "--method", "nearest-frame", "--actor", "dot", "--protocol", protocol_file, "--runs", runs,
           "--profile", "smoke", "--set", "resolution_px=32", "--device", "cpu"]  # fmt: skip
    video = str(actor_home / "captures" / "dot" / "video.mp4")
    working = [
        ["metrics", "list", "--json"],
        ["assets", "list"],
        ["actors", "list"],
        [*scored, "psnr,ssim,sd"],
        [*scored, "psnr,flmd,flicker,brisque"],
        run,
        ["report", runs],
    ]
    needing = [["actors", "add", video, "--name", "new"], ["actors", "show", "dot"], ["doctor"]]
    answers = told([*working, *needing], bare_environment)

    for words, (code, _, err) in zip(working, answers, strict=False):
        assert code == 0, (words, err)
    listed = {metric["info"]["id"]: metric for metric in json.loads(answers[0][1])}
    assert listed["psnr"]["missing"] is None
    assert listed["ssim"]["missing"] is None
    assert INSTALL in listed["flmd"]["missing"]
    assert "n/a" not in answers[3][1]
    assert answers[3][1].count("emo-bench") == 3
    assert INSTALL in answers[4][1]
    for words, (code, _, err) in zip(needing[:2], answers[len(working) :], strict=False):
        lines = [line for line in err.splitlines() if "Warp" not in line]
        assert (code, len(lines)) == (2, 1), (words, err)
        assert "libGL.so.1" in lines[0]
        assert INSTALL in lines[0]
    code, out, _ = answers[-1]
    checks = {line[5:].split("  ")[0]: line for line in out.splitlines()}
    assert code != 0
    assert INSTALL in checks["OpenCV"]
    assert INSTALL in checks["MediaPipe"]
    assert checks["video encoder"].startswith("ok")


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="hides libraries by a mount of its own")
def test_on_a_machine_whose_libraries_are_really_hidden(tmp_path: Path) -> None:
    library = next(
        (p for p in map(Path, ("/usr/lib/x86_64-linux-gnu", "/usr/lib64")) if (p / "libGL.so.1").exists()), None
    )
    if library is None:
        pytest.skip("no libGL here to hide")
    hide = (
        f"T={tmp_path} && mount -t tmpfs none $T && mkdir $T/up $T/work && mount -t overlay overlay "
        f"-o lowerdir={library},upperdir=$T/up,workdir=$T/work {library} || exit 99\n"
        f'rm -f {library}/lib{{GL,EGL,GLES}}*.so*\nexec "$@"'
    )
    code = (
        "import json\nfrom emo_bench.metrics import list_metrics\n"
        "print(json.dumps({state.info.id: state.missing for state in list_metrics()}))"
    )
    done = subprocess.run(
        ["unshare", "-m", "bash", "-c", hide, "bare", sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == 99 or "unshare" in done.stderr:
        pytest.skip("this container may not mount")
    assert done.returncode == 0, done.stderr
    missing = json.loads(done.stdout)
    assert missing["psnr"] is None
    assert missing["ssim"] is None
    # OpenCV without a desktop loads none of them; MediaPipe always does.
    assert INSTALL in missing["flmd"]


@pytest.mark.parametrize(
    ("said", "named"),
    [
        (NO_GL, INSTALL),
        (NO_EGL, INSTALL),
        ("libGLESv2.so.2" + NO_GL[10:], INSTALL),
        ("libgthread-2.0.so.0" + NO_GL[10:], INSTALL),
        ("/opt/lib/libfoo++.so.1.2" + NO_GL[10:], "libfoo++.so.1.2"),
        ("dlopen(x): Library not loaded: @rpath/libjpeg.8.dylib", "libjpeg.8.dylib"),
    ],
)
@pytest.mark.parametrize("kind", [ImportError, OSError])
def test_what_a_loader_says_becomes_one_line(said: str, named: str, kind: type[Exception]) -> None:
    line = missing_library(kind(said))
    assert line is not None
    assert named in line
    assert "\n" not in line
    with pytest.raises(RuntimeError) as caught:
        raise RuntimeError("cannot start") from kind(said)
    assert missing_library(caught.value) == line


@pytest.mark.parametrize(
    "error", [None, ImportError("No module named 'x'"), FileNotFoundError(2, "No such file", "a.so"), KeyError(NO_GL)]
)
def test_other_errors_are_left_alone(error: Exception | None) -> None:
    assert missing_library(error) is None


def test_every_door_says_it(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A module of ours, a command, and a plug-in that loads such a library itself."""
    from emo_bench.cli import main

    def fail() -> Any:
        raise ImportError(NO_GL)

    assert exit_code(fail) == 2
    assert INSTALL in capsys.readouterr().err
    monkeypatch.setattr("emo_bench.doctor.checks.run_checks", fail)
    with pytest.raises(SystemExit) as ended:
        main(["doctor"])
    assert ended.value.code == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert INSTALL in err
    for kind in (ImportError, OSError):
        with pytest.raises(UserError, match="apt-get install libgl1") as caught, plug_in_call("method x", "import"):
            raise kind(NO_EGL)
        assert "method x: import: " in str(caught.value)


def test_opencv_says_why_it_cannot_be_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    assert opencv.missing() is None
    assert opencv.GaussianBlur is cv2.GaussianBlur
    monkeypatch.setitem(sys.modules, "cv2", None)
    monkeypatch.delitem(vars(opencv), "GaussianBlur")
    assert "pip install opencv-contrib-python" in str(opencv.missing())
    with pytest.raises(UserError, match="OpenCV cannot be loaded"):
        opencv.GaussianBlur  # noqa: B018


def test_mediapipe_without_egl_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    assert landmarks.missing() is None

    def refuse(path: str) -> None:
        raise OSError(NO_EGL)

    monkeypatch.setattr(ctypes, "CDLL", refuse)
    with pytest.raises(UserError, match=r"libEGL\.so\.1 .*apt-get install"):
        landmarks.Landmarker()


def test_similarity_is_the_same_without_opencv(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(5)
    reference = rng.integers(0, 256, (2, 200, 180, 3), dtype=np.uint8)
    frames = (reference * 0.7 + rng.integers(0, 60, reference.shape)).astype(np.uint8)
    region = np.zeros(reference.shape[:3], bool)
    region[:, 40:150, 20:90] = True

    def scores() -> np.ndarray:
        part = Scorer(("ssim",), region="face")
        part.add(frames, reference, region=region)
        whole = score(frames, reference, metrics=("ssim", "ms_ssim"))
        return np.concatenate([whole.to_numpy(), part.table().to_numpy()], axis=1)

    expected = scores()
    monkeypatch.setattr(structural.cv2, "missing", lambda: NO_GL)
    np.testing.assert_allclose(scores(), expected, rtol=2e-6)


@given(
    st.integers(2, 20).flatmap(
        lambda factor: st.tuples(
            st.just(factor), arrays(np.uint8, (3 * factor, 3 * factor, 3), elements=st.integers(0, 255))
        )
    )
)
def test_area_means_are_opencvs(drawn: tuple[int, np.ndarray]) -> None:
    factor, frame = drawn
    expected = cv2.resize(frame, (3, 3), interpolation=cv2.INTER_AREA)
    assert np.array_equal(block_means(frame, factor), expected)
    assert np.array_equal(resize_area(frame, 3), expected)
