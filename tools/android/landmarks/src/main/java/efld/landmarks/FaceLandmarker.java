package efld.landmarks;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Comparator;
import java.util.List;
import org.json.JSONArray;
import org.json.JSONException;
import org.json.JSONObject;

/**
 * Finds the faces of photos and their landmarks (efld_tf/runtime/landmarker.py); {@link #track} makes
 * what follows them in a video. Not safe to share between threads: give each one of its own.
 */
public final class FaceLandmarker implements AutoCloseable {
    public final Description description;
    final ModelCrops crops;
    final AnyAngleDetector detector;
    private final Model model;
    private final Model detectorModel;
    private final Agreement agreement;
    private final Numbers finding;
    private final int pointsOutput;
    private final int confidenceOutput;
    private final int depthOutput;
    private final byte[] pixels;
    private final ByteBuffer input;

    /**
     * @param model of the file {@code description.modelFile}
     * @param detector of the file {@code description.detectorFile}
     * @throws IllegalArgumentException they are other models
     */
    public FaceLandmarker(Description description, Model model, Model detector) {
        this.description = description;
        this.model = model;
        detectorModel = detector;
        crops = new ModelCrops(description);
        agreement = new Agreement(description);
        finding = description.finding;
        int count = description.names.size();
        pointsOutput = indexOf(model.outputSizes(), 2 * count);
        int alone = indexOf(model.outputSizes(), 1);
        confidenceOutput = alone >= 0 ? alone : indexOf(model.outputSizes(), 1 + count);
        depthOutput = indexOf(model.outputSizes(), count);
        if (pointsOutput < 0 || description.hasConfidence != confidenceOutput >= 0) {
            throw new IllegalArgumentException(description.modelFile + ": its outputs are not those of "
                    + Description.FILE + "; write the folder again with efld-export --android");
        }
        this.detector = new AnyAngleDetector(new FaceDetector(detector, description),
                description.grid);
        pixels = new byte[3 * description.inputSize * description.inputSize];
        input = ByteBuffer.allocateDirect(pixels.length).order(ByteOrder.nativeOrder());
    }

    private static int indexOf(int[] sizes, int size) {
        for (int i = 0; i < sizes.length; i++) {
            if (sizes[i] == size) {
                return i;
            }
        }
        return -1;
    }

    /**
     * The faces of a photo that is the right way up, those first that the detector is surest of.
     *
     * <p>Faces smaller than a sixth of the longest side are not found, as with the toolkit's
     * detector {@code short}.
     */
    public List<Face> find(Picture picture) {
        List<Face> faces = new ArrayList<>();
        double least = finding.get("min_confidence");
        for (Found found : lookedAt(picture, detector.detect(picture, Collections.emptyList()), least)) {
            faces.add(found.face);
        }
        return faces;
    }

    /** A tracker for the faces of one video. */
    public FaceTracker track() {
        return track(new FaceTracker.Options(description));
    }

    /** A tracker for the faces of one video, with other options than the usual ones. */
    public FaceTracker track(FaceTracker.Options options) {
        return new FaceTracker(this, options);
    }

    /**
     * Tries the bundle's golden input. Call it once when a debug build starts: an app may get another
     * runtime than you think, from another of its libraries.
     *
     * @param golden the text of golden.json
     * @param rgb the content of golden_input.bin
     * @return the largest difference of a point, in crop sides
     * @throws IllegalStateException it is more than golden.json allows
     */
    public double verify(String golden, byte[] rgb) {
        float[][] outputs = run(rgb);
        try {
            JSONObject json = new JSONObject(golden);
            JSONArray points = json.getJSONObject("output").getJSONArray("points");
            float[] found = outputs[pointsOutput];
            if (2 * points.length() != found.length) {
                throw new IllegalStateException("golden.json is of another model");
            }
            double worst = 0;
            double sum = 0;
            for (int i = 0; i < found.length; i++) {
                double off = Math.abs(found[i] - points.getJSONArray(i / 2).getDouble(i % 2));
                require(off, json.getDouble("tolerance"), "a coordinate");
                worst = Math.max(worst, off);
                sum += off;
            }
            require(sum / found.length, json.optDouble("mean_tolerance", worst), "the mean");
            if (json.has("confidence") && confidenceOutput >= 0) {
                JSONObject sure = json.getJSONObject("confidence");
                require(Math.abs(outputs[confidenceOutput][0] - sure.getDouble("value")),
                        sure.getDouble("tolerance"), "the confidence");
            }
            return worst;
        } catch (JSONException error) {
            throw new IllegalArgumentException("golden.json: " + error.getMessage(), error);
        }
    }

    private static void require(double off, double tolerance, String what) {
        if (!(off <= tolerance)) { // which no NaN is
            throw new IllegalStateException("this runtime computes the model wrongly: " + what
                    + " differs by " + off + " from the golden output");
        }
    }

    /** A face, and how well its points agree with what the detector saw, 0 to 1. */
    static final class Found {
        final Face face;
        final double agreed;

        Found(Face face, double agreed) {
            this.face = face;
            this.agreed = agreed;
        }
    }

    /** What the model sees in a crop, and the crop around that. */
    static final class Look {
        final List<Point> points;
        final double[] depth;
        final double[] errors;
        final double confidence;
        final Crop around;

