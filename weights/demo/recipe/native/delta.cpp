// The gated delta rule token by token, forward and backward, float32 inside; the state of one head stays in L1.
//   S <- a S;  m = S^T k;  d = beta (v - m);  S <- S + k d^T;  o = S^T q        (a = exp(log-decay))
// q, k [B, T, Hk, D] and v, o [B, T, Hv, D] are bfloat16; log-decay and beta [B, T, Hv] are float32.
#include <torch/extension.h>
#include <cmath>
#include "bfloat16.h"

constexpr int D = 64, STRIDE = 32;  // head size; tokens between two kept states
using Row = float[D];
#define APART __restrict__  // the arrays of one call never overlap

struct Shape {
  int64_t batch, tokens, keys, values;
  int64_t key(int64_t b, int64_t t, int64_t h) const { return ((b * tokens + t) * keys + h / (values / keys)) * D; }
  int64_t value(int64_t b, int64_t t, int64_t h) const { return ((b * tokens + t) * values + h) * D; }
  int64_t gate(int64_t b, int64_t t, int64_t h) const { return (b * tokens + t) * values + h; }
  int64_t kept(int64_t b, int64_t h, int64_t t) const {
    return ((b * values + h) * ((tokens + STRIDE - 1) / STRIDE) + t / STRIDE) * D * D;
  }
};

static void read(const uint16_t* from, float* to) {
  for (int i = 0; i < D; i++) to[i] = widen(from[i]);
}

// S_{t-1} -> S_t; leaves d and m in place
static void advance(Row* APART s, const float* APART k, const float* APART v, float a, float beta, float* APART m,
                    float* APART d) {
  alignas(64) float sum[D] = {};
  for (int i = 0; i < D; i++)
    for (int j = 0; j < D; j++) sum[j] += k[i] * s[i][j];
  for (int j = 0; j < D; j++) m[j] = a * sum[j], d[j] = beta * (v[j] - m[j]);
  for (int i = 0; i < D; i++)
    for (int j = 0; j < D; j++) s[i][j] = a * s[i][j] + k[i] * d[j];
}

// o = S^T q
static void apply(const Row* APART s, const float* APART q, uint16_t* APART to) {
  alignas(64) float sum[D] = {};
  for (int i = 0; i < D; i++)
    for (int j = 0; j < D; j++) sum[j] += q[i] * s[i][j];
  for (int j = 0; j < D; j++) to[j] = narrow(sum[j]);
}

std::vector<at::Tensor> forward(at::Tensor q, at::Tensor k, at::Tensor v, at::Tensor decay, at::Tensor beta) {
  Shape at_{q.size(0), q.size(1), q.size(2), v.size(2)};
  auto o = at::empty_like(v);
  auto kept = at::empty({at_.kept(at_.batch - 1, at_.values - 1, at_.tokens - 1) + D * D}, at::kFloat);
  alignas(64) float s[D][D], qf[D], kf[D], vf[D], m[D], d[D];
  for (int64_t b = 0; b < at_.batch; b++)
    for (int64_t h = 0; h < at_.values; h++) {
      memset(s, 0, sizeof s);
      for (int64_t t = 0; t < at_.tokens; t++) {
        if (t % STRIDE == 0) memcpy(kept.data_ptr<float>() + at_.kept(b, h, t), s, sizeof s);
        read(in(q) + at_.key(b, t, h), qf), read(in(k) + at_.key(b, t, h), kf), read(in(v) + at_.value(b, t, h), vf);
        int64_t g = at_.gate(b, t, h);
        advance(s, kf, vf, expf(decay.data_ptr<float>()[g]), beta.data_ptr<float>()[g], m, d);
        apply(s, qf, out(o) + at_.value(b, t, h));
      }
    }
  return {o, kept};
}

