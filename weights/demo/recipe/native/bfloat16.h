// bfloat16 as the upper half of a float32.
#pragma once
#include <torch/extension.h>
#include <cstring>

static inline float widen(uint16_t x) {
  uint32_t bits = uint32_t(x) << 16;
  float y;
  memcpy(&y, &bits, 4);
  return y;
}

static inline uint16_t narrow(float x) {
  uint32_t bits;
  memcpy(&bits, &x, 4);
  return uint16_t((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
}

static inline const uint16_t* in(const at::Tensor& t) { return reinterpret_cast<const uint16_t*>(t.data_ptr()); }
static inline uint16_t* out(at::Tensor& t) { return reinterpret_cast<uint16_t*>(t.data_ptr()); }
