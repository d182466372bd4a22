/* The inner loops of the statistics and of the fingerprint: counterparts of the
 * NumPy functions of the same names in numpy_loops.py, where they are documented.
 *
 * Only AVX2 makes them faster than NumPy. Without it staticmask_runs_here() returns
 * 0, and nothing else may be called. All float32 results must equal NumPy's to the
 * last bit: compile with -ffp-contract=off and without -ffast-math. Sums in double
 * are associated differently; clipping.py explains why no result depends on it.
 *
 * Plain functions on plain arrays, without Python's API: one library serves all
 * versions of Python. Increase the version, here and in c_loops.py, whenever a
 * function changes its arguments or its meaning.
 */

#include <stdint.h>

int32_t staticmask_version(void) { return 1; }

#if defined(__x86_64__) && defined(__GNUC__)

#include <immintrin.h>

#define AVX2 __attribute__((target("avx2")))

int32_t staticmask_runs_here(void) { return __builtin_cpu_supports("avx2") != 0; }

/* Arrays may start anywhere. */
typedef uint64_t unaligned_word __attribute__((aligned(1)));
typedef float unaligned_pixel __attribute__((aligned(1)));

static inline uint64_t mixed(uint64_t lane, uint64_t word) {
    uint64_t product = (lane + word) * UINT64_C(0x9E3779B97F4A7C15);
    return product ^ (product >> 32);
}

AVX2 void staticmask_mix(const unaligned_word *words, int64_t n_rows, int64_t n_lanes, uint64_t *lanes) {
    int64_t row = 0;
    for (; row + 4 <= n_rows; row += 4, words += 4 * n_lanes) /* four, to store lanes less often */
        for (int64_t i = 0; i < n_lanes; i++) {
            const unaligned_word *word = words + i;
            uint64_t lane = mixed(mixed(lanes[i], word[0]), word[n_lanes]);
            lanes[i] = mixed(mixed(lane, word[2 * n_lanes]), word[3 * n_lanes]);
        }
    for (; row < n_rows; row++, words += n_lanes)
        for (int64_t i = 0; i < n_lanes; i++)
            lanes[i] = mixed(lanes[i], words[i]);
}

/* Pixels that are summed without compensation; `tails` has room for one row too many. */
#define ROW 1024

/* A sum in double whose rounding errors are summed as well (Knuth's two-sum). */
typedef struct {
    double sum, errors;
} compensated;

static void add(compensated *total, double term) {
    double sum = total->sum + term, added = sum - total->sum;
    total->errors += (total->sum - (sum - added)) + (term - added);
    total->sum = sum;
}

AVX2 static inline __m256d left_half(__m256 x) {
    return _mm256_cvtps_pd(_mm256_castps256_ps128(x));
}

AVX2 static inline __m256d right_half(__m256 x) {
    return _mm256_cvtps_pd(_mm256_extractf128_ps(x, 1));
}

AVX2 static inline double sum_of(__m256d x) {
    double part[4];
    _mm256_storeu_pd(part, x);
    return (part[0] + part[1]) + (part[2] + part[3]);
}

/* A NaN becomes `low`, so that all bins are within the table. */
AVX2 static inline __m256 clipped(__m256 x, __m256 low, __m256 high) {
    return _mm256_min_ps(_mm256_max_ps(x, low), high);
}

static inline float clipped_one(float x, float low, float high) {
    return x > low ? (x < high ? x : high) : low;
}

