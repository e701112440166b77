// Batch test bench of the accelerator: one whole job per call, counting clock edges itself.
// The model header and the port widths come from the command line (see batch.py).

#include <cstdint>
#include <cstring>
#include <memory>
#include "verilated.h"
#include "Vtop.h"
#if VM_TRACE
#include "verilated_vcd_c.h"
#endif

namespace {

// Ports are little-endian words whatever C++ type Verilator chose for their width.
template <typename Port> void write_port(Port& port, const uint32_t* words) {
    std::memcpy(&port, words, sizeof(Port));
}
template <typename Port> void read_port(const Port& port, uint32_t* words) {
    std::memcpy(words, &port, sizeof(Port));
}

struct Bench {
    VerilatedContext context;
    Vtop top;
#if VM_TRACE
    VerilatedVcdC trace;
#endif
    uint64_t time = 0;

    Bench() : top(&context, "top") {}

    void settle() { top.aclk = 0; top.eval(); dump(); }
    void edge() { top.aclk = 1; top.eval(); dump(); }
    void dump() {
#if VM_TRACE
        if (trace.isOpen()) trace.dump(time);
#endif
        ++time;
    }
};

// One special value, for designs that have the port; words hold one term per slot, slot 0 low.
template <typename Top>
auto write_special(Top& top, uint64_t index, const uint32_t* words, int)
    -> decltype(top.special_write, bool()) {
    top.special_write = 1;
    top.special_index = index;
    write_port(top.special_value, words);
    return true;
}
template <typename Top> bool write_special(Top&, uint64_t, const uint32_t*, long) { return false; }
template <typename Top> auto end_special(Top& top, int) -> decltype(top.special_write, void()) {
    top.special_write = 0;
}
template <typename Top> void end_special(Top&, long) {}

// Sticky bits of floating-point designs, one per row; 0 for others.
template <typename Top>
auto read_invalid(const Top& top, uint32_t* words, int) -> decltype(top.invalid_activations, void()) {
    read_port(top.invalid_activations, words);
}
template <typename Top> void read_invalid(const Top&, uint32_t*, long) {}

// Offers beat after beat, each after its own number of idle cycles.
struct Source {
    const uint32_t* beats;   // image: packets x packet_beats x words
    const uint32_t* gaps;    // per beat of the job, may be null
    uint64_t packet_beats, words, total;
    uint64_t repeat, packets;  // packet of tile t: (t / repeat) % packets
    uint64_t index = 0, idle = 0;

    void arm() { idle = gaps && index < total ? gaps[index] : 0; }
    bool offered() const { return index < total && idle == 0; }
    bool last() const { return index % packet_beats == packet_beats - 1; }
    const uint32_t* data() const {
        uint64_t packet = (index / packet_beats) / repeat % packets;
        return beats + (packet * packet_beats + index % packet_beats) * words;
    }
    void step(bool accepted) {
        if (accepted) { ++index; arm(); }
        else if (idle) --idle;
    }
};

}  // namespace

