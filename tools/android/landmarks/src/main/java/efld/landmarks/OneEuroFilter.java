package efld.landmarks;

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
    private double[][] last;
    private double[][] velocities;

    OneEuroFilter(Numbers options) {
        minCutoff = options.get("min_cutoff");
        beta = options.get("beta");
        derivativeCutoff = options.get("derivative_cutoff");
    }

    /**
     * Smooths the points of the next frame; those of the first one are unchanged.
     *
     * @param points x and y of each, or x, y and depth, in pixels
     * @param seconds the frame's time, later than the last one's
     * @param faceSize in pixels, above 0
     */
    double[][] update(double[][] points, double seconds, double faceSize) {
        double step = seconds - this.seconds;
        double[][] smooth = new double[points.length][];
        for (int i = 0; i < points.length; i++) {
            smooth[i] = points[i].clone();
        }
        if (last == null) {
            velocities = new double[points.length][points[0].length];
        } else {
            double calm = weight(derivativeCutoff, step);
            for (int i = 0; i < points.length; i++) {
                double square = 0;
                for (int j = 0; j < points[i].length; j++) {
                    double velocity = (points[i][j] - last[i][j]) / (step * faceSize);
                    velocities[i][j] += calm * (velocity - velocities[i][j]);
                    square += velocities[i][j] * velocities[i][j];
                }
                double share = weight(minCutoff + beta * Math.sqrt(square), step);
                for (int j = 0; j < points[i].length; j++) {
                    smooth[i][j] = last[i][j] + share * (points[i][j] - last[i][j]);
                }
            }
        }
        this.seconds = seconds;
        last = smooth;
        return smooth;
    }

    /** The weight of a new value in a low-pass filter, of a cutoff in Hz and a step in seconds. */
    private static double weight(double cutoff, double step) {
        return 1 / (1 + 1 / (2 * Math.PI * cutoff * step));
    }
}
