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
    private val output = Array(1) { Array(info.names.size) { FloatArray(2) } }

    /** Points of an RGB crop, row by row: x, y in its unit square, flat. */
    fun run(crop: ByteArray): FloatArray {
        input.rewind()
        input.put(crop)
        input.rewind()
        interpreter.run(input, output)
        return FloatArray(2 * info.names.size) { output[0][it / 2][it % 2] }
    }

    /** Points in pixels of an RGBA image. */
    fun run(rgba: ByteArray, width: Int, height: Int, crop: Crop): FloatArray =
        crop.toImage(run(crop.extract(rgba, width, height, 4 * width, size)))

    override fun close() = interpreter.close()
}
