"""Which weights editor ``instruct-pix2pix`` takes, with which settings, and that run.json and the report name them."""

from __future__ import annotations

import dataclasses
import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from skimage import data

from emo_bench import assets
from emo_bench.assets import location
from emo_bench.errors import UserError
from emo_bench.methods.diffusion_pipelines import pipeline_folder
from emo_bench.methods.pix2pix_models import PORTRAITS_SETTINGS
from emo_bench.methods.reference_editors import open_editor
from tests.emo_bench.tiny_pipelines import save_tiny_pipeline

PAPER = {"steps": 100, "text_scale": 7.5, "image_scale": 1.5, "size_px": 512}


@pytest.fixture(scope="module")
def portraits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random pipeline under the name of the bundled weights, where a package would hold it."""
    return save_tiny_pipeline(tmp_path_factory.mktemp("site") / "emo_avatar" / "weights" / "portraits-diffusion")


@pytest.fixture
def bundle(portraits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], Path]:
    """Make the random pipeline the bundled one, or let none be bundled, in an empty home; returns the home's assets."""

    def place(bundled: bool) -> Path:
        monkeypatch.setenv("EMO_BENCH_HOME", str(tmp_path / "home"))
        monkeypatch.delenv("EMO_BENCH_ASSETS", raising=False)
        where = "emo_avatar/weights/portraits-diffusion"
        entries = tuple(
            dataclasses.replace(entry, sha256=None, bundled=where) if entry.name == "portraits-diffusion" else entry
            for entry in assets.list_assets()
        )
        for module in ("emo_bench.assets.catalogue", "emo_bench.assets"):
            monkeypatch.setattr(f"{module}.list_assets", lambda: entries)
        site, parent_of = portraits.parents[2] if bundled else tmp_path, location._package_parent
        monkeypatch.setattr(
            location, "_package_parent", lambda package: site if package == "emo_avatar" else parent_of(package)
        )
        folder = tmp_path / "home" / "assets"
        folder.mkdir(parents=True)
        return folder

    return place


def numbers(editor: Any) -> dict[str, float]:
    return {key: editor.resolved()[key] for key in PAPER}


def test_without_the_users_own_the_bundled_weights_edit_with_their_own_numbers(bundle, portraits: Path) -> None:
    bundle(True)
    editor = open_editor("instruct-pix2pix", {})
    assert list(editor.weights()) == ["portraits-diffusion"]
    assert pipeline_folder("portraits-diffusion") == portraits
    assert numbers(editor) == dataclasses.asdict(PORTRAITS_SETTINGS) != PAPER
    assert editor.weights() == open_editor("instruct-pix2pix", {"model": "portraits-diffusion"}).weights()
    assert editor.can_update


def test_the_users_instruct_pix2pix_goes_first_with_the_papers_numbers(bundle, portraits: Path) -> None:
    home = bundle(True)
    save_tiny_pipeline(home / "instruct-pix2pix", seed=1)
    usual, small = (
        open_editor("instruct-pix2pix", {}),
        open_editor("instruct-pix2pix", {"model": "portraits-diffusion"}),
    )
    assert list(usual.weights()) == ["instruct-pix2pix"] and numbers(usual) == PAPER
    assert list(small.weights()) == ["portraits-diffusion"] and numbers(small)["size_px"] == 128
    assert set(usual.weights().values()) != set(small.weights().values())


def test_a_setting_of_the_style_goes_before_the_models(bundle) -> None:
    bundle(True)
    chosen = {"steps": 3, "text_scale": 2.5}
    resolved = numbers(open_editor("instruct-pix2pix", chosen))
    assert {key: resolved[key] for key in chosen} == chosen
    assert resolved["size_px"] == 128


def test_the_identity_is_that_of_the_list_of_assets_and_not_of_the_place(bundle, portraits: Path) -> None:
    home = bundle(True)
    (sha256,) = open_editor("instruct-pix2pix", {}).weights().values()
    found = assets.locate("portraits-diffusion")
    assert found is not None and found.sha256 == sha256
    shutil.copytree(portraits, home / "copy")
    assert open_editor("instruct-pix2pix", {"model": str(home / "copy")}).weights() == {"copy": sha256}
    scheduler = home / "copy" / "scheduler" / "scheduler_config.json"
    scheduler.write_text(json.dumps(json.loads(scheduler.read_text()) | {"timestep_spacing": "trailing"}))
    assert open_editor("instruct-pix2pix", {"model": str(home / "copy")}).weights() != {"copy": sha256}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "assets fetch instruct-pix2pix.*portraits-diffusion.*python -m factory.diffusion"),
        ({"model": "portraits-diffusion"}, "asset portraits-diffusion .* is not on this machine"),
        ({"model": "instruct-pix2pix"}, "needs the diffusers folder of instruct-pix2pix"),
    ],
)
def test_without_any_weights_one_line_says_what_to_do(bundle, settings: dict[str, str], message: str) -> None:
    bundle(False)
    with pytest.raises(UserError, match=message) as error:
        open_editor("instruct-pix2pix", settings)
    assert "\n" not in str(error.value)


