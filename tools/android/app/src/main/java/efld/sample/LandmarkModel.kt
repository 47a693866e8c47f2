package efld.sample

import android.content.Context
import efld.landmarks.Crop
import efld.landmarks.ModelInfo
import java.nio.ByteBuffer
import java.nio.ByteOrder
import org.tensorflow.lite.Interpreter

/** A bundle's model, run by LiteRT. Not safe to share between threads. */
class LandmarkModel(context: Context, name: String) : AutoCloseable {
    private val bytes = context.assets.open(name).use { it.readBytes() }
    val info: ModelInfo = ModelInfo.read(bytes)
    private val interpreter = Interpreter(
        ByteBuffer.allocateDirect(bytes.size).order(ByteOrder.nativeOrder()).put(bytes),
        Interpreter.Options().setNumThreads(1),
    )
    val size: Int = interpreter.getInputTensor(0).shape()[1]
    private val input = ByteBuffer.allocateDirect(size * size * 3).order(ByteOrder.nativeOrder())
    private val points = Array(1) { Array(info.names.size) { FloatArray(2) } }
    private val sure = Array(1) { FloatArray(1) }
    private val outputs = mutableMapOf<Int, Any>(0 to points).apply {
        val second = if (interpreter.outputTensorCount > 1) interpreter.getOutputTensor(1) else null
        if (second?.numElements() == 1) put(1, sure)  // others tell the points' depths
    }

    /** How sure the model is that its last crop shows a face, 0 to 1; 1 where it does not say. */
    var confidence = 1f
        private set

    /** Points of an RGB crop, row by row: x, y in its unit square, flat. */
    fun run(crop: ByteArray): FloatArray {
        input.rewind()
        input.put(crop)
        input.rewind()
        interpreter.runForMultipleInputsOutputs(arrayOf<Any>(input), outputs)
        if (outputs.size > 1) confidence = sure[0][0]
        return FloatArray(2 * info.names.size) { points[0][it / 2][it % 2] }
    }

    /** Points in pixels of an RGBA image. */
    fun run(rgba: ByteArray, width: Int, height: Int, crop: Crop): FloatArray =
        crop.toImage(run(crop.extract(rgba, width, height, 4 * width, size)))

    override fun close() = interpreter.close()
}
