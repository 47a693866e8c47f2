package efld.landmarks;

import java.io.BufferedInputStream;
import java.io.BufferedOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.util.List;

/**
 * Finds and follows faces on a JVM, which has no LiteRT: who started it runs the models.
 *
 * <p>It takes a bundle's folder, `verify`, `photos` or `video`, and pictures: width, height and RGBA, in one
 * file each. What it asks for goes to the standard output: the number of a model, 0 for landmarks and
 * 1 for the detector, and its input; the outputs' sizes, or their values, come back by the standard
 * input. A 2 begins the faces of a picture: how many they are, and of each its number, confidence and
 * points. All numbers are big-endian but for the models' inputs and outputs, which are in the native order.
 */
public final class LandmarkerTest {
    private static final int FACES = 2;
    private static final double FRAMES_A_SECOND = 10;

    private LandmarkerTest() { }

    public static void main(String[] arguments) throws IOException {
        DataInputStream in = new DataInputStream(new BufferedInputStream(System.in));
        DataOutputStream out = new DataOutputStream(new BufferedOutputStream(System.out));
        Path bundle = Paths.get(arguments[0]);
        try (FaceLandmarker landmarker = new FaceLandmarker(
                Description.read(text(bundle.resolve("landmarker.json"))),
                new Asked(0, in, out), new Asked(1, in, out))) {
            if (arguments[1].equals("verify")) {
                landmarker.verify(text(bundle.resolve("golden.json")),
                        Files.readAllBytes(bundle.resolve("golden_input.bin")));
            }
            FaceTracker tracker = arguments[1].equals("video") ? landmarker.track() : null;
            for (int i = 2; i < arguments.length; i++) {
                Picture picture = picture(Paths.get(arguments[i]));
                tell(out, tracker == null ? landmarker.find(picture)
                        : tracker.update(picture, i / FRAMES_A_SECOND));
            }
        }
    }

    private static void tell(DataOutputStream out, List<Face> faces) throws IOException {
        out.writeInt(FACES);
        out.writeInt(faces.size());
        for (Face face : faces) {
            out.writeInt(face.track);
            out.writeDouble(face.confidence);
            for (Point point : face.points) {
                out.writeDouble(point.x);
                out.writeDouble(point.y);
            }
        }
        out.flush();
    }

    private static String text(Path path) throws IOException {
        return new String(Files.readAllBytes(path), StandardCharsets.UTF_8);
    }

    private static Picture picture(Path path) throws IOException {
        ByteBuffer content = ByteBuffer.wrap(Files.readAllBytes(path));
        int width = content.getInt();
        int height = content.getInt();
        byte[] rgba = new byte[content.remaining()];
        content.get(rgba);
        return new Picture(rgba, width, height, 4 * width);
    }

    /** A model that another process runs. */
    private static final class Asked implements Model {
        private final int number;
        private final DataInputStream in;
        private final DataOutputStream out;
        private final int[] sizes;

        Asked(int number, DataInputStream in, DataOutputStream out) throws IOException {
            this.number = number;
            this.in = in;
            this.out = out;
            sizes = new int[in.readInt()];
            for (int i = 0; i < sizes.length; i++) {
                sizes[i] = in.readInt();
            }
        }

        @Override
        public int[] outputSizes() {
            return sizes.clone();
        }

        @Override
        public float[][] run(ByteBuffer input) {
            byte[] bytes = new byte[input.remaining()];
            input.get(bytes);
            float[][] outputs = new float[sizes.length][];
            try {
                out.writeInt(number);
                out.write(bytes);
                out.flush();
                for (int i = 0; i < sizes.length; i++) {
                    byte[] values = new byte[4 * sizes[i]];
                    in.readFully(values);
                    outputs[i] = new float[sizes[i]];
                    ByteBuffer.wrap(values).order(ByteOrder.nativeOrder()).asFloatBuffer()
                            .get(outputs[i]);
                }
            } catch (IOException error) {
                throw new UncheckedIOException(error);
            }
            return outputs;
        }

        @Override
        public void close() { }
    }
}