def test_without_diffusers_the_extra_is_named(bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    from protocols.styles import load_style

    bundle(True)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    style = load_style("red-hair")
    with pytest.raises(UserError, match=r"needs diffusers; run: pip install 'emo-bench\[diffusion\]'$"):
        open_editor(style.editor, style.editor_settings)


def test_bundled_weights_do_not_stand_in_for_another_pipeline(bundle) -> None:
    bundle(True)
    with pytest.raises(UserError, match="needs the diffusers folder of instruct-pix2pix"):
        open_editor("instruct-pix2pix", {"pipeline": "StableDiffusionXLInstructPix2PixPipeline"})


@pytest.mark.parametrize("side", [33, 64, 200])
def test_a_picture_of_any_size_comes_back_at_its_size_and_enlarged_without_blocks(bundle, side: int) -> None:
    bundle(True)
    photo = np.asarray(Image.fromarray(data.astronaut()[0:220, 120:340]).resize((side, side)))
    edited = open_editor("instruct-pix2pix", {"steps": 1, "size_px": 32}).edit(photo, "abc", 0)
    assert edited.shape == photo.shape and edited.dtype == np.uint8
    if side == 200:
        # Enlarged by repeating pixels, most neighbours would be equal.
        assert (np.diff(edited.astype(int), axis=1) == 0).mean() < 0.5


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory, quick_protocol_text: str) -> Path:
    """A quick fit of Emo-Avatar on the first actor."""
    import torch

    from emo_avatar.checkpoints import save_stylegan2
    from emo_avatar.stylegan2 import Generator, GeneratorConfig
    from emo_bench.runs import runner
    from emo_bench.runs.plan import RunRequest

    folder = tmp_path_factory.mktemp("fit")
    (folder / "quick.toml").write_text(quick_protocol_text)
    torch.manual_seed(0)
    shape = GeneratorConfig(
        img_resolution=32, z_dim=8, w_dim=8, mapping_layers=2, channel_base=256, channel_max=16, use_noise=True
    )
    save_stylegan2(folder / "prior.safetensors", Generator(shape))
    settings = {
        "resolution_px": "32", "skip_resolutions": "8,16,32", "projection_steps": "6", "tuning_steps": "4",
        "steps": "4", "checkpoint_every_steps": "2", "max_train_frames": "8", "texture_px": "32",
        "flow_widths": "8,8,8,8,8", "gan_start_step": "2", "prior": str(folder / "prior.safetensors"),
    }  # fmt: skip
    request = RunRequest(
        "emo-avatar", "1", str(folder / "quick.toml"), profile="smoke", runs_dir=folder / "runs", device="cpu",
        settings=settings,
    )  # fmt: skip
    return runner.run(request, trivial=False)[0]


STYLE = """
title = "Red hair"
source_caption = "a photo of a person"
target_caption = "a photo of a person with red hair"
instruction = "make the hair red"
editor = "instruct-pix2pix"
[editor_settings]
steps = 1
size_px = 32
"""


@pytest.mark.parametrize("supervision", ["reference", "dataset-update"])
def test_run_json_the_log_and_the_report_name_the_weights(
    bundle, portraits: Path, fitted: Path, tmp_path: Path, supervision: str, caplog: pytest.LogCaptureFixture
) -> None:
    import emo_bench

    home = bundle(True)
    style = tmp_path / f"red-{supervision}.toml"
    style.write_text(STYLE)
    settings = {
        "edit.steps": "2", "edit.frame_pool": "2", "edit.patch_weight": "0", "edit.matched_patch_weight": "0",
        "edit.supervision": supervision,
    }  # fmt: skip
    caplog.set_level(logging.INFO, logger="emo_bench")
    made = emo_bench.edit(fitted, style=style, settings=settings, device="cpu")
    identity = made.manifest["identity"]
    (sha256,) = open_editor("instruct-pix2pix", {}).weights().values()
    assert identity["assets"]["editor portraits-diffusion"] == sha256
    assert identity["config"]["editor"]["steps"] == 1
    sentence = f"editor instruct-pix2pix edits with the weights portraits-diffusion (SHA-256 {sha256[:12]}; steps 1, "
    assert caplog.text.count(sentence) == 1
    assert str(portraits) not in (made.path / "run.json").read_text()
    page = emo_bench.report([made.path], tmp_path / "report", videos=False).path
    assert sentence[:60] in page.read_text(encoding="utf-8")
    # The same style with the user's InstructPix2Pix is another edit, and the first is not taken for it.
    save_tiny_pipeline(home / "instruct-pix2pix", seed=1)
    with pytest.raises(UserError, match="holds a run made with another"):
        emo_bench.edit(fitted, style=style, settings=settings, device="cpu")
