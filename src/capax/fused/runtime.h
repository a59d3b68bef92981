// What every fused kernel shares: vectors, elementary functions, and small matrix products that stay in cache.
// TILE (samples in a tile) is defined by the kernel.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>

#if defined(__AVX512F__)
#define LANES_16 1
constexpr int LANES = 16, REGISTERS = 24;
#elif defined(__AVX__)
constexpr int LANES = 8, REGISTERS = 12;
#else
constexpr int LANES = 4, REGISTERS = 24;
#endif
constexpr int VECTORS = TILE / LANES;
constexpr int ROWS = REGISTERS / VECTORS > 0 ? REGISTERS / VECTORS : 1;  // rows of a matrix product done together

typedef float V __attribute__((vector_size(LANES * 4), aligned(LANES * 4)));
typedef int32_t I __attribute__((vector_size(LANES * 4), aligned(LANES * 4)));

// Memory that XLA gives is not always aligned to a whole vector.
typedef float LooseV __attribute__((vector_size(LANES * 4), aligned(4), may_alias));
typedef int32_t LooseI __attribute__((vector_size(LANES * 4), aligned(4), may_alias));
static inline V load(const float* p) { return *(const LooseV*)p; }
static inline I load(const int32_t* p) { return *(const LooseI*)p; }
static inline void store(float* p, V x) { *(LooseV*)p = x; }
static inline void store(int32_t* p, I x) { *(LooseI*)p = x; }
static inline V splat(float x) { return x - V{}; }  // x - 0 is x to the bit, so the subtraction is left out
static inline I splat(int32_t x) { return x - I{}; }
static inline float sum(V x) {
  float total = 0;
  for (int i = 0; i < LANES; i++) total += x[i];
  return total;
}

// A logical value is 0 or -1, for vectors and for single numbers, so that the same operators serve both.
static inline V choose(I mask, V yes, V no) { return mask ? yes : no; }
static inline I choose(I mask, I yes, I no) { return mask ? yes : no; }
static inline float choose(int32_t mask, float yes, float no) { return mask ? yes : no; }
static inline int32_t choose(int32_t mask, int32_t yes, int32_t no) { return mask ? yes : no; }
#define COMPARE(name, op)                                            \
  static inline I name(V a, V b) { return (I)(a op b); }             \
  static inline I name(I a, I b) { return (I)(a op b); }             \
  static inline int32_t name(float a, float b) { return -(a op b); } \
  static inline int32_t name(int32_t a, int32_t b) { return -(a op b); }
COMPARE(equal, ==)
COMPARE(unequal, !=)
COMPARE(less, <)
COMPARE(less_equal, <=)
COMPARE(greater, >)
COMPARE(greater_equal, >=)
static inline V number(I mask) { return mask ? splat(1.0f) : splat(0.0f); }
static inline float number(int32_t mask) { return mask ? 1.0f : 0.0f; }

// A NaN in either argument comes out, as in JAX.
template <class T> static inline T larger(T a, T b) { return choose(greater(a, b) | unequal(a, a), a, b); }
template <class T> static inline T smaller(T a, T b) { return choose(less(a, b) | unequal(a, a), a, b); }
static inline V absolute(V x) { return (V)((I)x & 0x7fffffff); }
static inline float absolute(float x) { return std::fabs(x); }
static inline V sign(V x) { return choose(greater(x, V{}), splat(1.f), choose(less(x, V{}), splat(-1.f), x)); }
static inline float sign(float x) { return x > 0 ? 1.f : x < 0 ? -1.f : x; }

