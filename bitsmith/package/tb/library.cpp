// The Verilated accelerator as a shared library, for the Python driver.

#include "model.h"

namespace {

// Packets, one after the other, as words of a stream.
Stream stream(const uint8_t* bytes, const uint64_t* sizes, uint64_t count, size_t word_bytes) {
    Stream made;
    for (uint64_t packet = 0; packet < count; ++packet) {
        for (uint64_t left = sizes[packet]; left;) {
            const size_t size = left < word_bytes ? size_t(left) : word_bytes;
            left -= size;
            made.words.push_back(Word{0, left == 0, -1, Bytes(bytes, bytes + size)});
            bytes += size;
        }
    }
    made.begin();
    return made;
}

}  // namespace

extern "C" {

void* accelerator_new() { return new Model; }
void accelerator_delete(void* handle) { delete static_cast<Model*>(handle); }

int accelerator_write(void* handle, uint32_t address, uint32_t value) {
    return static_cast<Model*>(handle)->write(address, value);
}

uint64_t accelerator_read(void* handle, uint32_t address) {
    return static_cast<Model*>(handle)->read(address);
}

uint64_t accelerator_cycles(void* handle) { return static_cast<Model*>(handle)->cycles; }
int accelerator_interrupt(void* handle) { return static_cast<Model*>(handle)->interrupt(); }

// Offer all packets and collect results until everything has crossed, or until nothing has moved
// for `patience` cycles. Returns the bytes of results.
uint64_t accelerator_transfer(void* handle, const uint8_t* weights, const uint64_t* weight_sizes,
                              uint64_t weight_packets, const uint8_t* activations,
                              const uint64_t* activation_sizes, uint64_t activation_packets,
                              uint8_t* results, uint64_t result_bytes, uint64_t patience) {
    Model& model = *static_cast<Model*>(handle);
    Stream w = stream(weights, weight_sizes, weight_packets, @WEIGHT_BYTES@);
    Stream a = stream(activations, activation_sizes, activation_packets, @ACTIVATION_BYTES@);
    uint64_t got = 0, still = 0;
    bool ended = false;
    while (still < patience && (w.index < w.words.size() || a.index < a.words.size() ||
                                (got < result_bytes && !ended))) {
        model.offer(w, a, true);
        const bool from_weights = model.weights_taken(), from_activations = model.activations_taken();
        const bool taken = model.result_taken();
        if (taken) {
            for (uint8_t byte : model.result())
                if (got < result_bytes) results[got++] = byte;
            ended = model.top.m_axis_results_tlast;
        }
        model.edge();
        w.step(from_weights);
        a.step(from_activations);
        still = from_weights || from_activations || taken ? 0 : still + 1;
    }
    // a stopped job's packet may still be open: a word that was held, then an empty one
    const Stream none;
    for (int i = 0; i < 4; ++i) { model.offer(none, none, true); model.edge(); }
    model.idle();
    model.settle();
    return got;
}

}  // extern "C"