extern "C" {

void* bench_new() {
    auto* bench = new Bench;
    bench->top.aresetn = 0;
    for (int i = 0; i < 3; ++i) { bench->settle(); bench->edge(); }
    bench->top.aresetn = 1;
    return bench;
}

void bench_delete(void* handle) {
    auto* bench = static_cast<Bench*>(handle);
    bench->top.final();
    delete bench;
}

// Bytes of the three data ports, as Verilator sized them.
void bench_widths(void* handle, uint64_t* bytes) {
    auto& top = static_cast<Bench*>(handle)->top;
    bytes[0] = sizeof(top.s_axis_weights_tdata);
    bytes[1] = sizeof(top.s_axis_activations_tdata);
    bytes[2] = sizeof(top.m_axis_results_tdata);
}

int bench_trace(void* handle, const char* path) {
#if VM_TRACE
    auto* bench = static_cast<Bench*>(handle);
    bench->context.traceEverOn(true);
    bench->top.trace(&bench->trace, 99);
    bench->trace.open(path);
    return 0;
#else
    (void)handle; (void)path;
    return 1;
#endif
}

// Write a special value while no job is running; returns 0, or 1 if the design has no such port.
int bench_special(void* handle, uint64_t index, const uint32_t* words) {
    auto& bench = *static_cast<Bench*>(handle);
    if (!write_special(bench.top, index, words, 0)) return 1;
    bench.settle();
    bench.edge();
    end_special(bench.top, 0);
    return 0;
}

// job: tiles, groups, chunks, last_chunks, col_tiles, row_tiles, rows, limit_cycles,
//      weight_words, activation_words, result_words, weight_beats (of a tile)
// out: total_cycles, output, dequantizer, weights, activations, compute,
//      inner_overflow, outer_overflow, protocol_error, results_accepted, last_seen, keep_ok,
//      invalid_activations
// Returns 0, or 1 when limit_cycles passed before the last result.
int bench_run(void* handle, const uint64_t* job,
              const uint32_t* weights, const uint32_t* weight_gaps,
              const uint32_t* activations, const uint32_t* activation_gaps,
              uint32_t* results, const uint32_t* result_gaps, uint64_t* out) {
    auto& bench = *static_cast<Bench*>(handle);
    auto& top = bench.top;
    const uint64_t tiles = job[0], groups = job[1], chunks = job[2], last_chunks = job[3];
    const uint64_t col_tiles = job[4], row_tiles = job[5], rows = job[6], limit = job[7];
    const uint64_t tile_chunks = (groups - 1) * chunks + last_chunks;
    Source w{weights, weight_gaps, job[11], job[8], tiles * job[11], row_tiles, col_tiles};
    Source a{activations, activation_gaps, tile_chunks, job[9],
             tiles * tile_chunks, 1, row_tiles};
    const uint64_t expected = tiles * rows, result_words = job[10];
    uint64_t accepted = 0, ready_idle = result_gaps ? result_gaps[0] : 0, cycles = 0, last_seen = 0;
    bool keep_ok = true;

    top.job_valid = 1;
    top.job_tiles = tiles;
    top.job_groups = groups;
    top.job_chunks = chunks;
    top.job_last_chunks = last_chunks;
    top.s_axis_weights_tvalid = top.s_axis_activations_tvalid = top.m_axis_results_tready = 0;
    bool started = false;
    for (uint64_t wait = 0; wait < limit && !started; ++wait) {
        bench.settle();
        started = top.job_ready;
        bench.edge();
    }
    top.job_valid = 0;
    w.arm();
    a.arm();
    while (started && accepted < expected && cycles < limit) {
        ++cycles;
        top.s_axis_weights_tvalid = w.offered();
        if (w.offered()) {
            write_port(top.s_axis_weights_tdata, w.data());
            top.s_axis_weights_tlast = w.last();
        }
        top.s_axis_activations_tvalid = a.offered();
        if (a.offered()) {
            write_port(top.s_axis_activations_tdata, a.data());
            top.s_axis_activations_tlast = a.last();
        }
        top.m_axis_results_tready = ready_idle == 0;
        bench.settle();
        const bool w_taken = w.offered() && top.s_axis_weights_tready;
        const bool a_taken = a.offered() && top.s_axis_activations_tready;
        const bool taken = ready_idle == 0 && top.m_axis_results_tvalid;
        if (taken) {
            read_port(top.m_axis_results_tdata, results + accepted * result_words);
            uint64_t keep = 0;
            std::memcpy(&keep, &top.m_axis_results_tkeep,
                        sizeof(top.m_axis_results_tkeep) < 8 ? sizeof(top.m_axis_results_tkeep) : 8);
            keep_ok = keep_ok && keep != 0;
            if (top.m_axis_results_tlast && !last_seen) last_seen = accepted + 1;
        }
        bench.edge();
        w.step(w_taken);
        a.step(a_taken);
        if (taken) {
            ++accepted;
            ready_idle = result_gaps && accepted < expected ? result_gaps[accepted] : 0;
        } else if (ready_idle) {
            --ready_idle;
        }
    }
    bench.settle();
    out[0] = cycles;
    out[1] = top.count_output;
    out[2] = top.count_dequantizer;
    out[3] = top.count_weights;
    out[4] = top.count_activations;
    out[5] = top.count_compute;
    uint32_t words[16] = {0};
    read_port(top.inner_overflow, words);
    std::memcpy(out + 6, words, 32);      // up to 256 columns
    std::memset(words, 0, sizeof words);
    read_port(top.outer_overflow, words);
    std::memcpy(out + 10, words, 32);
    out[14] = top.protocol_error;
    out[15] = accepted;
    out[16] = last_seen;
    out[17] = keep_ok;
    std::memset(words, 0, sizeof words);
    read_invalid(top, words, 0);
    std::memcpy(out + 18, words, 32);
    return accepted == expected ? 0 : 1;
}

}  // extern "C"
