package efld.landmarks;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Paths;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.List;
import org.json.JSONArray;
import org.json.JSONException;
import org.json.JSONObject;

/**
 * Compares crops, pixels and numbers with what the toolkit computes in Python; plain Java, with
 * org.json on the class path:
 *
 * <pre>java efld.landmarks.VectorsTest ../web/test/vectors.json</pre>
 */
public final class VectorsTest {
    private static final double TOLERANCE = 1e-4;
    private static int cases;
    private static int differences;

    private VectorsTest() { }

    public static void main(String[] arguments) throws IOException, JSONException {
        JSONObject vectors = new JSONObject(new String(
                Files.readAllBytes(Paths.get(arguments[0])), StandardCharsets.UTF_8));
        pixels(vectors);
        overlaps(vectors.getJSONObject("rows"));
        for (JSONObject model : objects(vectors.getJSONArray("models"))) {
            model(model);
        }
        smoothing(vectors);
        System.out.println(cases + " cases, " + differences + " differences");
        System.exit(cases == 0 || differences > 0 ? 1 : 0);
    }

    private static void pixels(JSONObject vectors) throws JSONException {
        Picture picture = picture(vectors.getJSONObject("image"));
        for (JSONObject one : objects(vectors.getJSONArray("crops"))) {
            byte[] out = dirty(one);
            picture.extract(crop(one.getJSONObject("crop")), one.getInt("size"), out);
            expect(Arrays.equals(out, bytes(one.getString("rgb"))), "pixels of a crop");
        }
        for (JSONObject one : objects(vectors.getJSONArray("squares"))) {
            byte[] out = dirty(one);
            double step = one.getDouble("step");
            picture.sample(new double[] {step, 0, one.getDouble("left"), 0, step,
                one.getDouble("top")}, one.getInt("size"), out);
            expect(Arrays.equals(out, bytes(one.getString("rgb"))), "pixels of a square");
        }
    }

    /** The pixels in rows that are longer than the picture, with a fourth byte of something. */
    private static Picture picture(JSONObject image) throws JSONException {
        int width = image.getInt("width");
        int height = image.getInt("height");
        int stride = 4 * width + 8;
        byte[] rgb = bytes(image.getString("rgb"));
        byte[] rgba = new byte[stride * height];
        Arrays.fill(rgba, (byte) 99);
        for (int i = 0; i < width * height; i++) {
            System.arraycopy(rgb, 3 * i, rgba, i / width * stride + 4 * (i % width), 3);
        }
        return new Picture(rgba, width, height, stride);
    }

    private static byte[] dirty(JSONObject one) throws JSONException {
        byte[] out = new byte[3 * one.getInt("size") * one.getInt("size")];
        Arrays.fill(out, (byte) 7);
        return out;
    }

    private static void overlaps(JSONObject rows) throws JSONException {
        List<double[]> found = FaceDetector.suppressed(rows(rows.getJSONArray("rows")),
                rows.getDouble("min_iou"));
        List<double[]> expected = rows(rows.getJSONArray("merged"));
        expect(found.size() == expected.size(), "number of merged boxes");
        for (int i = 0; i < expected.size(); i++) {
            for (int j = 0; j < expected.get(i).length; j++) {
                expect(found.get(i)[j], expected.get(i)[j], "merged box");
            }
        }
    }

    private static void model(JSONObject model) throws JSONException {
        JSONObject described = model.getJSONObject("description");
        described.put("model", new JSONObject().put("file", "model.tflite"));
        described.getJSONObject("detector").put("file", "detector.tflite");
        Description description = Description.read(described.toString());
        ModelCrops crops = new ModelCrops(description);
        for (JSONObject one : objects(model.getJSONArray("cases"))) {
            List<Point> points = points(one.getJSONArray("points"));
            Crop around = crop(one.getJSONObject("around"));
            expect(crops.around(points), around, "crop around points");
            Detection seen = crops.asDetection(around);
            Detection expected = detection(one.getJSONObject("seen"));
            expect(seen.box, expected.box, "box of a crop");
            for (int i = 0; i < expected.keypoints.size(); i++) {
                expect(seen.keypoints.get(i), expected.keypoints.get(i), "key point of a crop");
            }
            Detection detection = detection(one.getJSONObject("detection"));
            expect(crops.ofDetection(detection), crop(one.getJSONObject("crop")),
                    "crop of a detection");
            double side = crops.reference(detection).side;
            expect(side, one.getDouble("side"), "side of a reference crop");
            expect(new Agreement(description).of(points, detection, side),
                    one.getDouble("agreement"), "agreement");
            double[] errors = doubles(one.getJSONArray("errors"));
            expect(face(description, points, errors).expectedNme, one.getDouble("expected_nme"),
                    "expected error");
            expect(Double.isNaN(face(description, points, new double[0]).expectedNme),
                    "error of which nothing is known");
        }
    }

