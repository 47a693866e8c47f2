// Where to look for the points of a model, as efld_tf/runtime/model_crops.py and crop_maps.py say;
// all numbers come from landmarker.json.

#ifndef EFLD_MODEL_CROPS_HPP
#define EFLD_MODEL_CROPS_HPP

#include <nlohmann/json.hpp>

#include "crop.hpp"

namespace efld {

// A face that a detector found, in pixels: (x0, y0, x1, y1), and key points, of which the person's
// right eye is first and the left one second. Boxes are those of MediaPipe's short-range detector;
// others may be larger or smaller, and only begin the search.
struct Detection {
  std::array<double, 4> box;
  std::vector<Point> keypoints;
};

class ModelCrops {
 public:
  explicit ModelCrops(const nlohmann::json& description)
      : crop_(description.at("crop")),
        shown_(square(crop_.at("shown"))),
        in_box_(square(description.at("detector").at("crop"))) {
    const auto& grid = description.at("grid");
    grid_ = {grid.at("pixel_parts"), grid.at("radian_parts"), grid.at("off_ties")};
    const auto& schema = description.at("schema");
    for (const char* name : {"right_eye", "left_eye", "mouth_right", "mouth_left"})
      if (schema.at("anchors").contains(name))
        groups_.push_back(schema.at("anchors").at(name).get<std::vector<int>>());
    if (!schema.at("nose_tip").empty())
      groups_.push_back(schema.at("nose_tip").get<std::vector<int>>());
  }

  // The crop of a face that a detector found, turned so that its eyes are level.
  Crop of_detection(const Detection& found) const {
    const auto [x0, y0, x1, y1] = found.box;
    if (found.keypoints.size() < 2) throw Error("a detection needs both eyes");
    const Point right = found.keypoints[0], left = found.keypoints[1];
    const Crop box{(x0 + x1) / 2, (y0 + y1) / 2, std::max(x1 - x0, y1 - y0),
                   std::atan2(left.y - right.y, left.x - right.x)};
    const Crop crop = box.within(in_box_).within(shown_);
    const auto& moved = crop_.at("moved");
    if (moved.is_null()) return crop.on(grid_);
    std::vector<Point> seen;
    for (const int index : moved.at("keypoints")) seen.push_back(found.keypoints.at(index));
    const Point there = crop.from_unit({moved.at("x"), moved.at("y")}), aim = mean(seen);
    return Crop{crop.x + aim.x - there.x, crop.y + aim.y - there.y, crop.side, crop.angle}.on(grid_);
  }

  // The crop around landmarks, turned so that they are upright.
  Crop around(const std::vector<Point>& points) const {
    const Crop crop = crop_.at("weights").is_null() ? by_mean_shape(points)
                                                    : by_anchors(points).within(shown_);
    return crop.on(grid_);
  }

 private:
  static Crop square(const nlohmann::json& place) {
    return {place.at("x"), place.at("y"), place.at("side")};
  }

  static Point mean(const std::vector<Point>& points) {
    Point sum;
    for (const Point point : points) sum.x += point.x, sum.y += point.y;
    return {sum.x / points.size(), sum.y / points.size()};
  }

  // The reference crop, linear in the upright anchors.
  Crop by_anchors(const std::vector<Point>& points) const {
    std::vector<Point> places;
    for (const auto& group : groups_) {
      std::vector<Point> some;
      for (const int index : group) some.push_back(points.at(index));
      places.push_back(mean(some));
    }
    const Point right_eye = places[0], left_eye = places[1];
    const Point mouth_right = places[2], mouth_left = places[3];
    const double down_x = (mouth_right.x + mouth_left.x - right_eye.x - left_eye.x) / 2;
    const double down_y = (mouth_right.y + mouth_left.y - right_eye.y - left_eye.y) / 2;
    const double eyes = std::hypot(left_eye.x - right_eye.x, left_eye.y - right_eye.y);
    const double angle = std::atan2(left_eye.y + mouth_left.y - right_eye.y - mouth_right.y,
                                    left_eye.x + mouth_left.x - right_eye.x - mouth_right.x);
    const Point middle = mean({right_eye, left_eye, mouth_right, mouth_left});
    const double side = std::max({eyes, std::hypot(down_x, down_y), 1e-6});
    const Crop upright = Crop{middle.x, middle.y, side, angle}.within({1, 1, 1, 0});
    std::vector<double> features{1};
    for (const Point place : places) {
      const Point unit = upright.to_unit(place);
      features.insert(features.end(), {unit.x, unit.y});
    }
    const auto& weights = crop_.at("weights");
    std::array<double, 3> result{};
    for (std::size_t row = 0; row < features.size(); row++)
      for (std::size_t column = 0; column < 3; column++)
        result[column] += features[row] * weights.at(row).at(column).get<double>();
    return upright.within(
        {result[0], result[1], std::exp(std::clamp(result[2], -3.0, 3.0)), 0});
  }

  // The crop in which the mean shape comes closest to the points, by least squares; or that of the
  // turned points' box, where the model's crop rule is of these points.
  Crop by_mean_shape(const std::vector<Point>& points) const {
    std::vector<Point> shape;
    for (const auto& place : crop_.at("mean_shape")) shape.push_back({place.at(0), place.at(1)});
    const Point from = mean(shape), to = mean(points);
    double real = 0, imaginary = 0, spread = 0;  // the turn of a similarity
    for (std::size_t index = 0; index < shape.size(); index++) {
      const double x = shape[index].x - from.x, y = shape[index].y - from.y;
      const double u = points.at(index).x - to.x, v = points[index].y - to.y;
      real += x * u + y * v;
      imaginary += x * v - y * u;
      spread += x * x + y * y;
    }
    real /= spread, imaginary /= spread;
    const double angle = std::atan2(imaginary, real);
    const auto& rule = crop_.at("rule");
    if (!rule.is_null()) {
      const Crop turned{0, 0, 1, angle};
      double low[2] = {INFINITY, INFINITY}, high[2] = {-INFINITY, -INFINITY};
      for (const Point point : points) {
        const Point unit = turned.to_unit(point);
        low[0] = std::min(low[0], unit.x), high[0] = std::max(high[0], unit.x);
        low[1] = std::min(low[1], unit.y), high[1] = std::max(high[1], unit.y);
      }
      const double longest = std::max(high[0] - low[0], high[1] - low[1]);
      if (longest > 0)
        return turned.within({(low[0] + high[0]) / 2 + rule.at("x").get<double>() * longest,
                              (low[1] + high[1]) / 2 + rule.at("y").get<double>() * longest,
                              rule.at("scale").get<double>() * longest, 0});
    }
    const double right = 0.5 - from.x, down = 0.5 - from.y;
    return {to.x + real * right - imaginary * down, to.y + imaginary * right + real * down,
            std::max(std::hypot(real, imaginary), 1e-6), angle};
  }

  nlohmann::json crop_;
  Crop shown_, in_box_;
  Grid grid_;
  std::vector<std::vector<int>> groups_;
};

}  // namespace efld

#endif
