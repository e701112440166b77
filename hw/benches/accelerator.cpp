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

// Write a register and wait for the response; returns the response.
// The write acts in the cycle after this function's first handshake.
int bench_write(void* handle, uint32_t address, uint32_t value) {
    auto& bench = *static_cast<Bench*>(handle);
    auto& top = bench.top;
    top.s_axi_awaddr = address;
    top.s_axi_wdata = value;
    top.s_axi_wstrb = 15;
    top.s_axi_awvalid = top.s_axi_wvalid = 1;
    bench.settle();
    bench.edge();  // nothing is under way, so both are ready
    top.s_axi_awvalid = top.s_axi_wvalid = 0;
    top.s_axi_bready = 1;
    bench.settle();
    bench.edge();  // the write acts
    bench.settle();
    const int response = top.s_axi_bvalid ? top.s_axi_bresp : -1;
    return response;
}

// Read a register; the response goes to the upper half.
uint64_t bench_read(void* handle, uint32_t address) {
    auto& bench = *static_cast<Bench*>(handle);
    auto& top = bench.top;
    top.s_axi_araddr = address;
    top.s_axi_arvalid = top.s_axi_rready = 1;
    bench.settle();
    bench.edge();
    top.s_axi_arvalid = 0;
    bench.settle();
    const uint64_t response = top.s_axi_rvalid ? top.s_axi_rresp : 0xFFFFFFFF;
    const uint64_t value = top.s_axi_rdata;
    bench.edge();
    return response << 32 | value;
}

// job: limit_cycles, start register, start value,
//      weight packets: count, repeat, images, words; activation packets: the same; result words;
//      32-bit words of a weight, activation, result word
// out: total_cycles, words accepted, word with TLAST, words with a wrong TKEEP before the last
// Returns 0, or 1 when limit_cycles passed before the last result.
int bench_run(void* handle, const uint64_t* job,
              const uint32_t* weights, const uint32_t* weight_gaps,
              const uint32_t* activations, const uint32_t* activation_gaps,
              uint32_t* results, const uint32_t* result_gaps, uint64_t* out) {
    auto& bench = *static_cast<Bench*>(handle);
    auto& top = bench.top;
    const uint64_t limit = job[0], expected = job[11], result_words = job[14];
    Source w{weights, weight_gaps, job[6], job[12], job[3] * job[6], job[4], job[5]};
    Source a{activations, activation_gaps, job[10], job[13], job[7] * job[10], job[8], job[9]};
    uint64_t accepted = 0, ready_idle = result_gaps ? result_gaps[0] : 0, cycles = 0, last_seen = 0;
    uint64_t lasts = 0;

    top.s_axis_weights_tvalid = top.s_axis_activations_tvalid = top.m_axis_results_tready = 0;
    const bool started = bench_write(handle, job[1], job[2]) == 0;
    bench.edge();  // the job begins in the cycle after the one that writes its start bit
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
            if (top.m_axis_results_tlast) {
                ++lasts;
                if (!last_seen) last_seen = accepted + 1;
            }
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
    top.s_axis_weights_tvalid = top.s_axis_activations_tvalid = top.m_axis_results_tready = 0;
    bench.settle();
    out[0] = cycles;
    out[1] = accepted;
    out[2] = last_seen;
    out[3] = lasts;
    out[4] = w.index;
    out[5] = a.index;
    return started && accepted == expected ? 0 : 1;
}

}  // extern "C"
