// Landmarks of faces by an exported bundle and LiteRT's C API. A landmarker is not safe to share
// between threads: give each one of its own.

#ifndef EFLD_LANDMARKER_HPP
#define EFLD_LANDMARKER_HPP

#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <type_traits>

#include "litert.h"
#include "model_crops.hpp"
#include "normaliser.hpp"

namespace efld {

namespace detail {

inline std::string content(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw Error(path + ": cannot be read");
  return {std::istreambuf_iterator<char>(file), {}};
}

inline nlohmann::json json(const std::string& path) {
  try {
    return nlohmann::json::parse(content(path));
  } catch (const nlohmann::json::exception& error) {
    throw Error(path + ": " + error.what());
  }
}

inline void check(LiteRtStatus status, const std::string& what) {
  if (status != 0) throw Error(what + ": LiteRT refuses, status " + std::to_string(status));
}

// An object of LiteRT that ends with its owner.
template <auto destroy>
struct Destroy {
  template <class T>
  void operator()(T* object) const {
    destroy(object);
  }
};
template <class T, auto destroy>
using Owned = std::unique_ptr<std::remove_pointer_t<T>, Destroy<destroy>>;

}  // namespace detail

// A .tflite with one input of uint8 and outputs of float32.
class Model {
 public:
  struct Output {
    std::vector<int> shape;
    std::vector<float> values;
  };

  explicit Model(const std::string& path) : path_(path) {
    LiteRtEnvironment environment;
    check(LiteRtCreateEnvironment(0, nullptr, &environment));
    environment_.reset(environment);
    LiteRtModel model;
    check(LiteRtCreateModelFromFile(environment, path.c_str(), &model));
    model_.reset(model);
    LiteRtOptions options;
    check(LiteRtCreateOptions(&options));
    options_.reset(options);
    check(LiteRtSetOptionsHardwareAccelerators(options, kLiteRtHwAcceleratorCpu));
    LiteRtCompiledModel compiled;
    check(LiteRtCreateCompiledModel(environment, model, options, &compiled));
    compiled_.reset(compiled);
    LiteRtSignature signature;
    std::size_t inputs, outputs;
    check(LiteRtGetModelSignature(model, 0, &signature));
    check(LiteRtGetNumSignatureInputs(signature, &inputs));
    check(LiteRtGetNumSignatureOutputs(signature, &outputs));
    if (inputs != 1) throw Error(path + ": expected a model with one input");
    LiteRtTensor tensor;
    LiteRtRankedTensorType type;
    LiteRtTensorBufferRequirements needed;
    LiteRtTensorBuffer buffer;
    check(LiteRtGetSignatureInputTensorByIndex(signature, 0, &tensor));
    check(LiteRtGetRankedTensorType(tensor, &type));
    if (type.element_type != kLiteRtElementTypeUInt8) throw Error(path + ": expected uint8 pixels");
    check(LiteRtGetCompiledModelInputBufferRequirements(compiled, 0, 0, &needed));
    check(LiteRtCreateManagedTensorBufferFromRequirements(environment, &type, needed, &buffer));
    input_.reset(buffer);
    check(LiteRtGetTensorBufferPackedSize(buffer, &input_bytes_));
    for (std::size_t index = 0; index < outputs; index++) {
      check(LiteRtGetSignatureOutputTensorByIndex(signature, index, &tensor));
      check(LiteRtGetRankedTensorType(tensor, &type));
      if (type.element_type != kLiteRtElementTypeFloat32)
        throw Error(path + ": expected outputs of float32");
      check(LiteRtGetCompiledModelOutputBufferRequirements(compiled, 0, index, &needed));
      check(LiteRtCreateManagedTensorBufferFromRequirements(environment, &type, needed, &buffer));
      outputs_.emplace_back(buffer);
      buffers_.push_back(buffer);
      shapes_.emplace_back(type.layout.dimensions, type.layout.dimensions + type.layout.rank);
    }
  }

  // The outputs, in an order of the file's own.
  std::vector<Output> run(const std::vector<std::uint8_t>& pixels) {
    if (pixels.size() != input_bytes_)
      throw Error(path_ + ": expected " + std::to_string(input_bytes_) + " bytes of pixels, got " +
                  std::to_string(pixels.size()));
    void* memory;
    LiteRtTensorBuffer input = input_.get();
    check(LiteRtLockTensorBuffer(input, &memory, kLiteRtTensorBufferLockModeWrite));
    std::copy(pixels.begin(), pixels.end(), static_cast<std::uint8_t*>(memory));
    check(LiteRtUnlockTensorBuffer(input));
    check(LiteRtRunCompiledModel(
        compiled_.get(), 0, 1, &input, buffers_.size(), buffers_.data()));
    std::vector<Output> outputs;
    for (std::size_t index = 0; index < buffers_.size(); index++) {
      std::size_t count = 1;
      for (const int side : shapes_[index]) count *= side;
      check(LiteRtLockTensorBuffer(buffers_[index], &memory, kLiteRtTensorBufferLockModeRead));
      const float* values = static_cast<const float*>(memory);
      outputs.push_back({shapes_[index], {values, values + count}});
      check(LiteRtUnlockTensorBuffer(buffers_[index]));
    }
    return outputs;
  }

 private:
  void check(LiteRtStatus status) const { detail::check(status, path_); }

