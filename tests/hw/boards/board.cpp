// A Verilated board top and the host's end of its serial line.

#include <cstdint>
#include <deque>
#include "verilated.h"
#include "Vtop.h"

namespace {

struct Bench {
    VerilatedContext context;
    Vtop top;
    double bit = 0;  // cycles of a bit as the host counts them
    uint64_t cycles = 0;
    // bytes to send; bit 8: with a broken stop bit
    std::deque<uint16_t> sending;
    double sent_at = 0;  // when the byte under way began
    bool busy = false;
    std::deque<uint8_t> received;
    bool receiving = false;
    double edge_at = 0;
    uint64_t errors = 0;  // stop bits of the board that were low

    Bench() : top(&context, "top") {}

    void step() {
        top.rx = line();
        top.clk = 0;
        top.eval();
        listen();
        top.clk = 1;
        top.eval();
        ++cycles;
    }

    bool line() {
        if (!busy) {
            if (sending.empty()) return true;
            busy = true;
            sent_at = cycles;
        }
        const unsigned place = (cycles - sent_at) / bit;
        if (place >= 10) {  // the next byte follows at once
            sending.pop_front();
            busy = !sending.empty();
            sent_at += 10 * bit;
            return busy ? false : true;
        }
        if (place == 0) return false;
        if (place == 9) return !(sending.front() >> 8 & 1);
        return sending.front() >> (place - 1) & 1;
    }

    unsigned data = 0, place = 0;

    void listen() {
        if (!receiving) {
            if (!top.tx) { receiving = true; edge_at = cycles; place = 0; data = 0; }
            return;
        }
        if (cycles - edge_at < (place + 0.5) * bit) return;
        if (place >= 1 && place <= 8) data |= unsigned(top.tx) << (place - 1);
        if (place == 9) {
            if (top.tx) received.push_back(data); else ++errors;
            receiving = false;
        }
        ++place;
    }
};

}  // namespace

extern "C" {

void* board_new(double bit) {
    auto* bench = new Bench;
    bench->bit = bit;
    bench->top.rx = 1;
    bench->top.rst = 1;
    for (int i = 0; i < 3; ++i) bench->step();
    bench->top.rst = 0;
    return bench;
}

void board_delete(void* handle) {
    auto* bench = static_cast<Bench*>(handle);
    bench->top.final();
    delete bench;
}

void board_send(void* handle, const uint16_t* bytes, uint64_t count) {
    auto& bench = *static_cast<Bench*>(handle);
    bench.sending.insert(bench.sending.end(), bytes, bytes + count);
}

// Run until nothing is left to send and `wanted` bytes have arrived, or for `limit` cycles.
// Returns how many have arrived.
uint64_t board_run(void* handle, uint64_t wanted, uint64_t limit) {
    auto& bench = *static_cast<Bench*>(handle);
    const uint64_t end = bench.cycles + limit;
    while (bench.cycles < end && (!bench.sending.empty() || bench.received.size() < wanted)) {
        bench.step();
    }
    return bench.received.size();
}

void board_take(void* handle, uint8_t* bytes, uint64_t count) {
    auto& bench = *static_cast<Bench*>(handle);
    for (uint64_t i = 0; i < count; ++i) {
        bytes[i] = bench.received.front();
        bench.received.pop_front();
    }
}

// cycles so far, broken stop bits from the board, LEDs
void board_state(void* handle, uint64_t* out) {
    auto& bench = *static_cast<Bench*>(handle);
    out[0] = bench.cycles;
    out[1] = bench.errors;
    out[2] = bench.top.leds;
}

}  // extern "C"
