package efld.landmarks;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.Comparator;
import java.util.List;
import java.util.TreeSet;

/**
 * Finds the faces of a picture at any angle (efld_tf/runtime/any_angle.py, which says what its limits
 * stand for). The detector finds many faces that stand on their head, but takes their chin for the
 * forehead; so each face that is not very sure is looked at once more from near by, at four angles.
 */
final class AnyAngleDetector {
    /** Squares that the model sees at once, in two rows. */
    private static final int CELLS = 4;
    private static final double QUARTER = Math.PI / 2;

    private final FaceDetector detector;
    private final Numbers options;
    private final Crop.Grid grid;
    private final byte[] cell;
    private final byte[] cells;

    AnyAngleDetector(FaceDetector detector, Crop.Grid grid) {
        this.detector = detector;
        this.grid = grid;
        options = detector.options;
        cell = new byte[3 * detector.size * detector.size / CELLS];
        cells = new byte[3 * detector.size * detector.size];
    }

    /** A face as it leans; where that is not certain, there may be none. */
    private static final class Settled {
        final Detection detection;
        final boolean certain;

        Settled(Detection detection, boolean certain) {
            this.detection = detection;
            this.certain = certain;
        }
    }

    /** A detection in a picture that was turned by so many right angles. */
    private static final class Turned {
        final Detection detection;
        final int turn;

        Turned(Detection detection, int turn) {
            this.detection = detection;
            this.turn = turn;
        }
    }

    /** A face seen from near by: the square, and a row in its unit square. */
    private static final class Look {
        final Crop crop;
        final double[] row;

        Look(Crop crop, double[] row) {
            this.crop = crop;
            this.row = row;
        }

        double score() {
            return row[0];
        }

        /** In pixels of the picture; its box has the same middle and side, not turned. */
        Detection asDetection(double score) {
            Box box = FaceDetector.box(row);
            double half = box.longest() / 2 * crop.side;
            Point middle = crop.fromUnit(box.middle());
            List<Point> keypoints = new ArrayList<>();
            for (int i = 5; i < row.length; i += 2) {
                keypoints.add(crop.fromUnit(new Point(row[i], row[i + 1])));
            }
            return new Detection(new Box(middle.x - half, middle.y - half, middle.x + half,
                    middle.y + half), keypoints, score);
        }
    }

    /**
     * The faces of a picture, largest score first.
     *
     * @param known faces that need not be found again, and are left out
     */
    List<Detection> detect(Picture picture, List<Detection> known) {
        List<Settled> faces = new ArrayList<>();
        for (Detection detection : known) {
            faces.add(new Settled(detection, true));
        }
        faces = settled(picture, found(picture, 0), faces, true);
        if (faces.isEmpty() || faces.get(0).detection.score < options.get("sure_large")
                || !turns(faces).isEmpty()) {
            faces = settled(picture, found(picture, 2), faces, false);
        }
        if (faces.isEmpty()) {
            List<Turned> anew = new ArrayList<>();
            for (int turn = 1; turn < CELLS; turn++) {
                anew.addAll(found(picture, turn));
            }
            faces = settled(picture, anew, faces, false);
        }
        // Where one face lies on its side, others do that only the turned search finds.
        for (int turn : turns(faces)) {
            if (turn != 0) {
                faces = settled(picture, found(picture, turn), faces, true);
            }
        }
        List<Detection> result = new ArrayList<>();
        for (Settled face : faces) {
            if (face.certain && !known.contains(face.detection)) {
                result.add(face.detection);
            }
        }
        return result;
    }

    /** The right angles by which certain faces lean that are not upright. */
    private TreeSet<Integer> turns(List<Settled> faces) {
        TreeSet<Integer> turns = new TreeSet<>();
        for (Settled face : faces) {
            double lean = face.detection.lean();
            if (face.certain && Math.abs(lean) > options.get("upright")) {
                turns.add((int) ((Math.round(lean / QUARTER) + CELLS) % CELLS));
            }
        }
        return turns;
    }

