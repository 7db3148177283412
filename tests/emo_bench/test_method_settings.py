"""Every setting of every method, given every kind of wrong value: refused in one line when it is built, or a value that
fits.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from baselines.deep_video_portraits.config import DeepVideoPortraitsConfig
from baselines.flash_avatar.config import FlashAvatarConfig
from baselines.frame_style import FrameStyleSettings
from baselines.insta.config import InstaConfig
from baselines.instruct_pix2pix import Pix2PixSettings
from baselines.point_avatar.config import PointAvatarConfig
from baselines.rave.config import RaveConfig
from baselines.rerender.config import RerenderConfig
from baselines.style_avatar.config import StyleAvatarConfig
from baselines.tokenflow.config import TokenFlowConfig
from baselines.trivial import TrivialSettings
from emo_avatar.config import EmoAvatarConfig, resolve_config
from emo_avatar.edit_config import EditConfig, resolve_edit_config
from emo_bench.cli import main
from emo_bench.cli.run import parse_settings
from emo_bench.errors import UserError
from emo_bench.methods import registry as methods
from emo_bench.methods.interface import Workspace
from emo_bench.methods.seeds import GREATEST
from emo_bench.methods.settings import MethodSettings, resolve
from emo_bench.runs.plan import RunRequest
from emo_bench.runs.runner import run
from tests.emo_bench.tiny_pipelines import save_tiny_pipeline

VALUES = ["", " ", ",", ",,1", "1,,2", "nan", "inf", "-inf", "-1", "0", "1e999", "1e-999", "9" * 30, "9" * 5000,
    "1e300", "word",
          "true", "0x10", "1;2", "\u0663", "../..", "x" * 5000]  # fmt: skip
MODELS: dict[str, type[MethodSettings]] = {
    "emo-avatar": EmoAvatarConfig,
    "mean-frame": TrivialSettings,
    "nearest-frame": TrivialSettings,
    "insta": InstaConfig,
    "point-avatar": PointAvatarConfig,
    "flash-avatar": FlashAvatarConfig,
    "deep-video-portraits": DeepVideoPortraitsConfig,
    "style-avatar": StyleAvatarConfig,
    "frame-style": FrameStyleSettings,
    "instruct-pix2pix": Pix2PixSettings,
    "tokenflow": TokenFlowConfig,
    "rerender": RerenderConfig,
    "rave": RaveConfig,
    "recorded": TrivialSettings,
}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of assets with weights for the editors of video, which look for them when they are built."""
    folder = tmp_path_factory.mktemp("assets")
    save_tiny_pipeline(folder / "portraits-diffusion")
    return folder


def built(name: str, key: str, text: str, folder: Path) -> MethodSettings:
    """The configuration with one setting, as the command line makes it."""
    settings = parse_settings([f"{key}={text}"])
    if name == "edit":
        return resolve_edit_config("smoke", "recommended", settings)
    method = methods.build(methods.method_class(name), Workspace(folder, "smoke", 0, settings=settings))
    return getattr(method, "config", TrivialSettings(resolution_px=method.resolution_px))


SETTINGS = [(name, key) for name, model in {**MODELS, "edit": EditConfig}.items() for key in model.model_fields]


def test_the_walk_knows_every_method() -> None:
    assert set(MODELS) == set(methods.known_methods())


@pytest.mark.parametrize(("name", "key"), SETTINGS)
def test_a_value_fits_or_is_refused_in_one_line_before_anything_is_made(
    name: str, key: str, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name in ("instruct-pix2pix", "tokenflow", "rerender", "rave"):
        monkeypatch.setenv("EMO_BENCH_ASSETS", str(request.getfixturevalue("weights")))
    prefix = "edit." if name == "edit" else ""
    for text in VALUES:
        try:
            config = built(name, key, text, tmp_path)
        except UserError as error:
            said = str(error)
            assert "\n" not in said and len(said) < 700, text[:20]
            assert f"--set {prefix}{key}" in said or f"{key}=" in said, said
        else:
            assert all(math.isfinite(number) for number in numbers(config)), text[:20]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("name", "key"), [pair for pair in SETTINGS if pair[0] != "edit"])
def test_every_number_has_bounds(name: str, key: str) -> None:
    """A number without them can be one that no machine can fit."""
    schema = MODELS[name].model_json_schema()["properties"][key]
    for part in number_schemas(schema):
        low = {"minimum", "exclusiveMinimum"} & set(part)
        high = {"maximum", "exclusiveMaximum"} & set(part)
        assert (low and high) or key == "skip_resolutions", (name, key, part)


@pytest.mark.parametrize("key", EditConfig.model_fields)
def test_every_number_of_an_edit_has_bounds(key: str) -> None:
    for part in number_schemas(EditConfig.model_json_schema()["properties"][key]):
        assert {"minimum", "exclusiveMinimum"} & set(part) and {"maximum", "exclusiveMaximum"} & set(part)