  std::string path_;
  // In the order in which they need each other: the last ones end first.
  detail::Owned<LiteRtEnvironment, LiteRtDestroyEnvironment> environment_;
  detail::Owned<LiteRtModel, LiteRtDestroyModel> model_;
  detail::Owned<LiteRtOptions, LiteRtDestroyOptions> options_;
  detail::Owned<LiteRtCompiledModel, LiteRtDestroyCompiledModel> compiled_;
  using Buffer = detail::Owned<LiteRtTensorBuffer, LiteRtDestroyTensorBuffer>;
  Buffer input_;
  std::size_t input_bytes_ = 0;
  std::vector<Buffer> outputs_;
  std::vector<LiteRtTensorBuffer> buffers_;  // the same, as LiteRT takes them
  std::vector<std::vector<int>> shapes_;
};

// What a model sees: points in pixels, how sure it is that there is a face (1 where it does not
// tell), how many pixels each point is in front of their mean and how many it is expected to be off
// (empty where it does not tell), the expected normalised mean error (NaN where it does not tell),
// and the crop around the points, where to look in the next frame.
struct Face {
  std::vector<Point> points;
  double confidence = 1;
  std::vector<double> depth;
  std::vector<double> errors;
  double expected_nme = std::numeric_limits<double>::quiet_NaN();
  Crop around;
};

class Landmarker {
 public:
  // Reads a bundle of efld-export: landmarker.json and the model that it names.
  explicit Landmarker(const std::string& folder)
      : folder_(folder),
        description_(detail::json(folder + "/landmarker.json")),
        crops_(description_),
        model_(folder + "/" + description_.at("model").at("file").get<std::string>()) {}

  // The names of the points, in their order.
  std::vector<std::string> names() const { return description_.at("schema").at("names"); }

  // A face that a detector found, after as many looks as it takes.
  Face find(const Picture& picture, const Detection& detection) {
    const auto& finding = description_.at("finding");
    Crop crop = crops_.of_detection(detection);
    Face face = look(picture, crop);
    for (int pass = 1; pass < finding.at("passes").get<int>() && !same(crop, face.around); pass++) {
      crop = face.around;
      face = look(picture, crop);
    }
    return face;
  }

  // A face in the next frame of a video. Begin anew with a detector where the confidence falls
  // below 0.5.
  Face follow(const Picture& picture, const Face& before) { return look(picture, before.around); }

  // What the model sees in a crop. Its confidence is 0 where the points cannot be of the face that
  // the crop shows.
  Face look(const Picture& picture, const Crop& crop) {
    const auto& finding = description_.at("finding");
    // Points that lie on no face may ask for any square.
    const bool possible = crop.side < finding.at("largest").get<double>() *
                                          std::max(picture.width, picture.height);
    const Crop seen = possible ? crop : Crop{0, 0, 1, 0};
    const std::size_t count = description_.at("schema").at("names").size();
    Face face;
    for (const Model::Output& output : model_.run(extract(picture, seen, input_size()))) {
      if (output.shape.size() == 3)
        for (std::size_t index = 0; index + 1 < output.values.size(); index += 2)
          face.points.push_back(seen.from_unit({output.values[index], output.values[index + 1]}));
      else if (output.values.size() == 1 || output.values.size() == 1 + count) {
        face.confidence = output.values[0];  // the expected errors follow where it tells them
        for (std::size_t index = 1; index < output.values.size(); index++)
          face.errors.push_back(output.values[index] * seen.side);
      } else
        for (const float value : output.values) face.depth.push_back(value * seen.side);
    }
    if (face.points.size() != count)
      throw Error(folder_ + ": the model and landmarker.json have other numbers of points");
    face.expected_nme = expected_nme(description_.at("schema"), face.points, face.errors);
    face.around = crops_.around(face.points);
    const double change = face.around.side / crop.side, far = finding.at("farthest").get<double>();
    const double largest = finding.at("largest_change").get<double>();
    if (!possible || !(std::abs(face.around.x - crop.x) < far * crop.side &&
                       std::abs(face.around.y - crop.y) < far * crop.side &&
                       1 / largest < change && change < largest))
      face.confidence = 0;
    return face;
  }

  // The largest difference of a point from the bundle's golden output, in crop sides. Call it once
  // when a debug build starts: an app may get another runtime than you think.
  //
  // Throws Error if it is more than golden.json allows.
  double verify() {
    const nlohmann::json golden = detail::json(folder_ + "/golden.json");
    const std::string pixels = detail::content(folder_ + "/golden_input.bin");
    const double tolerance = golden.at("tolerance");
    double worst = 0, sum = 0;
    bool compared = false, within = true;
    for (const Model::Output& output : model_.run({pixels.begin(), pixels.end()})) {
      if (output.shape.size() != 3) continue;
      const auto& points = golden.at("output").at("points");
      if (2 * points.size() != output.values.size())
        throw Error(folder_ + "/golden.json: is of another model");
      for (std::size_t index = 0; index < output.values.size(); index++) {
        const double expected = points.at(index / 2).at(index % 2);
        const double difference = std::abs(output.values[index] - expected);
        worst = std::max(worst, difference);
        sum += difference;
        within = within && difference <= tolerance;  // which no NaN is
      }
      within = within && sum / output.values.size() <= golden.value("mean_tolerance", tolerance);
      compared = true;
    }
    if (!compared || !within)
      throw Error(folder_ + ": this runtime gives another output than the golden one, by " +
                  std::to_string(worst) + " of the crop");
    return worst;
  }

 private:
  int input_size() const { return description_.at("input_size"); }

  // Whether a look at `around` would show what one at `crop` did.
  bool same(const Crop& crop, const Crop& around) const {
    const double still = description_.at("finding").at("still").get<double>();
    const double turn = around.angle - crop.angle;
    return std::abs(around.x - crop.x) < still * crop.side &&
           std::abs(around.y - crop.y) < still * crop.side &&
           std::abs(around.side / crop.side - 1) < still &&
           std::abs(std::atan2(std::sin(turn), std::cos(turn))) < still;
  }

  std::string folder_;
  nlohmann::json description_;
  ModelCrops crops_;
  Model model_;
};

}  // namespace efld

#endif