    private List<Turned> found(Picture picture, int turn) {
        List<Turned> found = new ArrayList<>();
        for (Detection detection : detector.detect(picture, turn)) {
            found.add(new Turned(detection, turn));
        }
        return found;
    }

    /**
     * Faces, and others that were found, as they lean, largest score first.
     *
     * @param doubtful whether to look again at those below the least score, too
     */
    private List<Settled> settled(Picture picture, List<Turned> found, List<Settled> faces,
                                  boolean doubtful) {
        List<Detection> known = new ArrayList<>();
        for (Settled face : faces) {
            if (face.detection.score >= options.get("sure_near")) {
                known.add(face.detection);
            }
        }
        List<Settled> settled = new ArrayList<>(faces);
        List<Turned> byScore = new ArrayList<>(found);
        byScore.sort(Comparator.comparingDouble((Turned one) -> -one.detection.score));
        for (Turned one : byScore) {
            if (one.detection.score >= detector.minScore && isAnother(one.detection, known)) {
                known.add(one.detection);
                Settled face = settle(picture, one.detection, one.turn);
                if (face != null) {
                    settled.add(face);
                }
            }
        }
        if (doubtful) {
            List<Detection> rest = new ArrayList<>();
            for (Turned one : byScore) {
                if (one.detection.score < detector.minScore && isAnother(one.detection, known)) {
                    rest.add(one.detection);
                }
            }
            settled.addAll(confirmed(picture, rest));
        }
        settled.sort(Comparator.comparingDouble((Settled face) -> -face.detection.score));
        List<Settled> distinct = new ArrayList<>();
        List<Detection> surer = new ArrayList<>();
        for (Settled face : settled) {
            if (isAnother(face.detection, surer)) {
                distinct.add(face);
                surer.add(face.detection);
            }
        }
        return distinct;
    }

    /** A face as it leans, or null where there is none. */
    private Settled settle(Picture picture, Detection detection, int turn) {
        boolean large = detection.box.x1 - detection.box.x0 >= options.get("large") * picture.longest();
        double turned = detection.lean() - turn * QUARTER;
        double upright = options.get("upright");
        boolean straight = Math.abs(Math.atan2(Math.sin(turned), Math.cos(turned))) <= upright;
        if (straight && detection.score >= options.get(large ? "sure_large" : "sure")) {
            return new Settled(detection, true);
        }
        List<Look> looks = looks(picture, detection);
        Look best = uprightOf(looks);
        double leastNear = options.get("least_near");
        if (leastNear <= best.score() && best.score() < options.get("sure_near")) {
            // The place may have been rough, too.
            Look again = uprightOf(looks(picture, best.asDetection(0)));
            best = again.score() > best.score() ? again : best;
        }
        boolean asSeen = turn == 0 && straight;
        if (best.score() < leastNear) {
            // Those that reach to the borders of the picture are not seen from near by.
            return asSeen && detection.score >= options.get("sure_border")
                    ? new Settled(detection, true) : null;
        }
        double sureTurned = options.get("sure_turned");
        if (asSeen && best.score() < Math.max(sureTurned, detection.score)
                && best.score() - looks.get(0).score() < options.get("clearly")) {
            return new Settled(detection, true);
        }
        Detection near = best.asDetection(Math.max(best.score(), detection.score));
        return new Settled(near, best.score() >= sureTurned || Math.abs(near.lean()) <= upright);
    }

    /** Those of doubtful detections that are upright faces from near by. */
    private List<Settled> confirmed(Picture picture, List<Detection> doubtful) {
        List<Settled> faces = new ArrayList<>();
        List<Look> looks = looksAround(picture, doubtful);
        for (int i = 0; i < doubtful.size(); i++) {
            Look look = looks.get(i);
            double least = Math.max(options.get("second_look"),
                    options.get("both_looks") - doubtful.get(i).score);
            if (look.score() < least) {
                continue;
            }
            List<Look> turned = looks(picture, look.asDetection(look.score()));
            Look best = uprightOf(turned);
            if (best == turned.get(0) && best.score() >= least) {
                faces.add(new Settled(best.asDetection(best.score()), true));
            }
        }
        return faces;
    }

