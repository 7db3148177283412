"""The card of the diffusion network: what it says about figures and trainings, and its chart of the guidances."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from emo_bench.errors import UserError
from factory.diffusion import measure
from factory.diffusion.bank import EditPlan, make_bank
from factory.diffusion.lineage import FILE, read_trainings, write_trainings
from factory.diffusion.tradeoff import HEIGHT_PX, MARGIN_PX, TONES, WIDTH_PX, place, write_tradeoff
from tests.factory.drawn_edits import drawn

FIRST = {
    "people": 16, "pictures": 64, "vae_steps": 2500, "vae_batch": 4, "steps": 10500, "batch": 8, "learning_rate": 3e-4,
    "seed": 0,
}  # fmt: skip
SECOND = FIRST | {"vae_steps": 0, "steps": 700, "batch": 16}
GUIDED = [
    {"text_scale": text, "image_scale": image, "clip_d": 0.1 * text, "likeness": 0.5 + 0.1 * image}
    for image in (1.0, 2.0)
    for text in (1.0, 4.0)
]


def test_a_folder_lists_every_training_behind_it_first_one_first(tmp_path: Path) -> None:
    assert read_trainings(tmp_path) == []
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
    write_trainings(first, None, FIRST)
    write_trainings(second, first, SECOND)
    assert read_trainings(first) == [FIRST] and read_trainings(second) == [FIRST, SECOND]
    write_trainings(second, first, SECOND)
    assert read_trainings(second) == [FIRST, SECOND], "the export of one training is written once"
    (second / FILE).write_text('{"steps": 1}')
    with pytest.raises(UserError, match="not a list of trainings"):
        read_trainings(second)


def test_a_folder_that_tells_no_training_is_refused_before_it_is_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_bank(tmp_path / "bank", EditPlan(people=8, size_px=32), render=drawn)
    assert measure.main(["--out", str(tmp_path), "--weights", str(tmp_path)]) == 2
    assert f"{tmp_path} does not tell its trainings" in capsys.readouterr().err


@pytest.mark.parametrize("weights", [None, "emo_avatar/weights/portraits-diffusion"])
def test_the_cards_command_is_the_measurements(weights: str | None) -> None:
    words = ["--out", "diffusion", "--count", "8", "--text-scale", "3.5", "--guidance", "--video", "a.mp4", "b.mp4"]
    given = measure.command_line().parse_args([*words, *(["--weights", weights] if weights else [])])
    command = shlex.split(measure.command_of(given))
    assert command[:3] == ["python", "-m", "factory.diffusion.measure"]
    assert measure.command_line().parse_args(command[3:]) == given


def test_the_chart_has_each_point_in_the_colour_of_its_image_scale(tmp_path: Path) -> None:
    write_tradeoff(tmp_path / "guidance.png", GUIDED)
    drawn = np.asarray(Image.open(tmp_path / "guidance.png"))
    assert drawn.shape == (HEIGHT_PX, WIDTH_PX, 3)
    # The corners of the data, 5% inside the axes: likeness 0.6 and 0.7, CLIP-D 0.1 and 0.4.
    across, up = (0.595, 0.705), (0.085, 0.415)
    for row in GUIDED:
        x, y = place(row["likeness"], row["clip_d"], across, up)
        assert MARGIN_PX < x < WIDTH_PX - MARGIN_PX and MARGIN_PX < y < HEIGHT_PX - MARGIN_PX
        tone = TONES[0 if row["image_scale"] == 1.0 else 1]
        assert tuple(drawn[round(y), round(x)]) == tuple(bytes.fromhex(tone[1:]))


def test_the_card_tells_figures_and_trainings(tmp_path: Path) -> None:
    pytest.importorskip("diffusers", reason="the folder is one of diffusers")
    pytest.importorskip("transformers", reason="the text encoder is one of transformers")
    from factory.diffusion.card import write_card
    from factory.diffusion.editor import new_networks
    from factory.diffusion.networks import new_vae
    from factory.diffusion.pipeline import save_pipeline

    vae = new_vae(block_out_channels=(8, 8, 16), norm_num_groups=1, sample_size=32)
    sizes: dict[str, Any] = {"block_out_channels": (16, 16, 32, 32), "attention_head_dim": (1,) * 4}
    networks = new_networks(**sizes, sample_size=8, norm_num_groups=1)
    save_pipeline(tmp_path, vae, networks)
    write_trainings(tmp_path, None, FIRST)
    by_class = {"gold": 1.0, "comic": 0.25, "hdr": 0.0}
    styles = {"overall": 0.512, "count": 258, "by_class": by_class}
    apart = {"clip_d": 0.3, "f_lmd_px": 1.5, "styletransfer_f_lmd_px": 2.0, "styletransfer_highest_clip_d": 0.4}
    change = {"psnr_db": 30.0, "psnr_of_nothing_db": 31.0, "changed_psnr_db": 25.0, "changed_psnr_of_nothing_db": 24.0,
              "kept_psnr_db": 29.5, "nearer": 0.8, "count": 5.0}  # fmt: skip
    recognised = {"balanced": 0.75, "of_truth": 0.9, "of_source": 0.1, "by_class": {"none": 0.5}, "count": 12}
    landmarks = {"f_lmd_px": 1.25, "median_px": 1.1, "of_truth_px": 0.95, "median_of_truth_px": 0.85, "found": 0.9}
    figures = {
        "styles": styles,
        "styles, franck.mp4": styles | {"overall": 0.75},
        "changes": {"smile": change},
        "recognised": {"beard": recognised},
        "left as it is": {"psnr_db": 31.5, "psnr_of_autoencoder_db": 33.5},
        "landmarks": landmarks,
        "styletransfer": {"cartoon": apart, "batik": apart | {"f_lmd_px": 3.0}},
        "guidance": GUIDED,
        "settings": {"people": 48, "count": 6, "changes": 200, "steps": 20, "text_scale": 4.0, "image_scale": 1.3},
    }
    write_card(tmp_path, figures, "python -m factory.diffusion.measure --out diffusion")
    card = (tmp_path / "MODEL_CARD.md").read_text(encoding="utf-8")
    numbers = sum(one.numel() for one in (*vae.parameters(), *networks.unet.parameters(), *networks.text.parameters()))
    for told in (
        f"{numbers / 1e6:.1f} M", "autoencoder 2,500 steps of 4, editor 10,500 steps of 8 examples at 0.0003",
        "| held-out people of the studio | 51.2% of 258 | hdr 0%, comic 25%, gold 100% |", "| franck.mp4 | 75.0%",
        "| smile | 5 | 25.0 dB | 24.0 dB | 80% | 29.5 dB |", "| beard | 75% of 12 (none 50%) | 90% | 10% |", "31.50 dB",
        "1.25 px at 256 px (median 1.10 px)", "0.95 px (median 0.85 px)", "by more than 16",
        "48 people that training never saw", "up to 200 edits for each kind",
        "in 1 of 2 styles; not in batik",
        "(guidance.png)", "stubble",
        "CLIP-D is 0.100 at 1, 0.400 at 4", "likeness is 0.600 at 1, 0.700 at 2",
    ):  # fmt: skip
        assert told in card, told
    assert (tmp_path / "guidance.png").is_file() and (tmp_path / "figures.json").is_file()