// One token back: ds is the gradient of S_t on entry and of S_{t-1} on return. Returns the gradient of log a.
static float retreat(Row* APART ds, const Row* APART now, const Row* APART before, const float* APART q, const float* APART k,
                     const float* APART v, const float* APART m, const float* APART d, const float* APART go, float a, float beta,
                     float* APART dq, float* APART dk, float* APART dv, float* APART dbeta) {
  alignas(64) float dd[D] = {}, dm[D], da[D] = {};
  for (int i = 0; i < D; i++) {
    float read = 0, own = 0;
    for (int j = 0; j < D; j++) {
      float x = ds[i][j] + q[i] * go[j];
      ds[i][j] = x;
      dd[j] += k[i] * x;
      own += x * d[j];
      read += now[i][j] * go[j];
    }
    dq[i] += read;
    dk[i] += own;
  }
  float sum = 0;
  for (int j = 0; j < D; j++) sum += dd[j] * (v[j] - m[j]), dv[j] = beta * dd[j], dm[j] = -dv[j];
  *dbeta = sum;
  for (int i = 0; i < D; i++) {
    float part = 0;
    for (int j = 0; j < D; j++) {
      float x = ds[i][j] + k[i] * dm[j];
      da[j] += x * before[i][j];
      part += before[i][j] * dm[j];
      ds[i][j] = a * x;
    }
    dk[i] += a * part;
  }
  float all = 0;
  for (int j = 0; j < D; j++) all += da[j];
  return a * all;
}

std::vector<at::Tensor> backward(at::Tensor go, at::Tensor q, at::Tensor k, at::Tensor v, at::Tensor decay, at::Tensor beta,
                                 at::Tensor kept) {
  Shape at_{q.size(0), q.size(1), q.size(2), v.size(2)};
  auto dq = at::zeros(q.sizes(), at::kFloat), dk = at::zeros(k.sizes(), at::kFloat), dv = at::empty(v.sizes(), at::kFloat);
  auto ddecay = at::empty_like(decay), dbeta = at::empty_like(beta);
  std::vector<float> buffer((STRIDE + 2) * D * D + 5 * STRIDE * D);
  Row* states = reinterpret_cast<Row*>(buffer.data());  // S before and after each token of a stretch
  Row* ds = states + (STRIDE + 1) * D;
  Row *qf = ds + D, *kf = qf + STRIDE, *vf = kf + STRIDE, *m = vf + STRIDE, *d = m + STRIDE;
  float g[D];
  for (int64_t b = 0; b < at_.batch; b++)
    for (int64_t h = 0; h < at_.values; h++) {
      memset(ds, 0, sizeof(float) * D * D);
      for (int64_t start = (at_.tokens - 1) / STRIDE * STRIDE; start >= 0; start -= STRIDE) {
        int count = std::min<int64_t>(STRIDE, at_.tokens - start);
        memcpy(states, kept.data_ptr<float>() + at_.kept(b, h, start), sizeof(float) * D * D);
        for (int i = 0; i < count; i++) {
          int64_t t = start + i, at = at_.gate(b, t, h);
          read(in(q) + at_.key(b, t, h), qf[i]), read(in(k) + at_.key(b, t, h), kf[i]), read(in(v) + at_.value(b, t, h), vf[i]);
          memcpy(states + (i + 1) * D, states + i * D, sizeof(float) * D * D);
          float a = expf(decay.data_ptr<float>()[at]);
          advance(states + (i + 1) * D, kf[i], vf[i], a, beta.data_ptr<float>()[at], m[i], d[i]);
        }
        for (int i = count - 1; i >= 0; i--) {
          int64_t t = start + i, at = at_.gate(b, t, h);
          read(in(go) + at_.value(b, t, h), g);
          ddecay.data_ptr<float>()[at] = retreat(
              ds, states + (i + 1) * D, states + i * D, qf[i], kf[i], vf[i], m[i], d[i], g, expf(decay.data_ptr<float>()[at]),
              beta.data_ptr<float>()[at], dq.data_ptr<float>() + at_.key(b, t, h), dk.data_ptr<float>() + at_.key(b, t, h),
              dv.data_ptr<float>() + at_.value(b, t, h), dbeta.data_ptr<float>() + at);
        }
      }
    }
  return {dq, dk, dv, ddecay, dbeta};
}

PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) {
  m.def("forward", &forward);
  m.def("backward", &backward);
}
