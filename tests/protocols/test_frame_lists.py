"""A split that lists its frames: what a list may be, and what is held against the video."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emo_bench.errors import UserError
from emo_bench.metrics import Scorer
from protocols.frame_lists import checked_list, first_common, format_frames, parse_frames, ranges_of
from protocols.loader import Protocol, load_protocol
from protocols.splitting import split
from tests.conftest import QUICK_PROTOCOL

LISTED = """
[splits.mine]
kind = "frames"
train = ["0-49", 60, "70-79"]
held_out = ["100-109", 115]
guard_frames = 5
"""
Frames = st.sets(st.integers(0, 60), min_size=1, max_size=30)


def protocol_with(text: str, folder: Path) -> Protocol:
    file = folder / "listed.toml"
    whole = QUICK_PROTOCOL.replace('"quick"', '"listed"').replace("[scoring]", f"{text}\n[scoring]")
    file.write_text(whole, encoding="utf-8")
    return load_protocol(str(file))


def test_the_listed_frames_are_the_split(tmp_path: Path) -> None:
    protocol = protocol_with(LISTED, tmp_path)
    made = split(protocol, 150, set(range(150)) - {3, 140}, "mine")
    assert made.train == (0, 1, 2, *range(4, 50), 60, *range(70, 80))
    assert made.test == (*range(100, 110), 115)
    assert made.faceless == (3, 140)
    assert made.guard == (*range(95, 100), *range(110, 115), *range(116, 121))
    assert made.unused == (*range(50, 60), *range(61, 70), *range(80, 95), *range(121, 140), *range(141, 150))
    assert made.flags == ("2 of 150 frames have no face and are left out",)


def test_the_list_is_part_of_the_hash_and_the_way_it_is_written_is_not(tmp_path: Path) -> None:
    first = protocol_with(LISTED, tmp_path)
    again = protocol_with(LISTED.replace('["0-49", 60, "70-79"]', '"70-79, 0-24, 60, 25-49"'), tmp_path)
    other = protocol_with(LISTED.replace("60", "61"), tmp_path)
    assert first.hash() == again.hash() != other.hash()
    digests = {split(p, 150, range(150), "mine").digest() for p in (first, again)}
    assert len(digests) == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (LISTED.replace('"0-49"', '"49-0"'), r"splits\.mine\.train: .*'49-0' ends before it begins"),
        (LISTED.replace('"0-49"', '"0-x"'), r"splits\.mine\.train: .*'0-x' is no frame number and no range"),
        (LISTED.replace('"0-49"', "-3"), r"'-3' is no frame number"),
        (LISTED.replace('"0-49"', "true"), r"True is no frame number"),
        (LISTED.replace('"0-49"', "1.5"), r"1\.5 is no frame number"),
        (LISTED.replace('"0-49"', '"0-99999999999999"'), r"frame numbers are below 10000000"),
        (LISTED.replace('"0-49"', '"0-60"'), r"splits\.mine\.train: .*it names frame 60 twice"),
        (LISTED.replace('["0-49", 60, "70-79"]', "[]"), r"it names no frame"),
        (LISTED.replace('["0-49", 60, "70-79"]', "7"), r"give a list of frame numbers and ranges"),
        (LISTED.replace('"0-49"', '"0-49", 105'), r"splits\.mine: .*frame 105 is in train and in held_out"),
        (LISTED.replace('"70-79"', '"70-95"'), r"frame 95 trains, but it is only 5 from held-out frame 100"),
        (LISTED.replace("115]", "54]"), r"frame 49 trains, but it is only 5 from held-out frame 54: guard_frames is 5"),
        (LISTED.replace("train =", "# train ="), r"lists train and held_out"),
        (LISTED + "held_out_frames = 4", r"has no held_out_frames and no train_frames_at_most"),
        (LISTED + "train_frames_at_most = 4", r"has no held_out_frames and no train_frames_at_most"),
        (LISTED + "seed = 4", r"a random split has a seed"),
        (LISTED.replace('"frames"', '"tail"'), r"splits\.mine: .*give held_out_frames"),
        (LISTED.replace('"frames"', '"tail"') + "held_out_frames = 4", r"a split of kind tail lists no frames"),
        (LISTED.replace('"frames"', '"list"'), r"mine\.kind: must be 'tail', 'random', 'pose', "),
    ],
)  # fmt: skip
def test_a_wrong_list_is_one_line(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=said) as caught:
        protocol_with(text, tmp_path)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("length", "faceless", "said"),
    [
        (110, (), r"held_out of split mine names frame 115, and the video has 110 frames \(0 to 109\)"),
        (75, (), r"train of split mine names frame 79, and the video has 75 frames"),
        (150, (101, 115), r'held-out frames 101,115 of split mine have no face; write held_out = "100,102-109"'),
        (150, (*range(80),), r"no training frame of split mine has a face"),
    ],
)
def test_a_video_that_does_not_fit_the_list_is_one_line(
    length: int, faceless: tuple[int, ...], said: str, tmp_path: Path
) -> None:
    protocol = protocol_with(LISTED, tmp_path)
    with pytest.raises(UserError, match=said):
        split(protocol, length, set(range(length)) - set(faceless), "mine")


@given(st.sets(st.integers(0, 10**6)))
def test_text_gives_the_frames_back(frames: set[int]) -> None:
    text = format_frames(sorted(frames))
    assert parse_frames(text) == tuple(sorted(frames))
    if frames:
        assert checked_list(text) == text
        assert checked_list([str(frame) for frame in frames]) == checked_list(list(frames)) == text


@given(Frames, Frames, st.integers(0, 8))
def test_lists_that_are_too_near_are_found(one: set[int], other: set[int], guard: int) -> None:
    found = first_common(ranges_of(format_frames(sorted(one))), ranges_of(format_frames(sorted(other))), guard + 1)
    nearest = min(abs(a - b) for a in one for b in other)
    assert (found is None) == (nearest > guard)
    if found is not None:
        assert found[0] in one and found[1] in other and abs(found[0] - found[1]) <= guard


@given(Frames, Frames, st.integers(0, 8), st.sets(st.integers(0, 60), max_size=6))
def test_an_accepted_list_keeps_the_laws_of_a_split(
    train: set[int], held_out: set[int], guard: int, faceless: set[int]
) -> None:
    fields: dict[str, Any] = {
        "name": "listed", "version": 1, "title": "t", "source": "s", "task": "self-reenactment", "mini": True,
        "default_split": "mine", "minimum_frames": 2, "short_below_frames": 60, "short_share": 0.2,
        "splits": {"mine": {"kind": "frames", "train": list(train), "held_out": list(held_out), "guard_frames": guard}},
        "scoring": {"metrics": ["psnr"], "reference_resize": "area", "region": "full frame", "background": "as filmed"},
    }  # fmt: skip
    near = min(abs(a - b) for a in train for b in held_out) <= guard
    if near:
        with pytest.raises(ValueError, match=r"is in train and in held_out|guard_frames is"):
            Protocol(**fields)
        return
    protocol = Protocol(**fields)
    valid = set(range(61)) - faceless
    if held_out & faceless or not train - faceless:
        with pytest.raises(UserError, match="face"):
            split(protocol, 61, valid)
        return
    made = split(protocol, 61, np.array(sorted(valid)))
    assert set(made.train) == train - faceless and set(made.test) == held_out
    lists = [made.train, made.test, made.guard, made.unused, made.faceless]
    assert sorted(frame for frames in lists for frame in frames) == list(range(61))
    assert all(list(frames) == sorted(frames) for frames in lists)
    assert parse_frames(made.as_dict()["train"]) == made.train


METRIC = """
from emo_bench.metrics import Backend, Metric, MetricInfo

