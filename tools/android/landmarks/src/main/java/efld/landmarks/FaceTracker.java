package efld.landmarks;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * Follows the faces of one video from frame to frame (efld_tf/runtime/tracker.py).
 *
 * <p>In each frame the model looks where every face was in the last one. The detector, which takes
 * many times longer, runs only to find newcomers and lost faces.
 */
public final class FaceTracker {
    /** What may be set; at first as in landmarker.json. */
    public static final class Options {
        /** How often new faces are looked for while some are followed. */
        public double detectSeconds;
        /** How often faces are looked for while there is none. */
        public double searchSeconds;
        public double minConfidence;
        /** How long a lost face keeps its number. */
        public double rememberSeconds;
        /** Whether points are filtered. */
        public boolean smooth;

        public Options(Description description) {
            detectSeconds = description.tracking.get("detect_seconds");
            searchSeconds = description.tracking.get("search_seconds");
            minConfidence = description.tracking.get("min_confidence");
            rememberSeconds = description.tracking.get("remember_seconds");
            smooth = description.tracking.get("smooth") != 0;
        }
    }

    /** A person who is followed. */
    private static final class Track {
        final int number;
        final OneEuroFilter filter;
        List<Point> points;
        double[] depth;
        double[] errors;
        double score;
        double confidence;
        /** Where to look in the next frame. */
        Crop crop;
        /** How well its points agreed with what the detector saw the last times. */
        double agreed;
        /** The time of the last face. */
        double seen;

        Track(int number, OneEuroFilter filter) {
            this.number = number;
            this.filter = filter;
        }

        void move(List<Point> points, double[] depth, double[] errors, double confidence) {
            this.points = points;
            this.depth = depth;
            this.errors = errors;
            this.confidence = confidence;
        }

        /** Heads turn, and a look may err: the mean with the last times. */
        void note(double agreed) {
            this.agreed = (this.agreed + agreed) / 2;
        }
    }

    private final FaceLandmarker landmarker;
    private final Options options;
    private final double samePlaceIou;
    private final double nobody;
    private final double early;
    private List<Track> tracks = new ArrayList<>();
    private final List<Track> lost = new ArrayList<>();
    private int next;
    private int detections;
    private double detected = Double.NEGATIVE_INFINITY;
    private double seconds = Double.NEGATIVE_INFINITY;

    FaceTracker(FaceLandmarker landmarker, Options options) {
        this.landmarker = landmarker;
        this.options = options;
        samePlaceIou = landmarker.description.tracking.get("same_place_iou");
        nobody = landmarker.description.tracking.get("nobody");
        early = landmarker.description.tracking.get("early");
    }

    /** How often the detector ran so far. */
    public int detections() {
        return detections;
    }

    /**
     * The faces of the next frame, in the order of their numbers.
     *
     * @param seconds the frame's time, later than the last one's
     * @throws IllegalArgumentException the time does not go on
     */
    public List<Face> update(Picture frame, double seconds) {
        if (!(seconds > this.seconds && seconds < Double.POSITIVE_INFINITY)) {
            throw new IllegalArgumentException(
                    "a frame at " + seconds + " s after one at " + this.seconds + " s");
        }
        this.seconds = seconds;
        boolean someLost = follow(frame);
        double wait = tracks.isEmpty() ? options.searchSeconds : options.detectSeconds;
        if (someLost || seconds - detected >= wait - early) {
            detect(frame);
        }
        tracks.sort(Comparator.comparingInt(track -> track.number));
        List<Face> faces = new ArrayList<>();
        for (Track track : tracks) {
            faces.add(shown(track));
        }
        return faces;
    }

    /** The face with its number, smoothed or not, and the tight box of its points. */
    private Face shown(Track track) {
        List<Point> points = track.points;
        double[] depth = track.depth;
        if (options.smooth) {
            double[][] values = new double[points.size()][];
            for (int i = 0; i < values.length; i++) {
                Point point = points.get(i);
                values[i] = depth.length == 0 ? new double[] {point.x, point.y}
                        : new double[] {point.x, point.y, depth[i]};
            }
            values = track.filter.update(values, seconds, Box.around(points).longest());
            points = new ArrayList<>();
            depth = depth.clone();
            for (int i = 0; i < values.length; i++) {
                points.add(new Point(values[i][0], values[i][1]));
                if (depth.length > 0) {
                    depth[i] = values[i][2];
                }
            }
        }
        return new Face(landmarker.description, points, depth, track.errors, Box.around(points),
                track.score, track.confidence, track.number);
    }

