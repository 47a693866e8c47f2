package efld.landmarks;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * The crops of a model: of the faces that a detector finds, and around the model's own points
 * (efld_tf/runtime/model_crops.py and crop_maps.py).
 */
final class ModelCrops {
    private static final Crop AROUND_ANCHORS = new Crop(1, 1, 1, 0);
    private final Description description;

    ModelCrops(Description description) {
        this.description = description;
    }

    /** The reference crop of a face that a detector found, turned so that its eyes are level. */
    Crop reference(Detection detection) {
        Point middle = detection.box.middle();
        return new Crop(middle.x, middle.y, detection.box.longest(), detection.lean())
                .within(description.inBox);
    }

    /** The crop of a face that a detector found. */
    Crop ofDetection(Detection detection) {
        Crop crop = reference(detection).within(description.shown);
        if (description.moved == null) {
            return crop.on(description.grid);
        }
        Point there = crop.fromUnit(
                new Point(description.moved.get("x"), description.moved.get("y")));
        Point aim = mean(detection.keypoints, description.movedTo);
        return new Crop(crop.x + aim.x - there.x, crop.y + aim.y - there.y, crop.side, crop.angle)
                .on(description.grid);
    }

    /** What a detector would find in a crop of the model. */
    Detection asDetection(Crop crop) {
        Crop reference = crop.around(description.shown);
        Crop box = reference.around(description.inBox);
        List<Point> anchors = new ArrayList<>();
        for (double[] anchor : description.referenceAnchors) {
            anchors.add(reference.fromUnit(new Point(anchor[0], anchor[1])));
        }
        // Nose and ears are taken for the middle: nothing needs them.
        Point middle = new Point(box.x, box.y);
        double half = box.side / 2;
        return new Detection(
                new Box(box.x - half, box.y - half, box.x + half, box.y + half),
                Arrays.asList(anchors.get(0), anchors.get(1), middle,
                        Point.mean(anchors.subList(2, 4)), middle, middle), 1);
    }

    /** The crop around landmarks, turned so that they are upright. */
    Crop around(List<Point> points) {
        Crop crop = description.weights == null ? byMeanShape(points)
                : byAnchors(points).within(description.shown);
        return crop.on(description.grid);
    }

    /** The reference crop, linear in the upright anchors. */
    private Crop byAnchors(List<Point> points) {
        List<Point> places = new ArrayList<>();
        for (int[] group : description.anchors) {
            places.add(mean(points, group));
        }
        Point rightEye = places.get(0);
        Point leftEye = places.get(1);
        Point mouthRight = places.get(2);
        Point mouthLeft = places.get(3);
        double downX = (mouthRight.x + mouthLeft.x - rightEye.x - leftEye.x) / 2;
        double downY = (mouthRight.y + mouthLeft.y - rightEye.y - leftEye.y) / 2;
        double angle = Math.atan2(leftEye.y + mouthLeft.y - rightEye.y - mouthRight.y,
                leftEye.x + mouthLeft.x - rightEye.x - mouthRight.x);
        Point middle = Point.mean(places.subList(0, 4));
        double side = Math.max(Math.max(rightEye.distance(leftEye), Math.hypot(downX, downY)), 1e-6);
        Crop upright = new Crop(middle.x, middle.y, side, angle).within(AROUND_ANCHORS);
        double[] result = description.weights[0].clone();
        for (int i = 0; i < places.size(); i++) {
            Point unit = upright.toUnit(places.get(i));
            for (int column = 0; column < result.length; column++) {
                result[column] += unit.x * description.weights[2 * i + 1][column]
                        + unit.y * description.weights[2 * i + 2][column];
            }
        }
        double scale = Math.exp(Math.min(Math.max(result[2], -3), 3));
        return upright.within(new Crop(result[0], result[1], scale, 0));
    }

    /**
     * The crop in which the mean shape comes closest to the points, by least squares; or that of the
     * turned points' box, where the model's crop rule is of these points.
     */
    private Crop byMeanShape(List<Point> points) {
        List<Point> shape = new ArrayList<>();
        for (double[] place : description.meanShape) {
            shape.add(new Point(place[0], place[1]));
        }
        Point from = Point.mean(shape);
        Point to = Point.mean(points);
        // The turn of a similarity, as a complex number.
        double real = 0;
        double imaginary = 0;
        double spread = 0;
        for (int i = 0; i < shape.size(); i++) {
            double x = shape.get(i).x - from.x;
            double y = shape.get(i).y - from.y;
            double u = points.get(i).x - to.x;
            double v = points.get(i).y - to.y;
            real += x * u + y * v;
            imaginary += x * v - y * u;
            spread += x * x + y * y;
        }
        real /= spread;
        imaginary /= spread;
        double angle = Math.atan2(imaginary, real);
        if (description.rule != null) {
            Crop turned = new Crop(0, 0, 1, angle);
            List<Point> units = new ArrayList<>();
            for (Point point : points) {
                units.add(turned.toUnit(point));
            }
            Box box = Box.around(units);
            double longest = box.longest();
            if (longest > 0) {
                return turned.within(new Crop(
                        box.middle().x + description.rule.get("x") * longest,
                        box.middle().y + description.rule.get("y") * longest,
                        description.rule.get("scale") * longest, 0));
            }
        }
        double right = 0.5 - from.x;
        double down = 0.5 - from.y;
        return new Crop(to.x + real * right - imaginary * down,
                to.y + imaginary * right + real * down,
                Math.max(Math.hypot(real, imaginary), 1e-6), angle);
    }

    /** The mean of some of the points. */
    static Point mean(List<Point> points, int[] group) {
        List<Point> some = new ArrayList<>();
        for (int index : group) {
            some.add(points.get(index));
        }
        return Point.mean(some);
    }
}
