import re

import pytest

from diffserver.choices.hardware import PATTERN, listed, names


def test_a_machine_has_its_processor_and_each_of_its_cuda_devices() -> None:
    assert names(0) == ("auto", "cpu")
    assert names(2) == ("auto", "cpu", "cuda", "cuda:0", "cuda:1")


def test_every_name_can_be_requested() -> None:
    assert all(re.search(PATTERN, name) for name in names(1000))


@pytest.mark.parametrize(
    ("name", "devices"),
    [
        ("auto", ("auto",)),
        ("cuda:all", ("cuda:0", "cuda:1")),
        ("cuda:3,cuda:1", ("cuda:3", "cuda:1")),
        ("cpu,cpu", ("cpu", "cpu")),
    ],
)
def test_a_name_may_list_several(name: str, devices: tuple[str, ...]) -> None:
    assert re.search(PATTERN, name)
    assert listed(name, 2) == devices
    assert all(re.search(PATTERN, device) for device in devices)


def test_a_machine_without_cuda_has_none_of_all() -> None:
    assert listed("cuda:all", 0) == ("cuda:all",)


@pytest.mark.parametrize("name", ["cpu,", ",cpu", "cpu,cuda:0", "cuda,cuda:1", "cuda:all,cuda:0", "auto,auto"])
def test_what_is_no_list_cannot(name: str) -> None:
    assert not re.search(PATTERN, name)


@pytest.mark.parametrize("name", ["", "tpu", "cuda:", "cuda:01", "cuda:-1", "cuda:1000", "cuda:0; rm", "CPU"])
def test_what_no_machine_has_cannot(name: str) -> None:
    assert not re.search(PATTERN, name)
