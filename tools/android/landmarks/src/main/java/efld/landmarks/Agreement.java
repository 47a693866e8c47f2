package efld.landmarks;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/**
 * How well a model's points agree with what a detector sees (efld_tf/runtime/agreement.py): a model
 * that has learnt no profiles puts their points somewhere, and takes them for as sure as others.
 */
final class Agreement {
    private final Map<Integer, List<int[]>> places;
    private final double distance;
    private final double eyes;
    private final double bias;

    Agreement(Description description) {
        places = description.agreementPlaces;
        distance = description.agreement.get("distance");
        eyes = description.agreement.get("eyes");
        bias = description.agreement.get("bias");
    }

    /**
     * How sure it is that points are those of the face that a detector saw, 0 to 1; 1 where the
     * schema has none of the detector's key points.
     *
     * @param side that of the face's reference crop
     */
    double of(List<Point> points, Detection detection, double side) {
        if (places.isEmpty()) {
            return 1;
        }
        double sum = 0;
        for (Map.Entry<Integer, List<int[]>> place : places.entrySet()) {
            List<Point> means = new ArrayList<>();
            for (int[] group : place.getValue()) {
                means.add(ModelCrops.mean(points, group));
            }
            sum += Point.mean(means).distance(detection.keypoints.get(place.getKey()));
        }
        double far = sum / places.size() / side;
        double between = detection.keypoints.get(0).distance(detection.keypoints.get(1)) / side;
        double odds = distance * far + eyes * between + bias;
        return 1 / (1 + Math.exp(-Math.min(Math.max(odds, -50), 50)));
    }
}
