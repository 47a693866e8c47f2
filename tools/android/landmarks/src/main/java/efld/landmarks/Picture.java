package efld.landmarks;

import java.util.Arrays;

/**
 * Pixels, resampled as by the toolkit in Python (efld_tf/landmarks/geometry.py), which calls OpenCV:
 * bilinear, by integers, with places rounded to 1/32 of a pixel.
 */
public final class Picture {
    /** Bits behind the point: of places while they are added up, of a place in a pixel, of weights. */
    private static final int PLACE_BITS = 10;
    private static final int PIXEL_BITS = 5;
    private static final int WEIGHT_BITS = 15;
    private static final Point[] CORNERS = {
        new Point(0, 0), new Point(1, 0), new Point(1, 1), new Point(0, 1)};

    public final int width;
    public final int height;
    private final byte[] data;
    private final int rowStride;
    private final int pixelStride;

    /**
     * A picture of red, green, blue and a fourth byte, which is ignored.
     *
     * @param rgba row by row
     * @param rowStride bytes from one row to the next
     */
    public Picture(byte[] rgba, int width, int height, int rowStride) {
        this(rgba, width, height, rowStride, 4);
        if (width < 1 || height < 1 || rowStride < 4 * width
                || rgba.length < (long) rowStride * (height - 1) + 4L * width) {
            throw new IllegalArgumentException("a picture of " + width + " x " + height
                    + " pixels in " + rgba.length + " bytes, " + rowStride + " a row");
        }
    }

    private Picture(byte[] data, int width, int height, int rowStride, int pixelStride) {
        this.data = data;
        this.width = width;
        this.height = height;
        this.rowStride = rowStride;
        this.pixelStride = pixelStride;
    }

    /** The longest side in pixels. */
    int longest() {
        return Math.max(width, height);
    }

    /**
     * Resamples a crop to RGB; outside of the picture it is black.
     *
     * <p>If it shrinks by two or more, whole blocks of pixels are averaged first; the factor that
     * remains is bilinear.
     *
     * @param size the side of the result
     * @param out of 3 * size * size values
     */
    public void extract(Crop crop, int size, byte[] out) {
        double step = crop.side / size;
        int block = Math.max(1, (int) Math.floor(step + 1e-6));
        double[] low = {Double.POSITIVE_INFINITY, Double.POSITIVE_INFINITY};
        double[] high = {Double.NEGATIVE_INFINITY, Double.NEGATIVE_INFINITY};
        for (Point corner : CORNERS) {
            Point place = crop.fromUnit(corner);
            low[0] = Math.min(low[0], place.x);
            high[0] = Math.max(high[0], place.x);
            low[1] = Math.min(low[1], place.y);
            high[1] = Math.max(high[1], place.y);
        }
        int left = inside(Math.floor(low[0]) - block, width);
        int top = inside(Math.floor(low[1]) - block, height);
        int right = inside(Math.ceil(high[0]) + block + 1, width);
        int bottom = inside(Math.ceil(high[1]) + block + 1, height);
        if (right <= left || bottom <= top) {
            Arrays.fill(out, (byte) 0);
            return;
        }
        Picture region = shrunk(left, top, right, bottom, block);
        double cosine = step * Math.cos(crop.angle);
        double sine = step * Math.sin(crop.angle);
        // Pixel j of the result is at (j + 0.5) / size of the crop; pixel s of a region in blocks has
        // its centre at block * s + (block - 1) / 2 of the region.
        double middle = 0.5 - size / 2.0;
        double shift = (block - 1) / 2.0;
        region.sample(new double[] {
            cosine / block, -sine / block,
            (crop.x + middle * (cosine - sine) - left - shift) / block,
            sine / block, cosine / block,
            (crop.y + middle * (sine + cosine) - top - shift) / block}, size, out);
    }

    private static int inside(double value, int end) {
        return (int) Math.min(Math.max(value, 0), end);
    }

