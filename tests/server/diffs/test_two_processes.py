"""Two processes train one diff through DistributedDataParallel, and end with the same one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import multiprocessing, nn
from torch.nn.parallel import DistributedDataParallel

from diffserver.diffs import hashed, sparse
from tests.server.diffs.loops import NEW, batches, errors_on, improve, knowing

STEPS = 60


def work(rank: int, folder: str, name: str) -> None:
    """Train on every second batch, and write down what came of it."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    diff = (sparse if name == "sparse" else hashed)(knowing(), 0.15, STEPS)
    network = DistributedDataParallel(diff.network)
    sent = {key for key, _ in diff.network.named_buffers()} - set(network.parameters_to_ignore)
    optimiser = torch.optim.Adam(diff.parameters(), 0.02)
    for number, (vectors, labels) in enumerate(batches(range(8), 2 * STEPS, seed=2)):
        if number % 2 == rank:
            improve(network, optimiser, vectors, labels)
            diff.step()
    errors = errors_on(diff.finish(), NEW)
    Path(folder, f"rank-{rank}").write_text(f"{diff.digest} {errors} {len(sent)}")
    dist.destroy_process_group()


@pytest.mark.skipif(not dist.is_available(), reason="this PyTorch has no torch.distributed")
@pytest.mark.parametrize("name", ["sparse", "hashed"])
def test_both_end_with_the_same_diff(name: str, tmp_path: Path) -> None:
    multiprocessing.spawn(work, (str(tmp_path), name), nprocs=2)  # type: ignore[attr-defined, no-untyped-call]
    first, second = ((tmp_path / f"rank-{rank}").read_text().split() for rank in (0, 1))
    assert first == second
    assert float(first[1]) < 0.3
    assert first[2] == "0", "no buffer of the parts is sent at every step"


def test_what_is_not_sent_is_named_no_longer_than_the_diff_lasts() -> None:
    network: nn.Module = knowing()
    diff = sparse(network)
    assert network._ddp_params_and_buffers_to_ignore
    diff.remove()
    assert network._ddp_params_and_buffers_to_ignore == []
