"""CLIP metrics against naive formulas, on embeddings made by hand and on a tiny random open_clip model."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from skimage import data

from emo_bench import assets
from emo_bench.clip.captions import require_readable, tokenizer_of
from emo_bench.clip.model import ClipModel, ClipSource, find_clip, load_clip, load_towers, missing_clip
from emo_bench.errors import UserError
from emo_bench.metrics import Captions, Settings, score
from emo_bench.metrics.batch import Batch
from emo_bench.metrics.clip import (
    ClipConsistency,
    ClipDirection,
    ClipDirectionOverTime,
    ClipDirectionOverTimeIN2N,
    ClipImage,
    ClipText,
    cosines,
)
from emo_bench.metrics.comparability import require_comparable

ALL = ("clip_d", "clip_i", "clip_dv", "clip_dv_in2n", "clip_consistency", "clip_text")
CAPTIONS = Captions("a photo of a man", "a bronze statue of a man")
TINY = {
    "embed_dim": 16,
    "quick_gelu": True,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 32, "patch_size": 8, "head_width": 16},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 2},
}


class TableModel:
    """Stands in for a CLIP model: the embedding of a frame is looked up by its first pixel."""

    key = "table"
    source = ClipSource("table", "none", Path("none"), "")
    detail = ""

    def __init__(self, rows: NDArray[np.float64]) -> None:
        self.rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        self.calls = 0

    def of_frames(self, frames: NDArray[np.uint8]) -> NDArray[np.float64]:
        self.calls += 1
        return self.rows[frames[:, 0, 0, 0]]

    def of_caption(self, caption: str) -> NDArray[np.float64]:
        return self.rows[0 if caption == CAPTIONS.source else 1]


def numbered(numbers: range) -> NDArray[np.uint8]:
    return np.array([np.full((4, 4, 3), number, np.uint8) for number in numbers])


def cosine(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    return float(sum(a * b) / (sum(a * a) ** 0.5 * sum(b * b) ** 0.5))


def test_scores_are_the_naive_formulas_of_the_embeddings() -> None:
    model = TableModel(np.random.default_rng(0).normal(size=(12, 8)))
    rows, frames, reference = model.rows, numbered(range(2, 7)), numbered(range(7, 12))
    e, o, source, target = rows[2:7], rows[7:12], rows[0], rows[1]
    batch = Batch(frames, reference)

    def found(kind: type) -> list[float]:
        return list(kind(model=model, captions=CAPTIONS).score_batch(batch))

    assert found(ClipDirection) == pytest.approx([cosine(e[i] - o[i], target - source) for i in range(5)])
    assert found(ClipImage) == pytest.approx([cosine(e[i], o[i]) for i in range(5)])
    assert found(ClipText) == pytest.approx([cosine(e[i], target) for i in range(5)])
    over_time, in2n, consistency = (
        found(kind) for kind in (ClipDirectionOverTime, ClipDirectionOverTimeIN2N, ClipConsistency)
    )
    assert np.isnan([over_time[0], in2n[0], consistency[0]]).all()
    for i in range(1, 5):
        assert over_time[i] == pytest.approx(cosine(e[i - 1] - o[i - 1], e[i] - o[i]))
        assert in2n[i] == pytest.approx(cosine(o[i] - o[i - 1], e[i] - e[i - 1]))
        assert consistency[i] == pytest.approx(cosine(e[i - 1], e[i]))
    assert model.calls == 2  # frames once, reference once, for six metrics


def test_unedited_and_frozen_videos() -> None:
    model = TableModel(np.random.default_rng(0).normal(size=(12, 8)))
    moving = numbered(range(2, 6))
    unedited = Batch(moving, moving.copy())
    assert np.isnan(ClipDirection(model=model, captions=CAPTIONS).score_batch(unedited)).all()
    assert np.isnan(ClipDirectionOverTime(model=model).score_batch(unedited)).all()
    assert ClipImage(model=model).score_batch(unedited) == pytest.approx(1.0)
    assert ClipDirectionOverTimeIN2N(model=model).score_batch(unedited)[1:] == pytest.approx(1.0)
    frozen = Batch(np.repeat(moving[:1], 4, axis=0), moving)
    assert np.isnan(ClipDirectionOverTimeIN2N(model=model).score_batch(frozen)).all()
    assert ClipConsistency(model=model).score_batch(frozen)[1:] == pytest.approx(1.0)
    constant_edit = ClipDirectionOverTime(model=model).score_batch(
        Batch(frozen.frames, np.repeat(moving[3:], 4, axis=0))
    )
    assert constant_edit[1:] == pytest.approx(1.0)


def test_captions_that_mean_the_same_leave_the_direction_undefined() -> None:
    model = TableModel(np.random.default_rng(0).normal(size=(12, 8)))
    same = Captions(CAPTIONS.source, CAPTIONS.source)
    batch = Batch(numbered(range(2, 4)), numbered(range(4, 6)))
    assert np.isnan(ClipDirection(model=model, captions=same).score_batch(batch)).all()


@settings(max_examples=50, deadline=None)
@given(
    arrays.arrays(np.float64, (4, 5), elements=st.floats(-1, 1)),
    arrays.arrays(np.float64, (4, 5), elements=st.floats(-1, 1)),
    st.floats(0.5, 50.0),
)
def test_cosine_is_symmetric_bounded_and_blind_to_length(
    a: NDArray[np.float64], b: NDArray[np.float64], factor: float
) -> None:
    found = cosines(a, b)
    np.testing.assert_allclose(cosines(b, a), found)
    defined = ~np.isnan(found)
    assert (np.abs(found[defined]) <= 1 + 1e-12).all()
    np.testing.assert_allclose(
        cosines(factor * a, b)[defined & ~np.isnan(cosines(factor * a, b))],
        found[defined & ~np.isnan(cosines(factor * a, b))],
        atol=1e-12,
    )
    np.testing.assert_allclose(cosines(-a, b)[defined], -found[defined])


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a random CLIP of 0.9 million parameters in open_clip's own format."""
    open_clip = pytest.importorskip("open_clip")
    import torch
    from safetensors.torch import save_file

    folder = tmp_path_factory.mktemp("clip") / "tiny"
    folder.mkdir()
    torch.manual_seed(0)
    save_file(open_clip.model.CLIP(**TINY).state_dict(), folder / "open_clip_model.safetensors")
    preprocessing = {"mean": [0.4, 0.5, 0.6], "std": [0.2, 0.3, 0.25]}
    config = {"model_cfg": TINY, "preprocess_cfg": preprocessing}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture(scope="module")
