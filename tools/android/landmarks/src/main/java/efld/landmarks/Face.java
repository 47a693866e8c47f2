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
    /** In photos the detector's box, in videos the tight one of the points. */
    public final Box box;
    /** The detector's, 0 to 1. */
    public final double score;
    /** How sure it is that the points lie on a face, 0 to 1. */
    public final double confidence;
    /** In videos the number of the person, otherwise -1. */
    public final int track;

    Face(List<Point> points, double[] depth, double[] errors, Box box, double score,
            double confidence, int track) {
        this.points = points;
        this.depth = depth;
        this.errors = errors;
        this.box = box;
        this.score = score;
        this.confidence = confidence;
        this.track = track;
    }
}
