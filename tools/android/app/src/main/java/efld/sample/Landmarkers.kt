package efld.sample

import android.content.Context
import efld.landmarks.Description
import efld.landmarks.FaceLandmarker

/** The model among the app's assets, as `efld-export --android app/src/main/assets/efld` wrote it. */
object Landmarkers {
    private const val FOLDER = "efld"

    fun load(context: Context): FaceLandmarker {
        val description = Description.read(String(asset(context, "landmarker.json")))
        return FaceLandmarker(
            description,
            LiteRtModel(asset(context, description.modelFile)),
            LiteRtModel(asset(context, description.detectorFile)))
    }

    /** Stops where this phone's runtime gives another output than the golden one. */
    fun verify(context: Context, landmarker: FaceLandmarker): Double =
        landmarker.verify(String(asset(context, "golden.json")), asset(context, "golden_input.bin"))

    private fun asset(context: Context, name: String) =
        context.assets.open("$FOLDER/$name").use { it.readBytes() }
}
