"""``pyiqa:NAME`` against pyiqa called directly, its weights through the asset door, and no connection ever."""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import re
import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from skimage import data

from emo_bench import assets
from emo_bench.errors import UserError
from emo_bench.metrics import score
from emo_bench.metrics.brisque import read_libsvm
from emo_bench.metrics.comparability import difference
from emo_bench.metrics.pyiqa_door import REFUSED, Lacking, build, configurations
from emo_bench.metrics.pyiqa_metric import PREFIX, WITH_WEIGHTS, WITHOUT_WEIGHTS
from emo_bench.metrics.registry import list_pyiqa, metric_class

FramesU8 = NDArray[np.uint8]
needs_pyiqa = pytest.mark.skipif(configurations() is None, reason="package pyiqa is not installed")
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def pair() -> tuple[FramesU8, FramesU8]:
    """Two frames with their references: 192 px, enough for five scales and for two blocks of NIQE."""
    reference = np.stack([data.astronaut()[:192, 120:312], data.chelsea()[60:252, 100:292]])
    noise = np.random.default_rng(0).normal(0.0, 10.0, reference.shape)
    return np.clip(reference + noise, 0, 255).round().astype(np.uint8), reference


@pytest.fixture
def empty_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No asset but those of packages; the returned folder is an asset folder."""
    for variable in ("EMO_BENCH_HOME", "TORCH_HOME"):
        monkeypatch.setenv(variable, str(tmp_path / variable))
    folder = tmp_path / "assets"
    folder.mkdir()
    monkeypatch.setenv("EMO_BENCH_ASSETS", str(folder))
    return folder


def direct(name: str, frames: FramesU8, reference: FramesU8, **options: Any) -> list[float]:
    """The numbers of pyiqa's own call, frame by frame."""
    import torch
    from pyiqa.models.inference_model import InferenceModel

    with contextlib.redirect_stdout(io.StringIO()):
        metric = InferenceModel(name, device=torch.device("cpu"), **options)
    sides = (frames, reference) if metric.metric_mode == "FR" else (frames,)
    planes = [torch.from_numpy(side.transpose(0, 3, 1, 2) / 255.0).float() for side in sides]
    return [float(metric(*(side[i : i + 1] for side in planes))) for i in range(len(frames))]


@needs_pyiqa
@pytest.mark.parametrize("name", WITHOUT_WEIGHTS)
def test_metrics_without_weights_are_pyiqas(name: str, pair: tuple[FramesU8, FramesU8]) -> None:
    count = 1 if name == "mad" else 2
    frames, reference = pair[0][:count], pair[1][:count]
    table = score(frames, reference, metrics=(PREFIX + name,))
    np.testing.assert_allclose(table[PREFIX + name], direct(name, frames, reference), rtol=1e-5, atol=1e-6)
    record = table.attrs["records"][PREFIX + name]
    assert record["backend"]["name"].startswith("pyiqa-0.1") and record["backend"]["sha256"] is None
    lower = bool(configurations()[name].get("lower_better"))  # type: ignore[index]
    assert record["direction"] == ("lower" if lower else "higher") and record["value_range"] == "[0, 1]"
    grey = name in ("cw_ssim", "gmsd", "ms_ssim", "nlpd", "psnry", "ssim")
    assert record["conditions"]["colours"].startswith("luminance" if grey else "RGB")


@needs_pyiqa
@pytest.mark.skipif(assets.locate("stlpips-alex") is None, reason="package stlpips-pytorch is not installed")
def test_a_network_gets_its_weights_through_the_door(pair: tuple[FramesU8, FramesU8]) -> None:
    """ST-LPIPS: pyiqa's network and ours, and pyiqa's called directly, on the same file."""
    found = assets.require("stlpips-alex")
    metrics = (f"{PREFIX}stlpips", "st-lpips")
    table = score(*pair, metrics=metrics, batch=1)
    theirs = direct("stlpips", *pair, pretrained_model_path=str(found.path))
    np.testing.assert_allclose(table[metrics[0]], theirs, rtol=1e-5)
    records = table.attrs["records"]
    assert records[metrics[0]]["backend"]["sha256"] == found.sha256 == records[metrics[1]]["backend"]["sha256"]
    assert difference(*(records[metric] for metric in metrics)) is not None


@needs_pyiqa
def test_niqe_and_brisque_stand_beside_ours_as_other_backends(
    pair: tuple[FramesU8, FramesU8], empty_folders: Path
) -> None:
    import scipy.io
    import torch

    niqe, brisque = empty_folders / "niqe_modelparameters.mat", empty_folders / "brisque_svm_weights.pth"
    svm = read_libsvm(assets.require("brisque-live").path)
    torch.save([torch.from_numpy(svm.coefficients).float()[:, None], torch.from_numpy(svm.vectors).float()], brisque)
    metrics = ["brisque", f"{PREFIX}brisque"]
    if assets.locate("niqe-pristine"):
        model = np.load(assets.require("niqe-pristine").path)
        scipy.io.savemat(niqe, {"mu_prisparam": model["mu_pris_param"], "cov_prisparam": model["cov_pris_param"]})
        metrics += ["niqe", f"{PREFIX}niqe"]
    table = score(pair[0], metrics=metrics)
    for file, name in ((brisque, "brisque"), (niqe, "niqe")):
        if name not in metrics:
            continue
        theirs = table[PREFIX + name].to_numpy()
        np.testing.assert_allclose(theirs, direct(name, *pair, pretrained_model_path=str(file)), rtol=1e-4)
        np.testing.assert_allclose(theirs, table[name], rtol=0.1)
        ours, other = (table.attrs["records"][metric] for metric in (name, PREFIX + name))
        assert difference(ours, other) is not None and other["direction"] == "lower"
        assert ours["backend"]["name"] != other["backend"]["name"]
        assert other["backend"]["sha256"] == assets.sha256_of(file)


