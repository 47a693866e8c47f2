// Squares of pictures and their pixels, as efld_tf/landmarks/geometry.py has them.

#ifndef EFLD_CROP_HPP
#define EFLD_CROP_HPP

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <vector>

namespace efld {

struct Error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// In pixels of a picture, whose centres are whole numbers, or in the unit square of a crop.
struct Point {
  double x = 0, y = 0;
};

// Pixels row by row: red, green and blue are the first of so many bytes a pixel.
struct Picture {
  const std::uint8_t* pixels;
  int width, height;
  std::ptrdiff_t bytes_a_row;
  int bytes_a_pixel = 3;
};

// Parts of a pixel and of a radian, and how far centres are off it.
struct Grid {
  double pixel_parts = 64, radian_parts = 8192, off_ties = 0;
};

// A square of a picture: its centre and side in pixels, and the direction of its x axis in radians,
// clockwise as seen.
struct Crop {
  double x = 0, y = 0, side = 1, angle = 0;

  // A point of the crop's unit square, in pixels.
  Point from_unit(Point point) const {
    const double cosine = side * std::cos(angle), sine = side * std::sin(angle);
    return {(point.x - 0.5) * cosine - (point.y - 0.5) * sine + x,
            (point.x - 0.5) * sine + (point.y - 0.5) * cosine + y};
  }

  // A point in pixels, in the crop's unit square.
  Point to_unit(Point point) const {
    const double cosine = std::cos(angle) / side, sine = std::sin(angle) / side;
    const double right = point.x - x, down = point.y - y;
    return {right * cosine + down * sine + 0.5, -right * sine + down * cosine + 0.5};
  }

  // The nearest crop on a grid, so that numbers that differ in their last digits give the same
  // pixels.
  Crop on(const Grid& grid) const {
    const auto nearest = [](double value, double parts) {
      return std::floor(value * parts + 0.5) / parts;
    };
    return {nearest(x, grid.pixel_parts) + grid.off_ties,
            nearest(y, grid.pixel_parts) + grid.off_ties,
            std::max(nearest(side, grid.pixel_parts), 1 / grid.pixel_parts),
            nearest(angle, grid.radian_parts)};
  }

