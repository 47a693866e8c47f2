package efld.sample

import androidx.test.ext.junit.runners.AndroidJUnit4
import androidx.test.platform.app.InstrumentationRegistry
import java.nio.ByteBuffer
import java.nio.ByteOrder
import kotlin.math.abs
import org.json.JSONObject
import org.junit.Assert.assertEquals
import org.junit.Assert.assertTrue
import org.junit.Test
import org.junit.runner.RunWith

/** The bundle's golden input gives its golden output on this phone. */
@RunWith(AndroidJUnit4::class)
class GoldenTest {
    @Test
    fun goldenOutput() {
        val context = InstrumentationRegistry.getInstrumentation().targetContext
        fun asset(name: String) = context.assets.open(name).use { it.readBytes() }
        val golden = JSONObject(String(asset("golden.json")))
        val tolerance = golden.getDouble("tolerance")
        val expected = ByteBuffer.wrap(asset("golden_output.bin"))
            .order(ByteOrder.LITTLE_ENDIAN).asFloatBuffer()
        LandmarkModel(context, golden.getJSONObject("model").getString("file")).use { model ->
            val found = model.run(asset("golden_input.bin"))
            assertEquals(expected.remaining(), found.size)
            for (i in found.indices) {
                val difference = abs(found[i] - expected[i])
                assertTrue("coordinate $i differs by $difference", difference <= tolerance)
            }
            golden.optJSONObject("confidence")?.let {
                val difference = abs(model.confidence - it.getDouble("value"))
                assertTrue("confidence differs by $difference", difference <= it.getDouble("tolerance"))
            }
        }
    }
}
