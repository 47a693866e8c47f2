package efld.sample

import efld.landmarks.Model
import java.nio.ByteBuffer
import java.nio.ByteOrder
import org.tensorflow.lite.Interpreter

/** A .tflite, run by LiteRT on one thread: models of this size gain nothing by more. */
class LiteRtModel(file: ByteArray) : Model {
    private val interpreter = Interpreter(
        direct(file.size).put(file).apply { rewind() }, Interpreter.Options().setNumThreads(1))
    private val outputs = List(interpreter.outputTensorCount) {
        direct(interpreter.getOutputTensor(it).numBytes())
    }
    private val byIndex: Map<Int, Any> = outputs.indices.associateWith { outputs[it] }

    override fun outputSizes() = IntArray(outputs.size) { outputs[it].capacity() / Float.SIZE_BYTES }

    override fun run(input: ByteBuffer): Array<FloatArray> {
        outputs.forEach { it.rewind() }
        interpreter.runForMultipleInputsOutputs(arrayOf<Any>(input), byIndex)
        return Array(outputs.size) { index ->
            outputs[index].rewind()
            FloatArray(outputs[index].capacity() / Float.SIZE_BYTES)
                .also { outputs[index].asFloatBuffer().get(it) }
        }
    }

    override fun close() = interpreter.close()

    private companion object {
        fun direct(bytes: Int): ByteBuffer =
            ByteBuffer.allocateDirect(bytes).order(ByteOrder.nativeOrder())
    }
}