class Mean(Metric):
    info = MetricInfo("mean_of_test", "1", "Mean level", "higher", "8-bit levels", needs_reference=False)
    backend = Backend("numpy")

    def score(self, frames, reference):
        return frames.mean(axis=(1, 2, 3))
"""


def test_a_metrics_file_is_found_from_the_protocols_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    hashes = []
    for folder in (tmp_path / "a", tmp_path / "b" / "c"):
        folder.mkdir(parents=True)
        file = folder / "listed.toml"
        text = QUICK_PROTOCOL.replace('"quick"', '"listed"').replace('["psnr"', '["metrics/own.py:Mean", "psnr"')
        file.write_text(text, encoding="utf-8")
        protocol = load_protocol(str(file))
        assert protocol.scoring.metrics[:2] == (f"{folder}/metrics/own.py:Mean", "psnr")
        hashes.append(protocol.hash())
        hashes.append(protocol.model_copy(update={"title": protocol.title}).hash())
    assert len(set(hashes)) == 1, "the hash does not depend on the folder"
    with pytest.raises(UserError, match=r"own\.py is not a file"):
        Scorer(protocol.scoring.metrics)


def test_a_run_is_scored_by_a_metric_of_a_file_and_again_when_the_file_changes(
    actor: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from emo_bench.runs.manifest import read_manifest
    from emo_bench.runs.runner import RunRequest, run

    monkeypatch.setattr(sys, "path", list(sys.path))
    own = tmp_path / "own.py"
    own.write_text(METRIC, encoding="utf-8")
    file = tmp_path / "listed.toml"
    text = QUICK_PROTOCOL.replace('"quick"', '"listed"').replace('["psnr"', '["own.py:Mean", "psnr"')
    file.write_text(text, encoding="utf-8")
    request = RunRequest("mean-frame", actor, str(file), profile="smoke", runs_dir=tmp_path / "runs", device="cpu")

    def scored() -> dict[str, Any]:
        manifest = read_manifest(run(request, trivial=False)[0])
        record: dict[str, Any] = manifest["stages"]["score"]["records"]["mean_of_test"]
        return record

    first, again = scored(), scored()
    assert first == again and len(first["file_sha256"]) == 64
    own.write_text(METRIC + "# another version\n", encoding="utf-8")
    changed = scored()
    assert changed["file_sha256"] != first["file_sha256"]
