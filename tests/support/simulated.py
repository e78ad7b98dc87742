"""A second device without hardware: tensors that compute on the processor but behave as those of a graphics card.

A :class:`Simulated` tensor says that it is on ``cuda:0``, refuses other tensors beside it that are not (single numbers apart, as
CUDA does) and refuses to become an array.  Within :func:`simulated_device` whatever is made on or moved to ``cuda`` is one.
"""

from contextlib import contextmanager
from unittest import mock

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map_only

DEVICE = torch.device("cuda", 0)
INSIDE = torch.device("meta")
"""What PyTorch's own code takes for the device: it has no numbers, so that all operations come to :func:`_run`."""
aten = torch.ops.aten
NOTHING = -99
"""What an empty tensor of integers holds."""
EMPTY = {aten.empty.memory_format, aten.empty_like.default, aten.new_empty.default, aten.empty_strided.default}
CROSSING = {aten._to_copy.default, aten.copy_.default, aten.copy.default}
INDEXED = {aten.index.Tensor, aten.index_put.default, aten.index_put_.default, aten._index_put_impl_.default}
"""Operations in which CUDA takes positions that are on the processor."""


class Simulated(torch.Tensor):
    """A tensor on the simulated device, with its numbers in ``inner``."""

    @staticmethod
    def __new__(cls, inner):
        return torch.Tensor._make_wrapper_subclass(
            cls, inner.shape, inner.stride(), inner.storage_offset(), dtype=inner.dtype, device=INSIDE
        )

    def __init__(self, inner):
        self.inner = inner

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return _run(func, args, kwargs or {})

    __torch_function__ = torch._C._disabled_torch_function_impl

    @property
    def device(self):
        return DEVICE

    def data_ptr(self):
        return self.inner.data_ptr()

    def tolist(self):
        return self.inner.tolist()

    def numpy(self, *args, **kwargs):
        raise TypeError("can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() first")

    __array__ = numpy

    def __deepcopy__(self, memo):
        copy = self.detach().clone().requires_grad_(self.requires_grad)
        if isinstance(self, torch.nn.Parameter):
            copy = torch.nn.Parameter(copy.detach(), self.requires_grad)
        memo[id(self)] = copy
        return copy

    def __repr__(self, *, tensor_contents=None):
        return f"Simulated({self.inner})"


def _run(func, args, kwargs):
    """An operation on the numbers of its tensors, and its results on the device that they belong to."""
    flat, _ = tree_flatten((args, kwargs))
    tensors = [v for v in flat if isinstance(v, torch.Tensor)]
    asked = kwargs.get("device")
    here = asked.type in ("cuda", "meta") if asked is not None else any(isinstance(t, Simulated) for t in tensors)
    if any(t.device == INSIDE for t in tensors):
        raise RuntimeError("PyTorch made a tensor of a list, which would have no numbers here: give it a tensor")
    if func not in CROSSING and any(isinstance(t, Simulated) for t in tensors):
        _refuse_mixed(func, args, tensors)
    if asked is not None:
        kwargs = kwargs | {"device": torch.device("cpu")}
    if func is aten.copy_.default:
        here = isinstance(args[0], Simulated)
    owner = {id(t.inner): t for t in tensors if isinstance(t, Simulated)}
    plain_args, plain_kwargs = tree_map_only(Simulated, lambda t: t.inner, (args, kwargs))
    result = func(*plain_args, **plain_kwargs)
    if func in EMPTY and here:
        result.fill_(torch.nan if result.is_floating_point() else NOTHING)
    if func is aten._to_copy.default and here and result is plain_args[0]:
        result = result.clone()
    return (
        tree_map_only(torch.Tensor, lambda t: owner[id(t)] if id(t) in owner else Simulated(t), result)
        if here
        else result
    )


def _refuse_mixed(func, args, tensors):
    for t in tensors:
        if isinstance(t, Simulated):
            continue
        is_number = t.ndim == 0 and (torch.Tag.pointwise in func.tags or func in INDEXED)
        is_index = func in INDEXED and any(t is i for i in args[1] if i is not None)
        if not (is_number or is_index):
            raise RuntimeError(
                f"Expected all tensors to be on the same device, but found at least two devices, cuda:0 and cpu! ({func})"
            )


class _Everywhere(TorchDispatchMode):
    """Makes what is asked for on the device simulated, in operations without a tensor too."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return _run(func, args, kwargs or {})


@contextmanager
def simulated_device():
    """A context in which PyTorch says that there is a graphics card, and ``cuda`` is the simulated device."""
    lift = torch._C._only_lift_cpu_tensors()
    with (
        mock.patch("torch.cuda.is_available", return_value=True),
        mock.patch("torch.cuda.device_count", return_value=1),
        mock.patch("torch.cuda.current_device", return_value=0),
        mock.patch("torch.cuda._lazy_init", return_value=None),
    ):
        torch._C._set_only_lift_cpu_tensors(True)
        try:
            with _Everywhere():
                yield DEVICE
        finally:
            torch._C._set_only_lift_cpu_tensors(lift)
