package efld.sample

import android.content.Context
import java.nio.ByteBuffer
import java.nio.ByteOrder
import kotlin.math.abs
import org.json.JSONObject

/** The bundle's golden input and output, by which a runtime shows that it computes the model right. */
object Golden {
    /** What this runtime's result differs by, and null where it is the golden one. */
    fun difference(context: Context): String? {
        fun asset(name: String) = context.assets.open(name).use { it.readBytes() }
        val golden = JSONObject(String(asset("golden.json")))
        val tolerance = golden.getDouble("tolerance")
        val expected = ByteBuffer.wrap(asset("golden_output.bin"))
            .order(ByteOrder.LITTLE_ENDIAN).asFloatBuffer()
        LandmarkModel(context, golden.getJSONObject("model").getString("file")).use { model ->
            val found = model.run(asset("golden_input.bin"))
            if (found.size != expected.remaining()) return "${found.size} coordinates"
            val off = found.indices.maxOf { abs(found[it] - expected[it]) }
            // Written so that a NaN differs, too.
            if (!(off <= tolerance)) return "a coordinate differs by $off"
            golden.optJSONObject("confidence")?.let {
                val unsure = abs(model.confidence - it.getDouble("value"))
                if (!(unsure <= it.getDouble("tolerance"))) return "the confidence differs by $unsure"
            }
        }
        return null
    }
}