def video() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Seven frames of a moving window over a photograph, and the same with inverted colours as the edit."""
    photo = data.astronaut()
    reference = np.stack([photo[60 : 60 + 72, 180 + 9 * i : 180 + 9 * i + 80] for i in range(7)])
    return 255 - reference, reference


def test_embeddings_are_those_of_open_clip_after_the_recorded_preprocessing(tiny, video) -> None:
    import open_clip
    import torch

    frames = video[0][:3]
    model = open_clip.model.CLIP(**TINY).eval()
    model.load_state_dict(open_clip.factory.load_state_dict(str(tiny / "open_clip_model.safetensors")))
    images = torch.tensor(frames / 255.0).permute(0, 3, 1, 2).float()
    squashed = torch.nn.functional.interpolate(images, (32, 32), mode="bicubic", align_corners=False)
    mean, deviation = (torch.tensor(v).view(1, 3, 1, 1) for v in ([0.4, 0.5, 0.6], [0.2, 0.3, 0.25]))
    with torch.no_grad():
        images_expected = model.encode_image((squashed - mean) / deviation, normalize=True).double().numpy()
        tokens = open_clip.SimpleTokenizer(context_length=16)([CAPTIONS.target])
        text_expected = model.encode_text(tokens, normalize=True).double().numpy()[0]
    found = load_clip(find_clip(str(tiny)), "cpu")
    np.testing.assert_allclose(found.of_frames(frames), images_expected, atol=1e-6)
    np.testing.assert_allclose(found.of_caption(CAPTIONS.target), text_expected, atol=1e-6)
    assert np.linalg.norm(found.of_frames(frames), axis=1) == pytest.approx(1.0)
    assert "bicubic squash to 32x32 px without antialias" in found.detail


@pytest.mark.parametrize("batch", [1, 2, 3, 5])
def test_cutting_into_batches_does_not_matter(tiny, video, batch: int) -> None:
    settings = Settings(clip=str(tiny), captions=CAPTIONS)
    whole, cut = (score(*video, metrics=ALL, batch=size, settings=settings) for size in (7, batch))
    np.testing.assert_allclose(cut, whole, rtol=1e-4, atol=1e-5)
    paired = whole[["clip_dv", "clip_dv_in2n", "clip_consistency"]]
    assert paired.iloc[0].isna().all() and paired.iloc[1:].notna().all(axis=None)
    assert whole[["clip_d", "clip_text"]].notna().all(axis=None)
    record = whole.attrs["records"]["clip_dv"]
    assert record["frames_dropped"] == [0] and record["backend"]["name"] == "clip-tiny"
    assert record["backend"]["sha256"] == find_clip(str(tiny)).sha256


def test_frames_are_embedded_once_for_all_metrics(tiny, video, monkeypatch: pytest.MonkeyPatch) -> None:
    model = load_clip(find_clip(str(tiny)), "cpu")
    embedded = []
    original = model.of_frames
    monkeypatch.setattr(model, "of_frames", lambda frames: embedded.append(len(frames)) or original(frames))
    score(*video, metrics=ALL, batch=3, settings=Settings(clip=str(tiny), captions=CAPTIONS))
    assert embedded.count(3) == 4 and sum(embedded) == 14


def test_order_of_the_frames_does_not_matter_to_a_frame(tiny, video) -> None:
    settings = Settings(clip=str(tiny), captions=CAPTIONS)
    there = score(*video, metrics=("clip_d", "clip_text"), settings=settings)
    back = score(video[0][::-1], video[1][::-1], metrics=("clip_d", "clip_text"), settings=settings)
    np.testing.assert_allclose(back.to_numpy()[::-1], there, rtol=1e-4, atol=1e-5)


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:FutureWarning")
def test_an_archive_in_openais_format_gives_the_same_embeddings(tiny, video, tmp_path: Path, monkeypatch) -> None:
    """OpenAI publishes TorchScript archives with half-precision tensors and three numbers beside them."""
    import open_clip
    import torch
    from safetensors.torch import load_file

    class Holder(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x

    state = load_file(tiny / "open_clip_model.safetensors")
    root = Holder()
    for name, value in state.items():
        at = root
        *path, last = name.split(".")
        for part in path:
            if part not in at._modules:
                at.add_module(part, Holder())
            at = at._modules[part]
        at.register_parameter(last, torch.nn.Parameter(value.half(), requires_grad=False))
    for name, number in (("input_resolution", 32), ("context_length", 16), ("vocab_size", 49408)):
        root.register_buffer(name, torch.tensor(number))
    archive = tmp_path / "Tiny.pt"
    torch.jit.script(root).save(str(archive))
    config = tmp_path / "tiny-quickgelu-of-this-test.json"
    config.write_text(json.dumps(TINY))
    factory = open_clip.factory
    monkeypatch.setattr(factory, "_MODEL_CONFIGS", dict(factory._MODEL_CONFIGS))
    monkeypatch.setattr(factory, "_MODEL_CONFIG_PATHS", [*factory._MODEL_CONFIG_PATHS])
    open_clip.add_model_config(config)

    found = ClipModel(ClipSource("Tiny", config.stem, archive, "0" * 64))
    frames = video[0][:2]
    preprocessed_alike = load_clip(find_clip(str(tiny)), "cpu")
    found._mean, found._deviation = preprocessed_alike._mean, preprocessed_alike._deviation
    np.testing.assert_allclose(found.of_frames(frames), preprocessed_alike.of_frames(frames), atol=5e-3)
    assert next(found._model.parameters()).dtype == torch.float32


def test_architectures_of_the_catalogue_are_known_and_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    open_clip = pytest.importorskip("open_clip")
    from emo_bench.clip.model import MODELS

    for name, weights in MODELS.items():
        config = open_clip.get_model_config(weights.architecture)
        plain = open_clip.get_model_config(name)
        assert config["quick_gelu"] and config["vision_cfg"] == plain["vision_cfg"]
        assert assets.find_asset(weights.asset).file == f"{name}.pt"


@pytest.fixture
def portraits_at(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[Path | None], None]:
    """Make a folder, or nothing, the project's own CLIP, in a home without any other."""

    def place(folder: Path | None) -> None:
        monkeypatch.setenv("EMO_BENCH_HOME", str(tmp_path / "home"))
        monkeypatch.delenv("EMO_BENCH_ASSETS", raising=False)
        entries = tuple(
            dataclasses.replace(entry, bundled="", sha256=None) if entry.name == "clip-portraits" else entry
            for entry in assets.list_assets()
        )
        monkeypatch.setattr("emo_bench.assets.catalogue.list_assets", lambda: entries)
        if folder is not None:
            monkeypatch.setenv("EMO_BENCH_ASSETS", str(folder.parent))

    return place


