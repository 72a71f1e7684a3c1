import re

import pytest

from diffserver.choices.hardware import PATTERN, names


def test_a_machine_has_its_processor_and_each_of_its_cuda_devices() -> None:
    assert names(0) == ("auto", "cpu")
    assert names(2) == ("auto", "cpu", "cuda", "cuda:0", "cuda:1")


def test_every_name_can_be_requested() -> None:
    assert all(re.search(PATTERN, name) for name in names(1000))


@pytest.mark.parametrize("name", ["", "tpu", "cuda:", "cuda:01", "cuda:-1", "cuda:1000", "cuda:0; rm", "CPU"])
def test_what_no_machine_has_cannot(name: str) -> None:
    assert not re.search(PATTERN, name)
