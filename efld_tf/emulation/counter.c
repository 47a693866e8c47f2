/* A plugin of QEMU 7 and 8 that counts the executed AArch64 instructions by kind.

   At exit it writes a line `INSTRUCTIONS kind=count ...` to stderr. The encodings are those of
   the Arm Architecture Reference Manual, C4.1. The plugin interface is declared here, as far as
   it is used, since packages of QEMU have no header. */

#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define PUBLIC __attribute__((visibility("default")))

typedef uint64_t qemu_plugin_id_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
struct qemu_info;
enum qemu_plugin_op { QEMU_PLUGIN_INLINE_ADD_U64 };
void qemu_plugin_register_vcpu_tb_trans_cb(
    qemu_plugin_id_t, void (*)(qemu_plugin_id_t, struct qemu_plugin_tb *));
void qemu_plugin_register_vcpu_tb_exec_inline(
    struct qemu_plugin_tb *, enum qemu_plugin_op, void *, uint64_t);
void qemu_plugin_register_atexit_cb(qemu_plugin_id_t, void (*)(qemu_plugin_id_t, void *), void *);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t);
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *);

PUBLIC int qemu_plugin_version = 1;

/* An instruction is of every kind of which it has the bits `value` where `mask` has ones. */
struct kind {
  const char *name;
  uint32_t mask, value;
};

static const struct kind kinds[] = {
    {"all", 0, 0},
    {"dot_product", 0x9F20FC00, 0x0E009400},    /* SDOT, UDOT of vectors */
    {"dot_product", 0x9F00F400, 0x0F00E000},    /* ... by element */
    {"matrix_product", 0x9FE0FC00, 0x0E80A400}, /* SMMLA, UMMLA */
    {"multiply_add", 0xBF20FC00, 0x0E20CC00},   /* FMLA of vectors, FMLS */
    {"multiply_add", 0xBF80B400, 0x0F801000},   /* ... by element */
    {"multiply_add", 0x9F20DC00, 0x0E208000},   /* SMLAL, UMLAL, SMLSL, UMLSL ... of vectors */
    {"multiply_add", 0x9F20FC00, 0x0E20C000},   /* SMULL, UMULL */
    {"multiply_add", 0x9F00B400, 0x0F002000},   /* SMLAL, UMLAL, SMLSL, UMLSL by element */
    {"multiply_add", 0x9F00F400, 0x0F00A000},   /* SMULL, UMULL by element */
    {"multiply_add", 0x9F20FC00, 0x0E209400},   /* MLA, MLS */
    {"multiply_add", 0xBF20FC00, 0x0E209C00},   /* MUL */
    {"multiply_add", 0xBF00B400, 0x2F000000},   /* MLA, MLS by element */
    {"multiply_add", 0xBF00F400, 0x0F008000},   /* MUL by element */
    {"multiply_add", 0xFF000000, 0x1F000000},   /* FMADD and its kin, of scalars */
    {"simd", 0x0E000000, 0x0E000000},           /* all of vectors and of floating point */
    {"load_store", 0x0A000000, 0x08000000},
    {"branch", 0x1C000000, 0x14000000},
};
enum { KINDS = sizeof kinds / sizeof *kinds };
static uint64_t counts[KINDS];

static void translated(qemu_plugin_id_t id, struct qemu_plugin_tb *block) {
  uint64_t found[KINDS] = {0};
  size_t size = qemu_plugin_tb_n_insns(block);
  for (size_t i = 0; i < size; i++) {
    uint32_t word;
    memcpy(&word, qemu_plugin_insn_data(qemu_plugin_tb_get_insn(block, i)), sizeof word);
    for (int k = 0; k < KINDS; k++) found[k] += (word & kinds[k].mask) == kinds[k].value;
  }
  for (int k = 0; k < KINDS; k++)
    if (found[k])
      qemu_plugin_register_vcpu_tb_exec_inline(
          block, QEMU_PLUGIN_INLINE_ADD_U64, &counts[k], found[k]);
}

static void done(qemu_plugin_id_t id, void *unused) {
  fprintf(stderr, "INSTRUCTIONS");
  for (int k = 0; k < KINDS;) {
    const char *name = kinds[k].name;
    uint64_t count = 0;
    for (; k < KINDS && !strcmp(kinds[k].name, name); k++) count += counts[k];
    fprintf(stderr, " %s=%" PRIu64, name, count);
  }
  fprintf(stderr, "\n");
}

PUBLIC int qemu_plugin_install(
    qemu_plugin_id_t id, const struct qemu_info *info, int argc, char **argv) {
  qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
  qemu_plugin_register_atexit_cb(id, done, NULL);
  return 0;
}