@pytest.fixture(scope="module")
def portraits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project's own CLIP with random weights, as its training saves it."""
    pytest.importorskip("open_clip")
    from factory.clip.towers import new_model, save_model

    folder = tmp_path_factory.mktemp("own") / "clip-portraits"
    save_model(folder, new_model(0, {"photo", "man"}))
    return folder


def test_where_openais_clip_is_missing_the_projects_own_takes_its_place_under_its_own_name(
    portraits, portraits_at, tiny, video
) -> None:
    portraits_at(portraits)
    assert missing_clip() is None and missing_clip("portraits") is None
    assert find_clip() == find_clip("portraits")
    table = score(*video, metrics=ALL, settings=Settings(captions=CAPTIONS))
    assert table.iloc[1:].notna().all(axis=None)
    weights = (portraits / "open_clip_model.safetensors").read_bytes()
    own = table.attrs["records"]["clip_d"]
    assert own["backend"]["name"] == "clip-portraits"
    assert own["backend"]["sha256"] == hashlib.sha256(weights).hexdigest()
    assert "96x96 px" in own["backend"]["detail"]
    other = score(*video, metrics=["clip_d"], settings=Settings(clip=str(tiny), captions=CAPTIONS))
    with pytest.raises(UserError, match=r"clip_d cannot be ranked together.*backend name"):
        require_comparable([own, other.attrs["records"]["clip_d"]])


