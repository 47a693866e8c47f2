package efld.landmarks;

import java.util.ArrayList;
import java.util.List;
import org.json.JSONException;
import org.json.JSONObject;

/** What errors of points are divided by (efld_tf/landmarks/normalisers.py). */
final class Normaliser {
    /** Two groups of points, of whose means it is the distance; null where it is of a box. */
    private final int[] right;
    private final int[] left;
    /** The name of a size of the points' box; "" where it is a distance. */
    private final String box;

    Normaliser(JSONObject json) throws JSONException {
        box = json.optString("box");
        right = box.isEmpty() ? Description.indices(json.getJSONArray("right")) : null;
        left = box.isEmpty() ? Description.indices(json.getJSONArray("left")) : null;
    }

    /**
     * The expected normalised mean error of points.
     *
     * @param errors of each point, in the points' unit
     * @return NaN if no errors are known, or if the points have no size
     */
    double expectedNme(List<Point> points, double[] errors) {
        double sum = 0;
        for (double error : errors) {
            sum += error;
        }
        double size = size(points);
        return errors.length > 0 && size > 0 ? sum / errors.length / size : Double.NaN;
    }

    private double size(List<Point> points) {
        if (box.isEmpty()) {
            return mean(points, right).distance(mean(points, left));
        }
        Box around = Box.around(points);
        double width = around.x1 - around.x0;
        double height = around.y1 - around.y0;
        switch (box) {
            case "box_size":
                return Math.sqrt(width * height);
            case "box_diagonal":
                return Math.hypot(width, height);
            default:  // "image_size"
                return around.longest();
        }
    }

    private static Point mean(List<Point> points, int[] indices) {
        List<Point> chosen = new ArrayList<>();
        for (int index : indices) {
            chosen.add(points.get(index));
        }
        return Point.mean(chosen);
    }
}
