"""Build a StyleGAN2 network with the weights of a file, if all of them fit."""

from collections.abc import Callable, Mapping
from typing import TypeVar

import torch
from torch import Tensor, nn

from emo_bench.errors import UserError
from emo_bench.untrusted.refusal import short

Config = TypeVar("Config")
Network = TypeVar("Network", bound=nn.Module)


def build_exactly(kind: Callable[[Config], Network], config: Config, state: Mapping[str, Tensor]) -> Network:
    """Return ``kind(config)`` with the weights ``state``, float32.

    Names and shapes are checked before memory is allocated for the network. Raises UserError that names the first one
    that does not fit, or for values that are not finite.
    """
    with torch.device("meta"):
        own = kind(config).state_dict()
    for name in sorted(own.keys() | state.keys()):
        where = short(name, 80)
        if name not in state:
            raise UserError(f"the checkpoint lacks {where}.")
        if name not in own:
            raise UserError(f"the checkpoint holds {where}, which this network does not have.")
        if own[name].shape != state[name].shape:
            raise UserError(f"{where} is {list(state[name].shape)} in the checkpoint, not {list(own[name].shape)}.")
        if not state[name].isfinite().all():
            raise UserError(f"{where} of the checkpoint holds values that are not finite: the file is damaged.")
    network = kind(config)
    network.load_state_dict(dict(state))
    return network
