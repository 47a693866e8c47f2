package efld.sample

import androidx.test.ext.junit.runners.AndroidJUnit4
import androidx.test.platform.app.InstrumentationRegistry
import org.junit.Test
import org.junit.runner.RunWith

/** The bundle's golden input gives its golden output on this phone. */
@RunWith(AndroidJUnit4::class)
class GoldenTest {
    @Test
    fun goldenOutput() {
        val context = InstrumentationRegistry.getInstrumentation().targetContext
        Landmarkers.load(context).use { Landmarkers.verify(context, it) }
    }
}