    private static void smoothing(JSONObject vectors) throws JSONException {
        JSONObject first = vectors.getJSONArray("models").getJSONObject(0);
        OneEuroFilter filter = new OneEuroFilter(
                new Numbers(first.getJSONObject("description"), "smoothing"));
        for (JSONObject frame : objects(vectors.getJSONArray("smoothing"))) {
            double[][] found = filter.update(rows(points(frame.getJSONArray("points"))),
                    frame.getDouble("seconds"), frame.getDouble("size"));
            double[][] expected = rows(points(frame.getJSONArray("smooth")));
            for (int i = 0; i < expected.length; i++) {
                expect(found[i][0], expected[i][0], "smoothed point");
                expect(found[i][1], expected[i][1], "smoothed point");
            }
        }
    }

    private static void expect(boolean holds, String what) {
        cases++;
        if (!holds) {
            differences++;
            System.out.println("another " + what + ", case " + cases);
        }
    }

    private static void expect(double found, double expected, String what) {
        expect(Math.abs(found - expected) <= TOLERANCE, what);
    }

    private static void expect(Point found, Point expected, String what) {
        expect(found.distance(expected) <= TOLERANCE, what);
    }

    private static void expect(Box found, Box expected, String what) {
        expect(new Point(found.x0, found.y0), new Point(expected.x0, expected.y0), what);
        expect(new Point(found.x1, found.y1), new Point(expected.x1, expected.y1), what);
    }

    private static void expect(Crop found, Crop expected, String what) {
        double turn = found.angle - expected.angle;
        expect(Math.abs(found.x - expected.x) <= TOLERANCE
                && Math.abs(found.y - expected.y) <= TOLERANCE
                && Math.abs(found.side - expected.side) <= TOLERANCE
                && Math.abs(Math.atan2(Math.sin(turn), Math.cos(turn))) <= TOLERANCE, what);
    }

    private static Crop crop(JSONObject place) throws JSONException {
        return new Crop(place.getDouble("x"), place.getDouble("y"), place.getDouble("side"),
                place.optDouble("angle", 0));
    }

    private static Detection detection(JSONObject found) throws JSONException {
        JSONArray box = found.getJSONArray("box");
        return new Detection(
                new Box(box.getDouble(0), box.getDouble(1), box.getDouble(2), box.getDouble(3)),
                points(found.getJSONArray("keypoints")), found.getDouble("score"));
    }

    private static List<Point> points(JSONArray places) throws JSONException {
        List<Point> result = new ArrayList<>();
        for (JSONObject place : objects(places)) {
            result.add(new Point(place.getDouble("x"), place.getDouble("y")));
        }
        return result;
    }

    private static Face face(Description description, List<Point> points, double[] errors) {
        return new Face(description, points, new double[0], errors, Box.around(points), 1, 1, -1);
    }

    private static double[] doubles(JSONArray array) throws JSONException {
        return rows(new JSONArray().put(array)).get(0);
    }

    private static double[][] rows(List<Point> points) {
        double[][] result = new double[points.size()][];
        for (int i = 0; i < result.length; i++) {
            result[i] = new double[] {points.get(i).x, points.get(i).y};
        }
        return result;
    }

    private static List<double[]> rows(JSONArray array) throws JSONException {
        List<double[]> result = new ArrayList<>();
        for (int i = 0; i < array.length(); i++) {
            double[] row = new double[array.getJSONArray(i).length()];
            for (int j = 0; j < row.length; j++) {
                row[j] = array.getJSONArray(i).getDouble(j);
            }
            result.add(row);
        }
        return result;
    }

    private static List<JSONObject> objects(JSONArray array) throws JSONException {
        List<JSONObject> result = new ArrayList<>();
        for (int i = 0; i < array.length(); i++) {
            result.add(array.getJSONObject(i));
        }
        return result;
    }

    private static byte[] bytes(String base64) {
        return Base64.getDecoder().decode(base64);
    }
}