        Look(List<Point> points, double[] depth, double[] errors, double confidence, Crop around) {
            this.points = points;
            this.depth = depth;
            this.errors = errors;
            this.confidence = confidence;
            this.around = around;
        }
    }

    /**
     * Detected faces with their points, without those that are none.
     *
     * @param least faces that are less sure are left out
     */
    List<Found> lookedAt(Picture picture, List<Detection> detections, double least) {
        List<Found> found = new ArrayList<>();
        for (Detection detection : detections) {
            Crop crop = crops.ofDetection(detection);
            Look look = look(picture, crop);
            for (int pass = 1; pass < finding.whole("passes") && !same(crop, look.around); pass++) {
                crop = look.around;
                look = look(picture, crop);
            }
            double agreed = agreement(look.points, detection);
            double confidence = look.confidence * weight(agreed);
            if (confidence >= least && isPlace(look.points)) {
                found.add(new Found(new Face(description, look.points, look.depth, look.errors,
                        detection.box, detection.score, confidence, -1), agreed));
            }
        }
        return distinct(found);
    }

    /**
     * What the model sees in a crop.
     *
     * <p>The confidence of a model that gives none is 1 where the points may belong to the face that
     * the crop shows, and 0 elsewhere.
     */
    Look look(Picture picture, Crop crop) {
        // Points that lie on no face may ask for any square.
        boolean possible = crop.side < finding.get("largest") * picture.longest();
        Crop seen = possible ? crop : new Crop(0, 0, 1, 0);
        picture.extract(seen, description.inputSize, pixels);
        float[][] outputs = run(pixels);
        float[] values = outputs[pointsOutput];
        List<Point> points = new ArrayList<>();
        for (int i = 0; i < values.length; i += 2) {
            points.add(seen.fromUnit(new Point(values[i], values[i + 1])));
        }
        double[] depth = new double[depthOutput < 0 ? 0 : points.size()];
        for (int i = 0; i < depth.length; i++) {
            depth[i] = outputs[depthOutput][i] * seen.side;
        }
        Crop around = crops.around(points);
        float[] quality = confidenceOutput < 0 ? new float[] {1} : outputs[confidenceOutput];
        double[] errors = new double[quality.length - 1];
        for (int i = 0; i < errors.length; i++) {
            errors[i] = quality[1 + i] * seen.side;
        }
        boolean sure = possible && isConsistent(crop, around);
        return new Look(points, depth, errors, sure ? quality[0] : 0, around);
    }

    private float[][] run(byte[] rgb) {
        input.rewind();
        input.put(rgb);
        input.rewind();
        return model.run(input);
    }

    /** How well points agree with what the detector saw, 0 to 1. */
    double agreement(List<Point> points, Detection detection) {
        return agreement.of(points, detection, crops.reference(detection).side);
    }

    /** The factor of a face's confidence whose points agree so far with what a detector sees. */
    double weight(double agreed) {
        double elsewhere = finding.get("elsewhere");
        return elsewhere + (1 - elsewhere) * agreed;
    }

    /**
     * The box by which faces are told apart; of a part of the face it is a square, since boxes of eyes
     * are too flat to overlap.
     */
    Box extent(List<Point> points) {
        Box box = Box.around(points);
        return description.isPart ? box.squared() : box;
    }

    /** Whether points lie somewhere: those of a model that fails may be no numbers, or all one. */
    boolean isPlace(List<Point> points) {
        double longest = Box.around(points).longest();
        return longest > 0 && longest < Double.POSITIVE_INFINITY;
    }

    /** Whether a face with this extent is the one with those points. */
    boolean samePoints(Box extent, List<Point> points) {
        return extent.iou(extent(points)) > finding.get("same_points_iou");
    }

    /** Whether a look at {@code around} would show what one at {@code crop} did. */
    private boolean same(Crop crop, Crop around) {
        double still = finding.get("still");
        double turn = around.angle - crop.angle;
        return Math.abs(around.x - crop.x) < still * crop.side
                && Math.abs(around.y - crop.y) < still * crop.side
                && Math.abs(around.side / crop.side - 1) < still
                && Math.abs(Math.atan2(Math.sin(turn), Math.cos(turn))) < still;
    }

    /** Whether points whose crop is {@code around} may belong to the face that {@code crop} shows. */
    private boolean isConsistent(Crop crop, Crop around) {
        double far = finding.get("farthest") * crop.side;
        double largest = finding.get("largest_change");
        double change = around.side / crop.side;
        return Math.abs(around.x - crop.x) < far && Math.abs(around.y - crop.y) < far
                && 1 / largest < change && change < largest;
    }

    /** Faces, in their order, without those whose points lie on those of a surer one. */
    private List<Found> distinct(List<Found> found) {
        List<Found> bySureness = new ArrayList<>(found);
        bySureness.sort(Comparator.comparingDouble((Found one) -> -one.face.confidence));
        List<Found> kept = new ArrayList<>();
        for (Found one : bySureness) {
            Box extent = extent(one.face.points);
            boolean another = true;
            for (Found other : kept) {
                another &= !samePoints(extent, other.face.points);
            }
            if (another) {
                kept.add(one);
            }
        }
        List<Found> inOrder = new ArrayList<>(found);
        inOrder.retainAll(kept);
        return inOrder;
    }

    /** Frees both models. */
    @Override
    public void close() {
        model.close();
        detectorModel.close();
    }
}
