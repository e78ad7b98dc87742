"""Where models compute: on the processor, or on a graphics card with CUDA.

The one home of that choice, and of the ways in and out: arrays become tensors by :func:`tensor` and tensors arrays by
:func:`to_numpy`.  In between no code names a device, what it makes is where the tensors are that it works on; modules are made
under ``with device:``.  Random numbers are drawn on the processor and moved (``streams.py``), so that a seed gives the same ones on
every device.
"""

from __future__ import annotations

import re
import warnings

import numpy as np
import torch
from torch import Tensor

CPU = torch.device("cpu")
ENOUGH_LABELS = 1000
"""Labels from which ``"auto"`` is a card: matrices of fewer take less time than the calls that start work on one."""
_CUDA = re.compile(r"cuda(?::(\d+))?")


def torch_device(device: str | torch.device, n_labels: int, or_cpu: bool = False) -> torch.device:
    """The device that a model's ``device=`` stands for, for so many labels.

    With ``or_cpu`` a card that this machine does not have is replaced by the processor, with a warning.

    Raises
    ------
    ValueError
        If it is no device, or one that this machine does not have.

    Examples
    --------
    >>> torch_device("cpu", 10)
    device(type='cpu')
    """
    device = str(device) if isinstance(device, torch.device) else device
    match = _CUDA.fullmatch(device) if isinstance(device, str) else None
    if match is None and not (isinstance(device, str) and device in ("cpu", "auto")):
        raise ValueError(f"device must be 'cpu', 'cuda', 'cuda:1' or the like, or 'auto', got {device!r}")
    n_cards = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if match is None:
        return _card(None) if device == "auto" and n_cards and n_labels >= ENOUGH_LABELS else CPU
    if int(match[1] or 0) < n_cards:
        return _card(match[1])
    cards = ", ".join(f"cuda:{i}" for i in range(n_cards)) or "no card with CUDA"
    if not or_cpu:
        raise ValueError(
            f"device={device!r}, but here PyTorch finds {cards}: take device='auto' or 'cpu', or install PyTorch for CUDA"
        )
    warnings.warn(
        f"device={device!r}, but here PyTorch finds {cards}: the model computes on the processor",
        RuntimeWarning,
        stacklevel=2,
    )
    return CPU


def _card(number: str | None) -> torch.device:
    return torch.device("cuda", torch.cuda.current_device() if number is None else int(number))


def tensor(values: np.ndarray, device: torch.device = CPU) -> Tensor:
    """An array as a tensor on a device; on the processor both have the same memory."""
    return torch.from_numpy(values).to(device)


def to_numpy(values: Tensor) -> np.ndarray:
    """A tensor of any device as an array, without its gradient; on the processor both have the same memory."""
    return values.detach().cpu().numpy()
