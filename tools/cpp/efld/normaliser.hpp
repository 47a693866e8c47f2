// What errors of points are divided by, as efld_tf/landmarks/normalisers.py says.

#ifndef EFLD_NORMALISER_HPP
#define EFLD_NORMALISER_HPP

#include <limits>
#include <nlohmann/json.hpp>
#include <numeric>

#include "crop.hpp"

namespace efld {
namespace detail {

// The distance of the means of two groups of points, or a size of the points' box; NaN where a
// bundle does not say, which older ones do not.
inline double size_of(const nlohmann::json& schema, const std::vector<Point>& points) {
  if (!schema.contains("normaliser")) return std::numeric_limits<double>::quiet_NaN();
  const auto& normaliser = schema.at("normaliser");
  if (normaliser.contains("right")) {
    Point apart;
    const auto add = [&](const char* group, double sign) {
      const auto& indices = normaliser.at(group);
      for (const int index : indices) {
        apart.x += sign * points.at(index).x / indices.size();
        apart.y += sign * points.at(index).y / indices.size();
      }
    };
    add("right", 1);
    add("left", -1);
    return std::hypot(apart.x, apart.y);
  }
  const auto [x0, x1] = std::minmax_element(points.begin(), points.end(),
                                            [](Point a, Point b) { return a.x < b.x; });
  const auto [y0, y1] = std::minmax_element(points.begin(), points.end(),
                                            [](Point a, Point b) { return a.y < b.y; });
  const double width = x1->x - x0->x, height = y1->y - y0->y;
  const std::string box = normaliser.at("box");
  if (box == "box_size") return std::sqrt(width * height);
  if (box == "box_diagonal") return std::hypot(width, height);
  return std::max(width, height);  // "image_size"
}

}  // namespace detail

// The mean of the expected errors of points, in their unit, as a share of what the schema of
// landmarker.json divides errors by; NaN if no errors are known, or if the points have no size.
inline double expected_nme(const nlohmann::json& schema, const std::vector<Point>& points,
                           const std::vector<double>& errors) {
  if (errors.empty()) return std::numeric_limits<double>::quiet_NaN();
  const double size = detail::size_of(schema, points);
  if (!(size > 0)) return std::numeric_limits<double>::quiet_NaN();
  return std::accumulate(errors.begin(), errors.end(), 0.0) / errors.size() / size;
}

}  // namespace efld

#endif
