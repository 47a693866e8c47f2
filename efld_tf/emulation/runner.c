/* Runs a model with one input, by LiteRT's C API:

     runner MODEL INPUT OUTPUTS INVOCATIONS

   INPUT holds the input's bytes, row by row. The outputs' bytes of the last invocation are written
   to OUTPUTS, one after the other, and for each a line `output TYPE SIDE ...` to stdout. Exit code
   1, with a line on stderr, where a file cannot be read or LiteRT refuses. */

#include <stdio.h>
#include <stdlib.h>

#include "litert.h"

enum { MOST_OUTPUTS = 64 };

static void fail(const char *what, const char *of) {
  fprintf(stderr, "runner: %s: %s\n", of, what);
  exit(1);
}

#define CHECK(call) \
  do { \
    if ((call) != 0) fail("LiteRT refuses", #call); \
  } while (0)

static LiteRtTensorBuffer input_buffer(
    LiteRtEnvironment environment, LiteRtCompiledModel compiled, LiteRtSignature signature,
    const char *path) {
  LiteRtTensor tensor;
  LiteRtRankedTensorType type;
  LiteRtTensorBufferRequirements requirements;
  LiteRtTensorBuffer buffer;
  size_t count, size;
  void *bytes;
  CHECK(LiteRtGetNumSignatureInputs(signature, &count));
  if (count != 1) fail("expected a model with one input", path);
  CHECK(LiteRtGetSignatureInputTensorByIndex(signature, 0, &tensor));
  CHECK(LiteRtGetRankedTensorType(tensor, &type));
  CHECK(LiteRtGetCompiledModelInputBufferRequirements(compiled, 0, 0, &requirements));
  CHECK(LiteRtCreateManagedTensorBufferFromRequirements(environment, &type, requirements, &buffer));
  CHECK(LiteRtGetTensorBufferPackedSize(buffer, &size));
  CHECK(LiteRtLockTensorBuffer(buffer, &bytes, kLiteRtTensorBufferLockModeWrite));
  FILE *file = fopen(path, "rb");
  if (!file || fread(bytes, 1, size, file) != size || fgetc(file) != EOF)
    fail("expected a file of the input's size", path);
  fclose(file);
  CHECK(LiteRtUnlockTensorBuffer(buffer));
  return buffer;
}

static size_t output_buffers(
    LiteRtEnvironment environment, LiteRtCompiledModel compiled, LiteRtSignature signature,
    LiteRtTensorBuffer *buffers) {
  size_t count;
  CHECK(LiteRtGetNumSignatureOutputs(signature, &count));
  if (count > MOST_OUTPUTS) fail("too many outputs", "model");
  for (size_t i = 0; i < count; i++) {
    LiteRtTensor tensor;
    LiteRtRankedTensorType type;
    LiteRtTensorBufferRequirements requirements;
    CHECK(LiteRtGetSignatureOutputTensorByIndex(signature, i, &tensor));
    CHECK(LiteRtGetRankedTensorType(tensor, &type));
    CHECK(LiteRtGetCompiledModelOutputBufferRequirements(compiled, 0, i, &requirements));
    CHECK(LiteRtCreateManagedTensorBufferFromRequirements(
        environment, &type, requirements, &buffers[i]));
    printf("output %d", type.element_type);
    for (unsigned int side = 0; side < type.layout.rank; side++)
      printf(" %d", type.layout.dimensions[side]);
    printf("\n");
  }
  return count;
}

static void write_outputs(LiteRtTensorBuffer *buffers, size_t count, const char *path) {
  FILE *file = fopen(path, "wb");
  if (!file) fail("cannot be written", path);
  for (size_t i = 0; i < count; i++) {
    size_t size;
    void *bytes;
    CHECK(LiteRtGetTensorBufferPackedSize(buffers[i], &size));
    CHECK(LiteRtLockTensorBuffer(buffers[i], &bytes, kLiteRtTensorBufferLockModeRead));
    if (fwrite(bytes, 1, size, file) != size) fail("cannot be written", path);
    CHECK(LiteRtUnlockTensorBuffer(buffers[i]));
  }
  if (fclose(file)) fail("cannot be written", path);
}

int main(int argc, char **argv) {
  if (argc != 5) fail("expected MODEL INPUT OUTPUTS INVOCATIONS", "arguments");
  LiteRtEnvironment environment;
  LiteRtModel model;
  LiteRtOptions options;
  LiteRtCompiledModel compiled;
  LiteRtSignature signature;
  LiteRtTensorBuffer input, outputs[MOST_OUTPUTS];
  CHECK(LiteRtCreateEnvironment(0, NULL, &environment));
  CHECK(LiteRtCreateModelFromFile(environment, argv[1], &model));
  CHECK(LiteRtCreateOptions(&options));
  CHECK(LiteRtSetOptionsHardwareAccelerators(options, kLiteRtHwAcceleratorCpu));
  CHECK(LiteRtCreateCompiledModel(environment, model, options, &compiled));
  CHECK(LiteRtGetModelSignature(model, 0, &signature));
  input = input_buffer(environment, compiled, signature, argv[2]);
  size_t count = output_buffers(environment, compiled, signature, outputs);
  for (int i = atoi(argv[4]); i > 0; i--)
    CHECK(LiteRtRunCompiledModel(compiled, 0, 1, &input, count, outputs));
  write_outputs(outputs, count, argv[3]);
  for (size_t i = 0; i < count; i++) LiteRtDestroyTensorBuffer(outputs[i]);
  LiteRtDestroyTensorBuffer(input);
  LiteRtDestroyCompiledModel(compiled);
  LiteRtDestroyOptions(options);
  LiteRtDestroyModel(model);
  LiteRtDestroyEnvironment(environment);
  return 0;
}
