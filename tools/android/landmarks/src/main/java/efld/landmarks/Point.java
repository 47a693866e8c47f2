package efld.landmarks;

import java.util.List;

/** A place in pixels of a picture, whose centres are whole numbers, or in the unit square of a crop. */
public final class Point {
    public final double x;
    public final double y;

    public Point(double x, double y) {
        this.x = x;
        this.y = y;
    }

    double distance(Point other) {
        return Math.hypot(x - other.x, y - other.y);
    }

    static Point mean(List<Point> points) {
        double x = 0;
        double y = 0;
        for (Point point : points) {
            x += point.x;
            y += point.y;
        }
        return new Point(x / points.size(), y / points.size());
    }
}
