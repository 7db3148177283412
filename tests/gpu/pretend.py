"""A GPU that is not there: tensors that say cuda:0 and hold their numbers on the CPU.

What CUDA refuses is refused: operations that mix devices, a generator of the wrong device, numpy of a tensor on the
GPU, a Warp launch on a device that Warp does not know. All else computes real numbers, so a whole fit runs, branches
on its losses, is saved and resumed.

Autograd runs tensors of device ``cuda`` on a driver's threads only. So torch's C++ code sees a tensor as ``meta`` where
gradients flow, and as ``cuda`` where they do not (``Pretence.GRADIENTS``, ``Pretence.AUTOCAST``); the latter obeys the
rules of ``torch.autocast("cuda")``.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch._dynamo  # noqa: F401 - dispatch modes import it, and it wants torch as it is
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

DEVICE = torch.device("cuda", 0)
NAME = "A pretended GPU"
aten = torch.ops.aten
# These take tensors of two devices on a GPU too.
COPIES = {aten.copy_.default, aten._to_copy.default, aten.copy.default}
# These take indices of the CPU.
INDEXED = {
    aten.index.Tensor,
    aten.index_put.default,
    aten.index_put_.default,
    aten._index_put_impl_.default,
    aten._unsafe_index.Tensor,
    aten._unsafe_index_put.default,
}


class Pretence(enum.Enum):
    """What torch's C++ code takes the tensors for."""

    GRADIENTS = "meta"
    AUTOCAST = "cuda:0"


class OnGpu(Tensor):
    """A tensor on the pretended GPU; ``held`` has its numbers."""

    held: Tensor
    seen_as: Pretence

    @staticmethod
    def __new__(cls, held: Tensor, seen_as: Pretence) -> OnGpu:
        made: OnGpu = Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls,
            held.shape,
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device=seen_as.value,
            requires_grad=False,
        )
        made.held, made.seen_as = held, seen_as
        return made

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        return DEVICE

    @property
    def is_cuda(self) -> bool:  # type: ignore[override]
        return True

    @property
    def is_meta(self) -> bool:  # type: ignore[override]
        return False

    def numpy(self, **kwargs: Any) -> Any:  # type: ignore[override]
        raise TypeError("can't convert cuda:0 device type tensor to numpy: copy it to the CPU first")

    __array__ = numpy

    def new_tensor(self, data: Any, **kwargs: Any) -> Tensor:  # type: ignore[override]
        return torch.tensor(data, dtype=self.dtype).to(DEVICE)

    def copy_(self, source: Tensor, non_blocking: bool = False) -> Tensor:
        if self.seen_as is Pretence.GRADIENTS:
            return super().copy_(source, non_blocking)
        # Torch's own looks for a driver.
        self.held.copy_(_held(source))
        return self

    def __getitem__(self, index: Any) -> Tensor:
        if self.seen_as is Pretence.GRADIENTS:
            return super().__getitem__(index)
        # Torch's own looks for a driver.
        return OnGpu(self.held[tree_map(_held, index)], self.seen_as)

    def contiguous(self, memory_format: torch.memory_format = torch.contiguous_format) -> Tensor:
        if self.seen_as is Pretence.GRADIENTS:
            return super().contiguous(memory_format=memory_format)
        return OnGpu(self.held.contiguous(memory_format=memory_format), self.seen_as)

    def tolist(self) -> Any:
        return self.held.tolist()

    def __repr__(self) -> str:  # type: ignore[override]
        return f"OnGpu({self.held!r})"

    def __reduce_ex__(self, protocol: Any) -> Any:
        # As torch.load(map_location="cpu") gives back what was saved on a GPU.
        return self.held.detach().__reduce_ex__(protocol)

    __torch_function__ = torch._C._disabled_torch_function_impl

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise AssertionError(f"{func} outside of the pretended GPU")


