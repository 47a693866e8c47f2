package efld.landmarks;

import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.json.JSONArray;
import org.json.JSONException;
import org.json.JSONObject;

/** What landmarker.json of a bundle says about its model (efld_tf/runtime/portable.py). */
public final class Description {
    static final String FILE = "landmarker.json";
    private static final int FORMAT = 1;
    private static final String[] ANCHORS = {"right_eye", "left_eye", "mouth_right", "mouth_left"};

    /** The paths of the model and of the detector, from the folder of landmarker.json. */
    public final String modelFile;
    public final String detectorFile;
    /** That of the weights; "" where it is not stated. */
    public final String license;
    /** The side of the model's input in pixels. */
    public final int inputSize;
    public final boolean hasConfidence;
    /** The names of the points, in their order. */
    public final List<String> names;
    /** Whether the points are those of a part of the face. */
    final boolean isPart;
    /** What expected errors are divided by; null in older bundles. */
    final Normaliser normaliser;
    /** Eyes, corners of the mouth and tip of the nose, as far as there are points: their indices. */
    final List<int[]> anchors = new ArrayList<>();
    /** The model's crop in the reference crop, and that in a detector's box. */
    final Crop shown;
    final Crop inBox;
    /** Eyes and corners of the mouth in the reference crop. */
    final double[][] referenceAnchors;
    /** Of the crop around points, one of two forms, of which the other is null. */
    final double[][] weights;
    final double[][] meanShape;
    final Numbers rule;
    /** The place in the crop that is moved to the mean of key points, or null. */
    final Numbers moved;
    final int[] movedTo;
    final Crop.Grid grid;
    final Numbers detector;
    /** Cells a side and boxes a cell of each of the detector's maps. */
    final int[][] grids;
    final Numbers agreement;
    /** Of a key point of the detector: groups of points, whose means' mean it is. */
    final Map<Integer, List<int[]>> agreementPlaces = new TreeMap<>();
    final Numbers finding;
    final Numbers tracking;
    final Numbers smoothing;

    private Description(JSONObject json) throws JSONException {
        modelFile = json.getJSONObject("model").getString("file");
        JSONObject detected = json.getJSONObject("detector");
        detectorFile = detected.getString("file");
        license = json.getJSONObject("model").optString("license");
        inputSize = json.getInt("input_size");
        hasConfidence = json.getBoolean("has_confidence");
        JSONObject schema = json.getJSONObject("schema");
        names = new ArrayList<>();
        for (int i = 0; i < schema.getJSONArray("names").length(); i++) {
            names.add(schema.getJSONArray("names").getString(i));
        }
        isPart = schema.getBoolean("is_part");
        normaliser = schema.has("normaliser")
                ? new Normaliser(schema.getJSONObject("normaliser")) : null;
        for (String name : ANCHORS) {
            if (schema.getJSONObject("anchors").has(name)) {
                anchors.add(indices(schema.getJSONObject("anchors").getJSONArray(name)));
            }
        }
        if (schema.getJSONArray("nose_tip").length() > 0) {
            anchors.add(indices(schema.getJSONArray("nose_tip")));
        }
        JSONObject crop = json.getJSONObject("crop");
        shown = square(crop, "shown");
        inBox = square(detected, "crop");
        referenceAnchors = rows(crop.getJSONArray("anchors"));
        weights = crop.isNull("weights") ? null : rows(crop.getJSONArray("weights"));
        meanShape = crop.isNull("mean_shape") ? null : rows(crop.getJSONArray("mean_shape"));
        rule = crop.isNull("rule") ? null : new Numbers(crop, "rule");
        moved = crop.isNull("moved") ? null : new Numbers(crop, "moved");
        movedTo = moved == null ? new int[0]
                : indices(crop.getJSONObject("moved").getJSONArray("keypoints"));
        grid = new Crop.Grid(new Numbers(json, "grid"));
        detector = new Numbers(json, "detector");
        grids = new int[detected.getJSONArray("grids").length()][];
        for (int i = 0; i < grids.length; i++) {
            grids[i] = indices(detected.getJSONArray("grids").getJSONArray(i));
        }
        agreement = new Numbers(json, "agreement");
        JSONObject places = json.getJSONObject("agreement").getJSONObject("places");
        for (Iterator<?> keys = places.keys(); keys.hasNext(); ) {
            String key = (String) keys.next();
            List<int[]> groups = new ArrayList<>();
            for (int i = 0; i < places.getJSONArray(key).length(); i++) {
                groups.add(indices(places.getJSONArray(key).getJSONArray(i)));
            }
            agreementPlaces.put(Integer.valueOf(key), groups);
        }
        finding = new Numbers(json, "finding");
        tracking = new Numbers(json, "tracking");
        smoothing = new Numbers(json, "smoothing");
    }

    /**
     * Reads the text of landmarker.json.
     *
     * @throws IllegalArgumentException it is none, or of another version
     */
    public static Description read(String text) {
        try {
            JSONObject json = new JSONObject(text);
            if (json.getInt("format") != FORMAT) {
                throw new IllegalArgumentException(FILE + ": expected format " + FORMAT
                        + "; write the folder again with efld-export");
            }
            return new Description(json);
        } catch (JSONException | NumberFormatException error) {
            throw new IllegalArgumentException(FILE + ": " + error.getMessage(), error);
        }
    }

    private static Crop square(JSONObject json, String name) throws JSONException {
        Numbers numbers = new Numbers(json, name);
        return new Crop(numbers.get("x"), numbers.get("y"), numbers.get("side"), 0);
    }

    static int[] indices(JSONArray array) throws JSONException {
        int[] result = new int[array.length()];
        for (int i = 0; i < result.length; i++) {
            result[i] = array.getInt(i);
        }
        return result;
    }

    private static double[][] rows(JSONArray array) throws JSONException {
        double[][] result = new double[array.length()][];
        for (int i = 0; i < result.length; i++) {
            JSONArray row = array.getJSONArray(i);
            result[i] = new double[row.length()];
            for (int j = 0; j < row.length(); j++) {
                result[i][j] = row.getDouble(j);
            }
        }
        return result;
    }
}
