// SPDX-License-Identifier: MIT
//
// json-query FILE POINTER [TYPE]: prints the value at a JSON pointer; exits 1 if FILE is not
// exactly one JSON document, if there is no such value, or if it is not of that type (as
// nlohmann::json names types: object, array, string, boolean, number, null).
#include <nlohmann/json.hpp>

#include <cstdio>
#include <exception>
#include <fstream>
#include <string>

int main(int argc, char** argv) {
    if (argc != 3 && argc != 4) {
        std::fputs("usage: json-query FILE POINTER [TYPE]\n", stderr);
        return 2;
    }
    try {
        std::ifstream file(argv[1]);
        const auto document = nlohmann::json::parse(file);
        const auto& value = document.at(nlohmann::json::json_pointer(argv[2]));
        if (argc == 4 && argv[3] != std::string(value.type_name())) {
            std::fprintf(stderr, "%s is %s, not %s\n", argv[2], value.type_name(), argv[3]);
            return 1;
        }
        const std::string text = value.is_string() ? value.get<std::string>() : value.dump();
        std::printf("%s\n", text.c_str());
    } catch (const std::exception& error) {
        std::fprintf(stderr, "%s: %s\n", argv[2], error.what());
        return 1;
    }
    return 0;
}
