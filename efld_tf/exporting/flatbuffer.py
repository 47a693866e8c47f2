"""Rewrites a TensorFlow Lite flatbuffer: shortens it, adds a uint8 input, versions and metadata."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Sequence

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from efld_tf.errors import EfldError
from efld_tf.runtime import graph, versions

IDENTIFIER = b"TFL3"

# The format's schema asks for this alignment of tensor data, which the Python generator ignores.
DATA_ALIGNMENT = 16

# The size that TensorFlow's converter gives this entry.
MINIMUM_RUNTIME_BYTES = 16


class _SharingBuilder(flatbuffers.Builder):
    """Writes equal arrays once. Readers follow offsets, so they cannot tell.

    The per-channel quantisation of so many small layers is mostly zero points that are all 0;
    sharing them, together with shorter names, takes 8% off the file.
    """

    def __init__(self, size: int):
        super().__init__(size)
        self._written: dict[tuple[str, bytes], int] = {}

    def CreateNumpyVector(self, x: np.ndarray) -> int:
        key = (x.dtype.str, x.tobytes())
        if key not in self._written:
            self._written[key] = self._aligned(x) if x.dtype == np.uint8 else \
                super().CreateNumpyVector(x)
        return self._written[key]

    def _aligned(self, x: np.ndarray) -> int:
        self.StartVector(1, x.size, DATA_ALIGNMENT)
        self.head -= x.size
        self.Bytes[self.head : self.head + x.size] = x.tobytes()
        return self.EndVector()


def read(model: bytes) -> schema.ModelT:
    """The model as a tree of objects, which holds all its buffers.

    AI Edge Quantizer puts the buffers of larger models behind the flatbuffer.
    """
    tree = schema.ModelT.InitFromPackedBuf(model, 0)
    for buffer in tree.buffers:
        if buffer.size:
            data = model[buffer.offset : buffer.offset + buffer.size]
            buffer.data, buffer.offset, buffer.size = np.frombuffer(data, np.uint8), 0, 0
    return tree


def write(tree: schema.ModelT) -> bytes:
    """A tree of objects as a flatbuffer in which equal arrays are stored once."""
    builder = _SharingBuilder(1 << 20)
    builder.Finish(tree.Pack(builder), IDENTIFIER)
    return bytes(builder.Output())


def order_outputs(tree: schema.ModelT, names: Sequence[str]) -> None:
    """Puts the outputs into the order of `names`; the converter has an order of its own.

    Raises:
      EfldError: the converter has lost the names of the outputs, as it does without a word if it
        cannot write its temporary files.
    """
    if len(tree.signatureDefs or []) != 1:
        raise EfldError(f"{tempfile.gettempdir()}: the converter gave a model without its names; "
                        "is this folder for temporary files full?")
    (signature,) = tree.signatureDefs
    indices = {entry.name.decode(): entry.tensorIndex for entry in signature.outputs}
    order = [indices[name] for name in names if name in indices]
    tree.subgraphs[0].outputs = np.array(order, np.int32)


def take_outputs(tree: schema.ModelT, names: Sequence[str]) -> list[int]:
    """Makes outputs of these names ones no longer; returns their tensors, which stay."""
    tensors: dict[str, int] = {}
    for signature in tree.signatureDefs or []:
        named = {entry.name.decode(): entry for entry in signature.outputs}
        tensors |= {name: named.pop(name).tensorIndex for name in names if name in named}
        signature.outputs = list(named.values())
    return [tensors[name] for name in names if name in tensors]


def constant(tree: schema.ModelT, index: int) -> np.ndarray:
    """The values of a float32 constant of the main graph, in its shape."""
    tensor = tree.subgraphs[0].tensors[index]
    data = bytes(tree.buffers[tensor.buffer].data)
    return np.frombuffer(data, "<f4").reshape(tensor.shape)


def set_constant(tree: schema.ModelT, index: int, values: np.ndarray) -> None:
    """Gives a float32 constant of the main graph other values, of the same shape."""
    tensors = tree.subgraphs[0].tensors
    if sum(tensor.buffer == tensors[index].buffer for tensor in tensors) > 1:
        tensors[index].buffer = len(tree.buffers)  # equal constants share theirs
        tree.buffers.append(schema.BufferT())
    buffer = tree.buffers[tensors[index].buffer]
    buffer.data = np.frombuffer(np.ascontiguousarray(values, "<f4").tobytes(), np.uint8)


def reshaped(tree: schema.ModelT, index: int, shape: Sequence[int]) -> int:
    """A new tensor of the main graph, for the values of another one in another shape."""
    tensors, tensor = tree.subgraphs[0].tensors, schema.TensorT()
    like = tensors[index]
    tensor.shape, tensor.type, tensor.buffer = np.array(shape, np.int32), like.type, 0
    tensor.name, tensor.quantization = like.name, like.quantization
    tensors.append(tensor)
    return len(tensors) - 1


def reshape(tree: schema.ModelT, source: int, target: int) -> schema.OperatorT:
    """The operator that gives one tensor of the main graph the shape of another one."""
    tensors, sides = tree.subgraphs[0].tensors, schema.TensorT()
    shape = np.asarray(tensors[target].shape, np.int32)
    buffer = schema.BufferT()
    buffer.data = shape.view(np.uint8)
    tree.buffers.append(buffer)
    sides.name, sides.type, sides.buffer = b"shape", schema.TensorType.INT32, len(tree.buffers) - 1
    sides.shape = np.array(shape.shape, np.int32)
    tensors.append(sides)
    operator = schema.OperatorT()
    operator.opcodeIndex = operator_code(tree, schema.BuiltinOperator.RESHAPE)
    operator.inputs = np.array([source, len(tensors) - 1], np.int32)
    operator.outputs = np.array([target], np.int32)
    operator.builtinOptionsType = schema.BuiltinOptions.ReshapeOptions
    operator.builtinOptions = schema.ReshapeOptionsT()
    operator.builtinOptions.newShape = shape
    return operator


def join_reshapes(tree: schema.ModelT) -> None:
    """Leaves out those reshapes of the main graph whose results only other reshapes read."""
    main = tree.subgraphs[0]

    def is_reshape(operator: schema.OperatorT) -> bool:
        code = tree.operatorCodes[operator.opcodeIndex]
        return max(code.builtinCode, code.deprecatedBuiltinCode) == schema.BuiltinOperator.RESHAPE

    source: dict[int, int] = {}
    for operator in main.operators:
        if is_reshape(operator):
            first = source.get(int(operator.inputs[0]), int(operator.inputs[0]))
            operator.inputs = np.array([first, *operator.inputs[1:]], np.int32)
            source[int(operator.outputs[0])] = first
    read = {*map(int, main.outputs)}
    read |= {int(index) for operator in main.operators for index in operator.inputs}
    main.operators = [operator for operator in main.operators
                      if not is_reshape(operator) or int(operator.outputs[0]) in read]


def shorten_names(tree: schema.ModelT) -> None:
    """Gives each tensor the name of its layer, made unique, and each constant a number.

    The converter joins the names of all fused operations. Inputs and outputs keep their names.
    """
    for subgraph in tree.subgraphs:
        ends = {*map(int, subgraph.inputs), *map(int, subgraph.outputs)}
        computed = {int(index) for operator in subgraph.operators for index in operator.outputs}
        used_names = {subgraph.tensors[index].name.decode() for index in ends}
        for index, tensor in enumerate(subgraph.tensors):
            if index in ends:
                continue
            name = f"c{index}"
            if index in computed:
                parts = tensor.name.decode().split(";")[0].split("/")
                name = parts[min(1, len(parts) - 1)]
            unique_name = name
            for count in itertools.count(2):
                if unique_name not in used_names:
                    break
                unique_name = f"{name}_{count}"
            used_names.add(unique_name)
            tensor.name = unique_name.encode()


def take_integer_pixels(tree: schema.ModelT, name: str) -> None:
    """Makes a float input of [0, 1], which is quantised first, one of uint8 pixels.

    It takes a quarter of the memory of `take_pixels`.

    Raises:
      EfldError: something else than QUANTIZE reads it.
    """
    main = tree.subgraphs[0]
    (image,) = map(int, main.inputs)
    codes = [tree.operatorCodes[operator.opcodeIndex] for operator in main.operators
             if image in map(int, operator.inputs)]
    if any(max(code.builtinCode, code.deprecatedBuiltinCode) != schema.BuiltinOperator.QUANTIZE
           for code in codes):
        raise EfldError("the network reads its image in float, which this mode does not have")
    _as_pixels(main.tensors[image], name)


def _as_pixels(tensor: schema.TensorT, name: str) -> None:
    tensor.name, tensor.type, tensor.buffer = name.encode(), schema.TensorType.UINT8, 0
    tensor.quantization = schema.QuantizationParametersT()
    tensor.quantization.scale = np.array([1 / 255], np.float32)
    tensor.quantization.zeroPoint = np.array([0], np.int64)


def take_pixels(tree: schema.ModelT, name: str) -> None:
    """Puts uint8 pixels before a float input of [0, 1]; DEQUANTIZE divides them by 255.

    XNNPACK has this operator and QUANTIZE from float. It has none from uint8 to int8: that would
    stay outside its partition and take five times as long as the two.
    """
    main = tree.subgraphs[0]
    (image,) = map(int, main.inputs)
    pixels = schema.TensorT()
    pixels.shape = main.tensors[image].shape
    _as_pixels(pixels, name)
    main.tensors[image].name = b"float_image"
    main.tensors.append(pixels)
    pixels_index = len(main.tensors) - 1
    operator = schema.OperatorT()
    operator.opcodeIndex = operator_code(tree, schema.BuiltinOperator.DEQUANTIZE)
    operator.inputs = np.array([pixels_index], np.int32)
    operator.outputs = np.array([image], np.int32)
    main.operators.insert(0, operator)
    main.inputs = np.array([pixels_index], np.int32)
    for signature in tree.signatureDefs or []:
        for entry in signature.inputs:
            entry.tensorIndex = pixels_index


def operator_code(tree: schema.ModelT, builtin: int) -> int:
    """The index of a builtin operator's code in a model; a missing code is added."""
    for index, code in enumerate(tree.operatorCodes):
        if max(code.builtinCode, code.deprecatedBuiltinCode) == builtin:
            return index
    code = schema.OperatorCodeT()
    code.builtinCode = builtin
    tree.operatorCodes.append(code)
    return len(tree.operatorCodes) - 1