// tanh: the rational function of degrees 13 and 6 that Eigen and XLA use; the argument is clamped where it is 1 to the bit.
#if defined(__AVX512F__)
static inline V quotient(V a, V b) {  // 14 bits from a table, doubled by one correction; b finite, not 0
  const V r = (V)__builtin_ia32_rcp14ps512_mask(b, b, (unsigned short)-1);
  const V q = a * r;
  return q + r * (a - b * q);
}
#else
static inline V quotient(V a, V b) { return a / b; }
#endif
static inline float quotient(float a, float b) { return a / b; }
template <class T> static inline T tanh_(T x, T limit) {
  T y = x > limit ? limit : x;
  y = y < -limit ? -limit : y;
  T s = y * y;
  T p = s * -2.76076847742355e-16f + 2.00018790482477e-13f;
  p = p * s + -8.60467152213735e-11f;
  p = p * s + 5.12229709037114e-08f;
  p = p * s + 1.48572235717979e-05f;
  p = p * s + 6.37261928875436e-04f;
  p = p * s + 4.89352455891786e-03f;
  p = p * y;
  T q = s * 1.19825839466702e-06f + 1.18534705686654e-04f;
  q = q * s + 2.26843463243900e-03f;
  q = q * s + 4.89352518554385e-03f;
  return quotient(p, q);
}
#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
constexpr float TANH_LIMIT = 7.99881172180175781f;
#else
constexpr float TANH_LIMIT = 7.90531110763549805f;
#endif
static inline V hyperbolic_tangent(V x) { return tanh_(x, splat(TANH_LIMIT)); }
static inline float hyperbolic_tangent(float x) { return tanh_(x, TANH_LIMIT); }

// exp: 2^n times a polynomial of degree 6 on [-ln2/2, ln2/2]; below -87.3 it is 0, above 88.7 infinite.
static inline V exponential(V x) {
  V n = x * 1.44269504088896341f + 12582912.0f;
  n = n - 12582912.0f;
  V r = x - n * 0.693359375f;
  r = r - n * -2.12194440e-4f;
  V p = r * 1.9875691500e-4f + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  V y = (V)((I)p + (__builtin_convertvector(n, I) << 23));
  y = choose(less(x, splat(-87.3f)), splat(0.0f), y);
  y = choose(greater(x, splat(88.7f)), splat(std::numeric_limits<float>::infinity()), y);
  return choose(unequal(x, x), x, y);
}
static inline float exponential(float x) { return std::exp(x); }

// Rare functions go through the C library, number by number.
#define BY_NUMBER(name, expression)                             \
  static inline float name(float x) { return expression; }      \
  static inline V name(V v) {                                   \
    V y;                                                        \
    for (int i = 0; i < LANES; i++) y[i] = name((float)v[i]);   \
    return y;                                                   \
  }
BY_NUMBER(logarithm, std::log(x))
// log1p on [0, 1], where soft plus has it, is 2 artanh(x / (2 + x)): a series in the square of at most 1/9.
static inline float logarithm_1p(float x) { return std::log1p(x); }
static inline V logarithm_1p(V x) {
  const I outside = ~(greater_equal(x, V{}) & less_equal(x, splat(1.0f)));
  V z = x / (x + 2.0f), s = z * z;
  V p = s * (1.0f / 17) + 1.0f / 15;
  p = p * s + 1.0f / 13;
  p = p * s + 1.0f / 11;
  p = p * s + 1.0f / 9;
  p = p * s + 1.0f / 7;
  p = p * s + 1.0f / 5;
  p = p * s + 1.0f / 3;
  V y = 2.0f * (z + z * s * p);
  for (int i = 0; i < LANES; i++)
    if (__builtin_expect(outside[i], 0)) y[i] = std::log1p(x[i]);
  return y;
}
BY_NUMBER(exponential_m1, std::expm1(x))
BY_NUMBER(square_root, std::sqrt(x))
BY_NUMBER(inverse_root, 1.0f / std::sqrt(x))
BY_NUMBER(sine, std::sin(x))
BY_NUMBER(cosine, std::cos(x))
BY_NUMBER(error_function, std::erf(x))
BY_NUMBER(round_down, std::floor(x))
static inline V logistic(V x) { return splat(1.0f) / (splat(1.0f) + exponential(-x)); }
static inline float logistic(float x) { return 1.0f / (1.0f + std::exp(-x)); }
template <class T> static inline T power(T x, int n) {
  if (n < 0) return (x * 0.0f + 1.0f) / power(x, -n);
  T y = x * 0.0f + 1.0f;
  for (int i = 0; i < n; i++) y = y * x;
  return y;
}

