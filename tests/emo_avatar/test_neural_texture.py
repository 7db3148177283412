"""Neural texture and motion flow against analytic values."""

import torch
import torch.nn.functional as F

from emo_avatar.motion_flow import AdaIN, MotionFlow, expression_windows, total_variation
from emo_avatar.neural_texture import NeuralTexture, sample_texture


def identity_uv(size: int) -> torch.Tensor:
    centers = (torch.arange(size, dtype=torch.float32) + 0.5) / size
    v, u = torch.meshgrid(centers, centers, indexing="ij")
    return torch.stack((u, v), dim=-1)[None]


def test_identity_uv_gives_the_texture_back() -> None:
    texture = torch.randn(1, 5, 16, 16)
    torch.testing.assert_close(sample_texture(texture, identity_uv(16)), texture)


def test_sampling_between_two_texels_is_their_mean() -> None:
    texture = torch.randn(1, 2, 8, 8)
    uv = torch.tensor([[[[4.0 / 8, 2.5 / 8]]]])
    expected = (texture[0, :, 2, 3] + texture[0, :, 2, 4]) / 2
    torch.testing.assert_close(sample_texture(texture, uv)[0, :, 0, 0], expected)


def test_levels_add_up_and_fine_levels_start_empty() -> None:
    texture = NeuralTexture(channels=12, size_px=32, levels=4)
    assert [tuple(level.shape[1:]) for level in texture.levels] == [(12, 32, 32), (12, 16, 16), (12, 8, 8), (12, 4, 4)]
    assert all(level.abs().max() == 0 for level in list(texture.levels)[:-1])
    with torch.no_grad():
        texture.levels[0].normal_()
    coarse = texture.levels[3]
    for size in (8, 16, 32):
        coarse = F.interpolate(coarse, size=(size, size), mode="bilinear", align_corners=False)
    torch.testing.assert_close(texture.compose(), coarse + texture.levels[0])


def test_windows_hold_two_frames_before_and_after_and_repeat_the_ends() -> None:
    expression = torch.arange(6.0)[:, None].expand(6, 3)
    windows = expression_windows(expression, 5).unflatten(1, (5, 3))[..., 0]
    assert windows[3].tolist() == [1, 2, 3, 4, 5]
    assert windows[0].tolist() == [0, 0, 0, 1, 2]
    assert windows[5].tolist() == [3, 4, 5, 5, 5]


def test_adain_starts_as_instance_norm_and_then_sets_mean_and_deviation() -> None:
    layer, x = AdaIN(3, 7), 4.0 + 2.0 * torch.randn(2, 3, 16, 16)
    torch.testing.assert_close(layer(x, torch.randn(2, 7)), F.instance_norm(x))
    with torch.no_grad():
        layer.affine.bias[:3] = 1.5
        layer.affine.bias[3:] = -3.0
    out = layer(x, torch.zeros(2, 7))
    torch.testing.assert_close(out.mean(dim=(2, 3)), torch.full((2, 3), -3.0), atol=1e-4, rtol=0)
    torch.testing.assert_close(out.std(dim=(2, 3), correction=0), torch.full((2, 3), 2.5), atol=1e-3, rtol=0)


def test_untrained_flow_leaves_the_texture_alone_and_is_bounded_later() -> None:
    flow_net = MotionFlow(10, 12, 32, (8, 8, 16, 16, 16), max_displacement=0.1, with_residual=True)
    texture, expressions = torch.randn(1, 12, 64, 64), torch.randn(3, 10)
    flow, residual = flow_net(texture, expressions)
    assert flow.shape == (3, 2, 64, 64) and residual is not None and residual.shape == (3, 12, 64, 64)
    assert flow.abs().max() == 0 and residual.abs().max() == 0
    with torch.no_grad():
        flow_net.head.weight.normal_(0, 10)
        for norm in flow_net.up_norm:
            norm.affine.weight.normal_()
    flow, _ = flow_net(texture, expressions)
    assert 0 < flow.abs().max() <= 0.1
    assert (flow[0] - flow[1]).abs().max() > 0, "the flow must follow the expression"


def test_total_variation_of_a_ramp_is_its_slope() -> None:
    ramp = torch.arange(5.0).expand(1, 2, 5, 5)
    assert float(total_variation(ramp)) == 1.0
