// SPDX-License-Identifier: Apache-2.0

// Matches three fields of JSON bodies with simdjson On Demand, again and again for a time: what a filter in C++ that knows
// its fields at compile time costs. Usage: filter_on_demand --bodies FILE [--seconds 1]; the file has one body a line.
// Prints records, matches of one round, us_per_record and cpu_us_per_record.

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <simdjson.h>
#include <string>
#include <sys/resource.h>
#include <vector>

using namespace simdjson;

static bool matches(ondemand::parser &parser, const char *body, size_t count, size_t capacity) {
    ondemand::document document;
    if (parser.iterate(padded_string_view(body, count, capacity)).get(document)) { return false; }
    std::string_view status, country;
    double total;
    if (document["status"].get_string().get(status) || status != "paid") { return false; }
    if (document["total"].get_double().get(total) || !(total > 100)) { return false; }
    return !document["customer"]["country"].get_string().get(country) && country == "DE";
}

static double cpu_us() {
    rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return double(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e6
        + double(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

int main(int argc, char **argv) {
    const char *file = nullptr;
    double limit = 1;
    for (int i = 1; i + 1 < argc; i += 2) {
        if (!strcmp(argv[i], "--bodies")) { file = argv[i + 1]; }
        if (!strcmp(argv[i], "--seconds")) { limit = atof(argv[i + 1]); }
    }
    std::ifstream in(file ? file : "", std::ios::binary);
    if (!in) {
        fprintf(stderr, "usage: filter_on_demand --bodies FILE [--seconds S]\n");
        return 2;
    }
    std::string text((std::istreambuf_iterator<char>(in)), {});
    std::vector<std::pair<size_t, size_t>> bodies;
    for (size_t start = 0, end; (end = text.find('\n', start)) != std::string::npos; start = end + 1) {
        bodies.emplace_back(start, end - start);
    }
    size_t used = text.size();
    text.resize(used + SIMDJSON_PADDING);
    if (bodies.empty()) {
        fprintf(stderr, "%s has no bodies\n", file);
        return 2;
    }
    ondemand::parser parser;
    size_t records = 0, matched = 0, round = 0;
    auto begun = std::chrono::steady_clock::now();
    double cpu = cpu_us(), seconds = 0;
    while (seconds < limit) {
        round = 0;
        for (auto [start, count] : bodies) {
            round += matches(parser, text.data() + start, count, text.size() - start);
        }
        records += bodies.size();
        matched += round;
        seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
    }
    printf("{\"records\": %zu, \"matches\": %zu, \"us_per_record\": %f, \"cpu_us_per_record\": %f}\n", records, round,
        seconds * 1e6 / double(records), (cpu_us() - cpu) / double(records));
    return matched == round * (records / bodies.size()) ? 0 : 1;
}
