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
        Picture region = this;
        if (block == 1) { // no pixel is averaged, so that none is copied
            left = 0;
            top = 0;
        } else {
            region = shrunk(left, top, right, bottom, block);
        }
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
        long[] sums = new long[3 * columns];
        // OpenCV rounds halves up in blocks of two, otherwise to even.
        double share = 1.0 / ((double) block * block);
        double half = block == 2 ? 1e-3 : 0;
        for (int row = 0; row < rows; row++) {
            Arrays.fill(sums, 0);
            for (int i = 0; i < block; i++) {
                int from = Math.min(top + row * block + i, bottom - 1) * rowStride + left * pixelStride;
                int end = from + (right - left - 1) * pixelStride;
                for (int at = 0; at < sums.length; at += 3) {
                    long red = 0;
                    long green = 0;
                    long blue = 0;
                    for (int j = 0; j < block; j++) {
                        red += data[from] & 0xff;
                        green += data[from + 1] & 0xff;
                        blue += data[from + 2] & 0xff;
                        from += from < end ? pixelStride : 0;
                    }
                    sums[at] += red;
                    sums[at + 1] += green;
                    sums[at + 2] += blue;
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
        int[] across = new int[size];
        int[] down = new int[size];
        for (int column = 0; column < size; column++) {
            across[column] = (int) Math.rint(map[0] * column * one);
            down[column] = (int) Math.rint(map[3] * column * one);
        }
        for (int row = 0, at = 0; row < size; row++) {
            long x0 = (long) Math.rint((map[1] * row + map[2]) * one) + half;
            long y0 = (long) Math.rint((map[4] * row + map[5]) * one) + half;
            for (int column = 0; column < size; column++, at += 3) {
                long x = (x0 + across[column]) >> cut;
                long y = (y0 + down[column]) >> cut;
                long left = x >> PIXEL_BITS;
                long top = y >> PIXEL_BITS;
                int right = (int) (x & (parts - 1));
                int below = (int) (y & (parts - 1));
                int p00 = (parts - right) * (parts - below);
                int p01 = right * (parts - below);
                int p10 = (parts - right) * below;
                int p11 = right * below;
                int next = pixelStride;
                int nextRow = rowStride;
                if (left < 0 || top < 0 || left >= width - 1 || top >= height - 1) {
                    if (left < -1 || top < -1 || left >= width || top >= height) {
                        out[at] = out[at + 1] = out[at + 2] = 0;
                        continue;
                    }
                    // Weights of what lies outside are 0, and a pixel inside is read for it.
                    p00 = left < 0 || top < 0 ? 0 : p00;
                    p01 = left >= width - 1 || top < 0 ? 0 : p01;
                    p10 = left < 0 || top >= height - 1 ? 0 : p10;
                    p11 = left >= width - 1 || top >= height - 1 ? 0 : p11;
                    next = left < 0 || left >= width - 1 ? 0 : next;
                    nextRow = top < 0 || top >= height - 1 ? 0 : nextRow;
                }
                int from = (int) Math.max(top, 0) * rowStride + (int) Math.max(left, 0) * pixelStride;
                for (int channel = 0; channel < 3; channel++, from++) {
                    int sum = p00 * (data[from] & 0xff) + p01 * (data[from + next] & 0xff)
                            + p10 * (data[from + nextRow] & 0xff)
                            + p11 * (data[from + nextRow + next] & 0xff);
                    out[at + channel] = (byte) (((sum << unit) + round) >> WEIGHT_BITS);
                }
            }
        }
    }
}
