package efld.landmarks;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * MediaPipe's short-range face detector (V. Bazarevsky et al., "BlazeFace: Sub-millisecond Neural Face
 * Detection on Mobile GPUs", 2019), decoded as by MediaPipe: overlapping boxes are averaged.
 *
 * <p>It looks at whole pictures, and finds faces that fill at least a sixth of the longest side. What
 * it sees are rows of a score, a box and key points.
 */
final class FaceDetector {
    final Numbers options;
    final int size;
    final double minScore;
    private final Model model;
    private final double sameFaceIou;
    private final double doubtful;
    /** In sides of the input. */
    private final List<Point> anchors = new ArrayList<>();
    private final byte[] pixels;
    private final ByteBuffer input;

    FaceDetector(Model model, Description description) {
        this.model = model;
        options = description.detector;
        size = options.whole("input_size");
        minScore = options.get("min_score");
        sameFaceIou = options.get("same_face_iou");
        doubtful = options.get("doubtful");
        for (int[] grid : description.grids) {
            for (int i = 0; i < grid[0] * grid[0] * grid[1]; i++) {
                int cell = i / grid[1];
                anchors.add(new Point((cell % grid[0] + 0.5) / grid[0],
                        (cell / grid[0] + 0.5) / grid[0]));
            }
        }
        int[] sizes = model.outputSizes();
        if (sizes.length != 2 || Math.min(sizes[0], sizes[1]) != anchors.size()) {
            throw new IllegalArgumentException(description.detectorFile
                    + ": not the detector that " + Description.FILE + " describes");
        }
        pixels = new byte[3 * size * size];
        input = ByteBuffer.allocateDirect(4 * pixels.length).order(ByteOrder.nativeOrder());
    }

    /**
     * The faces of a picture, those first that reach the least score; in pixels of the picture as it
     * is.
     *
     * @param turn the right angles by which the picture is turned, counterclockwise, before the model
     *     sees it: faces that lean clockwise by as many are upright then
     */
    List<Detection> detect(Picture picture, int turn) {
        double side = picture.longest();
        double step = side / size;
        double[] view = turned(picture.width, picture.height, turn);
        double left = ((turn % 2 == 1 ? picture.height : picture.width) - side) / 2;
        double top = ((turn % 2 == 1 ? picture.width : picture.height) - side) / 2;
        picture.sample(new double[] {
            view[0] * step, view[1] * step, view[0] * left + view[1] * top + view[2],
            view[3] * step, view[4] * step, view[3] * left + view[4] * top + view[5]}, size, pixels);
        List<double[]> rows = look(pixels, doubtful * minScore);
        for (double[] row : rows) {
            for (int i = 1; i < row.length; i++) {
                row[i] = row[i] * side - 0.5 * step + (i % 2 == 1 ? left : top);
            }
        }
        List<Detection> found = new ArrayList<>();
        for (double[] row : merged(rows)) {
            found.add(asDetection(row, view));
        }
        return found;
    }

    /**
     * What the model sees, in the unit square; there are several rows for a face.
     *
     * @param rgb the pixels of its input
     * @param least the lowest score
     */
    List<double[]> look(byte[] rgb, double least) {
        input.rewind();
        for (byte value : rgb) {
            input.putFloat((value & 0xff) / 127.5f - 1);
        }
        input.rewind();
        float[][] outputs = model.run(input);
        boolean boxesFirst = outputs[0].length > outputs[1].length;
        float[] boxes = outputs[boxesFirst ? 0 : 1];
        float[] logits = outputs[boxesFirst ? 1 : 0];
        int width = boxes.length / logits.length;
        List<double[]> rows = new ArrayList<>();
        for (int i = 0; i < logits.length; i++) {
            double score = 1 / (1 + Math.exp(-Math.min(Math.max(logits[i], -100), 100)));
            if (!(score >= least)) {
                continue;
            }
            Point anchor = anchors.get(i);
            double[] raw = new double[width];
            for (int j = 0; j < width; j++) {
                boolean moves = j < 2 || j >= 4; // all but width and height
                raw[j] = boxes[i * width + j] / (double) size
                        + (moves ? j % 2 == 0 ? anchor.x : anchor.y : 0);
            }
            double[] row = new double[1 + width];
            row[0] = score;
            row[1] = raw[0] - raw[2] / 2;
            row[2] = raw[1] - raw[3] / 2;
            row[3] = raw[0] + raw[2] / 2;
            row[4] = raw[1] + raw[3] / 2;
            System.arraycopy(raw, 4, row, 5, width - 4);
            rows.add(row);
        }
        return rows;
    }

    /** One row for each face; doubtful ones do not change the boxes of others. */
    private List<double[]> merged(List<double[]> rows) {
        List<double[]> sure = new ArrayList<>();
        List<double[]> rest = new ArrayList<>();
        for (double[] row : rows) {
            (row[0] >= minScore ? sure : rest).add(row);
        }
        sure = suppressed(sure, sameFaceIou);
        List<double[]> all = new ArrayList<>(sure);
        for (double[] row : suppressed(rest, sameFaceIou)) {
            boolean seen = false;
            for (double[] other : sure) {
                seen |= box(row).iou(box(other)) > sameFaceIou;
            }
            if (!seen) {
                all.add(row);
            }
        }
        return all;
    }

    /** One row for each group of overlapping boxes: the mean by score, with the highest score. */
    static List<double[]> suppressed(List<double[]> rows, double minIou) {
        List<double[]> left = new ArrayList<>(rows);
        left.sort((a, b) -> Double.compare(b[0], a[0]));
        List<double[]> merged = new ArrayList<>();
        while (!left.isEmpty()) {
            double[] best = left.get(0);
            double[] mean = new double[best.length];
            double sum = 0;
            List<double[]> others = new ArrayList<>();
            for (double[] row : left) {
                if (row != best && !(box(row).iou(box(best)) > minIou)) {
                    others.add(row);
                    continue;
                }
                sum += row[0];
                for (int i = 1; i < row.length; i++) {
                    mean[i] += row[0] * row[i];
                }
            }
            for (int i = 1; i < mean.length; i++) {
                mean[i] /= sum;
            }
            mean[0] = best[0];
            merged.add(mean);
            left = others;
        }
        return merged;
    }

    static Box box(double[] row) {
        return new Box(row[1], row[2], row[3], row[4]);
    }

    /** From pixels of a turned picture to those of the picture. */
    private static double[] turned(int width, int height, int turn) {
        switch (turn) {
            case 1: return new double[] {0, -1, width - 1, 1, 0, 0};
            case 2: return new double[] {-1, 0, width - 1, 0, -1, height - 1};
            case 3: return new double[] {0, 1, 0, -1, 0, height - 1};
            default: return new double[] {1, 0, 0, 0, 1, 0};
        }
    }

    private static Detection asDetection(double[] row, double[] view) {
        Point[] places = new Point[row.length / 2];
        for (int i = 0; i < places.length; i++) {
            double x = row[2 * i + 1];
            double y = row[2 * i + 2];
            places[i] = new Point(view[0] * x + view[1] * y + view[2],
                    view[3] * x + view[4] * y + view[5]);
        }
        List<Point> all = Arrays.asList(places);
        return new Detection(Box.around(all.subList(0, 2)), all.subList(2, all.size()), row[0]);
    }
}