def test_openais_clip_comes_before_the_projects_own(portraits, portraits_at, monkeypatch) -> None:
    portraits_at(portraits)
    here = {"clip-vit-b-32", "clip-portraits"}
    file = assets.AssetFile(portraits / "open_clip_model.safetensors", "cached")
    monkeypatch.setattr(assets, "locate", lambda name: file if name in here else None)
    monkeypatch.setattr(assets, "require", lambda name: file)
    assert find_clip().name == "ViT-B-32"
    here.add("clip-vit-l-14")
    assert find_clip().name == "ViT-L-14"


def test_the_encoder_of_losses_sees_what_the_metrics_see(portraits, portraits_at, video) -> None:
    import torch

    from emo_avatar.clip_encoder import ClipEncoder

    portraits_at(portraits)
    source = find_clip("portraits")
    encoder = ClipEncoder(source, "cpu")
    assert encoder.size_px == 96
    assert {value.dtype for value in encoder.parameters()} == {torch.float32}
    config = json.loads((portraits / "open_clip_config.json").read_text())["preprocess_cfg"]
    assert encoder.mean.flatten().tolist() == pytest.approx(config["mean"])
    assert encoder.deviation.flatten().tolist() == pytest.approx(config["std"])
    frames = np.ascontiguousarray(np.resize(data.astronaut()[:96, 150:246], (1, 96, 96, 3)))
    picture = (torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 127.5 - 1.0).requires_grad_()
    features = encoder(picture)
    unit = torch.nn.functional.normalize(features, dim=1).detach().numpy()
    np.testing.assert_allclose(unit, load_clip(source, "cpu").of_frames(frames), atol=1e-5)
    features.square().sum().backward()
    assert picture.grad is not None and picture.grad.abs().sum() > 0