def state_versions(tree: schema.ModelT) -> None:
    """States the version of each operator, and the oldest runtime that has them all.

    They make older runtimes refuse the model, see `versions`; AI Edge Quantizer leaves all versions
    at 1.

    Raises:
      EfldError: the versions of an operator are not known.
    """
    model_graph = graph.parse(write(tree))
    needed: dict[str, int] = {}
    for operator in model_graph.operators:
        needed[operator.name] = max(needed.get(operator.name, 1), versions.needed(operator))
    for code in tree.operatorCodes:
        code.builtinCode = max(code.builtinCode, code.deprecatedBuiltinCode)
        code.deprecatedBuiltinCode = min(code.builtinCode, graph.LARGEST_DEPRECATED_CODE)
        name = graph.BUILTIN_NAMES[code.builtinCode]
        code.version = max(code.version, needed.get(name, 1))
    remove_metadata(tree, graph.MINIMUM_RUNTIME)
    release = versions.minimum_runtime(graph.parse(write(tree))).encode()
    add_metadata(tree, graph.MINIMUM_RUNTIME, release.ljust(MINIMUM_RUNTIME_BYTES, b"\0"))


def remove_metadata(tree: schema.ModelT, name: bytes, with_buffer: bool = False) -> None:
    """Empties a named metadata buffer and removes its entry.

    Args:
      with_buffer: whether to remove the buffer, too, as if it had never been there.
    """
    removed = [entry.buffer for entry in tree.metadata or [] if entry.name == name]
    tree.metadata = [entry for entry in tree.metadata or [] if entry.name != name]
    for index in sorted(removed, reverse=True):
        tree.buffers[index].data = None
        if with_buffer:
            del tree.buffers[index]
            tensors = [tensor for subgraph in tree.subgraphs for tensor in subgraph.tensors]
            for user in (*tensors, *tree.metadata):
                user.buffer -= user.buffer > index


def metadata(model: bytes, name: bytes) -> bytes | None:
    """The content of a model's named metadata buffer; None if there is none."""
    tree = read(model)
    for entry in tree.metadata or []:
        if entry.name == name:
            return bytes(tree.buffers[entry.buffer].data)
    return None


def add_metadata(tree: schema.ModelT, name: str | bytes, content: bytes) -> None:
    """Adds a named metadata buffer."""
    buffer = schema.BufferT()
    buffer.data = np.frombuffer(content, np.uint8)
    tree.buffers.append(buffer)
    entry = schema.MetadataT()
    entry.name, entry.buffer = name, len(tree.buffers) - 1
    tree.metadata = [*(tree.metadata or []), entry]