  // A crop that is given in this one's unit square, in pixels.
  Crop within(const Crop& inner) const {
    const Point centre = from_unit({inner.x, inner.y});
    return {centre.x, centre.y, side * inner.side, angle + inner.angle};
  }
};

namespace detail {

// Bits behind the point: of places while they are added up, of a place in a pixel, of weights.
constexpr int kPlaceBits = 10, kPixelBits = 5, kWeightBits = 15;

// A part of a picture in blocks, RGB.
struct Region {
  int width = 0, height = 0;
  std::vector<std::uint8_t> data;
};

// Means of blocks of the pixels from (left, top) up to (right, bottom), which they leave out; the
// border is repeated where a block reaches beyond it.
inline Region shrunk(
    const Picture& picture, int left, int top, int right, int bottom, int block) {
  Region result;
  result.width = (right - left + block - 1) / block;
  result.height = (bottom - top + block - 1) / block;
  result.data.resize(std::size_t{3} * result.width * result.height);
  std::size_t at = 0;
  for (int row = 0; row < result.height; row++)
    for (int column = 0; column < result.width; column++) {
      std::array<std::uint32_t, 3> sums{};
      for (int i = 0; i < block; i++)
        for (int j = 0; j < block; j++) {
          const int y = std::min(top + row * block + i, bottom - 1);
          const int x = std::min(left + column * block + j, right - 1);
          const std::uint8_t* pixel = picture.pixels + y * picture.bytes_a_row +
                                      std::ptrdiff_t{x} * picture.bytes_a_pixel;
          for (int channel = 0; channel < 3; channel++) sums[channel] += pixel[channel];
        }
      // OpenCV rounds halves up in blocks of two, otherwise to even.
      const double share = 1.0 / (block * block), half = block == 2 ? 1e-3 : 0;
      for (const std::uint32_t sum : sums)
        result.data[at++] = static_cast<std::uint8_t>(std::nearbyint(sum * share + half));
    }
  return result;
}

inline std::int64_t rounded(double value) { return std::llrint(value); }  // of two, the even one

// Samples a region at (a column + b row + c, d column + e row + f); outside of it is black.
inline void warp(
    const Region& region, const std::array<double, 6>& map, int size, std::uint8_t* out) {
  constexpr int one = 1 << kPlaceBits, half = 1 << (kPlaceBits - kPixelBits - 1);
  constexpr int cut = kPlaceBits - kPixelBits, parts = 1 << kPixelBits;
  constexpr int unit = kWeightBits - 2 * kPixelBits, round = 1 << (kWeightBits - 1);
  const auto [a, b, c, d, e, f] = map;
  for (int row = 0; row < size; row++) {
    const std::int64_t x0 = rounded((b * row + c) * one) + half;
    const std::int64_t y0 = rounded((e * row + f) * one) + half;
    for (int column = 0; column < size; column++, out += 3) {
      const std::int64_t x = (x0 + rounded(a * column * one)) >> cut;
      const std::int64_t y = (y0 + rounded(d * column * one)) >> cut;
      const std::int64_t left = x >> kPixelBits, top = y >> kPixelBits;
      const int right = static_cast<int>(x & (parts - 1)), below = static_cast<int>(y & (parts - 1));
      int sums[3] = {};
      for (int corner = 0; corner < 4; corner++) {
        const std::int64_t u = left + corner % 2, v = top + corner / 2;
        if (u < 0 || v < 0 || u >= region.width || v >= region.height) continue;
        const int weight = (corner % 2 ? right : parts - right) * (corner / 2 ? below : parts - below);
        const std::uint8_t* pixel = &region.data[3 * (v * region.width + u)];
        for (int channel = 0; channel < 3; channel++) sums[channel] += weight * pixel[channel];
      }
      for (int channel = 0; channel < 3; channel++)
        out[channel] = static_cast<std::uint8_t>(((sums[channel] << unit) + round) >> kWeightBits);
    }
  }
}

}  // namespace detail

// A crop as a model sees it, RGB of size x size pixels; outside of the picture it is black.
//
// If it shrinks by two or more, whole blocks of pixels are averaged first; the factor that remains
// is bilinear, with places rounded to 1/32 of a pixel, as OpenCV does.
inline std::vector<std::uint8_t> extract(const Picture& picture, const Crop& crop, int size) {
  std::vector<std::uint8_t> out(std::size_t{3} * size * size);
  const double step = crop.side / size;
  const int block = std::max(1, static_cast<int>(std::floor(step + 1e-6)));
  double low[2] = {INFINITY, INFINITY}, high[2] = {-INFINITY, -INFINITY};
  for (const Point corner : {Point{0, 0}, Point{1, 0}, Point{1, 1}, Point{0, 1}}) {
    const Point place = crop.from_unit(corner);
    low[0] = std::min(low[0], place.x), high[0] = std::max(high[0], place.x);
    low[1] = std::min(low[1], place.y), high[1] = std::max(high[1], place.y);
  }
  // Before they become integers, since a crop may lie far outside.
  const auto inside = [](double value, int end) {
    return static_cast<int>(std::clamp(value, 0.0, static_cast<double>(end)));
  };
  const int left = inside(std::floor(low[0]) - block, picture.width);
  const int top = inside(std::floor(low[1]) - block, picture.height);
  const int right = inside(std::ceil(high[0]) + block + 1, picture.width);
  const int bottom = inside(std::ceil(high[1]) + block + 1, picture.height);
  if (right <= left || bottom <= top) return out;
  const detail::Region region = detail::shrunk(picture, left, top, right, bottom, block);
  const double cosine = step * std::cos(crop.angle), sine = step * std::sin(crop.angle);
  // Pixel j of the result is at (j + 0.5) / size of the crop; pixel s of a region in blocks has its
  // centre at block * s + (block - 1) / 2 of the region.
  const double middle = 0.5 - size / 2.0, shift = (block - 1) / 2.0;
  detail::warp(region,
               {cosine / block, -sine / block,
                (crop.x + middle * (cosine - sine) - left - shift) / block, sine / block,
                cosine / block, (crop.y + middle * (sine + cosine) - top - shift) / block},
               size, out.data());
  return out;
}

}  // namespace efld

#endif
