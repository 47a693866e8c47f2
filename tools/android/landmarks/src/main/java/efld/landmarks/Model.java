package efld.landmarks;

import java.nio.ByteBuffer;

/** A .tflite with one input, which a runtime of the app's runs. */
public interface Model extends AutoCloseable {
    /** The number of values of each output, in the order of the file. */
    int[] outputSizes();

    /**
     * The outputs, in the order of the file.
     *
     * @param input direct, in the native order, from its start to its end: bytes of RGB for a
     *     landmark model, floats for the detector
     */
    float[][] run(ByteBuffer input);

    @Override
    void close();
}
