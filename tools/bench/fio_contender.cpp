// SPDX-License-Identifier: MIT
//
// Translates the workload into a fio command line, and fio's JSON into a Measurement.
#include "tools/bench/fio_contender.hpp"

#include "tools/bench/child.hpp"
#include "tools/bench/failure.hpp"
#include "tools/bench/live_line.hpp"
#include "tools/bench/session.hpp"
#include "tools/bench/target.hpp"

#include <ioengine/probe.hpp>

#include <nlohmann/json.hpp>

#include <cmath>

namespace bench {

namespace {

// fio takes a colon as the border between two files.
std::string escape_colons(const std::string& path) {
    std::string escaped;
    for (const char letter : path) {
        if (letter == ':')
            escaped += '\\';
        escaped += letter;
    }
    return escaped;
}

std::string last_line(const std::string& text) {
    const auto end = text.find_last_not_of('\n');
    if (end == std::string::npos)
        return "it printed nothing";
    const auto border = text.find_last_of('\n', end);
    const auto begin = border == std::string::npos ? 0 : border + 1;
    return text.substr(begin, end + 1 - begin);
}

class FioContender : public Contender {
  public:
    FioContender(const Workload& workload, ioengine::Backend backend)
        : workload_(workload), backend_(backend) {
        identity_.name = "fio";
        identity_.backend = ioengine::backend_name(backend);
        identity_.threading = "one thread";
        identity_.lending = "none";
        identity_.note = backend == ioengine::Backend::uring
                             ? "io_uring, registered file, registered buffers"
                             : "libaio";
    }

    const Identity& identity() const noexcept override { return identity_; }

    Measurement run(const Slice& slice, LiveLine& live) override {
        live.say("fio       running");
        const ChildOutput output = run_child(fio_command(workload_, backend_, slice));
        if (output.exit_code != 0)
            throw Failure(kExitUnavailable,
                          "fio ended with code " + std::to_string(output.exit_code) + ": " +
                              last_line(output.standard_error) + "; leave fio out of --compare");
        return parse_fio(output.standard_output);
    }

  private:
    const Workload& workload_;
    const ioengine::Backend backend_;
    Identity identity_;
};

}  // namespace

std::unique_ptr<Contender> make_fio_contender(const Workload& workload, ioengine::Backend backend) {
    if (workload.target.kind() == TargetKind::character_device)
        throw Failure(kExitUsage, "--compare fio needs a file or a block device as target");
    if (!is_installed("fio"))
        throw Failure(kExitUnavailable,
                      "fio is not installed; run: apt-get install fio, or leave it out of "
                      "--compare");
    return std::make_unique<FioContender>(workload, backend);
}

std::vector<std::string> fio_command(const Workload& workload, ioengine::Backend backend,
                                     const Slice& slice) {
    const BenchOptions& asked = workload.options;
    const bool uring = backend == ioengine::Backend::uring;
    std::vector<std::string> words = {
        "fio",
        "--name=ioengine-bench",
        "--filename=" + escape_colons(workload.target.path()),
        "--size=" + std::to_string(workload.target.size_bytes()),
        std::string("--rw=") + rw_name(asked.rw),
        "--bs=" + std::to_string(asked.block_bytes),
        "--iodepth=" + std::to_string(asked.depth),
        std::string("--ioengine=") + (uring ? "io_uring" : "libaio"),
        std::string("--direct=") + (workload.target.direct() ? "1" : "0"),
        // The same distribution of offsets as ours: uniform, with repetitions.
        "--norandommap",
        "--randseed=" + std::to_string(workload.seed >> 1),
        "--allow_file_create=0",
        "--thread",
        "--unified_rw_reporting=1",
        "--lat_percentiles=1",
        "--clat_percentiles=0",
        "--output-format=json+",
    };
    if (uring) {
        words.emplace_back("--fixedbufs");
        words.emplace_back("--registerfiles");
    }
    words.emplace_back("--time_based");
    if (slice.requests != 0) {
        words.emplace_back("--runtime=86400");
        words.push_back("--number_ios=" + std::to_string(slice.requests));
    } else {
        words.push_back("--runtime=" + std::to_string(std::llround(slice.seconds * 1000)) + "ms");
    }
    return words;
}

Measurement parse_fio(const std::string& output) {
    Measurement measured;
    try {
        // Warnings may stand before the document.
        const auto document =
            nlohmann::json::parse(output.substr(std::min(output.find('{'), output.size())));
        const auto& job = document.at("jobs").at(0);
        const auto& mixed = job.at("mixed");
        measured.requests = mixed.at("total_ios").get<std::uint64_t>();
        const auto iops = mixed.at("iops").get<double>();
        measured.seconds = iops > 0 ? static_cast<double>(measured.requests) / iops : 0;
        const double cpu_percent =
            job.at("usr_cpu").get<double>() + job.at("sys_cpu").get<double>();
        measured.cpu_us = cpu_percent / 100 * job.at("job_runtime").get<double>() * 1000;
        measured.context_switches = job.at("ctx").get<double>();
        measured.errors = job.at("error").get<int>() != 0 ? 1 : 0;
        if (measured.errors != 0)
            measured.first_error = "fio: " + errno_text(job.at("error").get<int>());
        for (const auto& [latency_ns, times] : mixed.at("lat_ns").at("bins").items())
            measured.latency.add(std::stoull(latency_ns), times.get<std::uint64_t>());
    } catch (const std::exception& error) {
        throw Failure(kExitUnavailable, std::string("what fio printed is not understood (") +
                                            error.what() + "); leave fio out of --compare");
    }
    return measured;
}

}  // namespace bench
