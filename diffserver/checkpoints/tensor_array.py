"""A torch tensor as the array that files and tables have of it; bf16, which numpy lacks, as its bits."""

from typing import TYPE_CHECKING

import numpy as np

from diffclient.tensors.snapshot import Array

if TYPE_CHECKING:
    from torch import Tensor


def as_array(tensor: "Tensor") -> Array:
    """Return a tensor as an array, in the same memory if it can be; bf16 as uint16."""
    import torch

    plain = tensor.detach().cpu()
    bits = plain.view(torch.int16).numpy().view(np.uint16) if plain.dtype == torch.bfloat16 else plain.numpy()
    return np.asarray(bits)