class PretendedGpu(TorchDispatchMode):
    """While it is on, ``device="cuda:0"`` gives tensors of :class:`OnGpu`."""

    def __init__(self, seen_as: Pretence) -> None:
        super().__init__()
        self.seen_as = seen_as

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func.namespace == "aten" and _is_composite(func):
            with self:
                result = func.decompose(*args, **kwargs)
            if result is not NotImplemented:
                return result
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        here = any(isinstance(tensor, OnGpu) for tensor in tensors)
        if here and func not in COPIES:
            _refuse_mixed(func, args, tensors)
        to_gpu = here
        asked = kwargs.get("device")
        if asked is not None:
            to_gpu = torch.device(asked).type in ("cuda", "meta")
            kwargs["device"] = torch.device("cpu")
        generator = kwargs.get("generator")
        if generator is not None and to_gpu and generator.device.type == "cpu":
            raise RuntimeError("Expected a 'cuda' device type for generator but found 'cpu'")
        result = func(*tree_map(_held, args), **tree_map(_held, kwargs))
        written = _written(func, args, kwargs)
        if written is not None:
            assert written.shape == tree_leaves(result)[0].shape, f"{func} changes a shape in place"
            return written
        if not to_gpu:
            return result
        return tree_map(lambda x: OnGpu(x, self.seen_as) if isinstance(x, Tensor) else x, result)


def _held(value: Any) -> Any:
    return value.held if isinstance(value, OnGpu) else value


def _is_composite(func: Any) -> bool:
    return bool(torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), "CompositeImplicitAutograd"))


def _refuse_mixed(func: Any, args: Any, tensors: list[Tensor]) -> None:
    """Raise as CUDA does where tensors of several devices meet; numbers and indices may lie on the CPU."""
    allowed = set()
    if func in INDEXED:
        if not isinstance(args[0], OnGpu):
            raise RuntimeError(f"{func}: indices should be on the same device as the indexed tensor (cpu)")
        allowed = {id(index) for index in tree_leaves(args[1])}
    for tensor in tensors:
        if not isinstance(tensor, OnGpu) and tensor.dim() > 0 and id(tensor) not in allowed:
            raise RuntimeError(f"{func}: Expected all tensors to be on the same device, but found cuda:0 and cpu")


def _written(func: Any, args: Any, kwargs: Any) -> Tensor | None:
    """The argument that an operation writes to and gives back."""
    schema = func._schema
    if not (schema.returns and schema.returns[0].alias_info and schema.returns[0].alias_info.is_write):
        return None
    wanted = schema.returns[0].alias_info.before_set
    for number, argument in enumerate(schema.arguments):
        if argument.alias_info and argument.alias_info.before_set == wanted:
            found = args[number] if number < len(args) else kwargs[argument.name]
            assert isinstance(found, Tensor)
            return found
    raise AssertionError(f"{func} writes to none of its arguments")


@contextmanager
def pretended_gpu(patch: pytest.MonkeyPatch, seen_as: Pretence = Pretence.GRADIENTS) -> Iterator[str]:
    """A machine with one GPU; gives its device's name as torch does when asked for ``cuda``."""
    _pretend_torch(patch, seen_as)
    _pretend_warp(patch)
    # Autocast keeps its casts of weights with their gradients.
    cached = torch.is_autocast_cache_enabled()
    torch.set_autocast_cache_enabled(cached and seen_as is Pretence.GRADIENTS)
    try:
        with PretendedGpu(seen_as), torch.inference_mode(seen_as is Pretence.AUTOCAST):
            yield "cuda:0"
    finally:
        torch.set_autocast_cache_enabled(cached)


