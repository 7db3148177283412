"""The common part of all edits: the skip connections are trained, everything else is frozen."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from emo_avatar.config import EmoAvatarConfig
from emo_avatar.edit_config import EditConfig
from emo_avatar.renderer import AvatarRenderer, Encoding
from emo_bench.methods.training.finite import require_finite
from emo_bench.methods.training.learning_rate import cosine_share, set_rates, warm_up_share
from emo_bench.system.devices import mixed_precision

WARM_UP_STEPS = 10


class SkipTraining:
    """Training of an avatar's skip connections only: optimiser, learning rate, distance to the original weights.

    Args:
        avatar: the fitted avatar; everything except ``fusion`` is frozen here.
        config, fit_config: the configurations of the edit and of the fit.
    """

    def __init__(self, avatar: AvatarRenderer, config: EditConfig, fit_config: EmoAvatarConfig) -> None:
        self.avatar, self.step = avatar, 0
        self.config, self.fit_config = config, fit_config
        avatar.requires_grad_(False)
        avatar.fusion.requires_grad_(True)
        named = list(avatar.fusion.named_parameters())
        strokes = [p for name, p in named if name.startswith("strokes.")]
        self._skips = [p for name, p in named if not name.startswith("strokes.")]
        self._unedited = [p.detach().clone() for p in self._skips]
        groups = [{"params": self._skips}, *([{"params": strokes}] if strokes else [])]
        self._peaks = [config.lr, config.stroke_lr][: len(groups)]
        self._optimizer = torch.optim.Adam(groups, lr=config.lr, betas=(0.9, 0.99))

    def render(self, encoding: Encoding) -> Tensor:
        """Render images ``[B, 3, R, R]`` float32 in about [-1, 1]."""
        with self.autocast():
            return self.avatar.synthesise(encoding).float()

    def descend(self, terms: dict[str, tuple[float, Tensor]]) -> dict[str, float]:
        """Add the anchor to the weighted terms, take one step that reduces their sum, and return their values.

        Raises:
            UserError: a term is not finite; nothing was updated.
        """
        if self.config.anchor_weight > 0:
            moved = [((p - q) ** 2).sum() for p, q in zip(self._skips, self._unedited, strict=True)]
            terms = {**terms, "anchor": (self.config.anchor_weight, torch.stack(moved).sum())}
        total = torch.stack([weight * value for weight, value in terms.values()]).sum()
        values = {name: float(value.detach()) for name, (_, value) in terms.items()}
        self._require_finite(values)
        self._optimizer.zero_grad(set_to_none=True)
        total.backward()
        norm = nn.utils.clip_grad_norm_(self._skips, 10.0)
        self._require_finite({"gradient": float(norm)})
        set_rates(self._optimizer, self._peaks, self._rate_share())
        self._optimizer.step()
        return values

    def optimizer_state(self) -> dict[str, Any]:
        """Return the state of the optimiser."""
        return self._optimizer.state_dict()

    def restore_optimizer(self, state: dict[str, Any]) -> None:
        """Return the optimiser to a saved state."""
        self._optimizer.load_state_dict(state)

    def autocast(self) -> torch.autocast:
        """Use bfloat16 if the fit used it."""
        return mixed_precision(self.avatar.pivots.device, self.fit_config.bf16)

    def _rate_share(self) -> float:
        share = cosine_share(self.step, self.config.steps, self.config.final_lr_share)
        return warm_up_share(self.step, WARM_UP_STEPS) * share

    def _require_finite(self, values: dict[str, float]) -> None:
        remedy = "the edit is not saved. Try a lower learning rate (--set edit.lr=...) or a fit with --set bf16=false"
        require_finite(values, "emo-avatar: the edit", self.step, remedy)