// out[m, :] = sum_k w[m, k] x[k, :] for a tile of samples; `begin` (or null) is added.
template <int R>
static inline void product_rows(int inner, const float* w, long wm, long wk, const float* x, long xk, const float* begin,
                                long bm, float* out, long om) {
  V total[R][VECTORS];
#pragma GCC unroll 32
  for (int r = 0; r < R; r++)
#pragma GCC unroll 32
    for (int v = 0; v < VECTORS; v++) total[r][v] = begin ? load(begin + r * bm + v * LANES) : V{};
  for (int k = 0; k < inner; k++) {
    V row[VECTORS];
#pragma GCC unroll 32
    for (int v = 0; v < VECTORS; v++) row[v] = load(x + k * xk + v * LANES);
#pragma GCC unroll 32
    for (int r = 0; r < R; r++) {
      V weight = splat(w[r * wm + k * wk]);
#pragma GCC unroll 32
      for (int v = 0; v < VECTORS; v++) total[r][v] += weight * row[v];
    }
  }
#pragma GCC unroll 32
  for (int r = 0; r < R; r++)
#pragma GCC unroll 32
    for (int v = 0; v < VECTORS; v++) store(out + r * om + v * LANES, total[r][v]);
}
template <int R>
static inline void product_rest(int rows, int inner, const float* w, long wm, long wk, const float* x, long xk,
                                const float* begin, long bm, float* out, long om) {
  if constexpr (R > 0) {
    if (rows == R)
      product_rows<R>(inner, w, wm, wk, x, xk, begin, bm, out, om);
    else
      product_rest<R - 1>(rows, inner, w, wm, wk, x, xk, begin, bm, out, om);
  }
}
static void product(int rows, int inner, const float* w, long wm, long wk, const float* x, long xk, const float* begin,
                    long bm, float* out, long om) {
  int m = 0;
  for (; m + ROWS <= rows; m += ROWS)
    product_rows<ROWS>(inner, w + m * wm, wm, wk, x, xk, begin ? begin + m * bm : nullptr, bm, out + m * om, om);
  product_rest<ROWS - 1>(rows - m, inner, w + m * wm, wm, wk, x, xk, begin ? begin + m * bm : nullptr, bm, out + m * om, om);
}

// A pair of operands of a sum over samples: a[m, :] and b[n, :].
struct Pair {
  const float *a, *b;
};

// total[m, n] += sum over pairs and samples of a[m, :] b[n, :]; every total keeps its lanes apart until `fold`.
template <int M, int N>
static inline void outer_patch(int pairs, const Pair* p, long m, long am, long n, long bn, float* total, int columns) {
  V t[M][N];
#pragma GCC unroll 32
  for (int i = 0; i < M; i++)
#pragma GCC unroll 32
    for (int j = 0; j < N; j++) t[i][j] = load(total + ((m + i) * columns + n + j) * LANES);
  for (int q = 0; q < pairs; q++) {
    const float *a = p[q].a + m * am, *b = p[q].b + n * bn;
#pragma GCC unroll 32
    for (int v = 0; v < VECTORS; v++) {
      V y[N];
#pragma GCC unroll 32
      for (int j = 0; j < N; j++) y[j] = load(b + j * bn + v * LANES);
#pragma GCC unroll 32
      for (int i = 0; i < M; i++) {
        V x = load(a + i * am + v * LANES);
#pragma GCC unroll 32
        for (int j = 0; j < N; j++) t[i][j] += x * y[j];
      }
    }
  }
#pragma GCC unroll 32
  for (int i = 0; i < M; i++)
#pragma GCC unroll 32
    for (int j = 0; j < N; j++) store(total + ((m + i) * columns + n + j) * LANES, t[i][j]);
}
template <int M>
static inline void outer_rows(int pairs, const Pair* p, long m, long am, long bn, float* total, int columns) {
  constexpr int N = LANES == 8 ? 3 : 4;
  int n = 0;
  for (; n + N <= columns; n += N) outer_patch<M, N>(pairs, p, m, am, n, bn, total, columns);
  if (n + 2 <= columns) outer_patch<M, 2>(pairs, p, m, am, n, bn, total, columns), n += 2;
  for (; n < columns; n++) outer_patch<M, 1>(pairs, p, m, am, n, bn, total, columns);
}
static void outer_lanes(int rows, int columns, int pairs, const Pair* p, long am, long bn, float* total) {
  constexpr int M = LANES == 8 ? 3 : 6;
  int m = 0;
  for (; m + M <= rows; m += M) outer_rows<M>(pairs, p, m, am, bn, total, columns);
  if (m + 4 <= rows && M > 4) outer_rows<4>(pairs, p, m, am, bn, total, columns), m += 4;
  if (m + 2 <= rows) outer_rows<2>(pairs, p, m, am, bn, total, columns), m += 2;
  for (; m < rows; m++) outer_rows<1>(pairs, p, m, am, bn, total, columns);
}
static void fold(int size, const float* total, float* out) {
  for (int i = 0; i < size; i++) out[i] = sum(load(total + (long)i * LANES));
}

