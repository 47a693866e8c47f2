package efld.landmarks;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;

/**
 * Compares the crop and the points with what the Python toolkit makes of the same image; plain
 * Java, so that it runs on any JDK:
 *
 * <pre>javac -d out $(find landmarks -name '*.java')
 * java -cp out efld.landmarks.LogicTest MODEL.tflite CASE_FOLDER...</pre>
 *
 * A case holds image.bin (RGBA), crop.bin and image_points.bin as the toolkit made them,
 * golden_output.bin (points in the crop) and case.txt: width, height, size and the face's box.
 */
public final class LogicTest {
    private LogicTest() { }

    public static void main(String[] arguments) throws IOException {
        ModelInfo info = ModelInfo.read(Files.readAllBytes(Paths.get(arguments[0])));
        System.out.println(info.schema + " " + info.names.size() + " points, scale " + info.scale);
        for (int i = 1; i < arguments.length; i++) {
            check(info, Paths.get(arguments[i]));
        }
    }

    private static void check(ModelInfo info, Path folder) throws IOException {
        String[] numbers = Files.readAllLines(folder.resolve("case.txt")).get(0).split(" ");
        double[] box = new double[4];
        for (int i = 0; i < 4; i++) {
            box[i] = Double.parseDouble(numbers[3 + i]);
        }
        int width = Integer.parseInt(numbers[0]);
        int height = Integer.parseInt(numbers[1]);
        Crop crop = info.crop(box[0], box[1], box[2], box[3]);
        byte[] image = Files.readAllBytes(folder.resolve("image.bin"));
        byte[] found = crop.extract(image, width, height, 4 * width, Integer.parseInt(numbers[2]));
        byte[] expected = Files.readAllBytes(folder.resolve("crop.bin"));
        require(found.length == expected.length, "the crop has " + found.length + " bytes");
        long sum = 0;
        int largest = 0;
        for (int i = 0; i < found.length; i++) {
            int difference = Math.abs((found[i] & 0xff) - (expected[i] & 0xff));
            sum += difference;
            largest = Math.max(largest, difference);
        }
        double mean = (double) sum / found.length;
        // OpenCV places its samples by 32nds of a pixel.
        require(mean < 0.7 && largest <= 12, "pixels differ by " + mean + " and " + largest);
        float[] points = crop.toImage(floats(folder.resolve("golden_output.bin")));
        float[] there = floats(folder.resolve("image_points.bin"));
        require(points.length == 2 * info.names.size(), "points: " + points.length / 2);
        for (int i = 0; i < points.length; i++) {
            require(Math.abs(points[i] - there[i]) < 0.01, "point " + i / 2 + " is elsewhere");
        }
        System.out.println("ok: pixels differ by " + mean + " in the mean, " + largest + " at most");
    }

    private static float[] floats(Path path) throws IOException {
        ByteBuffer bytes = ByteBuffer.wrap(Files.readAllBytes(path)).order(ByteOrder.LITTLE_ENDIAN);
        float[] result = new float[bytes.remaining() / 4];
        bytes.asFloatBuffer().get(result);
        return result;
    }

    private static void require(boolean holds, String message) {
        if (!holds) {
            throw new AssertionError(message);
        }
    }
}
