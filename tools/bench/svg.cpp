// SPDX-License-Identifier: MIT
//
// Scalable Vector Graphics 1.1, the few elements that the pictures need.
#include "tools/bench/svg.hpp"

#include "tools/bench/failure.hpp"
#include "tools/bench/format.hpp"

#include <cstdio>

namespace bench {

namespace {

std::string escaped(const std::string& words) {
    std::string text;
    for (const char c : words) {
        switch (c) {
        case '&':
            text += "&amp;";
            break;
        case '<':
            text += "&lt;";
            break;
        case '>':
            text += "&gt;";
            break;
        default:
            // A path may hold anything; the document may not.
            text += static_cast<unsigned char>(c) < 0x20 ? '?' : c;
        }
    }
    return text;
}

}  // namespace

Svg::Svg(double width, double height)
    : text_(format("<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %.0f %.0f\" "
                   "font-family=\"sans-serif\">\n",
                   width, height)) {
    box(0, 0, width, height, "white");
}

void Svg::line(double x1, double y1, double x2, double y2, const char* colour, double width) {
    text_ += format("<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" stroke=\"%s\" "
                    "stroke-width=\"%.1f\"/>\n",
                    x1, y1, x2, y2, colour, width);
}

void Svg::box(double x, double y, double width, double height, const char* colour) {
    text_ += format("<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" fill=\"%s\"/>\n", x,
                    y, width, height, colour);
}

void Svg::dot(double x, double y, double radius, const char* colour) {
    text_ +=
        format("<circle cx=\"%.1f\" cy=\"%.1f\" r=\"%.1f\" fill=\"%s\"/>\n", x, y, radius, colour);
}

void Svg::text(double x, double y, const std::string& words, Align align, double size) {
    const char* const anchor = align == Align::left     ? "start"
                               : align == Align::middle ? "middle"
                                                        : "end";
    text_ += format("<text x=\"%.1f\" y=\"%.1f\" font-size=\"%.0f\" text-anchor=\"%s\">", x, y,
                    size, anchor) +
             escaped(words) + "</text>\n";
}

std::string Svg::str() const {
    return text_ + "</svg>\n";
}

void write_file(const std::string& path, const std::string& text) {
    std::FILE* const file = std::fopen(path.c_str(), "we");
    bool written = file != nullptr;
    int error = errno;
    if (file != nullptr) {
        written = std::fwrite(text.data(), 1, text.size(), file) == text.size();
        error = errno;
        if (std::fclose(file) != 0 && written) {
            written = false;
            error = errno;
        }
    }
    if (!written)
        throw Failure(kExitUnavailable, "cannot write " + path + ": " + errno_text(error) +
                                            "; name a file in a directory you may write to");
}

}  // namespace bench