// The same for wide b: b is transposed into `turned` (TILE x padded), totals have `padded` columns and no lanes.
template <int R>
static inline void outer_wide_patch(const float* a, long am, const float* turned, float* total, long padded, long n, int vectors) {
  constexpr int W = 3;
  V t[R][W];
  if (vectors >= W) {
#pragma GCC unroll 32
    for (int r = 0; r < R; r++)
#pragma GCC unroll 32
      for (int v = 0; v < W; v++) t[r][v] = load(total + r * padded + n + v * LANES);
    for (int c = 0; c < TILE; c++) {
      V y[W];
#pragma GCC unroll 32
      for (int v = 0; v < W; v++) y[v] = load(turned + c * padded + n + v * LANES);
#pragma GCC unroll 32
      for (int r = 0; r < R; r++) {
        V x = splat(a[r * am + c]);
#pragma GCC unroll 32
        for (int v = 0; v < W; v++) t[r][v] += x * y[v];
      }
    }
#pragma GCC unroll 32
    for (int r = 0; r < R; r++)
#pragma GCC unroll 32
      for (int v = 0; v < W; v++) store(total + r * padded + n + v * LANES, t[r][v]);
  } else {
    for (int v = 0; v < vectors; v++) {
      V s[R];
#pragma GCC unroll 32
      for (int r = 0; r < R; r++) s[r] = load(total + r * padded + n + v * LANES);
      for (int c = 0; c < TILE; c++) {
        V y = load(turned + c * padded + n + v * LANES);
#pragma GCC unroll 32
        for (int r = 0; r < R; r++) s[r] += splat(a[r * am + c]) * y;
      }
#pragma GCC unroll 32
      for (int r = 0; r < R; r++) store(total + r * padded + n + v * LANES, s[r]);
    }
  }
}
#if LANES_16 && defined(__GNUC__) && !defined(__clang__)
// A square of 16 by 16 numbers, turned by four rounds of exchanges.
static inline void turn(const float* from, long stride, float* to, long width) {
  V r[16];
#pragma GCC unroll 16
  for (int i = 0; i < 16; i++) r[i] = load(from + i * stride);
#pragma GCC unroll 4
  for (int s = 8; s > 0; s /= 2) {
    I low, high;
    for (int l = 0; l < 16; l++) low[l] = l & s ? 16 + l - s : l, high[l] = l & s ? 16 + l : l + s;
#pragma GCC unroll 16
    for (int i = 0; i < 16; i++)
      if (!(i & s)) {
        V a = r[i], b = r[i + s];
        r[i] = __builtin_shuffle(a, b, low);
        r[i + s] = __builtin_shuffle(a, b, high);
      }
  }
#pragma GCC unroll 16
  for (int i = 0; i < 16; i++) store(to + i * width, r[i]);
}
#else
static inline void turn(const float* from, long stride, float* to, long width) {
  for (int c = 0; c < LANES; c++)
    for (int j = 0; j < LANES; j++) to[c * width + j] = from[j * stride + c];
}
#endif
static void outer_wide(int rows, int columns, int pairs, const Pair* p, long am, long bn, float* total, float* turned) {
  constexpr int R = LANES == 8 ? 4 : 8;
  const long padded = (columns + LANES - 1) / LANES * LANES;
  for (int q = 0; q < pairs; q++) {
    int done = 0;
    for (; done + LANES <= columns; done += LANES)
      for (int c = 0; c < TILE; c += LANES) turn(p[q].b + done * bn + c, bn, turned + c * padded + done, padded);
    if (done < columns)
      for (int c = 0; c < TILE; c++)
        for (int j = 0; j < LANES; j++)
          turned[c * padded + done + j] = done + j < columns ? p[q].b[(done + j) * bn + c] : 0.0f;
    const int step = 3 * LANES;
    for (long n = 0; n < padded; n += step) {
      int vectors = (int)((padded - n) / LANES);
      int m = 0;
      for (; m + R <= rows; m += R) outer_wide_patch<R>(p[q].a + m * am, am, turned, total + m * padded, padded, n, vectors);
      for (; m + 2 <= rows; m += 2) outer_wide_patch<2>(p[q].a + m * am, am, turned, total + m * padded, padded, n, vectors);
      for (; m < rows; m++) outer_wide_patch<1>(p[q].a + m * am, am, turned, total + m * padded, padded, n, vectors);
    }
  }
}
static void unpad(int rows, int columns, const float* total, float* out) {
  const long padded = (columns + LANES - 1) / LANES * LANES;
  for (int m = 0; m < rows; m++) std::memcpy(out + (long)m * columns, total + m * padded, 4 * columns);
}

