package efld.sample

import android.Manifest
import android.content.Context
import android.content.pm.ApplicationInfo
import android.content.pm.PackageManager
import android.graphics.Bitmap
import android.graphics.Canvas
import android.graphics.Color
import android.graphics.Matrix
import android.graphics.Paint
import android.os.Bundle
import android.view.View
import androidx.activity.ComponentActivity
import androidx.activity.result.contract.ActivityResultContracts
import androidx.camera.core.CameraSelector
import androidx.camera.core.ImageAnalysis
import androidx.camera.core.ImageProxy
import androidx.camera.lifecycle.ProcessCameraProvider
import androidx.core.content.ContextCompat
import java.nio.ByteBuffer
import java.util.concurrent.Executors

/** The front camera with the points of a face that is held into the frame. */
class MainActivity : ComponentActivity() {
    private val worker = Executors.newSingleThreadExecutor()
    private lateinit var shown: PointsView
    private lateinit var model: LandmarkModel

    override fun onCreate(state: Bundle?) {
        super.onCreate(state)
        shown = PointsView(this)
        setContentView(shown)
        // A runtime that an app brings along for something else may be an older one: see it at once.
        if (applicationInfo.flags and ApplicationInfo.FLAG_DEBUGGABLE != 0) {
            Golden.difference(this)?.let { error("this runtime computes the model wrongly: $it") }
        }
        // The bundle's .tflite, whatever it is called.
        val name = assets.list("")!!.first { it.endsWith(".tflite") }
        model = LandmarkModel(this, name)
        val ask = registerForActivityResult(ActivityResultContracts.RequestPermission()) {
            if (it) start() else finish()
        }
        val granted = checkSelfPermission(Manifest.permission.CAMERA)
        if (granted == PackageManager.PERMISSION_GRANTED) start() else ask.launch(Manifest.permission.CAMERA)
    }

    private fun start() {
        val future = ProcessCameraProvider.getInstance(this)
        future.addListener({
            val analysis = ImageAnalysis.Builder()
                .setOutputImageFormat(ImageAnalysis.OUTPUT_IMAGE_FORMAT_RGBA_8888)
                .setBackpressureStrategy(ImageAnalysis.STRATEGY_KEEP_ONLY_LATEST)
                .build()
            analysis.setAnalyzer(worker, ::analyze)
            val provider = future.get()
            provider.unbindAll()
            provider.bindToLifecycle(this, CameraSelector.DEFAULT_FRONT_CAMERA, analysis)
        }, ContextCompat.getMainExecutor(this))
    }

    private fun analyze(proxy: ImageProxy) {
        val turned = Matrix().apply { postRotate(proxy.imageInfo.rotationDegrees.toFloat()) }
        val picture = proxy.use { it.toBitmap() }.let {
            Bitmap.createBitmap(it, 0, 0, it.width, it.height, turned, true)
        }
        val pixels = ByteBuffer.allocate(4 * picture.width * picture.height)
        picture.copyPixelsToBuffer(pixels)  // ARGB_8888 is RGBA in memory
        // No detector: the frame is the box of the face, which its user fills.
        val half = picture.width / 4f
        val x = picture.width / 2f
        val y = picture.height / 2f
        val crop = model.info.crop(
            (x - half).toDouble(), (y - half).toDouble(), (x + half).toDouble(), (y + half).toDouble())
        val begin = System.nanoTime()
        val found = model.run(pixels.array(), picture.width, picture.height, crop)
        val milliseconds = (System.nanoTime() - begin) / 1e6
        val points = if (model.confidence >= 0.5f) found else FloatArray(0)  // no face, no points
        runOnUiThread { shown.show(picture, points, half, milliseconds) }
    }

    override fun onDestroy() {
        super.onDestroy()
        worker.execute { model.close() }  // behind the last frame
        worker.shutdown()
    }
}

/** A picture with a frame and points. */
private class PointsView(context: Context) : View(context) {
    private var picture: Bitmap? = null
    private var points = FloatArray(0)
    private var half = 0f
    private var label = ""
    private val paint = Paint(Paint.ANTI_ALIAS_FLAG).apply { textSize = 24f }

    fun show(picture: Bitmap, points: FloatArray, half: Float, milliseconds: Double) {
        this.picture = picture
        this.points = points
        this.half = half
        label = "crop and model: %.2f ms".format(milliseconds)
        invalidate()
    }

    override fun onDraw(canvas: Canvas) {
        val shown = picture ?: return
        val scale = minOf(width / shown.width.toFloat(), height / shown.height.toFloat())
        canvas.scale(scale, scale)
        canvas.drawBitmap(shown, 0f, 0f, null)
        val (x, y) = shown.width / 2f to shown.height / 2f
        paint.style = Paint.Style.STROKE
        paint.color = Color.YELLOW
        canvas.drawRect(x - half, y - half, x + half, y + half, paint)
        paint.style = Paint.Style.FILL
        paint.color = Color.GREEN
        for (i in points.indices step 2) canvas.drawCircle(points[i], points[i + 1], 2f, paint)
        canvas.drawText(label, 10f, 30f, paint)
    }
}