AVX2 int64_t staticmask_split(const unaligned_pixel *pixels, int64_t n, float low, float high, float *tails,
                              int64_t longest, double *sums) {
    const __m256 lows = _mm256_set1_ps(low), highs = _mm256_set1_ps(high);
    compensated total = {0, 0}, squares = {0, 0};
    int64_t n_tails = 0;
    for (int64_t start = 0; start < n; start += ROW) {
        const unaligned_pixel *row = pixels + start;
        int64_t size = n - start < ROW ? n - start : ROW, i = 0;
        __m256d left_sum = _mm256_setzero_pd(), right_sum = left_sum;
        __m256d left_squares = left_sum, right_squares = left_sum;
        for (; i + 8 <= size; i += 8) {
            __m256 x = _mm256_loadu_ps(row + i), inside = clipped(x, lows, highs);
            /* Unordered: a NaN is outside. */
            int outside = _mm256_movemask_ps(_mm256_cmp_ps(x, inside, _CMP_NEQ_UQ));
            for (; outside; outside &= outside - 1)
                tails[n_tails++] = row[i + __builtin_ctz(outside)];
            __m256d left = left_half(inside), right = right_half(inside);
            left_sum = _mm256_add_pd(left_sum, left);
            right_sum = _mm256_add_pd(right_sum, right);
            left_squares = _mm256_add_pd(left_squares, _mm256_mul_pd(left, left));
            right_squares = _mm256_add_pd(right_squares, _mm256_mul_pd(right, right));
        }
        double row_sum = sum_of(_mm256_add_pd(left_sum, right_sum));
        double row_squares = sum_of(_mm256_add_pd(left_squares, right_squares));
        for (; i < size; i++) {
            double inside = clipped_one(row[i], low, high);
            if (!(row[i] >= low && row[i] <= high))
                tails[n_tails++] = row[i];
            row_sum += inside;
            row_squares += inside * inside;
        }
        if (n_tails > longest)
            return -1;
        add(&total, row_sum);
        add(&squares, row_squares);
    }
    sums[0] = total.sum + total.errors;
    sums[1] = squares.sum + squares.errors;
    return n_tails;
}

AVX2 double staticmask_squares_and_counts(const unaligned_pixel *pixels, int64_t n, float low, float high,
                                          float mean, float origin, float scale, int64_t n_bins,
                                          uint32_t *pairs, int64_t *counts) {
    const __m256 lows = _mm256_set1_ps(low), highs = _mm256_set1_ps(high);
    const __m256 means = _mm256_set1_ps(mean), origins = _mm256_set1_ps(origin);
    const __m256 scales = _mm256_set1_ps(scale);
    const __m256i pair = _mm256_set1_epi32((int32_t)n_bins << 16 | 1);
    const int64_t n_pairs = n_bins * n_bins;
    uint32_t *more_pairs = pairs + n_pairs; /* incrementing one cell twice in a row is slow */
    compensated total = {0, 0};
    for (int64_t start = 0; start < n; start += ROW) {
        const unaligned_pixel *row = pixels + start;
        int64_t size = n - start < ROW ? n - start : ROW, i = 0;
        __m256d left_sum = _mm256_setzero_pd(), right_sum = left_sum;
        for (; i + 16 <= size; i += 16) {
            __m256i bins[2];
            for (int half = 0; half < 2; half++) {
                __m256 x = clipped(_mm256_loadu_ps(row + i + 8 * half), lows, highs);
                __m256 difference = _mm256_sub_ps(x, means);
                __m256 square = _mm256_mul_ps(difference, difference);
                left_sum = _mm256_add_pd(left_sum, left_half(square));
                right_sum = _mm256_add_pd(right_sum, right_half(square));
                __m256 place = _mm256_mul_ps(scales, _mm256_sub_ps(x, origins));
                bins[half] = _mm256_cvttps_epi32(place);
            }
            /* Two bins, of whichever pixels, are counted as one pair: first + n_bins * second. */
            __m256i packed = _mm256_packs_epi32(bins[0], bins[1]);
            uint32_t numbers[8];
            _mm256_storeu_si256((__m256i *)numbers, _mm256_madd_epi16(packed, pair));
            for (int k = 0; k < 8; k += 2) {
                pairs[numbers[k]]++;
                more_pairs[numbers[k + 1]]++;
            }
        }
        double row_sum = sum_of(_mm256_add_pd(left_sum, right_sum));
        for (; i < size; i++) {
            float x = clipped_one(row[i], low, high), difference = x - mean;
            float square = difference * difference;
            row_sum += square;
            counts[(int32_t)(scale * (x - origin))]++;
        }
        add(&total, row_sum);
    }
    for (int64_t k = 0; k < n_pairs; k++) {
        int64_t count = (int64_t)pairs[k] + more_pairs[k];
        counts[k % n_bins] += count;
        counts[k / n_bins] += count;
    }
    return total.sum + total.errors;
}

#else

int32_t staticmask_runs_here(void) { return 0; }

#endif