def _pretend_torch(patch: pytest.MonkeyPatch, seen_as: Pretence) -> None:
    properties = SimpleNamespace(name=NAME, total_memory=8 * 2**30, major=8, minor=6)
    for name, value in {
        "is_available": lambda: True,
        "device_count": lambda: 1,
        "current_device": lambda: 0,
        "_lazy_init": lambda: None,
        "is_bf16_supported": lambda including_emulation=True: True,
        "get_device_name": lambda device=None: NAME,
        "get_device_properties": lambda device=None: properties,
        "reset_peak_memory_stats": lambda device=None: None,
        "max_memory_allocated": lambda device=None: 3 * 2**20,
        "is_current_stream_capturing": lambda: False,
    }.items():
        patch.setattr(torch.cuda, name, value)
    # These two look for a driver before they make a tensor.
    for name in ("tensor", "as_tensor"):
        patch.setattr(torch, name, _made_on_cpu(getattr(torch, name)))
    # Torch asks a driver which GPU ``cuda`` is.
    patch.setattr(Tensor, "to", _numbered(Tensor.to))
    if seen_as is Pretence.GRADIENTS:
        # Tensors that are wrapped in inference mode cannot be viewed afterwards.
        patch.setattr(torch._C, "_InferenceMode", lambda mode: torch.no_grad() if mode else nullcontext())
    # A module that is moved gets new parameters: the old ones cannot hold such a tensor.
    patch.setattr(torch, "_has_compatible_shallow_copy_type", lambda old, new: not isinstance(new, OnGpu))
    # It asks a driver whether a graph is being captured.
    patch.setattr(torch.optim.Optimizer, "_accelerator_graph_capture_health_check", lambda self: None)


def _numbered(to: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def moved(tensor: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        def number(value: Any) -> Any:
            unnumbered = isinstance(value, str | torch.device) and str(value) == "cuda"
            return DEVICE if unnumbered else value

        return to(tensor, *map(number, args), **{key: number(value) for key, value in kwargs.items()})

    return moved


def _made_on_cpu(make: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def made(data: Any, *, device: Any = None, **kwargs: Any) -> Tensor:
        if device is None or torch.device(device).type == "cpu":
            return make(data, device=device, **kwargs)
        return data.to(device) if isinstance(data, OnGpu) else make(data, **kwargs).to(device)

    return made


def _pretend_warp(patch: pytest.MonkeyPatch) -> None:
    """Warp computes on the CPU, and refuses devices and arrays as on a machine with one GPU."""
    from emo_bench.tracking.raycast import warp

    wp = warp()
    array, launch, from_torch = wp.array, wp.launch, wp.from_torch
    places: dict[int, Any] = {}

    def device_from_torch(device: torch.device) -> Any:
        # Warp keeps GPUs in a list, so it wants a number.
        return [_WarpGpu()][device.index] if device.type == "cuda" else "cpu"

    def on(device: Any) -> str:
        return "cpu" if isinstance(device, _WarpGpu) else device

    def made(*args: Any, device: Any = None, **kwargs: Any) -> Any:
        result = array(*args, device=on(device), **kwargs)
        _place(result, device)
        return result

    def _place(result: Any, device: Any) -> None:
        places[id(result)] = isinstance(device, _WarpGpu)

    def shared(tensor: Tensor, *args: Any, **kwargs: Any) -> Any:
        result = from_torch(_held(tensor), *args, **kwargs)
        _place(result, _WarpGpu() if isinstance(tensor, OnGpu) else "cpu")
        return result

    def launched(kernel: Any, dim: Any, inputs: Any = (), outputs: Any = (), device: Any = None, **kwargs: Any) -> None:
        gradients = (*kwargs.get("adj_inputs", ()), *kwargs.get("adj_outputs", ()))
        for value in (*inputs, *outputs, *gradients):
            if isinstance(value, array) and places[id(value)] != isinstance(device, _WarpGpu):
                raise RuntimeError(f"{kernel.key}: an array is not on the device {device} of the launch")
        # Warp compares the types of gradients with its array.
        with pytest.MonkeyPatch.context() as own:
            own.setattr(wp, "array", array)
            launch(kernel, dim=dim, inputs=list(inputs), outputs=list(outputs), device=on(device), **kwargs)

    for name, value in {"device_from_torch": device_from_torch, "from_torch": shared, "launch": launched}.items():
        patch.setattr(wp, name, value)
    patch.setattr(wp, "array", made)


class _WarpGpu:
    def __str__(self) -> str:
        return "cuda:0"
