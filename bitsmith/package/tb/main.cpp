// Test bench: runs recorded jobs on the Verilated accelerator and compares everything that comes
// out with what was recorded: results, the cycle of every word, registers, the interrupt.

#include <cstdio>
#include <fstream>
#include <sstream>
#include <string>
#include "model.h"

namespace {

std::string hex(const Bytes& bytes) {
    std::string text;
    char digits[3];
    for (uint8_t byte : bytes) {
        std::snprintf(digits, sizeof digits, "%02x", byte);
        text += digits;
    }
    return text.empty() ? "-" : text;
}

Bytes from_hex(const std::string& text) {
    Bytes bytes;
    for (size_t i = 0; i + 1 < text.size(); i += 2)
        bytes.push_back(uint8_t(std::stoul(text.substr(i, 2), nullptr, 16)));
    return bytes;
}

// One line of a job file that is not a word of a stream.
struct Step {
    std::string kind;
    uint64_t first, second;
    std::string name;
};

struct Job {
    std::string name, text;
    std::vector<Step> steps;
    Stream weights, activations, results;
};

bool load(const char* path, Job& job) {
    std::ifstream file(path);
    std::string line;
    if (!std::getline(file, line) || line != "bitsmith-job 1") {
        std::printf("FAIL: '%s' is not a job file of format 1\n", path);
        return false;
    }
    while (std::getline(file, line)) {
        std::istringstream words(line);
        std::string kind, data;
        words >> kind;
        if (kind == "name") words >> job.name;
        else if (kind == "text") std::getline(words >> std::ws, job.text);
        else if (kind == "write" || kind == "read" || kind == "run" || kind == "interrupt") {
            Step step{kind, 0, 0, ""};
            words >> step.first >> step.second >> step.name;
            job.steps.push_back(step);
        } else if (kind == "w" || kind == "a" || kind == "r") {
            Word word{};
            words >> word.gap >> word.last >> word.cycle >> data;
            word.data = from_hex(data == "-" ? "" : data);
            (kind == "w" ? job.weights : kind == "a" ? job.activations : job.results)
                .words.push_back(word);
        } else if (kind != "#") {
            std::printf("FAIL: '%s' has an unknown line: %s\n", path, line.c_str());
            return false;
        }
    }
    return true;
}

// Compares, and reports the first difference.
struct Checker {
    std::string job;
    bool failed = false;

    bool same(const std::string& what, const std::string& wanted, const std::string& got) {
        if (wanted == got || failed) return wanted == got;
        std::printf("FAIL: job %s: %s: expected %s, got %s\n", job.c_str(), what.c_str(),
                    wanted.c_str(), got.c_str());
        failed = true;
        return false;
    }
    bool same(const std::string& what, uint64_t wanted, uint64_t got) {
        return same(what, std::to_string(wanted), std::to_string(got));
    }
};

std::string place(const char* stream, const Stream& of) {
    return std::string(stream) + " word " + std::to_string(of.index);
}

void check_cycle(Checker& check, const char* name, const Stream& of, uint64_t cycle) {
    if (of.word().cycle >= 0)
        check.same(place(name, of) + ": cycle of its acceptance", uint64_t(of.word().cycle), cycle);
}

// Clock until all words have crossed; returns the cycle of the last one.
uint64_t run(Model& model, Job& job, uint64_t limit, Checker& check) {
    Stream &w = job.weights, &a = job.activations, &r = job.results;
    uint64_t cycle = 0, last = 0;
    w.begin();
    a.begin();
    r.begin();
    auto crossing = [&] {
        return w.index < w.words.size() || a.index < a.words.size() || r.index < r.words.size();
    };
    model.edge();  // cycle 0: the job is accepted
    while (crossing() && !check.failed) {
        if (cycle == limit) {
            check.same("words accepted in " + std::to_string(limit) + " cycles",
                       w.words.size() + a.words.size() + r.words.size(),
                       w.index + a.index + r.index);
            break;
        }
        ++cycle;
        model.offer(w, a, r.open());
        const bool from_weights = model.weights_taken(), from_activations = model.activations_taken();
        const bool taken = model.result_taken();
        if (from_weights) check_cycle(check, "weight", w, cycle);
        if (from_activations) check_cycle(check, "activation", a, cycle);
        if (taken) {
            check.same(place("result", r), hex(r.word().data), hex(model.result()));
            check.same(place("result", r) + ": TLAST", r.word().last, model.top.m_axis_results_tlast);
            check_cycle(check, "result", r, cycle);
        }
        if (from_weights || from_activations || taken) last = cycle;
        model.edge();
        w.step(from_weights);
        a.step(from_activations);
        r.step(taken);
    }
    model.idle();
    model.settle();
    return last;
}

void run_step(Model& model, Job& job, const Step& step, Checker& check, uint64_t& cycles) {
    if (step.kind == "write") {
        check.same("answer to writing " + step.name, uint64_t(0),
                   uint64_t(model.write(uint32_t(step.first), uint32_t(step.second))));
    } else if (step.kind == "read") {
        const uint64_t found = model.read(uint32_t(step.first));
        check.same("answer to reading " + step.name, uint64_t(0), found >> 32);
        check.same("register " + step.name, step.second, found & 0xFFFFFFFF);
    } else if (step.kind == "interrupt") {
        check.same("interrupt", step.first, uint64_t(model.interrupt()));
    } else {
        cycles = run(model, job, step.first, check);
        if (step.second && !check.failed) check.same("cycles of the job", step.second, cycles);
    }
}

}  // namespace

int main(int count, char** paths) {
    Model model;
    uint64_t words = 0;
    if (count < 2) {
        std::printf("FAIL: no job files given\n");
        return 1;
    }
    for (int i = 1; i < count; ++i) {
        Job job;
        if (!load(paths[i], job)) return 1;
        Checker check{job.name};
        uint64_t cycles = 0;
        for (const Step& step : job.steps) {
            if (!check.failed) run_step(model, job, step, check, cycles);
        }
        if (check.failed) return 1;
        words += job.results.words.size();
        std::printf("ok    %-18s %8llu cycles  %s\n", job.name.c_str(),
                    static_cast<unsigned long long>(cycles), job.text.c_str());
    }
    std::printf("PASS: %d jobs, %llu result words, all equal\n", count - 1,
                static_cast<unsigned long long>(words));
    return 0;
}
