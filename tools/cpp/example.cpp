// Points of a face in a photo, by a bundle of efld-export:
//
//     efld_example BUNDLE [PHOTO.ppm X0 Y0 X1 Y1 RIGHT_EYE_X RIGHT_EYE_Y LEFT_EYE_X LEFT_EYE_Y]
//
// The box and the person's eyes are what a face detector found, in pixels. Without a photo it only
// checks that this runtime gives the bundle's golden output.

#include <cstdio>
#include <cstdlib>

#include "efld/landmarker.hpp"

namespace {

// A binary PPM of 8 bits: RGB row by row.
struct Photo {
  int width = 0, height = 0;
  std::vector<std::uint8_t> pixels;

  explicit Photo(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    std::string kind;
    int largest = 0;
    if (!(file >> kind >> width >> height >> largest) || kind != "P6" || largest != 255 ||
        width < 1 || height < 1 || width > 1 << 15 || height > 1 << 15)
      throw efld::Error(path + ": expected a PPM (P6) of 8 bits");
    file.get();
    pixels.resize(std::size_t{3} * width * height);
    if (!file.read(reinterpret_cast<char*>(pixels.data()), pixels.size()))
      throw efld::Error(path + ": is cut off");
  }
};

void print(const char* bundle, char** words) {
  efld::Landmarker landmarker(bundle);
  std::printf("golden output within %.6f of the crop\n", landmarker.verify());
  if (!words) return;
  const Photo photo(words[0]);
  double numbers[8];
  for (int i = 0; i < 8; i++) numbers[i] = std::atof(words[1 + i]);
  const efld::Detection found{{numbers[0], numbers[1], numbers[2], numbers[3]},
                              {{numbers[4], numbers[5]}, {numbers[6], numbers[7]}}};
  const efld::Picture picture{photo.pixels.data(), photo.width, photo.height, 3 * photo.width};
  efld::Face face = landmarker.find(picture, found);
  face = landmarker.follow(picture, face);  // as in the next frame
  std::printf("confidence %.4f", face.confidence);
  if (!face.errors.empty()) std::printf(", expected NME %.4f", face.expected_nme);
  std::printf("\n");
  const std::vector<std::string> names = landmarker.names();
  for (std::size_t i = 0; i < names.size(); i++)
    std::printf("%s %.3f %.3f\n", names[i].c_str(), face.points[i].x, face.points[i].y);
}

}  // namespace

int main(int count, char** words) {
  if (count != 2 && count != 11) {
    std::fprintf(stderr, "expected BUNDLE [PHOTO.ppm and eight numbers], see example.cpp\n");
    return 2;
  }
  try {
    print(words[1], count == 2 ? nullptr : words + 2);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return 2;
  }
  return 0;
}
