"""Which precision networks compute in, held against what the processor says of itself."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from emo_bench.runs.machine import describe_machine
from emo_bench.system import devices
from emo_bench.system.devices import mixed_precision


@pytest.fixture
def asked_anew() -> Iterator[None]:
    devices._processor_has_bfloat16.cache_clear()
    yield
    devices._processor_has_bfloat16.cache_clear()


@pytest.mark.skipif(platform.machine() != "x86_64" or not Path("/proc/cpuinfo").exists(), reason="needs /proc/cpuinfo")
@pytest.mark.usefixtures("asked_anew")
def test_a_processor_that_emulates_bfloat16_computes_in_float32() -> None:
    native = " avx512_bf16" in Path("/proc/cpuinfo").read_text(encoding="utf-8")
    assert describe_machine("cpu")["bfloat16"] is native
    with mixed_precision("cpu", wanted=True):
        made = torch.nn.functional.linear(torch.ones(1, 2), torch.ones(3, 2))
    assert made.dtype == (torch.bfloat16 if native else torch.float32)


@pytest.mark.skipif(platform.machine() != "x86_64", reason="names AVX-512")
@pytest.mark.parametrize("native", [True, False])
@pytest.mark.usefixtures("asked_anew")
def test_bfloat16_is_taken_where_it_is_native_and_wanted(native: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: native, raising=False)
    with mixed_precision("cpu", wanted=True):
        assert torch.is_autocast_enabled("cpu") is native
    with mixed_precision("cpu", wanted=False):
        assert not torch.is_autocast_enabled("cpu")


@pytest.mark.skipif(platform.machine() != "x86_64", reason="names AVX-512")
@pytest.mark.usefixtures("asked_anew")
def test_only_a_network_says_that_it_computes_in_float32(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False, raising=False)
    devices._say_float32.cache_clear()
    caplog.set_level("INFO", "emo_bench")
    describe_machine("cpu")
    mixed_precision("cpu", wanted=False)
    assert not caplog.records
    for _ in range(2):
        mixed_precision("cpu", wanted=True)
    assert [record.message for record in caplog.records] == [
        "this processor does not support bfloat16: networks compute in float32"
    ]
