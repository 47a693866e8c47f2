package efld.landmarks;

import java.util.List;

/** An upright rectangle, in pixels of a picture. */
public final class Box {
    public final double x0;
    public final double y0;
    public final double x1;
    public final double y1;

    public Box(double x0, double y0, double x1, double y1) {
        this.x0 = x0;
        this.y0 = y0;
        this.x1 = x1;
        this.y1 = y1;
    }

    /** The smallest box around points. */
    static Box around(List<Point> points) {
        double x0 = Double.POSITIVE_INFINITY;
        double y0 = Double.POSITIVE_INFINITY;
        double x1 = Double.NEGATIVE_INFINITY;
        double y1 = Double.NEGATIVE_INFINITY;
        for (Point point : points) {
            x0 = Math.min(x0, point.x);
            y0 = Math.min(y0, point.y);
            x1 = Math.max(x1, point.x);
            y1 = Math.max(y1, point.y);
        }
        return new Box(x0, y0, x1, y1);
    }

    Point middle() {
        return new Point((x0 + x1) / 2, (y0 + y1) / 2);
    }

    /** The longest side. */
    double longest() {
        return Math.max(x1 - x0, y1 - y0);
    }

    double area() {
        return Math.max(x1 - x0, 0) * Math.max(y1 - y0, 0);
    }

    /** The square with the box's middle and its longest side. */
    Box squared() {
        double half = longest() / 2;
        Point middle = middle();
        return new Box(middle.x - half, middle.y - half, middle.x + half, middle.y + half);
    }

    /** The area that two boxes have in common. */
    double common(Box other) {
        return Math.max(Math.min(x1, other.x1) - Math.max(x0, other.x0), 0)
                * Math.max(Math.min(y1, other.y1) - Math.max(y0, other.y0), 0);
    }

    /** Intersection over union. */
    double iou(Box other) {
        double common = common(other);
        double union = area() + other.area() - common;
        return union > 0 ? common / union : 0;
    }
}
