// SPDX-License-Identifier: MIT
//
// Svg: lines, boxes, dots and words on a picture that any browser shows.
#ifndef TOOLS_BENCH_SVG_HPP
#define TOOLS_BENCH_SVG_HPP

#include <string>

namespace bench {

class Svg {
  public:
    enum class Align { left, middle, right };

    Svg(double width, double height);

    void line(double x1, double y1, double x2, double y2, const char* colour, double width = 1);
    void box(double x, double y, double width, double height, const char* colour);
    void dot(double x, double y, double radius, const char* colour);
    void text(double x, double y, const std::string& words, Align align = Align::left,
              double size = 12);

    // The whole document.
    std::string str() const;

  private:
    std::string text_;
};

// Writes a text to a file, whole or not at all. Throws Failure.
void write_file(const std::string& path, const std::string& text);

}  // namespace bench

#endif  // TOOLS_BENCH_SVG_HPP
