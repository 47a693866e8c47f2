package efld.landmarks;

/** A square of an image: its centre and side in image pixels, pixel centres at whole numbers. */
public final class Crop {
    /** Larger scales, offsets and crops are nonsense, and would only take time and memory. */
    static final double LARGEST = 100;

    public final double centerX;
    public final double centerY;
    public final double side;

    public Crop(double centerX, double centerY, double side) {
        if (!(side > 0) || Double.isInfinite(side + centerX + centerY)) {
            throw new IllegalArgumentException("an empty or infinite crop of side " + side);
        }
        this.centerX = centerX;
        this.centerY = centerY;
        this.side = side;
    }

    /** The model's points (x, y in the unit square of the crop, flat) in image pixels. */
    public float[] toImage(float[] points) {
        float[] result = new float[points.length];
        for (int i = 0; i < points.length; i += 2) {
            result[i] = (float) (points[i] * side + centerX - side / 2);
            result[i + 1] = (float) (points[i + 1] * side + centerY - side / 2);
        }
        return result;
    }

    /**
     * Resamples the crop as the model was trained: RGB, row by row; outside the image is black.
     *
     * <p>Where the crop shrinks by two or more, whole blocks of pixels are averaged first, so that
     * fine texture does not alias; what remains is bilinear.
     *
     * @param rgba the image, 4 bytes a pixel, of which the fourth is ignored
     * @param width of the image in pixels
     * @param height of the image in pixels
     * @param rowStride bytes from one row to the next
     * @param size side of the model's input in pixels
     * @return size * size * 3 bytes
     */
    public byte[] extract(byte[] rgba, int width, int height, int rowStride, int size) {
        double limit = LARGEST * Math.max(width, height);
        if (side > limit || Math.abs(centerX) > limit || Math.abs(centerY) > limit) {
            throw new IllegalArgumentException("a crop of side " + side + " far from the image");
        }
        // A factor of 1.9999999 that is 2 but for rounding is two.
        int block = Math.max(1, (int) (side / size + 1e-6));
        double left = centerX - side / 2;
        double top = centerY - side / 2;
        // Only the part around the crop is looked at; its blocks start at its corner.
        int x0 = Math.max((int) Math.floor(left) - block, 0);
        int y0 = Math.max((int) Math.floor(top) - block, 0);
        int x1 = Math.min((int) Math.ceil(left + side) + block + 1, width);
        int y1 = Math.min((int) Math.ceil(top + side) + block + 1, height);
        byte[] result = new byte[size * size * 3];
        if (x1 <= x0 || y1 <= y0) {
            return result;
        }
        int columns = (x1 - x0 + block - 1) / block;
        int rows = (y1 - y0 + block - 1) / block;
        float[] part = shrunk(rgba, rowStride, x0, y0, x1, y1, block, columns, rows);
        double step = side / size;
        for (int row = 0; row < size; row++) {
            double y = (top + (row + 0.5) * step - y0 - (block - 1) / 2.0) / block;
            for (int column = 0; column < size; column++) {
                double x = (left + (column + 0.5) * step - x0 - (block - 1) / 2.0) / block;
                sample(part, columns, rows, x, y, result, (row * size + column) * 3);
            }
        }
        return result;
    }

    /** The part of the image in blocks; the last row and column are repeated to fill theirs. */
    private static float[] shrunk(byte[] rgba, int stride, int x0, int y0, int x1, int y1, int block,
                                  int columns, int rows) {
        float[] part = new float[columns * rows * 3];
        for (int row = 0; row < rows; row++) {
            for (int column = 0; column < columns; column++) {
                for (int dy = 0; dy < block; dy++) {
                    int y = Math.min(y0 + row * block + dy, y1 - 1);
                    for (int dx = 0; dx < block; dx++) {
                        int at = y * stride + 4 * Math.min(x0 + column * block + dx, x1 - 1);
                        for (int channel = 0; channel < 3; channel++) {
                            part[(row * columns + column) * 3 + channel] +=
                                    (rgba[at + channel] & 0xff) / (float) (block * block);
                        }
                    }
                }
            }
        }
        return part;
    }

    private static void sample(float[] part, int columns, int rows, double x, double y,
                               byte[] result, int at) {
        int column = (int) Math.floor(x);
        int row = (int) Math.floor(y);
        for (int channel = 0; channel < 3; channel++) {
            double sum = 0;
            for (int dy = 0; dy < 2; dy++) {
                for (int dx = 0; dx < 2; dx++) {
                    int c = column + dx;
                    int r = row + dy;
                    if (c < 0 || r < 0 || c >= columns || r >= rows) {
                        continue;
                    }
                    double weight = (dx == 0 ? 1 - (x - column) : x - column)
                            * (dy == 0 ? 1 - (y - row) : y - row);
                    sum += weight * part[(r * columns + c) * 3 + channel];
                }
            }
            result[at + channel] = (byte) Math.round(sum);
        }
    }
}
