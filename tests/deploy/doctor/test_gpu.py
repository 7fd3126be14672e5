"""The GPU, from what nvidia-smi and torch's version file say."""

from __future__ import annotations

import pytest
from dextrack_deploy.doctor import Level, gpu
from dextrack_deploy.doctor.system import Ran


@pytest.fixture
def with_gpu(machine):
    machine.commands["nvidia-smi"] = Ran(0, "NVIDIA RTX A5000, 570.86.10, 23911, 24564\n")
    machine.versions["torch"] = "2.13.0"
    machine.modules["torch"] = machine.root / "modules" / "torch"
    machine.modules["torch"].mkdir(parents=True)
    (machine.modules["torch"] / "version.py").write_text("from typing import Optional\n__version__ = '2.13.0+cu130'\ncuda: Optional[str] = '13.0'\n")
    return machine


def test_none_is_needed(machine, twin) -> None:
    (finding,) = gpu.check(machine.system, twin)
    assert finding.level is Level.NOTE and finding.what.startswith("none.")


def test_a_good_one(with_gpu, twin, named) -> None:
    findings = gpu.check(with_gpu.system, twin)
    assert {f.level for f in findings} == {Level.OK}
    assert named(findings, "GPU").what == "NVIDIA RTX A5000, driver 570.86.10, 23911 of 24564 MiB free."
    assert named(findings, "torch on the GPU").what == "torch 2.13.0, built for CUDA 13.0."


def test_torch_without_cuda(with_gpu, twin, named) -> None:
    (with_gpu.modules["torch"] / "version.py").write_text("cuda: Optional[str] = None\nhip: Optional[str] = '6.1'\n")
    assert named(gpu.check(with_gpu.system, twin), "torch on the GPU").level is Level.NOTE
    (with_gpu.modules["torch"] / "version.py").unlink()
    assert named(gpu.check(with_gpu.system, twin), "torch on the GPU").level is Level.NOTE


@pytest.mark.parametrize("ran", [None, Ran(9, "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.\n"), Ran(0, "")])
def test_a_card_whose_driver_does_not_answer(machine, twin, named, ran) -> None:
    machine.commands["nvidia-smi"] = ran
    machine.write("/sys/bus/pci/devices/0000:01:00.0/vendor", "0x10de")
    machine.write("/sys/bus/pci/devices/0000:01:00.0/class", "0x040300")  # its sound
    assert named(gpu.check(machine.system, twin), "GPU").level is Level.NOTE
    machine.write("/sys/bus/pci/devices/0000:01:00.0/class", "0x030000")
    finding = named(gpu.check(machine.system, twin), "GPU")
    assert finding.level is Level.WARNING and (ran is None or "couldn't communicate" in finding.what or not ran.output)