@pytest.mark.parametrize(
    ("key", "text", "said"),
    [
        ("skip_resolutions", "", "skip_resolutions=: give a value, as in skip_resolutions=16,32,64,128"),
        ("flow_widths", "", "flow_widths=: give a value"),
        ("flow_widths", "0,8", "--set flow_widths=0,8: must be at least 1"),
        ("flow_widths", "8,8,8,8,8,8", "flow_px=64 allows 5 layers at most, not 6"),
        ("flow_px", "96", "flow_px=96: it must be a power of two"),
        ("skip_resolutions", "64,64", "skip_resolutions: give each once"),
        ("skip_resolutions", "16,128", "128 is not a power of two from 8 to resolution_px (64)"),
        ("texture_decay", "0.1", "one value a texture level (4)"),
        ("checkpoint_every_steps", "0", "checkpoint_every_steps=0: must be at least 1"),
        ("lr", "nan", "lr=nan: must be a finite number"),
        ("steps", "9" * 5000, "steps=99999999999999999999…99999999999999999999"),
        ("perceptual", "vgg", "perceptual=vgg: choose one of"),
        ("steps", "many", "steps=many: must be a whole number"),
        ("skip_resolution", "8", "emo-avatar has no setting 'skip_resolution'; did you mean skip_resolutions?"),
        ("zzz", "8", "emo-avatar has no setting 'zzz'; its settings: "),
    ],
)
def test_a_line_says_what_is_wrong(key: str, text: str, said: str) -> None:
    with pytest.raises(UserError) as refused:
        resolve_config("smoke", {key: text})
    assert said in str(refused.value)


class Some(MethodSettings):
    none_or_some: tuple[float, ...] = ()
    size: int = 3


@given(st.text(), st.sampled_from(["none_or_some", "size", "other"]))
def test_any_text_is_a_value_or_one_line(text: str, key: str) -> None:
    try:
        assert all(math.isfinite(number) for number in numbers(resolve(Some, {}, {key: text}, name="some")))
    except UserError as error:
        said = str(error)
    else:
        said = ""
    assert len(said) < 400


def test_a_tuple_may_be_empty_where_its_default_is() -> None:
    assert resolve(Some, {}, {"none_or_some": ""}, name="some").none_or_some == ()
    assert resolve(Some, {}, {"none_or_some": " 1, 2.5 "}, name="some").none_or_some == (1.0, 2.5)


@pytest.mark.parametrize(
    "command", [["run", "--method", "mean-frame", "--actor", "dot"], ["ablate", "--actor", "dot"], ["study", "build"]]
)
@pytest.mark.parametrize("seed", [str(GREATEST + 1), "-1", "1.5", "nan", "9" * 40])
def test_a_seed_out_of_range_is_refused_before_a_folder_is_made(
    command: list[str], seed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main([*command, "--seed", seed])
    err = capsys.readouterr().err
    assert ended.value.code == 2 and err.count("\n") == 1 and "--seed" in err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("seed", [GREATEST + 1, -1])
def test_a_seed_out_of_range_is_refused_by_the_runner(seed: int, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not a whole number from 0 to 4294967295"):
        run(RunRequest("mean-frame", "dot", seed=seed, runs_dir=tmp_path / "runs"))


def test_the_greatest_seed_makes_a_run(actor: str, tmp_path: Path, protocol_file: str) -> None:
    request = RunRequest(
        "mean-frame", actor, protocol_file, profile="smoke", seed=GREATEST, runs_dir=tmp_path / "runs", device="cpu"
    )
    assert run(request, trivial=False)[0].name == f"smoke-s{GREATEST}"


@pytest.mark.parametrize(
    "main_of", ["factory.prior.train", "factory.clip", "factory.diffusion", "factory.studio.supply"]
)
def test_modules_bound_their_seed_too(main_of: str) -> None:
    """Their parsers share :func:`emo_bench.methods.seeds.parse_seed`."""
    import importlib.util

    spec = importlib.util.find_spec(main_of)
    assert spec is not None and spec.origin is not None
    source = Path(spec.origin).with_name("__main__.py") if spec.submodule_search_locations else Path(spec.origin)
    assert '"--seed", type=parse_seed' in source.read_text(encoding="utf-8")


def numbers(value: Any) -> Iterator[float]:
    if isinstance(value, MethodSettings):
        value = list(value.model_dump().values())
    if isinstance(value, (list, tuple)):
        for each in value:
            yield from numbers(each)
    elif isinstance(value, (int, float)):
        yield value


def number_schemas(schema: Any) -> Iterator[dict[str, Any]]:
    """Every part of a JSON schema that is a number."""
    if isinstance(schema, dict):
        if schema.get("type") in ("integer", "number"):
            yield schema
        for part in schema.values():
            yield from number_schemas(part)
    elif isinstance(schema, list):
        for part in schema:
            yield from number_schemas(part)