    /**
     * Means of blocks of the pixels from (left, top) up to (right, bottom), which they leave out; the
     * border is repeated where a block reaches beyond it.
     */
    private Picture shrunk(int left, int top, int right, int bottom, int block) {
        int columns = (right - left + block - 1) / block;
        int rows = (bottom - top + block - 1) / block;
        byte[] result = new byte[3 * columns * rows];
        int[] sums = new int[3 * columns];
        // OpenCV rounds halves up in blocks of two, otherwise to even.
        double share = 1.0 / (block * block);
        double half = block == 2 ? 1e-3 : 0;
        for (int row = 0; row < rows; row++) {
            Arrays.fill(sums, 0);
            for (int i = 0; i < block; i++) {
                int y = Math.min(top + row * block + i, bottom - 1);
                for (int column = 0, at = 0; column < columns; column++, at += 3) {
                    for (int j = 0; j < block; j++) {
                        int x = Math.min(left + column * block + j, right - 1);
                        int from = y * rowStride + x * pixelStride;
                        sums[at] += data[from] & 0xff;
                        sums[at + 1] += data[from + 1] & 0xff;
                        sums[at + 2] += data[from + 2] & 0xff;
                    }
                }
            }
            for (int i = 0; i < sums.length; i++) {
                result[row * sums.length + i] = (byte) (int) Math.rint(sums[i] * share + half);
            }
        }
        return new Picture(result, columns, rows, 3 * columns, 3);
    }

    /**
     * Samples RGB at places on a grid; outside of the picture it is black.
     *
     * @param map from pixels of the result to those of the picture: (a column + b row + c, d column
     *     + e row + f)
     * @param size the side of the result
     * @param out of 3 * size * size values
     */
    void sample(double[] map, int size, byte[] out) {
        int one = 1 << PLACE_BITS;
        int half = 1 << (PLACE_BITS - PIXEL_BITS - 1);
        int cut = PLACE_BITS - PIXEL_BITS;
        int parts = 1 << PIXEL_BITS;
        int unit = WEIGHT_BITS - 2 * PIXEL_BITS;
        int round = 1 << (WEIGHT_BITS - 1);
        int[] sums = new int[3];
        for (int row = 0, at = 0; row < size; row++) {
            long x0 = (long) Math.rint((map[1] * row + map[2]) * one) + half;
            long y0 = (long) Math.rint((map[4] * row + map[5]) * one) + half;
            for (int column = 0; column < size; column++, at += 3) {
                long x = (x0 + (long) Math.rint(map[0] * column * one)) >> cut;
                long y = (y0 + (long) Math.rint(map[3] * column * one)) >> cut;
                int right = (int) (x & (parts - 1));
                int below = (int) (y & (parts - 1));
                Arrays.fill(sums, 0);
                add(sums, x >> PIXEL_BITS, y >> PIXEL_BITS, (parts - right) * (parts - below));
                add(sums, (x >> PIXEL_BITS) + 1, y >> PIXEL_BITS, right * (parts - below));
                add(sums, x >> PIXEL_BITS, (y >> PIXEL_BITS) + 1, (parts - right) * below);
                add(sums, (x >> PIXEL_BITS) + 1, (y >> PIXEL_BITS) + 1, right * below);
                for (int channel = 0; channel < 3; channel++) {
                    out[at + channel] = (byte) (((sums[channel] << unit) + round) >> WEIGHT_BITS);
                }
            }
        }
    }

    /** Adds a pixel to sums; one outside of the picture is black. */
    private void add(int[] sums, long x, long y, int weight) {
        if (x < 0 || y < 0 || x >= width || y >= height) {
            return;
        }
        int from = (int) y * rowStride + (int) x * pixelStride;
        sums[0] += weight * (data[from] & 0xff);
        sums[1] += weight * (data[from + 1] & 0xff);
        sums[2] += weight * (data[from + 2] & 0xff);
    }
}
