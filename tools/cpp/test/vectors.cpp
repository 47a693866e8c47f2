// Compares crops, pixels and searches with what the toolkit computes in Python:
//
//     efld_vectors vectors.json
//
// The file is ../../web/test/vectors.json. Exit code 1, with a line for each difference.

#include <cstdio>
#include <fstream>

#include "../efld/model_crops.hpp"
#include "../efld/normaliser.hpp"

namespace {

int differences = 0;

void expect(bool holds, const std::string& what) {
  if (!holds) std::printf("another %s\n", what.c_str()), differences++;
}

std::vector<std::uint8_t> bytes(const std::string& base64) {
  static const std::string kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::vector<std::uint8_t> result;
  unsigned value = 0;
  int bits = 0;
  for (const char digit : base64) {
    if (digit == '=') break;
    value = (value << 6 | static_cast<unsigned>(kDigits.find(digit))) & 0xFFFFFF;
    if ((bits += 6) >= 8) result.push_back(static_cast<std::uint8_t>(value >> (bits -= 8)));
  }
  return result;
}

efld::Crop crop(const nlohmann::json& place) {
  return {place.at("x"), place.at("y"), place.at("side"), place.value("angle", 0.0)};
}

std::vector<efld::Point> points(const nlohmann::json& places) {
  std::vector<efld::Point> result;
  for (const auto& place : places) result.push_back({place.at("x"), place.at("y")});
  return result;
}

bool close(const efld::Crop& one, const efld::Crop& other) {
  const double turn = one.angle - other.angle;
  return std::abs(one.x - other.x) < 1e-4 && std::abs(one.y - other.y) < 1e-4 &&
         std::abs(one.side - other.side) < 1e-4 &&
         std::abs(std::atan2(std::sin(turn), std::cos(turn))) < 1e-4;
}

}  // namespace

int main(int count, char** words) {
  if (count != 2) return 2;
  std::ifstream file(words[1]);
  const nlohmann::json vectors = nlohmann::json::parse(file);
  const auto& image = vectors.at("image");
  const int width = image.at("width"), height = image.at("height");
  const std::vector<std::uint8_t> rgb = bytes(image.at("rgb"));
  std::vector<std::uint8_t> rgba;
  for (std::size_t i = 0; i < rgb.size(); i++) {
    rgba.push_back(rgb[i]);
    if (i % 3 == 2) rgba.push_back(99);
  }
  const efld::Picture pictures[] = {{rgb.data(), width, height, 3 * width},
                                    {rgba.data(), width, height, 4 * width, 4}};
  int cases = 0;
  for (const auto& one : vectors.at("crops"))
    for (const efld::Picture& picture : pictures) {
      const std::vector<std::uint8_t> out = extract(picture, crop(one.at("crop")), one.at("size"));
      expect(out == bytes(one.at("rgb")), "crop " + std::to_string(cases++));
    }
  for (const auto& model : vectors.at("models")) {
    const efld::ModelCrops crops(model.at("description"));
    for (const auto& one : model.at("cases")) {
      const std::string name = " of case " + std::to_string(cases++);
      expect(close(crops.around(points(one.at("points"))), crop(one.at("around"))),
             "crop around points" + name);
      const auto& found = one.at("detection");
      expect(close(crops.of_detection({found.at("box"), points(found.at("keypoints"))}),
                   crop(one.at("crop"))),
             "crop of a detection" + name);
      const auto& schema = model.at("description").at("schema");
      const std::vector<efld::Point> places = points(one.at("points"));
      const double expected =
          efld::expected_nme(schema, places, one.at("errors").get<std::vector<double>>());
      expect(std::abs(expected - one.at("expected_nme").get<double>()) < 1e-6,
             "expected error" + name);
      expect(std::isnan(efld::expected_nme(schema, places, {})),
             "error of which nothing is known" + name);
    }
  }
  std::printf("%d cases, %d differences\n", cases, differences);
  return differences > 0 || cases == 0;
}
