package efld.landmarks;

import java.util.List;

/** A face and its landmarks. */
public final class Face {
    /** In pixels of the picture, whose centres are whole numbers; Description.names has their order. */
    public final List<Point> points;
    /** How far each point is in front of their mean, in pixels; empty where the model tells none. */
    public final double[] depth;
    /** How far off each point is expected to be, in pixels; empty where the model tells none. */
    public final double[] errors;
    /**
     * The mean of `errors` as a share of what errors are divided by, such as the distance between the
     * outer eye corners; NaN where the model tells none.
     */
    public final double expectedNme;
    /** In photos the detector's box, in videos the tight one of the points. */
    public final Box box;
    /** The detector's, 0 to 1. */
    public final double score;
    /** How sure it is that the points lie on a face, 0 to 1. */
    public final double confidence;
    /** In videos the number of the person, otherwise -1. */
    public final int track;

    Face(Description description, List<Point> points, double[] depth, double[] errors, Box box,
            double score, double confidence, int track) {
        this.points = points;
        this.depth = depth;
        this.errors = errors;
        expectedNme = description.normaliser == null ? Double.NaN
                : description.normaliser.expectedNme(points, errors);
        this.box = box;
        this.score = score;
        this.confidence = confidence;
        this.track = track;
    }
}
