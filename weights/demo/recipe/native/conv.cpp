// Causal depthwise convolution of four taps with SiLU, forward and backward, on bfloat16 rows [tokens, channels].
// `place` is a token's index in its document: tap j is read only where place >= j, so documents do not mix.
#include <torch/extension.h>
#include <cmath>
#include "bfloat16.h"

// x [N, C], w [4, C] with w[j] for the token j back; returns {pre-activation, silu}
std::vector<at::Tensor> forward(at::Tensor x, at::Tensor w, at::Tensor place) {
  int64_t n = x.size(0), c = x.size(1);
  auto pre = at::empty_like(x), y = at::empty_like(x);
  const uint16_t* px = in(x);
  const float* pw = w.data_ptr<float>();
  const int64_t* pp = place.data_ptr<int64_t>();
  std::vector<float> zero(c, 0.f);
  for (int64_t i = 0; i < n; i++) {
    int64_t taps = std::min<int64_t>(pp[i], 3);
    uint16_t* a = out(pre) + i * c;
    uint16_t* b = out(y) + i * c;
    const uint16_t* r[4];
    float keep[4];
    for (int64_t j = 0; j < 4; j++) {
      r[j] = px + (j <= taps ? i - j : i) * c;
      keep[j] = j <= taps ? 1.f : 0.f;
    }
    for (int64_t k = 0; k < c; k++) {
      float s = widen(r[0][k]) * pw[k] + keep[1] * widen(r[1][k]) * pw[c + k] +
                keep[2] * widen(r[2][k]) * pw[2 * c + k] + keep[3] * widen(r[3][k]) * pw[3 * c + k];
      a[k] = narrow(s);
      b[k] = narrow(s / (1.f + expf(-s)));
    }
  }
  return {pre, y};
}

// returns {grad of x, grad of w}
std::vector<at::Tensor> backward(at::Tensor grad, at::Tensor pre, at::Tensor x, at::Tensor w, at::Tensor place) {
  int64_t n = x.size(0), c = x.size(1);
  auto dpre = at::empty({n, c}, at::kFloat);
  auto dx = at::empty_like(x), dw = at::zeros_like(w);
  float* d = dpre.data_ptr<float>();
  const float* pw = w.data_ptr<float>();
  float* pdw = dw.data_ptr<float>();
  const int64_t* pp = place.data_ptr<int64_t>();
  for (int64_t i = 0; i < n; i++) {
    const uint16_t* g = in(grad) + i * c;
    const uint16_t* a = in(pre) + i * c;
    float* row = d + i * c;
    for (int64_t k = 0; k < c; k++) {
      float s = widen(a[k]), sig = 1.f / (1.f + expf(-s));
      row[k] = widen(g[k]) * sig * (1.f + s * (1.f - sig));
    }
    int64_t taps = std::min<int64_t>(pp[i], 3);
    for (int64_t j = 0; j <= taps; j++) {
      const uint16_t* r = in(x) + (i - j) * c;
      float* to = pdw + j * c;
      for (int64_t k = 0; k < c; k++) to[k] += row[k] * widen(r[k]);
    }
  }
  for (int64_t i = 0; i < n; i++) {
    const float* r[4];
    float keep[4];
    for (int64_t j = 0; j < 4; j++) {
      bool reads = i + j < n && pp[i + j] >= j;
      r[j] = d + (reads ? i + j : i) * c;
      keep[j] = reads ? 1.f : 0.f;
    }
    uint16_t* to = out(dx) + i * c;
    for (int64_t k = 0; k < c; k++)
      to[k] = narrow(r[0][k] * pw[k] + keep[1] * r[1][k] * pw[c + k] + keep[2] * r[2][k] * pw[2 * c + k] +
                     keep[3] * r[3][k] * pw[3 * c + k]);
  }
  return {dx, dw};
}

PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) {
  m.def("forward", &forward);
  m.def("backward", &backward);
}
