package efld.sample

import android.content.Context
import android.graphics.Bitmap
import android.graphics.Canvas
import android.graphics.Color
import android.graphics.Paint
import android.view.View
import efld.landmarks.Face

/** A picture with the landmarks of its faces, mirrored as a front camera's is. */
class FacesView(context: Context) : View(context) {
    private var picture: Bitmap? = null
    private var faces = emptyList<Face>()
    private var label = ""
    private val paint = Paint(Paint.ANTI_ALIAS_FLAG).apply { textSize = TEXT }

    fun show(picture: Bitmap, faces: List<Face>, milliseconds: Double) {
        this.picture = picture
        this.faces = faces
        label = "%d faces, %.2f ms a frame".format(faces.size, milliseconds)
        invalidate()
    }

    override fun onDraw(canvas: Canvas) {
        val shown = picture ?: return
        val scale = minOf(width / shown.width.toFloat(), height / shown.height.toFloat())
        canvas.save()
        canvas.translate(scale * shown.width, 0f)
        canvas.scale(-scale, scale)
        canvas.drawBitmap(shown, 0f, 0f, null)
        paint.color = Color.GREEN
        // Pixel centres are whole numbers, and a canvas' lie between them.
        for (point in faces.flatMap { it.points })
            canvas.drawCircle(point.x.toFloat() + 0.5f, point.y.toFloat() + 0.5f, RADIUS, paint)
        canvas.restore()
        paint.color = Color.WHITE
        canvas.drawText(label, TEXT, height - 4 * TEXT, paint)
    }

    private companion object {
        const val TEXT = 40f
        const val RADIUS = 2f
    }
}
