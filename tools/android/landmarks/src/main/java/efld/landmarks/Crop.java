package efld.landmarks;

/** A square of a picture, which may be turned. */
public final class Crop {
    /** Its centre, in pixels. */
    public final double x;
    public final double y;
    /** In pixels. */
    public final double side;
    /** The direction of its x axis in radians, clockwise as seen. */
    public final double angle;

    public Crop(double x, double y, double side, double angle) {
        this.x = x;
        this.y = y;
        this.side = side;
        this.angle = angle;
    }

    /** A point of the crop's unit square, in pixels. */
    public Point fromUnit(Point point) {
        double cosine = side * Math.cos(angle);
        double sine = side * Math.sin(angle);
        double right = point.x - 0.5;
        double down = point.y - 0.5;
        return new Point(right * cosine - down * sine + x, right * sine + down * cosine + y);
    }

    /** A point in pixels, in the crop's unit square. */
    public Point toUnit(Point point) {
        double cosine = Math.cos(angle) / side;
        double sine = Math.sin(angle) / side;
        double right = point.x - x;
        double down = point.y - y;
        return new Point(right * cosine + down * sine + 0.5, -right * sine + down * cosine + 0.5);
    }

    /** A crop that is given in this one's unit square, in pixels. */
    Crop within(Crop inner) {
        Point centre = fromUnit(new Point(inner.x, inner.y));
        return new Crop(centre.x, centre.y, side * inner.side, angle + inner.angle);
    }

    /** The crop in whose unit square this one is {@code inner}: what `within` was called on. */
    Crop around(Crop inner) {
        Crop turned = new Crop(0, 0, side / inner.side, angle - inner.angle);
        Point place = turned.fromUnit(new Point(inner.x, inner.y));
        return new Crop(x - place.x, y - place.y, turned.side, turned.angle);
    }

    /**
     * The nearest crop on a grid, so that numbers that differ in their last digits give the same
     * pixels: an integer model answers one other level of a pixel with other points.
     */
    Crop on(Grid grid) {
        return new Crop(nearest(x, grid.pixelParts) + grid.offTies,
                nearest(y, grid.pixelParts) + grid.offTies,
                Math.max(nearest(side, grid.pixelParts), 1 / grid.pixelParts),
                nearest(angle, grid.radianParts));
    }

    private static double nearest(double value, double parts) {
        return Math.floor(value * parts + 0.5) / parts;
    }

    /** Parts of a pixel and of a radian, and how far centres are off it. */
    static final class Grid {
        final double pixelParts;
        final double radianParts;
        final double offTies;

        Grid(Numbers numbers) {
            pixelParts = numbers.get("pixel_parts");
            radianParts = numbers.get("radian_parts");
            offTies = numbers.get("off_ties");
        }
    }
}
