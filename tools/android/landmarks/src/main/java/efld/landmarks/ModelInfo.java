package efld.landmarks;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.zip.ZipEntry;
import java.util.zip.ZipInputStream;

/** What a .tflite of efld_tf says about itself: names of the points, and how a crop is made. */
public final class ModelInfo {
    private static final int MAX_BYTES = 1 << 20;

    public final List<String> names;
    public final String schema;
    public final double scale;
    public final double offsetX;
    public final double offsetY;

    private ModelInfo(List<String> names, String json) {
        this.names = names;
        Matcher rule = Pattern.compile("\"crop_rule\":\\s*\\{([^}]*)\\}").matcher(json);
        if (!rule.find()) {
            throw new IllegalArgumentException("efld.json has no crop_rule");
        }
        schema = text(json.replace(rule.group(), ""), "schema");
        scale = number(rule.group(1), "scale");
        offsetX = number(rule.group(1), "offset_x");
        offsetY = number(rule.group(1), "offset_y");
        if (!(scale > 0 && scale < Crop.LARGEST && Math.abs(offsetX) < Crop.LARGEST
                && Math.abs(offsetY) < Crop.LARGEST)) {
            throw new IllegalArgumentException("efld.json: a crop rule out of range");
        }
    }

    /**
     * Reads the metadata behind a model.
     *
     * @param model the bytes of the file
     * @throws IllegalArgumentException it was not written by efld-export
     */
    public static ModelInfo read(byte[] model) {
        String json = null;
        String names = null;
        int archive = indexOfArchive(model);
        try (ZipInputStream zip = new ZipInputStream(
                new ByteArrayInputStream(model, archive, model.length - archive))) {
            for (ZipEntry entry; (entry = zip.getNextEntry()) != null; ) {
                if (entry.getName().equals("efld.json")) {
                    json = content(zip);
                } else if (entry.getName().equals("landmarks.txt")) {
                    names = content(zip);
                }
            }
        } catch (IOException error) {
            throw new IllegalArgumentException("its metadata cannot be read", error);
        }
        if (json == null || names == null) {
            throw new IllegalArgumentException("no landmark metadata: not exported by efld-export");
        }
        return new ModelInfo(Arrays.asList(names.split("\n")), json);
    }

    /** The crop of a face, from its box in pixels of the image. */
    public Crop crop(double x0, double y0, double x1, double y1) {
        double longest = Math.max(x1 - x0, y1 - y0);
        return new Crop((x0 + x1) / 2 + offsetX * longest, (y0 + y1) / 2 + offsetY * longest,
                longest * scale);
    }

    /** Where the ZIP archive starts, by its end record (PKZIP application note, section 4.3.16). */
    private static int indexOfArchive(byte[] model) {
        for (int end = model.length - 22; end >= Math.max(0, model.length - 22 - 65535); end--) {
            if (model[end] == 'P' && model[end + 1] == 'K' && model[end + 2] == 5
                    && model[end + 3] == 6) {
                int directory = little(model, end + 16);
                if (directory >= 0 && directory <= model.length - 46) {
                    int first = little(model, directory + 42);
                    if (first >= 0 && first < model.length) {
                        return first;
                    }
                }
            }
        }
        throw new IllegalArgumentException("no landmark metadata: not exported by efld-export");
    }

    private static int little(byte[] bytes, int at) {
        return bytes[at] & 0xff | (bytes[at + 1] & 0xff) << 8 | (bytes[at + 2] & 0xff) << 16
                | (bytes[at + 3] & 0xff) << 24;
    }

    private static String content(InputStream stream) throws IOException {
        ByteArrayOutputStream result = new ByteArrayOutputStream();
        byte[] buffer = new byte[4096];
        for (int count; (count = stream.read(buffer)) > 0; ) {
            result.write(buffer, 0, count);
            if (result.size() > MAX_BYTES) {
                throw new IOException("a metadata file is too large");
            }
        }
        return new String(result.toByteArray(), StandardCharsets.UTF_8);
    }

    private static double number(String json, String key) {
        Matcher found = Pattern.compile("\"" + key + "\":\\s*(-?[0-9.]+(?:[eE][-+]?[0-9]+)?)")
                .matcher(json);
        if (!found.find()) {
            throw new IllegalArgumentException("efld.json has no number " + key);
        }
        return Double.parseDouble(found.group(1));
    }

    private static String text(String json, String key) {
        Matcher found = Pattern.compile("\"" + key + "\":\\s*\"([^\"]*)\"").matcher(json);
        if (!found.find()) {
            throw new IllegalArgumentException("efld.json has no " + key);
        }
        return found.group(1);
    }
}
