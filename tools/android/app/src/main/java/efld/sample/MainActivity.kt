package efld.sample

import android.Manifest
import android.content.pm.ApplicationInfo
import android.content.pm.PackageManager
import android.graphics.Bitmap
import android.os.Bundle
import androidx.activity.ComponentActivity
import androidx.activity.result.contract.ActivityResultContracts
import androidx.camera.core.CameraSelector
import androidx.camera.core.ImageAnalysis
import androidx.camera.core.ImageProxy
import androidx.camera.lifecycle.ProcessCameraProvider
import androidx.core.content.ContextCompat
import efld.landmarks.FaceLandmarker
import efld.landmarks.FaceTracker
import efld.landmarks.Picture
import java.nio.ByteBuffer
import java.util.concurrent.Executors

/** The front camera with the landmarks of the faces that it sees. */
class MainActivity : ComponentActivity() {
    private val worker = Executors.newSingleThreadExecutor()
    private lateinit var shown: FacesView
    private lateinit var landmarker: FaceLandmarker
    private lateinit var tracker: FaceTracker
    private var pixels = ByteBuffer.allocate(0)
    private var last = Double.NEGATIVE_INFINITY

    override fun onCreate(state: Bundle?) {
        super.onCreate(state)
        shown = FacesView(this)
        setContentView(shown)
        landmarker = Landmarkers.load(this)
        // A runtime that an app brings along for something else may be an older one: see it at once.
        val debuggable = applicationInfo.flags and ApplicationInfo.FLAG_DEBUGGABLE != 0
        if (debuggable) Landmarkers.verify(this, landmarker)
        tracker = landmarker.track()
        val ask = registerForActivityResult(ActivityResultContracts.RequestPermission()) {
            if (it) start() else finish()
        }
        val granted = checkSelfPermission(Manifest.permission.CAMERA)
        if (granted == PackageManager.PERMISSION_GRANTED) start() else ask.launch(Manifest.permission.CAMERA)
    }

    private fun start() {
        val future = ProcessCameraProvider.getInstance(this)
        future.addListener({
            if (isDestroyed) return@addListener
            val analysis = ImageAnalysis.Builder()
                .setOutputImageRotationEnabled(true)  // upright
                .setOutputImageFormat(ImageAnalysis.OUTPUT_IMAGE_FORMAT_RGBA_8888)
                .setBackpressureStrategy(ImageAnalysis.STRATEGY_KEEP_ONLY_LATEST)
                .build()
            analysis.setAnalyzer(worker, ::analyze)
            val provider = future.get()
            provider.unbindAll()
            val front = CameraSelector.DEFAULT_FRONT_CAMERA
            val camera = if (provider.hasCamera(front)) front else CameraSelector.DEFAULT_BACK_CAMERA
            provider.bindToLifecycle(this, camera, analysis)
        }, ContextCompat.getMainExecutor(this))
    }

    /** Looks for faces in an image; the next one comes when it is closed. */
    private fun analyze(image: ImageProxy) = image.use {
        val seconds = it.imageInfo.timestamp / 1e9
        if (seconds > last) {  // some cameras repeat a time
            last = seconds
            follow(it.toBitmap(), seconds)
        }
    }

    private fun follow(frame: Bitmap, seconds: Double) {
        if (pixels.capacity() != frame.byteCount) pixels = ByteBuffer.allocate(frame.byteCount)
        pixels.rewind()
        frame.copyPixelsToBuffer(pixels)  // ARGB_8888 is RGBA in memory
        val begin = System.nanoTime()
        val faces = tracker.update(
            Picture(pixels.array(), frame.width, frame.height, frame.rowBytes), seconds)
        val milliseconds = (System.nanoTime() - begin) / 1e6
        runOnUiThread { shown.show(frame, faces, milliseconds) }
    }

    override fun onDestroy() {
        super.onDestroy()
        worker.execute { landmarker.close() }  // behind the last frame
        worker.shutdown()
    }
}
