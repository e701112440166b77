// Bench of a core's netlist: one job, its toggles in a SAIF file.
// Inputs change right after the rising edge, and every net is sampled once per cycle when all has
// settled, so that a net changes once per cycle at most (no glitches) and the clock is not seen.

#include <cstdint>
#include <cstring>
#include "verilated.h"
#include "verilated_saif_c.h"
#include "Vtop.h"

namespace {

template <typename Port> void write_port(Port& port, const uint32_t* words) {
    std::memcpy(&port, words, sizeof(Port));
}
template <typename Port> void read_port(const Port& port, uint32_t* words) {
    std::memcpy(words, &port, sizeof(Port));
}

// Beats of tile after tile; tile t is image t / repeat % images.
struct Source {
    const uint32_t* beats;
    uint64_t tiles, repeat, images, tile_beats, words;
    uint64_t index = 0;

    bool offered() const { return index < tiles * tile_beats; }
    bool last() const { return index % tile_beats == tile_beats - 1; }
    const uint32_t* data() const {
        const uint64_t image = index / tile_beats / repeat % images;
        return beats + (image * tile_beats + index % tile_beats) * words;
    }
};

}  // namespace

extern "C" {

// Bytes of the three data ports, as Verilator sized them.
void core_widths(uint64_t* bytes) {
    bytes[0] = sizeof(Vtop::s_axis_weights_tdata);
    bytes[1] = sizeof(Vtop::s_axis_activations_tdata);
    bytes[2] = sizeof(Vtop::m_axis_results_tdata);
}

// job: limit_cycles, tiles, groups, chunks, last_chunks, result words (count, 32-bit words);
//      weights: tiles, repeat, images, beats, 32-bit words; activations: the same
// before: values of all nets in the first cycle, for which SAIF counts a change where they are 1
// Returns the cycles from the one that offers the job to the last result, 0 if it never came.
uint64_t core_run(const char* path, const uint64_t* job, const uint32_t* weights,
                  const uint32_t* activations, uint32_t* results, uint32_t* before) {
    VerilatedContext context;
    context.traceEverOn(true);
    Vtop top(&context, "top");
    VerilatedSaifC trace;
    Source w{weights, job[7], job[8], job[9], job[10], job[11]};
    Source a{activations, job[12], job[13], job[14], job[15], job[16]};
    const uint64_t limit = job[0], expected = job[5], words = job[6];
    uint64_t accepted = 0, cycles = 0;

    top.aresetn = 0;
    for (int i = 0; i < 16; ++i) {
        top.aresetn = i >= 8;  // then what reset leaves alone is flushed
        top.aclk = 0; top.eval();
        top.aclk = 1; top.eval();
    }
    top.trace(&trace, 1);
    trace.open(path);
    top.job_tiles = job[1];
    top.job_groups = job[2];
    top.job_chunks = job[3];
    top.job_last_chunks = job[4];
    top.m_axis_results_tready = 1;
    while (accepted < expected && cycles < limit) {
        top.job_valid = cycles == 0;
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
        top.aclk = 0;
        top.eval();
        if (cycles == 0) read_port(top.nets, before);
        trace.dump(cycles++);
        w.index += w.offered() && top.s_axis_weights_tready;
        a.index += a.offered() && top.s_axis_activations_tready;
        if (top.m_axis_results_tvalid) {
            read_port(top.m_axis_results_tdata, results + accepted++ * words);
        }
        top.aclk = 1;
        top.eval();
    }
    // the edge that ends the job
    top.job_valid = top.s_axis_weights_tvalid = top.s_axis_activations_tvalid = 0;
    top.aclk = 0;
    top.eval();
    trace.dump(cycles);
    trace.close();
    top.final();
    return accepted == expected ? cycles : 0;
}

}  // extern "C"