def test_weights_that_are_not_those_of_the_config_are_refused_in_one_line(portraits, tiny, tmp_path: Path) -> None:
    mixed = tmp_path / "mixed"
    mixed.mkdir()
    shutil.copy(portraits / "open_clip_config.json", mixed)
    for content in (
        (tiny / "open_clip_model.safetensors").read_bytes(),
        (portraits / "open_clip_model.safetensors").read_bytes()[:100_000],
        b"no weights at all",
    ):
        (mixed / "open_clip_model.safetensors").write_bytes(content)
        with pytest.raises(UserError, match="does not fit the CLIP model mixed") as caught:
            load_towers(find_clip(str(mixed)), "cpu")
        assert "\n" not in str(caught.value)


def test_without_weights_the_remedy_comes_at_once_and_no_connection_is_opened(
    monkeypatch: pytest.MonkeyPatch, portraits_at
) -> None:
    pytest.importorskip("open_clip")
    import socket

    def refuse(*_: object) -> None:
        raise AssertionError("a connection was tried")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    portraits_at(None)
    start = time.perf_counter()
    assert missing_clip() == (
        "needs asset clip-vit-l-14 or clip-vit-b-32; run: "
        "emo-bench assets fetch clip-vit-l-14 or emo-bench assets fetch clip-vit-b-32"
    )
    assert time.perf_counter() - start < 1.0
    table = score(numbered(range(2)), numbered(range(2)), metrics=ALL, settings=Settings(captions=CAPTIONS))
    assert table.isna().all(axis=None)
    assert all("assets fetch" in record["backend"]["detail"] for record in table.attrs["records"].values())
    with pytest.raises(UserError, match="CLIP needs asset clip-vit-b-32"):
        find_clip("ViT-B-32")
    with pytest.raises(UserError, match=r"clip-portraits; run: python -m factory\.clip"):
        find_clip("portraits")


def test_without_open_clip_the_remedy_is_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert missing_clip() == "needs open_clip; run: pip install open_clip_torch"


def test_a_caption_beyond_the_context_is_refused_with_its_count(tiny, video) -> None:
    """TINY reads 16 tokens: fourteen words of one token each, and the marks of start and end."""
    import open_clip

    fits = " ".join(["man"] * 14)
    tokenize = open_clip.tokenizer.SimpleTokenizer(context_length=16)
    assert int((tokenize([fits]) > 0).sum()) == 16 and (tokenize([f"{fits} cat"]) == tokenize([f"{fits} dog"])).all()
    for target in (f"{fits} cat", f"{fits} dog"):
        with pytest.raises(UserError, match="has 17 tokens, and the CLIP model tiny reads 16: shorten the caption"):
            score(*video, metrics=("clip_text",), settings=Settings(clip=str(tiny), captions=Captions("a", target)))
        with pytest.raises(UserError, match="17 tokens"):
            load_clip(find_clip(str(tiny)), "cpu").of_caption(target)
    whole = score(*video, metrics=("clip_text",), settings=Settings(clip=str(tiny), captions=Captions("a", fits)))
    assert whole["clip_text"].notna().all()
    # A caption that no metric uses may be of any length.
    score(*video, metrics=("clip_text",), settings=Settings(clip=str(tiny), captions=Captions(f"{fits} cat", "a")))