@needs_pyiqa
@pytest.mark.parametrize(
    "name", ["musiq", "musiq-ava", "topiq_nr", "dists", "arniqa", "clipiqa", "qalign", "fid", "afine_fr"]
)
def test_what_is_missing_is_not_downloaded_and_the_record_says_what_to_do(
    name: str, pair: tuple[FramesU8, FramesU8], empty_folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> None:
        raise AssertionError("a connection was tried")

    monkeypatch.setattr(socket.socket, "connect", never)
    monkeypatch.setattr(socket, "getaddrinfo", never)
    table = score(*pair, metrics=(PREFIX + name, "psnr"))
    backend = table.attrs["records"][PREFIX + name]["backend"]
    assert table[PREFIX + name].isna().all() and table["psnr"].notna().all() and backend["name"] == "n/a"
    if name in WITH_WEIGHTS:
        assert f"emo-bench assets fetch {WITH_WEIGHTS[name][0]}" in backend["detail"]
    elif configurations()[name]["metric_opts"]["type"] in REFUSED:  # type: ignore[index]
        assert "model hub" in backend["detail"] or "sets of pictures" in backend["detail"]
    else:
        assert "EMO_BENCH_ASSETS" in backend["detail"] and ".pth" in backend["detail"]


@needs_pyiqa
@pytest.mark.parametrize("name", [name for name in WITH_WEIGHTS if "vgg" not in name])
def test_the_known_files_are_those_that_pyiqa_asks_for(name: str, empty_folders: Path) -> None:
    """Building stops at one of the listed files, or succeeds if packages bring all of them."""
    if assets.lacking(*WITH_WEIGHTS[name]) is None:
        assert build(name, "cpu")[1]
        return
    files = "|".join(re.escape(assets.find_asset(known).file) for known in WITH_WEIGHTS[name])
    with pytest.raises(Lacking, match=f"needs file ({files});"):
        build(name, "cpu")


@needs_pyiqa
def test_a_file_of_weights_is_checked_by_its_name_and_never_executed(
    pair: tuple[FramesU8, FramesU8], empty_folders: Path
) -> None:
    ran = empty_folders / "ran"

    class Attack:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(ran),)

    (empty_folders / "Metaiqa_livec.pth").write_bytes(pickle.dumps(Attack()))
    (empty_folders / "musiq_koniq_ckpt-e95806b9.pth").write_bytes(b"not these weights")
    metrics = tuple(f"{PREFIX}{name}" for name in ("metaiqa", "musiq"))
    records = score(pair[0], metrics=metrics).attrs["records"]
    reasons = [records[metric]["backend"]["detail"] for metric in metrics]
    assert "Metaiqa_livec.pth" in reasons[0] and not ran.exists()
    assert "does not begin with e95806b9" in reasons[1]
    assert all(records[metric]["backend"]["name"] == "n/a" for metric in metrics)


@needs_pyiqa
def test_the_loaders_of_the_libraries_are_as_before(empty_folders: Path) -> None:
    import pyiqa
    import timm
    import torch
    from pyiqa.archs import arch_util

    before = (torch.load, timm.create_model, socket.getaddrinfo, torch.hub.load_state_dict_from_url)
    loader = pyiqa.utils.download_util.load_file_from_url
    with pytest.raises(Lacking):
        build("hyperiqa", "cpu")
    assert (torch.load, timm.create_model, socket.getaddrinfo, torch.hub.load_state_dict_from_url) == before
    from pyiqa.archs import cnniqa_arch, hypernet_arch

    for module in (arch_util, pyiqa.utils.download_util):
        assert module.load_file_from_url is loader and not hasattr(loader, "__wrapped__")
    assert cnniqa_arch and hypernet_arch


@needs_pyiqa
def test_unknown_names_are_refused_with_a_suggestion() -> None:
    with pytest.raises(UserError, match="did you mean pyiqa:musiq"):
        metric_class("pyiqa:musik")


@needs_pyiqa
def test_directions_and_references_are_pyiqas() -> None:
    known = configurations()
    assert known is not None and len(known) > 90
    for name, of in known.items():
        info = metric_class(PREFIX + name).info
        assert (info.direction == "lower") == bool(of.get("lower_better"))
        assert info.needs_reference == (of["metric_mode"] == "FR")


@needs_pyiqa
def test_the_list_shows_them_with_what_they_lack(empty_folders: Path) -> None:
    states = {state.id: state for state in list_pyiqa()}
    assert states["pyiqa:vif"].missing is None and "assets fetch pyiqa-musiq" in str(states["pyiqa:musiq"].missing)
    assert len(states) == len(WITHOUT_WEIGHTS) + len(WITH_WEIGHTS)


def test_without_the_package_the_line_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("emo_bench.metrics.pyiqa_metric.configurations", lambda: None)
    with pytest.raises(UserError, match=r"pip install --no-deps pyiqa"):
        metric_class("pyiqa:musiq")
    assert list_pyiqa() == []
