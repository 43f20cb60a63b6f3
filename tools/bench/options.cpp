// SPDX-License-Identifier: MIT
//
// Reads the command line and says no to what this version cannot do.
#include "tools/bench/options.hpp"

#include "tools/bench/command_line.hpp"
#include "tools/bench/failure.hpp"

#include <CLI/CLI.hpp>

#include <algorithm>
#include <array>
#include <string>
#include <utility>
#include <vector>

namespace bench {

namespace {

template <class Value>
using Choice = std::pair<const char*, Value>;

constexpr std::array<Choice<Rw>, 5> kRw = {{{"randread", Rw::randread},
                                            {"randwrite", Rw::randwrite},
                                            {"randrw", Rw::randrw},
                                            {"read", Rw::read},
                                            {"write", Rw::write}}};
constexpr std::array<Choice<Mode>, 3> kModes = {
    {{"chain", Mode::chain}, {"wait", Mode::wait}, {"wake", Mode::wake}}};
constexpr std::array<Choice<ioengine::Backend>, 4> kBackends = {
    {{"auto", ioengine::Backend::automatic},
     {"uring", ioengine::Backend::uring},
     {"aio", ioengine::Backend::aio},
     {"null", ioengine::Backend::null}}};
constexpr std::array<Choice<ioengine::Threading>, 3> kThreadings = {
    {{"split", ioengine::Threading::split},
     {"owner", ioengine::Threading::owner},
     {"caller", ioengine::Threading::caller}}};
constexpr std::array<Choice<ioengine::Lending>, 3> kLendings = {
    {{"callers", ioengine::Lending::callers},
     {"callbacks", ioengine::Lending::callbacks},
     {"none", ioengine::Lending::none}}};
constexpr std::array<Choice<ioengine::RingMode>, 4> kRings = {
    {{"default", ioengine::RingMode::interrupts},
     {"sqpoll", ioengine::RingMode::sqpoll},
     {"iopoll", ioengine::RingMode::iopoll},
     {"both", ioengine::RingMode::iopoll_sqpoll}}};
constexpr std::array<Choice<bool>, 2> kOnOff = {{{"on", true}, {"off", false}}};
enum class Peer : std::uint8_t { raw, fio, strict };
constexpr std::array<Choice<Peer>, 3> kPeers = {
    {{"raw", Peer::raw}, {"fio", Peer::fio}, {"strict", Peer::strict}}};

// Accepts the listed words and nothing else; the message names them all.
template <class Value, std::size_t N>
CLI::Validator one_of(const std::array<Choice<Value>, N>& choices) {
    std::string listed;
    for (const auto& choice : choices)
        listed += (listed.empty() ? "" : "|") + std::string(choice.first);
    return {[&choices, listed](std::string& word) -> std::string {
                const bool known =
                    std::any_of(choices.begin(), choices.end(),
                                [&word](const auto& choice) { return word == choice.first; });
                return known ? std::string()
                             : "'" + word +
                                   "' is not supported by this version; supported: " + listed;
            },
            listed};
}

template <class Value, std::size_t N>
Value value_of(const std::array<Choice<Value>, N>& choices, const std::string& word) {
    for (const auto& choice : choices) {
        if (word == choice.first)
            return choice.second;
    }
    throw Failure(kExitUsage, "'" + word + "' is unknown");  // one_of has let it pass: cannot be
}

template <class Value, std::size_t N>
const char* name_in(const std::array<Choice<Value>, N>& choices, Value value) noexcept {
    for (const auto& choice : choices) {
        if (choice.second == value)
            return choice.first;
    }
    return "unknown";
}

constexpr const char* kExamples = R"(Examples:
  ioengine-bench --target /dev/zero --depth 1 --time 2
      what one request costs where the kernel answers at once
  ioengine-bench --target /var/tmp/bench.dat --rw randrw --verify
      a mixed load on a new file of 256M; every block read back is checked
  ioengine-bench --target /var/tmp/bench.dat --compare raw,strict --json
      the same reads by hand-written loops over the same kernel interface

