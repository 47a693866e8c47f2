"""Instructions of programs that are known to the last one."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from efld_tf.emulation import cores, tools
from efld_tf.emulation.run import counts_of

TIMES = 10
# Each is written in full; those of a group are counted as these kinds.
GROUPS = {
    ("dot_product", "simd"): [
        "sdot v0.4s, v1.16b, v2.16b", "udot v0.4s, v1.16b, v2.16b", "sdot v0.2s, v1.8b, v2.8b",
        "sdot v0.4s, v1.16b, v31.4b[3]", "udot v0.4s, v1.16b, v2.4b[0]",
    ],
    ("matrix_product", "simd"): ["smmla v0.4s, v1.16b, v2.16b", "ummla v3.4s, v1.16b, v2.16b"],
    ("multiply_add", "simd"): [
        "fmla v0.4s, v1.4s, v2.4s", "fmls v0.2d, v1.2d, v2.2d", "fmla v0.4s, v1.4s, v2.s[3]",
        "fmls v0.4s, v1.4s, v2.s[1]", "smlal v0.4s, v1.4h, v2.4h", "umlal2 v0.8h, v1.16b, v2.16b",
        "smlsl v0.4s, v1.4h, v2.4h", "smlal v0.4s, v1.4h, v2.h[7]", "smlsl2 v0.4s, v1.8h, v2.h[1]",
        "smull v0.8h, v1.8b, v2.8b", "umull2 v0.4s, v1.8h, v2.8h", "smull v0.4s, v1.4h, v2.h[2]",
        "mla v0.8h, v1.8h, v2.8h", "mls v0.4s, v1.4s, v2.4s", "mul v0.8h, v1.8h, v2.8h",
        "mla v0.8h, v1.8h, v2.h[5]", "mls v0.4s, v1.4s, v2.s[1]", "mul v0.4s, v1.4s, v2.s[2]",
        "fmadd s0, s1, s2, s3", "fnmsub d0, d1, d2, d3",
    ],
    ("simd",): [
        "add v0.16b, v1.16b, v2.16b", "sqrdmulh v0.8h, v1.8h, v2.8h",
        "sqdmulh v0.4s, v1.4s, v2.s[0]",
        "pmul v0.8b, v1.8b, v2.8b", "sshr v0.4s, v1.4s, #3", "movi v0.4s, #7", "sqxtn v0.8b, v1.8h",
        "zip1 v0.8h, v1.8h, v2.8h", "fadd s0, s1, s2", "fmul v0.4s, v1.4s, v2.4s",
        "fcvtns v0.4s, v1.4s", "sqdmlal v0.4s, v1.4h, v2.4h", "smax v0.4s, v1.4s, v2.4s",
        "dup v0.4s, w0", "fmov w0, s1",
    ],
    ("load_store",): [
        "ldr q0, [sp]", "ldp x1, x2, [sp]", "ldrsb w1, [sp, #1]", "ld1 {v0.16b, v1.16b}, [x3]",
        "ld1r {v0.4s}, [x3]", "str x1, [sp, #-16]", "stp q0, q1, [sp, #-64]", "ldr w1, =0x12345678",
    ],
    ("branch",): ["b 1f\n1:", "cbz x1, 1f\n1:", "b.ne 1f\n1:", "tbz w1, #3, 1f\n1:"],
    (): ["add x1, x1, #1", "madd x1, x1, x1, x1", "smull x1, w1, w1", "csel x1, x1, x1, ne",
         "sdiv x1, x1, x1", "mov w1, #7", "ubfx w1, w1, #2, #3"],
}


def counted(folder: Path, instructions: list[str]) -> dict[str, int]:
    """What a program of these instructions, which then ends, executes."""
    body = "\n".join(f".rept {TIMES}\n{one}\n.endr" for one in instructions)
    source, program = folder / "program.s", folder / "program"
    source.write_text(f".arch armv8.2-a+dotprod+i8mm\n.global _start\n_start:\nmov x3, sp\n{body}\n"
                      "mov x8, #93\nmov x0, #0\nsvc #0\n.ltorg\n")
    tools.compile_program(program, source, "-target", "aarch64-linux-musl", "-nostdlib", "-static")
    machine = tools.machine()
    done = subprocess.run(
        machine.command(cores.get("neoverse-v1"), program, counted=True), capture_output=True,
        text=True, check=True, env=machine.environment)
    return counts_of(done.stderr)


@pytest.fixture(scope="module")
def nothing(tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    return counted(tmp_path_factory.mktemp("nothing"), [])


def test_a_program_that_ends(nothing: dict[str, int]) -> None:
    assert nothing.pop("all") == 4 and nothing.pop("branch") == 1  # of which one is the call
    assert nothing and not any(nothing.values())


@pytest.mark.parametrize("kinds", GROUPS, ids="-".join)
def test_each_is_of_its_kinds(
    kinds: tuple[str, ...], nothing: dict[str, int], tmp_path: Path
) -> None:
    found, expected = counted(tmp_path, GROUPS[kinds]), TIMES * len(GROUPS[kinds])
    more = {kind: found[kind] - nothing[kind] for kind in nothing}
    assert more == {kind: expected if kind in ("all", *kinds) else 0 for kind in nothing}