    /** Moves every track to its place in this frame; whether one was lost. */
    private boolean follow(Picture frame) {
        Map<Track, FaceLandmarker.Look> looks = new HashMap<>();
        Map<Track, Double> sure = new HashMap<>();
        for (Track track : tracks) {
            FaceLandmarker.Look look = landmarker.look(frame, track.crop);
            looks.put(track, look);
            sure.put(track, look.confidence * landmarker.weight(track.agreed));
        }
        List<Track> followed = new ArrayList<>();
        // If two tracks end on one face, the surer one keeps it.
        tracks.sort(Comparator.comparingDouble(track -> -sure.get(track)));
        for (Track track : tracks) {
            FaceLandmarker.Look look = looks.get(track);
            boolean there = sure.get(track) >= Math.max(options.minConfidence, nobody)
                    && landmarker.isPlace(look.points);
            Box extent = landmarker.extent(look.points);
            for (Track other : followed) {
                there &= !landmarker.samePoints(extent, other.points);
            }
            if (!there) {
                lost.add(track);
                continue;
            }
            track.move(look.points, look.depth, look.errors, sure.get(track));
            track.crop = look.around;
            track.seen = seconds;
            followed.add(track);
        }
        boolean someLost = followed.size() < tracks.size();
        tracks = followed;
        return someLost;
    }

    /** Looks for faces that are not followed, and gives them numbers. */
    private void detect(Picture frame) {
        detected = seconds;
        detections++;
        lost.removeIf(track -> track.seen < seconds - options.rememberSeconds);
        List<FaceLandmarker.Found> newcomers = landmarker.description.hasConfidence
                ? others(frame) : stillThere(frame);
        for (FaceLandmarker.Found found : newcomers) {
            if (overlapped(found.face, tracks) != null) {
                continue;
            }
            Track back = overlapped(found.face, lost);
            lost.remove(back);
            Track track = new Track(back == null ? next++ : back.number,
                    new OneEuroFilter(landmarker.description.smoothing));
            track.move(found.face.points, found.face.depth, found.face.errors,
                    found.face.confidence);
            track.score = found.face.score;
            track.crop = landmarker.crops.around(found.face.points);
            track.agreed = found.agreed;
            track.seen = seconds;
            tracks.add(track);
        }
    }

    /** Detected faces that are not followed; of the others, what the detector sees is noted. */
    private List<FaceLandmarker.Found> others(Picture frame) {
        List<Detection> known = new ArrayList<>();
        for (Track track : tracks) {
            known.add(landmarker.crops.asDetection(track.crop));
        }
        List<Detection> newcomers = landmarker.detector.detect(frame, known);
        List<Detection> seen = landmarker.detector.seenAgain(frame, known);
        for (int i = 0; i < known.size(); i++) {
            Box box = known.get(i).box;
            if (seen.get(i) != null) {
                tracks.get(i).note(landmarker.agreement(tracks.get(i).points, seen.get(i)));
            } else if (box.x0 >= 0 && box.y0 >= 0 && box.x1 <= frame.width && box.y1 <= frame.height) {
                tracks.get(i).note(0); // those at the border are not seen from near by
            }
        }
        return landmarker.lookedAt(frame, newcomers, options.minConfidence);
    }

    /** For a model without a confidence: nobody but the detector can tell that a face is gone. */
    private List<FaceLandmarker.Found> stillThere(Picture frame) {
        List<FaceLandmarker.Found> found = landmarker.lookedAt(
                frame, landmarker.detector.detect(frame, new ArrayList<>()), options.minConfidence);
        List<Track> followed = new ArrayList<>();
        for (Track track : tracks) {
            Box extent = landmarker.extent(track.points);
            FaceLandmarker.Found best = null;
            double most = samePlaceIou;
            for (FaceLandmarker.Found one : found) {
                double overlap = extent.iou(landmarker.extent(one.face.points));
                if (overlap > most) {
                    best = one;
                    most = overlap;
                }
            }
            if (best == null) {
                lost.add(track);
            } else {
                track.note(best.agreed);
                followed.add(track);
            }
        }
        tracks = followed;
        return found;
    }

    /** The track whose points' box a face overlaps most, or null if it overlaps none. */
    private Track overlapped(Face face, List<Track> others) {
        Box extent = landmarker.extent(face.points);
        Track best = null;
        double most = samePlaceIou;
        for (Track other : others) {
            double overlap = extent.iou(landmarker.extent(other.points));
            if (overlap > most) {
                best = other;
                most = overlap;
            }
        }
        return best;
    }
}