  ioengine-bench suite --help
      everything that is promised of the engine's speed, in one run
  ioengine-bench growth --help
      what a request costs as producers, files and queues grow

A target that does not exist is created, filled, and deleted at the end. Writing to an existing
file or block device destroys what it holds.
Exit codes: 0 done, 1 a result was wrong, 2 usage, 69 cannot be set up here.)";

// The words as typed, before they become values.
struct Words {
    std::string rw = "randread";
    std::string mode = "chain";
    std::string backend = "auto";
    std::string threading = "split";
    std::string lending = "callbacks";
    std::string ring = "default";
    std::string merge = "off";
    std::string fixed = "off";
    std::vector<std::string> compare;
    std::uint64_t size_bytes = 0;
    std::uint64_t block_bytes = 4096;
};

void declare_workload(CLI::App& app, BenchOptions& options, Words& words) {
    app.add_option("--target", options.target,
                   "file, block device, /dev/zero (reads) or /dev/null (writes)")
        ->required()
        ->type_name("PATH");
    app.add_option("--size", words.size_bytes,
                   "how much of the target is used; default: all of an existing file or block "
                   "device, else 256M")
        ->transform(CLI::AsSizeValue(false))
        ->type_name("BYTES");
    app.add_option("--rw", words.rw, "what the requests do")
        ->check(one_of(kRw))
        ->type_name("")
        ->capture_default_str();
    app.add_option("--bs", words.block_bytes, "size of a request, a multiple of 512 up to 16M")
        ->transform(CLI::AsSizeValue(false))
        ->type_name("BYTES")
        ->default_str("4k");
    app.add_option("--depth", options.depth, "requests in flight, 1 to 32768")
        ->check(CLI::Range(1, 32768))
        ->type_name("N")
        ->capture_default_str();
    app.add_option("--producers", options.producers,
                   "threads that submit in modes wait and wake, 1 to 256, at most --depth")
        ->check(CLI::Range(1, 256))
        ->type_name("N")
        ->capture_default_str();
    app.add_option("--mode", words.mode,
                   "chain: callbacks submit the next request; wait: so they do, on a producer that "
                   "is inside Group::wait() (perform() if it has one request in flight); wake: "
                   "callbacks wake the producer that submits it")
        ->check(one_of(kModes))
        ->type_name("")
        ->capture_default_str();
}

void declare_engine(CLI::App& app, BenchOptions& options, Words& words) {
    app.add_option("--backend", words.backend, "the kernel interface")
        ->check(one_of(kBackends))
        ->type_name("")
        ->capture_default_str();
    app.add_option("--threading", words.threading,
                   "split: a submitter and a poller thread of the engine; owner: one thread for "
                   "both; caller: none, the thread that submits drives the engine")
        ->check(one_of(kThreadings))
        ->type_name("")
        ->capture_default_str();
    app.add_option("--lending", words.lending, "which other threads help the engine")
        ->check(one_of(kLendings))
        ->type_name("")
        ->capture_default_str();
    app.add_option(
           "--ring", words.ring,
           "io_uring only; default: threads of the engine enter the kernel; sqpoll: a thread "
           "of the kernel's takes submissions; iopoll: devices with poll queues are asked "
           "whether they are done, with --threading owner or caller; both")
        ->check(one_of(kRings))
        ->type_name("")
        ->capture_default_str();
    app.add_option("--merge", words.merge,
                   "whether neighbours that wait together go to the kernel as one")
        ->check(one_of(kOnOff))
        ->type_name("")
        ->capture_default_str();
    app.add_option("--fixed", words.fixed,
                   "whether file and buffers are registered with the kernel, as those of raw are")
        ->check(one_of(kOnOff))
        ->type_name("")
        ->capture_default_str();
    app.add_option("--spin", options.spin_us,
                   "how long the engine looks for a completion before it sleeps, 0 to 10000 "
                   "microseconds")
        ->check(CLI::Range(0, 10'000))
        ->type_name("US")
        ->capture_default_str();
}

void declare_run(CLI::App& app, BenchOptions& options, Words& words) {
    auto* time =
        app.add_option("--time", options.seconds, "run each contender this long in all, in seconds")
            ->type_name("S")
            ->capture_default_str();
    app.add_option("--requests", options.requests, "instead: this many requests in all")
        ->check(CLI::PositiveNumber)
        ->type_name("N")
        ->excludes(time);
    app.add_flag("--verify", options.verify,
                 "write blocks that name their place and generation; check all that is read");
    app.add_option("--compare", words.compare,
                   "also run, in turns with ours: raw (one hand-written thread), strict "
                   "(hand-written submitter and poller), fio")
        ->delimiter(',')
        ->check(one_of(kPeers))
        ->type_name("raw[,fio,strict]");
    app.add_flag("--json", options.json, "print one JSON document and nothing else");
    app.add_option("--plot", options.plot,
                   "also draw rates and latencies, as a picture for a browser")
        ->type_name("FILE.svg");
}

void take_words(const CLI::App& app, const Words& words, BenchOptions& options) {
    options.rw = value_of(kRw, words.rw);
    options.mode = value_of(kModes, words.mode);
    options.backend = value_of(kBackends, words.backend);
    options.threading = value_of(kThreadings, words.threading);
    options.lending = value_of(kLendings, words.lending);
    options.ring = value_of(kRings, words.ring);
    options.merge = value_of(kOnOff, words.merge);
    options.fixed = value_of(kOnOff, words.fixed);
    if (app.count("--size") != 0)
        options.size_bytes = words.size_bytes;
    for (const std::string& word : words.compare) {
        const Peer peer = value_of(kPeers, word);
        options.compare_raw |= peer == Peer::raw;
        options.compare_fio |= peer == Peer::fio;
        options.compare_strict |= peer == Peer::strict;
    }
    constexpr std::uint64_t kBlockBytesMax = std::uint64_t{16} << 20;
    if (words.block_bytes == 0 || words.block_bytes % 512 != 0 ||
        words.block_bytes > kBlockBytesMax)
        throw Failure(kExitUsage, "--bs must be a multiple of 512 from 512 to 16M");
    options.block_bytes = static_cast<std::uint32_t>(words.block_bytes);
}

// What no single option can see.
void check_together(const BenchOptions& options) {
    constexpr double kSecondsMax = 86400;
    const bool timed = options.requests == 0;
    if (timed && !(options.seconds > 0 && options.seconds <= kSecondsMax))
        throw Failure(kExitUsage, "--time must be above 0 and at most 86400 seconds");
    if (options.size_bytes && *options.size_bytes < options.block_bytes)
        throw Failure(kExitUsage, "--size is smaller than one block of --bs");
    if (options.producers > options.depth)
        throw Failure(kExitUsage, "--producers is larger than --depth: each needs a request");
    if (options.producers > 1 && !options.has_producers())
        throw Failure(kExitUsage,
                      "--producers needs --mode wait or wake: in mode chain callbacks submit");
    if (options.verify && options.compares())
        throw Failure(kExitUsage, "--verify and --compare do not go together: checking would be "
                                  "timed for one side only; run them one after the other");
    if (options.threading != ioengine::Threading::split &&
        options.lending != ioengine::Lending::callbacks)
        throw Failure(kExitUsage, "--lending is for --threading split: one thread has nobody to "
                                  "lend to");
    if (options.threading == ioengine::Threading::caller &&
        (options.mode == Mode::wake || options.producers > 1))
        throw Failure(kExitUsage, "--threading caller has one thread, which submits and drives: "
                                  "use --mode chain, or wait with one producer");
    if (options.ring != ioengine::RingMode::interrupts &&
        (options.backend == ioengine::Backend::aio || options.backend == ioengine::Backend::null))
        throw Failure(kExitUsage, std::string("--ring ") + ring_name(options.ring) +
                                      " is for io_uring: use --backend uring or auto");
    if ((options.ring == ioengine::RingMode::iopoll ||
         options.ring == ioengine::RingMode::iopoll_sqpoll) &&
        options.threading == ioengine::Threading::split)
        throw Failure(kExitUsage, std::string("--ring ") + ring_name(options.ring) +
                                      " needs one thread: use --threading owner or caller");
    const bool null = options.backend == ioengine::Backend::null;
    if (null && options.verify)
        throw Failure(kExitUsage, "--verify needs a backend that moves data, not null");
    if (null && options.compares())
        throw Failure(kExitUsage, "--compare needs a kernel interface to compare over, not the "
                                  "null backend");
}

}  // namespace

std::optional<BenchOptions> parse_options(int argc, char** argv) {
    CLI::App app("Measures ioengine: requests per second, latency, CPU, context switches; checks "
                 "data; compares with hand-written loops and fio.",
                 "ioengine-bench");
    app.footer(kExamples);
    BenchOptions options;
    Words words;
    declare_workload(app, options, words);
    declare_engine(app, options, words);
    declare_run(app, options, words);
    if (!parse_command_line(app, argc, argv))
        return std::nullopt;
    take_words(app, words, options);
    check_together(options);
    return options;
}

const char* rw_name(Rw rw) noexcept {
    return name_in(kRw, rw);
}

const char* mode_name(Mode mode) noexcept {
    return name_in(kModes, mode);
}

const char* threading_name(ioengine::Threading threading) noexcept {
    return name_in(kThreadings, threading);
}

const char* lending_name(ioengine::Lending lending) noexcept {
    return name_in(kLendings, lending);
}

const char* ring_name(ioengine::RingMode ring) noexcept {
    return name_in(kRings, ring);
}

}  // namespace bench
