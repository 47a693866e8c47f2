"""A `.tflite` on ARM cores that this machine emulates: what it computes, in how many instructions.

QEMU runs the runtime's own kernels for ARM. How long a core would take it does not tell; but counts
of instructions have no noise.
"""
