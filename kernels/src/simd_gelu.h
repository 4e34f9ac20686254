// GELU, x * Phi(x), and CLIP's, x * sigmoid(1.702 x): from tables if a register holds 16 floats.
#pragma once
#include "simd.h"

namespace cpu2vec {
namespace {

#if CPU2VEC_VECTOR_BYTES == 64

// GELU is max(x, 0) - u * Phi(-u) with u = |x|. The second term is approximated by a parabola in each of 32 parts of
// [0, 4.4], a least-squares fit at Chebyshev nodes; u is in part k if 7.159 u rounds to k. Absolute error below 3e-5.
constexpr float kPartsPerUnit = 31.5f / 4.4f, kLastPart = 31.49f / kPartsPerUnit;
alignas(64) const float kSquare[32] = {
    0.398375154f, 0.390905112f, 0.368432879f, 0.333117634f, 0.287883967f, 0.236308113f, 0.182201549f, 0.129198268f,
    0.0804033056f, 0.038145259f, 0.00385424308f, -0.0219355598f, -0.0394785106f, -0.0496379547f, -0.0536721572f,
    -0.0530211776f, -0.049122531f, -0.0432728417f, -0.0365418494f, -0.0297357868f, -0.0234009419f, -0.0178550109f,
    -0.0132336654f, -0.00954154879f, -0.00669984566f, -0.00458571827f, -0.00306169875f, -0.00199521659f,
    -0.001269717f, -0.000789398036f, -0.000479637558f, -0.000284899957f};
alignas(64) const float kLinear[32] = {
    -0.499980211f, -0.498610169f, -0.488907754f, -0.464008093f, -0.419612318f, -0.354683638f, -0.271535337f,
    -0.17534478f, -0.073220402f, 0.0269744899f, 0.117810786f, 0.193287611f, 0.249486715f, 0.284825474f, 0.299929768f,
    0.297212303f, 0.280278325f, 0.253286183f, 0.220370367f, 0.185199887f, 0.150703669f, 0.118960254f, 0.0912221149f,
    0.0680328831f, 0.0493930541f, 0.0349364579f, 0.0240902584f, 0.016202962f, 0.010635172f, 0.00681507587f,
    0.00426509883f, 0.00260769646f};
alignas(64) const float kConstant[32] = {
    -8.64225953e-08f, -6.23680389e-05f, -0.00111781678f, -0.00552070606f, -0.016432222f, -0.0368876904f,
    -0.0688541606f, -0.112517387f, -0.16597186f, -0.225380033f, -0.28554967f, -0.340782791f, -0.385798246f,
    -0.416532636f, -0.430671394f, -0.42783767f, -0.409447879f, -0.378308147f, -0.338064343f, -0.292625487f,
    -0.245660916f, -0.200235993f, -0.158611819f, -0.122198947f, -0.0916313455f, -0.0669166222f, -0.0476183593f,
    -0.0330350846f, -0.0223524068f, -0.014756673f, -0.00950863957f, -0.00598204648f};

INLINE Floats at(const float (&table)[32], Ints part) {
  return (Floats)_mm512_permutex2var_ps(_mm512_load_ps(table), (__m512i)part, _mm512_load_ps(table + 16));
}

INLINE Floats gelu(Floats x) {
  const Floats u = min(splat(kLastPart), as_floats(magnitude(x)));
  const Ints part = as_ints(fma(u, splat(kPartsPerUnit), splat(kRounder)));  // the part is in the lowest five bits
  const Floats parabola = fma(fma(at(kSquare, part), u, at(kLinear, part)), u, at(kConstant, part));
  return max(splat(0), x) + parabola;
}

// CLIP's GELU is max(x, 0) - u * sigmoid(-1.702 u) in the same way, with a cubic in each of 32 parts of [0, 7.3]. Absolute
// error below 3e-5.
constexpr float kQuickPartsPerUnit = 31.5f / 7.3f, kQuickLastPart = 31.49f / kQuickPartsPerUnit;
alignas(64) const float kQuickCube[32] = {
    -0.0236456338f, -0.0875288025f, -0.139600396f, -0.145438761f, -0.118868232f, -0.0810332298f, -0.0467955954f,
    -0.021988282f, -0.00657596393f, 0.00175456365f, 0.00551363593f, 0.00664191414f, 0.0064193611f, 0.00560792675f,
    0.00462389365f, 0.00367367989f, 0.00284493924f, 0.00216251402f, 0.00162079313f, 0.00120148226f,
    0.000882822264f, 0.00064399722f, 0.000466944388f, 0.000336831057f, 0.000241899208f, 0.000173053035f,
    0.000123380625f, 8.7700646e-05f, 6.21705258e-05f, 4.39651631e-05f, 3.10223404e-05f, 2.18457917e-05f};
alignas(64) const float kQuickSquare[32] = {
    0.427206695f, 0.453428149f, 0.505207837f, 0.513048947f, 0.447226226f, 0.328744859f, 0.198259965f,
    0.0867039412f, 0.00679617422f, -0.0421206914f, -0.0667598397f, -0.0748942271f, -0.0730664581f, -0.0659967065f,
    -0.0567586422f, -0.0471846499f, -0.0382616855f, -0.0304412805f, -0.0238575563f, -0.0184704829f,
    -0.0141552426f, -0.0107552316f, -0.00811163336f, -0.00607848959f, -0.00452912413f, -0.00335765397f,
    -0.00247791852f, -0.00182120129f, -0.00133355556f, -0.00097316457f, -0.000707953819f, -0.000513539009f};
alignas(64) const float kQuickLinear[32] = {
    -0.500039458f, -0.503840744f, -0.521309495f, -0.524560153f, -0.470052063f, -0.346126854f, -0.180134505f,
    -0.0127531234f, 0.125445053f, 0.221244484f, 0.275100291f, 0.294653594f, 0.289652199f, 0.269114882f,
    0.240199491f, 0.208038509f, 0.176008746f, 0.146130979f, 0.119455926f, 0.0963830873f, 0.0769022182f,
    0.0607659779f, 0.0476075001f, 0.0370167121f, 0.0285871066f, 0.0219421629f, 0.0167482439f, 0.0127188805f,
    0.00961390324f, 0.0072356984f, 0.00542413909f, 0.00405111676f};
alignas(64) const float kQuickConstant[32] = {
    1.42740376e-07f, 0.00018964005f, 0.00219139527f, 0.00257722172f, -0.0125093767f, -0.055802118f, -0.126285985f,
    -0.210082531f, -0.289810687f, -0.352383941f, -0.391639799f, -0.407311171f, -0.402751237f, -0.382859617f,
    -0.35268411f, -0.316665262f, -0.278334111f, -0.240279049f, -0.204248041f, -0.171303719f, -0.141985476f,
    -0.116455764f, -0.0946217477f, -0.0762308538f, -0.0609421022f, -0.0483771749f, -0.0381549671f, -0.0299136098f,
    -0.0233231597f, -0.0180916693f, -0.013966769f, -0.0107343812f};

INLINE Floats quick_gelu(Floats x) {
  const Floats u = min(splat(kQuickLastPart), as_floats(magnitude(x)));
  const Ints part = as_ints(fma(u, splat(kQuickPartsPerUnit), splat(kRounder)));
  Floats cubic = fma(at(kQuickCube, part), u, at(kQuickSquare, part));
  cubic = fma(fma(cubic, u, at(kQuickLinear, part)), u, at(kQuickConstant, part));
  return max(splat(0), x) + cubic;
}

#else

// Phi is approximated by an odd polynomial of x, clipped to 4.4 and fitted with weights x. Absolute error below 5e-5.
INLINE Floats gelu(Floats x) {
  const Floats t = min(max(x, splat(-4.4f)), splat(4.4f)), u = t * t;
  Floats p = splat(7.14473411e-11f);
  p = fma(p, u, splat(-7.51284102e-09f));
  p = fma(p, u, splat(3.48327802e-07f));
  p = fma(p, u, splat(-9.45256033e-06f));
  p = fma(p, u, splat(0.000168615035f));
  p = fma(p, u, splat(-0.00211015693f));
  p = fma(p, u, splat(0.0192866139f));
  p = fma(p, u, splat(-0.13215372f));
  p = fma(p, u, splat(0.797523677f));
  const Floats erf = min(max(p * t, splat(-1.0f)), splat(1.0f)), half = x * splat(0.5f);
  return fma(half, erf, half);
}

#endif

}  // namespace
}  // namespace cpu2vec
