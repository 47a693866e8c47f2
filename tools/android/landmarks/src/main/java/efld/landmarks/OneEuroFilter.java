package efld.landmarks;

import java.util.ArrayList;
import java.util.List;

/**
 * The One-Euro filter for landmarks: calm while a face is still, quick while it moves.
 *
 * <p>G. Casiez, N. Roussel, D. Vogel, "1 Euro Filter: A Simple Speed-based Low-pass Filter for Noisy
 * Input in Interactive Systems", CHI 2012, Algorithm 1. Each point is low-pass filtered with a cutoff
 * frequency that grows with its speed, in face sizes a second.
 */
final class OneEuroFilter {
    private final double minCutoff;
    private final double beta;
    private final double derivativeCutoff;
    private double seconds;
    private List<Point> last;
    private List<Point> velocities;

    OneEuroFilter(Numbers options) {
        minCutoff = options.get("min_cutoff");
        beta = options.get("beta");
        derivativeCutoff = options.get("derivative_cutoff");
    }

    /**
     * Smooths the points of the next frame; those of the first one are unchanged.
     *
     * @param seconds the frame's time, later than the last one's
     * @param faceSize in pixels, above 0
     */
    List<Point> update(List<Point> points, double seconds, double faceSize) {
        List<Point> smooth = new ArrayList<>();
        List<Point> speeds = new ArrayList<>();
        double step = seconds - this.seconds;
        for (int i = 0; i < points.size(); i++) {
            Point point = points.get(i);
            if (last == null) {
                smooth.add(point);
                speeds.add(new Point(0, 0));
                continue;
            }
            Point before = last.get(i);
            Point speed = towards(velocities.get(i),
                    new Point((point.x - before.x) / (step * faceSize),
                            (point.y - before.y) / (step * faceSize)),
                    weight(derivativeCutoff, step));
            speeds.add(speed);
            double cutoff = minCutoff + beta * Math.hypot(speed.x, speed.y);
            smooth.add(towards(before, point, weight(cutoff, step)));
        }
        this.seconds = seconds;
        last = smooth;
        velocities = speeds;
        return smooth;
    }

    private static Point towards(Point from, Point to, double share) {
        return new Point(from.x + share * (to.x - from.x), from.y + share * (to.y - from.y));
    }

    /** The weight of a new value in a low-pass filter, of a cutoff in Hz and a step in seconds. */
    private static double weight(double cutoff, double step) {
        return 1 / (1 + 1 / (2 * Math.PI * cutoff * step));
    }
}