    /** Faces whose places are known, as the model sees them from near by; null where it sees none. */
    List<Detection> seenAgain(Picture picture, List<Detection> faces) {
        List<Detection> seen = new ArrayList<>();
        for (Look look : looksAround(picture, faces)) {
            seen.add(look.score() >= options.get("least_near")
                    ? look.asDetection(look.score()) : null);
        }
        return seen;
    }

    /** Looks at faces from near by, as they lean. */
    private List<Look> looksAround(Picture picture, List<Detection> faces) {
        List<Look> looks = new ArrayList<>();
        for (int start = 0; start < faces.size(); start += CELLS) {
            List<Crop> crops = new ArrayList<>();
            for (Detection face : faces.subList(start, Math.min(start + CELLS, faces.size()))) {
                crops.add(around(face, 0));
            }
            looks.addAll(looksIn(picture, crops));
        }
        return looks;
    }

    /** Looks at a face from near by, turned by none to three quarters. */
    private List<Look> looks(Picture picture, Detection detection) {
        List<Crop> crops = new ArrayList<>();
        for (int turn = 0; turn < CELLS; turn++) {
            crops.add(around(detection, turn * QUARTER));
        }
        return looksIn(picture, crops);
    }

    /** Looks at up to four squares by one run of the model. */
    private List<Look> looksIn(Picture picture, List<Crop> crops) {
        int size = detector.size;
        int half = size / 2;
        double limit = options.get("largest") * picture.longest();
        Arrays.fill(cells, (byte) 0);
        for (int i = 0; i < crops.size(); i++) {
            Crop crop = crops.get(i);
            picture.extract(crop.side < limit ? crop : new Crop(0, 0, 1, 0), half, cell);
            int corner = 3 * ((i / 2) * half * size + (i % 2) * half);
            for (int row = 0; row < half; row++) {
                System.arraycopy(cell, 3 * row * half, cells, corner + 3 * row * size, 3 * half);
            }
        }
        List<double[]> rows = detector.look(cells, options.get("least_near"));
        List<Look> looks = new ArrayList<>();
        for (int i = 0; i < crops.size(); i++) {
            double[] best = new double[17];
            for (double[] row : rows) {
                double[] own = row.clone();
                for (int j = 1; j < own.length; j++) {
                    own[j] = 2 * own[j] - (j % 2 == 1 ? i % 2 : i / 2);
                }
                boolean near = FaceDetector.box(own).middle().distance(new Point(0.5, 0.5))
                        < options.get("near");
                best = near && own[0] > best[0] ? own : best;
            }
            looks.add(new Look(crops.get(i), best));
        }
        return looks;
    }

    /** The one of four looks, each turned by a quarter, in which the face is upright. */
    private Look uprightOf(List<Look> looks) {
        Look first = looks.get(0);
        Look best = Collections.max(looks, Comparator.comparingDouble(Look::score));
        double enough = Math.max(options.get("sure_turned"), best.score() - options.get("hardly"));
        return first.score() >= enough ? first : best;
    }

    /** The square around a face in which it is looked at from near by. */
    private Crop around(Detection detection, double turn) {
        Point middle = detection.box.middle();
        return new Crop(middle.x, middle.y, detection.box.longest() / options.get("share"),
                detection.lean() + turn).on(grid);
    }

    /** Whether a detection is of a face that is none of others, which are surer. */
    private boolean isAnother(Detection detection, List<Detection> others) {
        for (Detection other : others) {
            double inside = options.get("most_inside")
                    * Math.min(detection.box.area(), other.box.area());
            if (detection.box.iou(other.box) > options.get("same_face_iou")
                    || detection.score < options.get("sure_turned")
                    && detection.box.common(other.box) > inside) {
                return false;
            }
        }
        return true;
    }
}
