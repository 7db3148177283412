"""Priors by name and by path: which is the default, what is refused and how it is said."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from emo_avatar.checkpoints import save_stylegan2
from emo_avatar.config import resolve_config
from emo_avatar.prior import default_prior, load_prior, prior_names, prior_path
from emo_avatar.stylegan2 import Generator, GeneratorConfig
from emo_bench import assets
from emo_bench.errors import UserError


def small_generator(resolution_px: int, channels: int = 3) -> Generator:
    """A generator of few parameters."""
    torch.manual_seed(0)
    return Generator(
        GeneratorConfig(
            z_dim=16,
            w_dim=16,
            img_resolution=resolution_px,
            img_channels=channels,
            channel_base=256,
            channel_max=8,
            mapping_layers=1,
        )
    )


@pytest.fixture
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An asset folder of a machine that has no other assets and a catalogue without hashes of portraits-128."""
    folder = tmp_path / "mine"
    folder.mkdir()
    monkeypatch.setenv("EMO_BENCH_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("EMO_BENCH_ASSETS", str(folder))
    entries = tuple(
        dataclasses.replace(entry, bundled="", sha256=None, size_bytes=None) if entry.name == "portraits-128" else entry
        for entry in assets.list_assets()
    )
    for place in ("emo_bench.assets.catalogue", "emo_bench.assets"):
        monkeypatch.setattr(f"{place}.list_assets", lambda: entries)
    return folder


def test_every_catalogued_prior_is_found_by_name() -> None:
    assert prior_names() == ("portraits-128", "portraits-64", "ffhq-256", "ffhq-512", "ffhq-1024")


def test_the_larger_prior_is_the_default_where_it_is_here(own_folder: Path) -> None:
    assert default_prior() == "portraits-64"
    assert resolve_config("cpu", {}).prior == "portraits-64"
    save_stylegan2(own_folder / "portraits-128.safetensors", small_generator(128))
    assert resolve_config("cpu", {}).prior == "portraits-128"
    assert resolve_config("smoke", {}).prior == "portraits-64"
    assert resolve_config("paper", {}).prior == "ffhq-512"
    assert resolve_config("cpu", {"prior": "ffhq-256"}).prior == "ffhq-256"


@pytest.mark.parametrize("name", ["portraits-64", "portraits-128"])
def test_a_bundled_prior_is_checked_and_cut_or_grown_to_size(name: str) -> None:
    path = prior_path(name)
    asset = assets.find_asset(name)
    assert hashlib.sha256(path.read_bytes()).hexdigest() == asset.sha256
    assert path.with_suffix(".md").is_file(), "its card lies beside it"
    for side in (32, 64, 128):
        generator = load_prior(name, side)
        picture = generator.synthesis(generator.mapping(torch.zeros(1, generator.config.z_dim)))
        assert picture.shape == (1, 3, side, side)


def test_another_file_under_a_priors_name_is_not_taken(own_folder: Path) -> None:
    save_stylegan2(own_folder / "portraits-64.safetensors", small_generator(64))
    assert prior_path("portraits-64").parent != own_folder


@pytest.mark.parametrize(
    ("name", "make", "line"),
    [
        ("ffhq-512", None, "emo-bench assets fetch ffhq-512"),
        ("portraits-128", None, "run: python -m factory.prior.train"),
        (
            "portraits-128",
            lambda path: save_stylegan2(path, small_generator(64)),
            "is not portraits-128: it gives 64 px, not 128",
        ),
        (
            "portraits-128",
            lambda path: save_stylegan2(path, small_generator(128, channels=1)),
            "it gives 1 channels, not 3",
        ),
        ("portraits-128", lambda path: path.write_bytes(b"<html>log in</html>"), "is no StyleGAN2 checkpoint"),
        ("clip-vit-b-32", None, "there is no such file; give the path of a StyleGAN2"),
        ("nonesuch.pkl", None, "one of: portraits-128, portraits-64, ffhq-256"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(
    own_folder: Path, name: str, make: Callable[[Path], object] | None, line: str
) -> None:
    if make is not None:
        make(own_folder / f"{name}.safetensors")
    with pytest.raises(UserError) as caught:
        load_prior(name, 64)
    assert line in str(caught.value) and "\n" not in str(caught.value)
