// The Verilated accelerator: clock, registers and streams, one cycle at a time.

#ifndef BITSMITH_MODEL_H
#define BITSMITH_MODEL_H

#include <cstdint>
#include <cstring>
#include <vector>
#include "verilated.h"
#include "Vbitsmith_accelerator.h"

typedef std::vector<uint8_t> Bytes;

// Ports are little-endian words, whatever C++ type Verilator chose for their width.
template <typename Port> void write_port(Port& port, const Bytes& bytes) {
    uint8_t raw[sizeof(Port)] = {};
    std::memcpy(raw, bytes.data(), bytes.size() < sizeof raw ? bytes.size() : sizeof raw);
    std::memcpy(&port, raw, sizeof raw);
}
template <typename Port> Bytes read_port(const Port& port, size_t size) {
    Bytes bytes(size);
    std::memcpy(bytes.data(), &port, size < sizeof(Port) ? size : sizeof(Port));
    return bytes;
}

// The interrupt line; some versions of Verilator reserve the name and call it otherwise.
template <typename Top> auto interrupt_of(Top& top, int) -> decltype(int(top.interrupt)) {
    return top.interrupt;
}
template <typename Top> auto interrupt_of(Top& top, long) -> decltype(int(top.__SYM__interrupt)) {
    return top.__SYM__interrupt;
}

// A word on a stream. Of a result only the bytes with TKEEP.
struct Word {
    uint64_t gap;    // idle cycles before it is offered, or before TREADY rises for it
    bool last;       // TLAST
    int64_t cycle;   // in which it is to be accepted; -1: any
    Bytes data;
};

// One stream of a job. Inputs offer their words, the result stream accepts its own.
struct Stream {
    std::vector<Word> words;
    size_t index = 0;
    uint64_t idle = 0;

    void begin() { index = 0; arm(); }
    void arm() { idle = index < words.size() ? words[index].gap : 0; }
    bool open() const { return index < words.size() && idle == 0; }
    const Word& word() const { return words[index]; }
    void step(bool accepted) {
        if (accepted) { ++index; arm(); }
        else if (idle) --idle;
    }
};

struct Model {
    VerilatedContext context;
    Vbitsmith_accelerator top;
    uint64_t cycles = 0;

    Model() : top(&context, "top") {
        top.aclk = 0;
        idle();
        top.s_axi_awvalid = top.s_axi_wvalid = top.s_axi_arvalid = 0;
        top.s_axi_bready = top.s_axi_rready = 1;
        top.aresetn = 0;
        for (int i = 0; i < 3; ++i) { settle(); edge(); }
        top.aresetn = 1;
        settle();
        cycles = 0;
    }
    ~Model() { top.final(); }

    void settle() { top.aclk = 0; top.eval(); }
    void edge() { top.aclk = 1; top.eval(); ++cycles; }
    void idle() {
        top.s_axis_weights_tvalid = top.s_axis_activations_tvalid = 0;
        top.m_axis_results_tready = 0;
    }

    // Write a register; returns BRESP. After the call the cycle in which the write acted has just
    // passed: the next one is cycle 0 of a job that it has started.
    int write(uint32_t address, uint32_t value) {
        top.s_axi_awaddr = address;
        top.s_axi_wdata = value;
        top.s_axi_wstrb = 15;
        top.s_axi_awvalid = top.s_axi_wvalid = 1;
        settle();
        edge();  // nothing is under way, so both are ready
        top.s_axi_awvalid = top.s_axi_wvalid = 0;
        settle();
        edge();  // the write acts
        settle();
        return top.s_axi_bvalid ? top.s_axi_bresp : -1;
    }

    // Read a register; RRESP goes to the upper half.
    uint64_t read(uint32_t address) {
        top.s_axi_araddr = address;
        top.s_axi_arvalid = 1;
        settle();
        edge();
        top.s_axi_arvalid = 0;
        settle();
        const uint64_t response = top.s_axi_rvalid ? top.s_axi_rresp : 0xFFFFFFFF;
        const uint64_t value = top.s_axi_rdata;
        edge();
        settle();
        return response << 32 | value;
    }

    // Put the streams' words on the ports and let them settle.
    void offer(const Stream& weights, const Stream& activations, bool ready) {
        top.s_axis_weights_tvalid = weights.open();
        if (weights.open()) {
            write_port(top.s_axis_weights_tdata, weights.word().data);
            top.s_axis_weights_tlast = weights.word().last;
        }
        top.s_axis_activations_tvalid = activations.open();
        if (activations.open()) {
            write_port(top.s_axis_activations_tdata, activations.word().data);
            top.s_axis_activations_tlast = activations.word().last;
        }
        top.m_axis_results_tready = ready;
        settle();
    }
    bool weights_taken() { return top.s_axis_weights_tvalid && top.s_axis_weights_tready; }
    bool activations_taken() {
        return top.s_axis_activations_tvalid && top.s_axis_activations_tready;
    }
    bool result_taken() { return top.m_axis_results_tvalid && top.m_axis_results_tready; }

    int interrupt() { return interrupt_of(top, 0); }

    // Bytes of the offered result word that TKEEP marks; they are the lowest ones.
    Bytes result() {
        const Bytes keep = read_port(top.m_axis_results_tkeep, sizeof top.m_axis_results_tkeep);
        size_t kept = 0;
        while (kept < 8 * keep.size() && keep[kept / 8] >> kept % 8 & 1) ++kept;
        return read_port(top.m_axis_results_tdata, kept);
    }
};

#endif