def test_reading_a_caption_does_not_make_the_log_print_twice(tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    """open_clip logs by ``logging.info``, which gives the root logger a handler if it has none."""
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    tokenizer_of.cache_clear()
    require_readable(find_clip(str(tiny)), "a man")
    assert root.handlers == []


def test_a_table_has_the_captions_in_its_records(tiny, video) -> None:
    one, other = (
        score(*video, metrics=("clip_d", "clip_dv"), settings=Settings(clip=str(tiny), captions=Captions("a man", to)))
        for to in ("a bronze bust", "a clay bust")
    )
    with pytest.raises(UserError, match="captions of the edit"):
        require_comparable([table.attrs["records"]["clip_d"] for table in (one, other)])
    require_comparable([table.attrs["records"]["clip_dv"] for table in (one, other)])


def test_the_target_caption_alone_is_enough_for_clip_text(tiny, video) -> None:
    both, target = (
        score(*video, metrics=("clip_d", "clip_text"), settings=Settings(clip=str(tiny), captions=captions))
        for captions in (CAPTIONS, Captions("", CAPTIONS.target))
    )
    np.testing.assert_array_equal(target["clip_text"], both["clip_text"])
    assert target["clip_d"].isna().all() and both["clip_d"].notna().all()
    assert target.attrs["records"]["clip_d"]["backend"]["detail"].endswith("give --source-prompt")


def test_without_captions_only_their_metrics_are_left_out(tiny, video) -> None:
    table = score(*video, metrics=ALL, settings=Settings(clip=str(tiny)))
    assert table.columns[table.isna().all()].tolist() == ["clip_d", "clip_text"]
    assert "--source-prompt" in table.attrs["records"]["clip_d"]["backend"]["detail"]
    with pytest.raises(UserError, match="clip_text needs captions"):
        ClipText(model=load_clip(find_clip(str(tiny)), "cpu")).score(video[0], None)


def test_folders_that_hold_no_usable_model_are_named(tiny, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="unknown CLIP model 'ViT-Z'"):
        find_clip("ViT-Z")
    with pytest.raises(UserError, match=r"open_clip_config\.json is missing"):
        find_clip(str(tmp_path))
    (tmp_path / "open_clip_model.safetensors").touch()
    config = tmp_path / "open_clip_config.json"
    config.write_text("{}")
    with pytest.raises(UserError, match="not an open_clip config"):
        find_clip(str(tmp_path))
    config.write_text(json.dumps({"model_cfg": {"text_cfg": {"hf_model_name": "some/model"}}}))
    with pytest.raises(UserError, match="lives on a hub"):
        find_clip(str(tmp_path))


def folder_with(folder: Path, tiny: Path, **changes: Any) -> Path:
    """The tiny model under a config with changes, each at its place; None takes the key away."""
    config = json.loads((tiny / "open_clip_config.json").read_text())
    for place, value in changes.items():
        *path, last = place.split("__")
        at = config
        for part in path:
            at = at[part]
        if value is None:
            del at[last]
        else:
            at[last] = value
    folder.mkdir(exist_ok=True)
    shutil.copy(tiny / "open_clip_model.safetensors", folder)
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    return folder


VISION, TEXT = "model_cfg__vision_cfg__", "model_cfg__text_cfg__"
HUB_KEYS: tuple[dict[str, Any], ...] = (
    {f"{VISION}timm_model_name": "hf-hub:someone/model"},
    {f"{VISION}timm_model_name": "vit_base_patch16_224", f"{VISION}timm_model_pretrained": True},
    {f"{VISION}timm_model_pretrained": True},
    {f"{TEXT}hf_model_name": "someone/model"},
    {f"{TEXT}hf_tokenizer_name": "someone/model"},
    {f"{TEXT}hf_tokenizer_name": ""},
    {f"{TEXT}tokenizer_kwargs": {"reduction_mask": "syntax"}},
    {f"{TEXT}tokenizer_mode": "clips"},
    {"model_cfg__multimodal_cfg": {"hf_model_name": "someone/model"}},
    {"pretrained_hf": True},
)


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Every attempt to reach the network or to look a name up; all fail."""
    import socket

    tried: list[object] = []

    def refuse(*arguments: object, **named: object) -> None:
        tried.append(arguments)
        raise OSError("no network here")

    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, refuse)
    for name in ("getaddrinfo", "gethostbyname", "create_connection"):
        monkeypatch.setattr(socket, name, refuse)
    return tried


@pytest.mark.parametrize("offline", ["1", None])
@pytest.mark.parametrize("changes", HUB_KEYS)
def test_a_config_that_names_a_hub_is_refused_before_anything_is_asked_for(
    tiny, tmp_path: Path, monkeypatch, no_network, changes: dict[str, Any], offline: str | None
) -> None:
    if offline is None:
        monkeypatch.delenv("EMO_BENCH_OFFLINE", raising=False)
    else:
        monkeypatch.setenv("EMO_BENCH_OFFLINE", offline)
    folder = folder_with(tmp_path / "hub", tiny, **changes)
    for find in (find_clip, missing_clip):
        with pytest.raises(UserError, match="lives on a hub, not here") as caught:
            find(str(folder))
        assert str(folder) in str(caught.value) and "\n" not in str(caught.value)
    assert no_network == []


def test_a_whole_folder_asks_nothing_of_the_network(tiny, tmp_path: Path, no_network, monkeypatch) -> None:
    monkeypatch.delenv("EMO_BENCH_OFFLINE", raising=False)
    model = ClipModel(find_clip(str(folder_with(tmp_path / "same", tiny))))
    model.of_caption("a man")
    model.of_frames(np.zeros((1, 32, 32, 3), np.uint8))
    assert no_network == []


@pytest.mark.parametrize(
    "changes",
    [
        *({f"{VISION}layers": value} for value in (10**9, [1, 49408, 1, 1], [1, 1, 1], "2", 128)),
        *({f"{VISION}width": value} for value in (8192, 0, 2.5)),
        *({f"{VISION}image_size": value} for value in ([32, 32, 32], 10**6)),
        *({f"{VISION}patch_size": value} for value in (0, 64)),
        *({f"{VISION}head_width": value} for value in (0, 5)),
        {f"{VISION}mlp_ratio": float("nan")},
        {f"{VISION}norm_kwargs": {"device": "cuda"}},
        {f"{VISION}pool_type": "none of these"},
        {f"{VISION}wings": 2},
        *({f"{TEXT}{name}": 10**12} for name in ("vocab_size", "context_length", "layers", "width")),
        {f"{TEXT}heads": 3},
        {f"{TEXT}layers": 100},
        *({"model_cfg__embed_dim": value} for value in ("16", 10**12, None)),
        *({"model_cfg__vision_cfg": value} for value in ([], None)),
        *({"model_cfg": value} for value in ("x", None)),
        {"preprocess_cfg__mean": [0.5]},
        *({"preprocess_cfg__std": [value, 1.0, 1.0]} for value in (0.0, float("nan"))),
        {"preprocess_cfg": 7},
    ],
)
def test_configs_of_anybody_end_in_one_line_at_once(tiny, tmp_path: Path, changes: dict[str, Any]) -> None:
    folder = folder_with(tmp_path / "odd", tiny, **changes)
    started = time.process_time()
    with pytest.raises(UserError) as caught:
        load_towers(find_clip(str(folder)), "cpu")
    line = str(caught.value)
    assert str(folder) in line and line.isprintable() and len(line) < 2 * len(str(folder)) + 300
    assert time.process_time() - started < 20
