"""The cores that are emulated, by name."""

from __future__ import annotations

from dataclasses import dataclass

from efld_tf.errors import EfldError

BASE = "fp asimd evtstrm aes pmull sha1 sha2 crc32 cpuid"
DOT = f"{BASE} atomics fphp asimdhp asimdrdm lrcpc dcpop asimddp"
I8MM = f"{DOT} jscvt fcma sve flagm ssbs dcpodp svei8mm svebf16 i8mm bf16"


@dataclass(frozen=True)
class Core:
    """A core of ARM.

    Attributes:
      name: as it is asked for.
      title: what int8 kernels it has, and where it is found.
      emulated: QEMU's name of it, with options.
      features: of its `/proc/cpuinfo`, which runtimes read.
      part: its number there.
    """

    name: str
    title: str
    emulated: str
    features: str
    part: int

    @property
    def cpuinfo(self) -> str:
        """`/proc/cpuinfo` of a machine with this core alone, as Linux writes it."""
        return (f"processor\t: 0\nBogoMIPS\t: 50.00\nFeatures\t: {self.features}\n"
                "CPU implementer\t: 0x41\nCPU architecture: 8\nCPU variant\t: 0x1\n"
                f"CPU part\t: {self.part:#x}\nCPU revision\t: 0\n\n")


CORES = {core.name: core for core in (
    Core("cortex-a53", "NEON; phones' small cores until 2017", "cortex-a53", BASE, 0xD03),
    Core("cortex-a72", "NEON; Raspberry Pi 4", "cortex-a72", BASE, 0xD08),
    Core("cortex-a76", "dot products; phones of 2018 to 2020, Raspberry Pi 5", "cortex-a76", DOT,
         0xD0B),
    Core("neoverse-n1", "dot products; servers", "neoverse-n1", DOT, 0xD0C),
    # QEMU 7 has no such core, but one with everything, of which SME computes wrong results. By the
    # numbers of phones' cores, cpuinfo in LiteRT dies in the emulation.
    Core("neoverse-v1", "int8 matrix products; servers, and phones since 2022", "max,sme=off", I8MM,
         0xD40),
)}


def get(name: str) -> Core:
    """The core of a name.

    Raises:
      EfldError: there is none.
    """
    if name not in CORES:
        listed = ", ".join(f"{core.name} ({core.title})" for core in CORES.values())
        raise EfldError(f"--cpu {name}: expected one of {listed}")
    return CORES[name]
