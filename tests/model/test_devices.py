"""Where and how exactly a model computes."""

import pytest
import torch

from model.devices import NoSuchDevice, autocast, choose_device, choose_precision, precision_name, repeatable

CPU = torch.device("cpu")


def test_a_device_that_is_not_there_is_refused_with_what_to_ask_for_instead() -> None:
    if torch.cuda.is_available():
        pytest.skip("needs a machine without a GPU")
    assert choose_device("auto") == CPU
    with pytest.raises(NoSuchDevice, match="'auto' or 'cpu'"):
        choose_device("cuda")


@pytest.mark.parametrize(
    ("capabilities", "chosen"),
    [
        ({"avx512_bf16": True}, torch.bfloat16),
        ({"amx_bf16": True}, torch.bfloat16),
        ({"bf16": True}, torch.bfloat16),
        ({"avx512_bf16": False, "avx2": True}, torch.float32),
        ({}, torch.float32),
    ],
)
def test_half_precision_is_chosen_only_where_the_processor_has_it(monkeypatch, capabilities, chosen) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert choose_precision("auto", CPU) == chosen
    assert choose_precision("float32", CPU) == torch.float32
    assert choose_precision("bfloat16", CPU) == torch.bfloat16


@pytest.mark.parametrize("name", ["float32", "bfloat16"])
def test_precision_is_that_of_matrix_products(name) -> None:
    dtype = choose_precision(name, CPU)
    assert precision_name(dtype) == name
    with autocast(CPU, dtype):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == dtype


def test_settings_come_back_when_the_work_fails() -> None:
    threads = torch.get_num_threads()

    def fail() -> None:
        with repeatable(CPU, threads + 1):
            assert torch.get_num_threads() == threads + 1
            assert torch.are_deterministic_algorithms_enabled()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert torch.get_num_threads() == threads
    assert not torch.are_deterministic_algorithms_enabled()
