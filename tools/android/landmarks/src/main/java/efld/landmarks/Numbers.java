package efld.landmarks;

import java.util.HashMap;
import java.util.Iterator;
import java.util.Map;
import org.json.JSONException;
import org.json.JSONObject;

/** The numbers of an object of landmarker.json, by their names. */
final class Numbers {
    private final String of;
    private final Map<String, Double> values = new HashMap<>();

    /** Takes the numbers, and truths as 0 or 1. */
    Numbers(JSONObject json, String name) throws JSONException {
        of = name;
        JSONObject object = json.getJSONObject(name);
        for (Iterator<?> keys = object.keys(); keys.hasNext(); ) {
            String key = (String) keys.next();
            Object value = object.get(key);
            if (value instanceof Number) {
                values.put(key, ((Number) value).doubleValue());
            } else if (value instanceof Boolean) {
                values.put(key, (Boolean) value ? 1.0 : 0.0);
            }
        }
    }

    double get(String name) {
        Double value = values.get(name);
        if (value == null) {
            throw new IllegalArgumentException(Description.FILE + ": no number " + of + "." + name);
        }
        return value;
    }

    int whole(String name) {
        return (int) get(name);
    }
}
