"""The methods by name."""

from __future__ import annotations

from diffclient.tensors.snapshot import Table
from diffserver.methods.full import Full
from diffserver.methods.hashed import HashedDiff
from diffserver.methods.method import Method, MethodError, Weights
from diffserver.methods.sparse import SparseDiff


def load_method(name: str, parent: Weights, table: Table, budget: float, seed: int) -> Method:
    """The method of that name on a parent; `budget` is the most payload bytes as a share of the fp32 bytes.

    Raises MethodError if there is no such method or the budget is not between 0 and 1.
    """
    if not 0 < budget <= 1:
        raise MethodError(f"a budget of {budget} is not a share of the model's bytes: give one above 0 and at most 1")
    if name == "full":
        return Full(parent)
    if name == "sparse":
        return SparseDiff(parent, table, budget)
    if name == "hashed":
        return HashedDiff(parent, table, budget, seed)
    raise MethodError(f"there is no method {name!r}; known: sparse, hashed, full")
