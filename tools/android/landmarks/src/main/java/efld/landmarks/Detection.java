package efld.landmarks;

import java.util.List;

/** A face as a detector sees it. */
public final class Detection {
    /** In pixels; it may reach beyond the picture. */
    public final Box box;
    /** The person's right eye, left eye, tip of the nose, mouth, right ear and left ear. */
    public final List<Point> keypoints;
    /** How sure the detector is, 0 to 1. */
    public final double score;

    public Detection(Box box, List<Point> keypoints, double score) {
        this.box = box;
        this.keypoints = keypoints;
        this.score = score;
    }

    /** The radians by which the face leans, clockwise as seen, by its eyes. */
    double lean() {
        Point right = keypoints.get(0);
        Point left = keypoints.get(1);
        return Math.atan2(left.y - right.y, left.x - right.x);
    }
}