// to[c, r] = from[r, c].
static void transpose(long rows, long columns, const float* from, long stride, float* to, long width) {
  long r = 0;
  for (; r + LANES <= rows; r += LANES) {
    long c = 0;
    for (; c + LANES <= columns; c += LANES) turn(from + r * stride + c, stride, to + c * width + r, width);
    for (; c < columns; c++)
      for (long i = 0; i < LANES; i++) to[c * width + r + i] = from[(r + i) * stride + c];
  }
  for (; r < rows; r++)
    for (long c = 0; c < columns; c++) to[c * width + r] = from[r * stride + c];
}

// Tables of columns, chosen by symbols: `turned` has a line of `width` numbers for each symbol of each stream, `part` lines a stream.
// lines[c, :] = sum over streams of the line of sample c's symbol.
template <int STREAMS>
static void look_up(const int32_t* symbols, long batch, long part, const float* turned, long width, float* lines) {
  for (int c = 0; c < TILE; c++) {
    const float* chosen[STREAMS];
#pragma GCC unroll 16
    for (int j = 0; j < STREAMS; j++) chosen[j] = turned + (j * part + symbols[j * batch + c]) * width;
    for (long r = 0; r < width; r += LANES) {
      V total = load(chosen[0] + r);
#pragma GCC unroll 16
      for (int j = 1; j < STREAMS; j++) total += load(chosen[j] + r);
      store(lines + c * width + r, total);
    }
  }
}
// The same backward: each line is added to those of its symbols.
template <int STREAMS>
static void look_back(const int32_t* symbols, long batch, long part, float* turned, long width, const float* lines) {
  for (int c = 0; c < TILE; c++)
    for (int j = 0; j < STREAMS; j++) {
      float* const add = turned + (j * part + symbols[j * batch + c]) * width;
      for (long r = 0; r < width; r += LANES) store(add + r, load(add + r) + load(lines + c * width + r));
    }
}

// Scratch memory of a thread, kept between calls.
struct Scratch {
  float* memory = nullptr;
  float* get(size_t floats) {
    if (!memory) memory = (float*)std::aligned_alloc(64, (floats * 4 + 63) / 64 * 64);
    return memory;
  }
  ~Scratch() { std::free(memory); }
};
