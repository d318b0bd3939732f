// The typed operators: a line each, its static type after the schema that libtorch reports (a test holds the two
// together). Adding one takes no C++. Tensor methods and the layers in lib/nn are built on these.
import type { Device, DType } from "../dtype.js";
import type { Generator } from "../lifetime/handle.js";
import type { Tensor } from "../tensor.js";
import { type Operand, op } from "./operator.js";

type Unary = (self: Tensor) => Tensor;
type Binary = (self: Tensor, other: Operand) => Tensor;
type Make = { dtype?: DType; device?: Device };
type Random = Make & { generator?: Generator };

// Arithmetic. A number beside a tensor takes the tensor's dtype.
/** `self + alpha * other`, broadcast; alpha is 1 where left out. dtypes promote as in PyTorch. */
export const add =
  op<(self: Tensor, other: Operand, options?: { alpha?: number }) => Tensor>("aten::add.Tensor");
/** `self - alpha * other`, broadcast; alpha is 1 where left out. Throws for bool tensors. */
export const sub =
  op<(self: Tensor, other: Operand, options?: { alpha?: number }) => Tensor>("aten::sub.Tensor");
/** `self * other`, element by element, broadcast. */
export const mul = op<Binary>("aten::mul.Tensor");
/** `self / other`, broadcast; integers give float32. */
export const div = op<Binary>("aten::div.Tensor");
/**
 * `self / other` rounded: `floor` down, `trunc` towards zero; integers stay integers. Without a mode, as
 * {@link div}.
 */
export const divMode =
  op<(self: Tensor, other: Operand, options: { roundingMode?: string }) => Tensor>("aten::div.Tensor_mode");
/** `self` modulo `other`, broadcast, with the divisor's sign as Python's `%` has it. */
export const remainder = op<Binary>("aten::remainder.Tensor");
/** `self ** exponent`, element by element, broadcast. */
export const pow = op<(self: Tensor, exponent: Tensor) => Tensor>("aten::pow.Tensor_Tensor");
/** `self ** exponent` for one number. Throws for integers to a negative whole power. */
export const powScalar = op<(self: Tensor, exponent: number) => Tensor>("aten::pow.Tensor_Scalar");
/** The larger of two elements, broadcast; a NaN in either gives NaN. */
export const maximum = op<(self: Tensor, other: Tensor) => Tensor>("aten::maximum");
/** The smaller of two elements, broadcast; a NaN in either gives NaN. */
export const minimum = op<(self: Tensor, other: Tensor) => Tensor>("aten::minimum");
/** Elements limited to [min, max]; either may be left out, but not both. NaN stays NaN. */
export const clamp = op<(self: Tensor, min?: number, max?: number) => Tensor>("aten::clamp");
/** `self + weight * (end - self)`, broadcast. */
export const lerp = op<(self: Tensor, end: Tensor, weight: number) => Tensor>("aten::lerp.Scalar");
/** `self + value * tensor1 * tensor2`, broadcast; value is 1 where left out. */
export const addcmul =
  op<(self: Tensor, tensor1: Tensor, tensor2: Tensor, options?: { value?: number }) => Tensor>(
    "aten::addcmul",
  );
/** `self + value * tensor1 / tensor2`, broadcast; value is 1 where left out. Throws for integers. */
export const addcdiv =
  op<(self: Tensor, tensor1: Tensor, tensor2: Tensor, options?: { value?: number }) => Tensor>(
    "aten::addcdiv",
  );

// Element by element.
/** `-self`. Throws for bool. */
export const neg = op<Unary>("aten::neg");
/** The absolute value. */
export const abs = op<Unary>("aten::abs");
/** e to the power of each element; integers give float32. */
export const exp = op<Unary>("aten::exp");
/** The natural logarithm; integers give float32. 0 gives -inf, a negative number NaN. */
export const log = op<Unary>("aten::log");
/** The logarithm to base 2; integers give float32. */
export const log2 = op<Unary>("aten::log2");
/** `log(1 + self)`, exact near 0; integers give float32. */
export const log1p = op<Unary>("aten::log1p");
/** The square root; integers give float32, a negative number NaN. */
export const sqrt = op<Unary>("aten::sqrt");
/** `1 / sqrt(self)`; integers give float32. */
export const rsqrt = op<Unary>("aten::rsqrt");
/** `self * self`. */
export const square = op<Unary>("aten::square");
/** `1 / self`; integers give float32. */
export const reciprocal = op<Unary>("aten::reciprocal");
/** The sine of radians; integers give float32. */
export const sin = op<Unary>("aten::sin");
/** The cosine of radians; integers give float32. */
export const cos = op<Unary>("aten::cos");
/** The hyperbolic tangent; integers give float32. */
export const tanh = op<Unary>("aten::tanh");
/** The error function; integers give float32. */
export const erf = op<Unary>("aten::erf");
/** `1 / (1 + exp(-self))`; integers give float32. */
export const sigmoid = op<Unary>("aten::sigmoid");
/** `max(self, 0)`. Throws for bool. */
export const relu = op<Unary>("aten::relu");
/** `self * sigmoid(self)` (swish: Ramachandran et al. 2017, arXiv:1710.05941). Floating point only. */
export const silu = op<Unary>("aten::silu");
/**
 * `self * Phi(self)` (Hendrycks and Gimpel 2016, arXiv:1606.08415), exact or with `approximate: "tanh"`.
 * Floating point only.
 */
export const gelu = op<(self: Tensor, options?: { approximate?: string }) => Tensor>("aten::gelu");
/** Down to a whole number, in the same dtype. */
export const floor = op<Unary>("aten::floor");
/** Up to a whole number, in the same dtype. */
export const ceil = op<Unary>("aten::ceil");
/** To the nearest whole number, halves to the even one, in the same dtype. */
export const round = op<Unary>("aten::round");
/** Towards zero to a whole number, in the same dtype. */
export const trunc = op<Unary>("aten::trunc");
/** -1, 0 or 1 by the sign, in the same dtype. */
export const sign = op<Unary>("aten::sign");
/** Neither infinite nor NaN: bool, of self's shape. */
export const isfinite = op<Unary>("aten::isfinite");
/** Which elements are NaN: bool, of self's shape. */
export const isnan = op<Unary>("aten::isnan");
/** Which elements are inf or -inf: bool, of self's shape. */
export const isinf = op<Unary>("aten::isinf");

// Comparison and logic.
/** `self == other`, broadcast: bool. */
export const eq = op<Binary>("aten::eq.Tensor");
/** `self != other`, broadcast: bool. */
export const ne = op<Binary>("aten::ne.Tensor");
/** `self < other`, broadcast: bool. */
export const lt = op<Binary>("aten::lt.Tensor");
/** `self <= other`, broadcast: bool. */
export const le = op<Binary>("aten::le.Tensor");
/** `self > other`, broadcast: bool. */
export const gt = op<Binary>("aten::gt.Tensor");
/** `self >= other`, broadcast: bool. */
export const ge = op<Binary>("aten::ge.Tensor");
/** Which elements are zero or false: bool. */
export const logicalNot = op<Unary>("aten::logical_not");
/** Where both are nonzero, broadcast: bool. */
export const logicalAnd = op<(self: Tensor, other: Tensor) => Tensor>("aten::logical_and");
/** Where either is nonzero, broadcast: bool. */
export const logicalOr = op<(self: Tensor, other: Tensor) => Tensor>("aten::logical_or");
/** Where just one is nonzero, broadcast: bool. */
export const logicalXor = op<(self: Tensor, other: Tensor) => Tensor>("aten::logical_xor");
/** Elements of `self` where `condition` holds, of `other` elsewhere. */
export const where = op<(condition: Tensor, self: Operand, other: Operand) => Tensor>("aten::where.self");
/**
 * `self` with `value` where the bool `mask` (broadcast to self's shape) is true: a copy. Throws for a mask of
 * another dtype.
 */
export const maskedFill =
  op<(self: Tensor, mask: Tensor, value: number) => Tensor>("aten::masked_fill.Scalar");
/** The elements where the bool `mask` (broadcast) is true, in C order: a copy [count]. */
export const maskedSelect = op<(self: Tensor, mask: Tensor) => Tensor>("aten::masked_select");
/** Whether shape and every element are equal. NaN equals nothing. Waits for the device. */
export const equal = op<(self: Tensor, other: Tensor) => boolean>("aten::equal");
/**
 * Whether everywhere |self - other| <= atol + rtol * |other|. Defaults: rtol 1e-5, atol 1e-8, equalNan false.
 * Waits for the device; throws where the dtypes differ.
 */
export const allclose =
  op<(self: Tensor, other: Tensor, rtol?: number, atol?: number, equalNan?: boolean) => boolean>(
    "aten::allclose",
  );
/**
 * Where |self - other| <= atol + rtol * |other|: bool. Defaults: rtol 1e-5, atol 1e-8, equalNan false. Throws
 * where the dtypes differ.
 */
export const isclose =
  op<(self: Tensor, other: Tensor, rtol?: number, atol?: number, equalNan?: boolean) => Tensor>(
    "aten::isclose",
  );

// Reductions.
type Reduce = (self: Tensor, dim?: number | readonly number[], keepdim?: boolean) => Tensor;
type ReduceTo = (
  self: Tensor,
  dim: number | readonly number[] | undefined,
  keepdim?: boolean,
  options?: { dtype?: DType },
) => Tensor;
/** Sum of all elements, [..] -> []; integers and bool give int64. With `dtype`, cast first. */
export const sumAll = op<(self: Tensor, options?: { dtype?: DType }) => Tensor>("aten::sum");
/**
 * Sum over `dim` (one or several; all where undefined), which goes, or has size 1 with keepdim; integers and
 * bool give int64.
 */
export const sum = op<ReduceTo>("aten::sum.dim_IntList");
/**
 * Mean of all elements, [..] -> []. Throws for integers unless a floating `dtype` is given, to which it casts
 * first.
 */
export const meanAll = op<(self: Tensor, options?: { dtype?: DType }) => Tensor>("aten::mean");
/**
 * Mean over `dim` (one or several; all where undefined). Throws for integers unless a floating `dtype` is
 * given, to which it casts first.
 */
export const mean = op<ReduceTo>("aten::mean.dim");
/** Product of all elements, [..] -> []; integers and bool give int64. */
export const prodAll = op<(self: Tensor, options?: { dtype?: DType }) => Tensor>("aten::prod");
/**
 * Largest elements over `dim` (one or several; all where left out). The gradient is shared equally among
 * equal ones.
 */
export const amax = op<Reduce>("aten::amax");
/**
 * Smallest elements over `dim` (one or several; all where left out). The gradient is shared equally among
 * equal ones.
 */
export const amin = op<Reduce>("aten::amin");
/** The largest element, [..] -> []; NaN if there is one. Throws for a tensor without elements. */
export const maxAll = op<Unary>("aten::max");
/** The smallest element, [..] -> []; NaN if there is one. Throws for a tensor without elements. */
export const minAll = op<Unary>("aten::min");
/** The largest elements along `dim`, and their places there (int64). */
export const maxDim = op<(self: Tensor, dim: number, keepdim?: boolean) => [Tensor, Tensor]>("aten::max.dim");
/** The smallest elements along `dim`, and their places there (int64). */
export const minDim = op<(self: Tensor, dim: number, keepdim?: boolean) => [Tensor, Tensor]>("aten::min.dim");
/** Places of the largest elements along `dim`, or in the flattened tensor where left out: int64. */
export const argmax = op<(self: Tensor, dim?: number, keepdim?: boolean) => Tensor>("aten::argmax");
/** Places of the smallest elements along `dim`, or in the flattened tensor where left out: int64. */
export const argmin = op<(self: Tensor, dim?: number, keepdim?: boolean) => Tensor>("aten::argmin");
/**
 * Variance over `dim` (all where left out), divided by n - correction; correction is 1 where left out.
 * Floating point only.
 */
export const varDim =
  op<
    (
      self: Tensor,
      dim?: number | readonly number[],
      options?: { correction?: number; keepdim?: boolean },
    ) => Tensor
  >("aten::var.correction");
/** Whether all elements are nonzero, [..] -> [] bool (uint8 for uint8). */
export const allAll = op<Unary>("aten::all");
/** Whether any element is nonzero, [..] -> [] bool (uint8 for uint8). */
export const anyAll = op<Unary>("aten::any");
/** Running sums along `dim`, of self's shape; integers and bool give int64. */
export const cumsum = op<(self: Tensor, dim: number, options?: { dtype?: DType }) => Tensor>("aten::cumsum");
/** `log(sum(exp(self)))` over `dim`, without overflow; keepdim leaves size 1. */
export const logsumexp =
  op<(self: Tensor, dim: number | readonly number[], keepdim?: boolean) => Tensor>("aten::logsumexp");
/**
 * The `ord`-norm over `dim` (all where left out) as of one vector: 2 by default, Infinity the largest |x|, 0
 * the count of nonzero ones. Floating point only.
 */
export const vectorNorm =
  op<
    (
      self: Tensor,
      ord?: number,
      dim?: number | readonly number[],
      keepdim?: boolean,
      options?: { dtype?: DType },
    ) => Tensor
  >("aten::linalg_vector_norm");
/**
 * The `k` largest (or with `largest: false` smallest) along `dim`, the last by default, and their places
 * (int64); sorted by default. Throws where k exceeds the size.
 */
export const topk =
  op<(self: Tensor, k: number, dim?: number, largest?: boolean, sorted?: boolean) => [Tensor, Tensor]>(
    "aten::topk",
  );
/**
 * Sorted along `dim`, the last by default, ascending by default, and the elements' places before (int64).
 * Equal ones in no promised order.
 */
export const sort = op<(self: Tensor, dim?: number, descending?: boolean) => [Tensor, Tensor]>("aten::sort");
/** The places (int64) that would sort along `dim`, the last by default, ascending by default. */
export const argsort = op<(self: Tensor, dim?: number, descending?: boolean) => Tensor>("aten::argsort");
/**
 * How often each value comes: self [n] of integers from 0 -> [max(largest + 1, minlength)] int64; with
 * `weights` [n] their sums, float32 or float64. Throws for negative values.
 */
export const bincount = op<(self: Tensor, weights?: Tensor, minlength?: number) => Tensor>("aten::bincount");

// Matrix products.
/**
 * PyTorch's matmul: [n, m] @ [m, p] -> [n, p], leading dimensions broadcast, vectors as rows or columns.
 * Throws where dtypes or inner sizes differ.
 */
export const matmul = op<(self: Tensor, other: Tensor) => Tensor>("aten::matmul");
/** [n, m] @ [m, p] -> [n, p]; two matrices of one dtype, no broadcasting. */
export const mm = op<(self: Tensor, mat2: Tensor) => Tensor>("aten::mm");
/** [b, n, m] @ [b, m, p] -> [b, n, p]; no broadcasting. */
export const bmm = op<(self: Tensor, mat2: Tensor) => Tensor>("aten::bmm");
/** Sum of products of two vectors, [n] and [n] -> []. */
export const dot = op<(self: Tensor, tensor: Tensor) => Tensor>("aten::dot");
/** All products of two vectors, [n] and [m] -> [n, m]. */
export const outer = op<(self: Tensor, vec2: Tensor) => Tensor>("aten::outer");
/**
 * `beta * self + alpha * mat1 @ mat2`: mat1 [n, m], mat2 [m, p], self broadcast to [n, p]; both factors are 1
 * where left out.
 */
export const addmm =
  op<(self: Tensor, mat1: Tensor, mat2: Tensor, options?: { beta?: number; alpha?: number }) => Tensor>(
    "aten::addmm",
  );
/** x @ weight.T + bias: input [..., in], weight [out, in], bias [out]. */
export const linear = op<(input: Tensor, weight: Tensor, bias?: Tensor) => Tensor>("aten::linear");

// Shape. Views share their storage.
/**
 * The same storage in another shape; one size may be -1. Throws where the strides do not allow it: see {@link
 * reshape}.
 */
export const view = op<(self: Tensor, size: readonly number[]) => Tensor>("aten::view");
/** Another shape, as a view where the strides allow it, else as a copy; one size may be -1. */
export const reshape = op<(self: Tensor, shape: readonly number[]) => Tensor>("aten::reshape");
/** A view with the dimensions in the order `dims`, each named once. */
export const permute = op<(self: Tensor, dims: readonly number[]) => Tensor>("aten::permute");
/** A view with two dimensions swapped. */
export const transpose = op<(self: Tensor, dim0: number, dim1: number) => Tensor>("aten::transpose.int");
/** A view of a matrix transposed, [n, m] -> [m, n]; vectors stay. Throws beyond two dimensions. */
export const t = op<Unary>("aten::t");
/**
 * A view with dimensions of size 1 repeated without memory; -1 keeps a size, new dimensions come in front.
 * Clone before writing to it.
 */
export const expand = op<(self: Tensor, size: readonly number[]) => Tensor>("aten::expand");
/** A view without the dimensions of size 1. */
export const squeezeAll = op<Unary>("aten::squeeze");
/** A view without `dim`, if its size is 1; else unchanged. */
export const squeeze = op<(self: Tensor, dim: number) => Tensor>("aten::squeeze.dim");
/** A view with a dimension of size 1 before `dim`; -1 appends it. */
export const unsqueeze = op<(self: Tensor, dim: number) => Tensor>("aten::unsqueeze");
/** The dimensions startDim to endDim (default: all) as one; a view where the strides allow it. */
export const flatten =
  op<(self: Tensor, startDim?: number, endDim?: number) => Tensor>("aten::flatten.using_ints");
/** A view with `dim` split into `sizes`, whose product is its size; one may be -1. */
export const unflatten =
  op<(self: Tensor, dim: number, sizes: readonly number[]) => Tensor>("aten::unflatten.int");
/** Copies beside each other, `repeats[i]` along dimension i; further repeats make new leading dimensions. */
export const repeat = op<(self: Tensor, repeats: readonly number[]) => Tensor>("aten::repeat");
/** Each element `repeats` times in a row along `dim`, or flattened where it is left out: a copy. */
export const repeatInterleave = op<(self: Tensor, repeats: number, dim?: number) => Tensor>(
  "aten::repeat_interleave.self_int",
);
/** Views of `splitSize` along `dim` (default 0); the last may be smaller. */
export const split = op<(self: Tensor, splitSize: number, dim?: number) => Tensor[]>("aten::split.Tensor");
/** Views of the given sizes along `dim` (default 0). Throws where they do not sum to its size. */
export const splitSizes =
  op<(self: Tensor, splitSizes: readonly number[], dim?: number) => Tensor[]>("aten::split_with_sizes");
/** At most `chunks` views of equal size along `dim` (default 0); the last may be smaller. */
export const chunk = op<(self: Tensor, chunks: number, dim?: number) => Tensor[]>("aten::chunk");
/** Views of each index of `dim` (default 0), without that dimension. */
export const unbind = op<(self: Tensor, dim?: number) => Tensor[]>("aten::unbind.int");
/** Tensors joined along `dim` (default 0); the other sizes must be equal. dtypes promote. */
export const cat = op<(tensors: readonly Tensor[], dim?: number) => Tensor>("aten::cat");
/** Tensors of one shape joined along a new dimension `dim` (default 0). */
export const stack = op<(tensors: readonly Tensor[], dim?: number) => Tensor>("aten::stack");
/** A copy with the order along `dims` reversed. */
export const flip = op<(self: Tensor, dims: readonly number[]) => Tensor>("aten::flip");
/**
 * A copy with elements shifted along `dims`, those pushed out returning at the other end; without `dims`, as
 * if flattened.
 */
export const roll =
  op<(self: Tensor, shifts: readonly number[], dims?: readonly number[]) => Tensor>("aten::roll");
/** The lower triangle of the last two dimensions, zero above `diagonal` (default 0): a copy. */
export const tril = op<(self: Tensor, diagonal?: number) => Tensor>("aten::tril");
/** The upper triangle of the last two dimensions, zero below `diagonal` (default 0): a copy. */
export const triu = op<(self: Tensor, diagonal?: number) => Tensor>("aten::triu");
/**
 * A view of the diagonal of dimensions dim1 and dim2 (default 0 and 1), which come last as one; `offset`
 * moves it up.
 */
export const diagonal =
  op<(self: Tensor, offset?: number, dim1?: number, dim2?: number) => Tensor>("aten::diagonal");

// Indexing.
/**
 * A view of one index of `dim`, without that dimension; negative ones count from the end. Throws beyond the
 * ends.
 */
export const select = op<(self: Tensor, dim: number, index: number) => Tensor>("aten::select.int");
/**
 * A view of start..end by step along `dim` (default 0), limited to its size; negative ones count from the
 * end. Throws for a step below 1.
 */
export const slice =
  op<(self: Tensor, dim?: number, start?: number, end?: number, step?: number) => Tensor>(
    "aten::slice.Tensor",
  );
/** A view of `length` indices of `dim` from `start`. Throws beyond the end. */
export const narrow =
  op<(self: Tensor, dim: number, start: number, length: number) => Tensor>("aten::narrow");
/** The indices `index` [n] (int64 or int32) of `dim`: a copy, n long there. Throws beyond the ends. */
export const indexSelect = op<(self: Tensor, dim: number, index: Tensor) => Tensor>("aten::index_select");
/** Along `dim`, the elements at `index` (int64 or int32, as many dimensions as self) -> index's shape. */
export const gather = op<(self: Tensor, dim: number, index: Tensor) => Tensor>("aten::gather");
/**
 * `self[indices]` by tensors of integers or bool masks, null for a whole dimension: a copy. Index tensors
 * broadcast together.
 */
export const index = op<(self: Tensor, indices: readonly (Tensor | null)[]) => Tensor>("aten::index.Tensor");
/**
 * `self[indices] = values`, or `+=` with `accumulate`, in place. Without it, which of several values for one
 * place stays is not defined.
 */
export const indexPut_ =
  op<(self: Tensor, indices: readonly (Tensor | null)[], values: Tensor, accumulate?: boolean) => Tensor>(
    "aten::index_put_",
  );
/** Adds the slices of `source` along `dim` to those of self at `index` [n], in place. */
export const indexAdd_ =
  op<(self: Tensor, dim: number, index: Tensor, source: Tensor) => Tensor>("aten::index_add_");
/** Copies the slices of `source` along `dim` to those of self at `index` [n], in place. */
export const indexCopy_ =
  op<(self: Tensor, dim: number, index: Tensor, source: Tensor) => Tensor>("aten::index_copy_");
/**
 * A copy of self with `src` written along `dim` at `index` (int64): the inverse of {@link gather}. Which of
 * several for one place stays is not defined.
 */
export const scatter =
  op<(self: Tensor, dim: number, index: Tensor, src: Tensor) => Tensor>("aten::scatter.src");
/** A copy of self with `src` added along `dim` at `index` (int64). */
export const scatterAdd =
  op<(self: Tensor, dim: number, index: Tensor, src: Tensor) => Tensor>("aten::scatter_add");
/** Places of nonzero elements, [count, ndim] int64. Waits for the device. */
export const nonzero = op<Unary>("aten::nonzero");
/** Rows of `weight` [n, d] at `indices`. */
export const embedding = op<(weight: Tensor, indices: Tensor) => Tensor>("aten::embedding");

// Neural networks.
/**
 * `exp(self)` divided by its sum along `dim`, without overflow; cast to `dtype` first where given. Floating
 * point, or with such a dtype.
 */
export const softmax = op<(self: Tensor, dim: number, dtype?: DType) => Tensor>("aten::softmax.int");
/** The logarithm of {@link softmax} along `dim`, without overflow; cast to `dtype` first where given. */
export const logSoftmax = op<(self: Tensor, dim: number, dtype?: DType) => Tensor>("aten::log_softmax.int");
/**
 * Zeroes elements with probability p and divides the rest by 1 - p if `train` (Srivastava et al. 2014); else
 * gives the input. Draws from the device's generator.
 */
export const dropout = op<(input: Tensor, p: number, train: boolean) => Tensor>("aten::dropout");
/**
 * PyTorch's x / sqrt(mean(x^2) + eps) * weight over the last dimensions `normalizedShape` (Zhang and Sennrich
 * 2019, arXiv:1910.07467). eps: the dtype's machine epsilon where left out. Qwen3's order of casts is in nn's
 * RMSNorm.
 */
export const rmsNorm =
  op<(input: Tensor, normalizedShape: readonly number[], weight?: Tensor, eps?: number) => Tensor>(
    "aten::rms_norm",
  );
/** Attention: query [batch, heads, length, d], key and value [batch, kvHeads, length, d] with enableGqa. */
export const scaledDotProductAttention = op<
  (
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attnMask?: Tensor,
    dropoutP?: number,
    isCausal?: boolean,
    options?: { scale?: number; enableGqa?: boolean },
  ) => Tensor
>("aten::scaled_dot_product_attention");
/** Softmax cross entropy of logits [rows, classes] with class indices [rows]. reduction: 0 none, 1 mean, 2 sum. */
export const crossEntropy =
  op<
    (
      self: Tensor,
      target: Tensor,
      weight?: Tensor,
      reduction?: number,
      ignoreIndex?: number,
      labelSmoothing?: number,
    ) => Tensor
  >("aten::cross_entropy_loss");
/**
 * Head and loss at once, a chunk of rows at a time: sum over labelled rows of -log softmax(hidden @ weight.T)[target],
 * times `scale`. hidden [rows, d] and weight [vocabulary, d] of one dtype, target [rows] int64. The full logits never exist.
 */
export const linearCrossEntropy = op<
  (
    hidden: Tensor,
    weight: Tensor,
    target: Tensor,
    scale?: number,
    ignoreIndex?: number,
    chunkBytes?: number,
  ) => Tensor
>("qwen_pt::linear_cross_entropy");
/**
 * The same for a weight that trains: its gradient is added to `weightGrad` (float32 or float64, [vocabulary, d]) at once,
 * in the forward pass, and no second table of the weight's size is made. The weight may be wider than the hidden states.
 */
export const linearCrossEntropyInto = op<
  (
    hidden: Tensor,
    weight: Tensor,
    target: Tensor,
    scale: number,
    ignoreIndex: number,
    chunkBytes: number,
    weightGrad: Tensor,
  ) => Tensor
>("qwen_pt::linear_cross_entropy_into");

/**
 * Frozen linear layers of one input, each with its low-rank update: y_i = x W_i^T + scaling_i (x A_i^T) B_i^T, x read once.
 * `weights` are each layer's tensor, followed by what its codes are read with where it is in codes; `dropout` is of the
 * adapters' input, in dtype `wide`; values of codes are rounded to `stored`.
 */
export const loraLinear =
  op<
    (
      x: Tensor,
      weights: readonly Tensor[],
      a: readonly Tensor[],
      b: readonly Tensor[],
      scalings: readonly number[],
      dropout?: number,
      wide?: DType,
      stored?: DType,
    ) => Tensor[]
  >("qwen_pt::lora_linear");

// Copies and conversions.
/** A copy with its own storage, which autograd follows. */
export const clone = op<(self: Tensor) => Tensor>("aten::clone");
/** A view that autograd does not follow: requiresGrad false, same storage. */
export const detach = op<Unary>("aten::detach");
/** The elements in C order: the same storage if they are already, else a copy. */
export const contiguous = op<Unary>("aten::contiguous");
/** As another dtype: a copy, or where it has it already the same storage, unless `copy`. */
export const toDType =
  op<(self: Tensor, dtype: DType, nonBlocking?: boolean, copy?: boolean) => Tensor>("aten::to.dtype");
/**
 * On another device in `dtype`; the same storage if it is there already, unless `copy`. `nonBlocking` does not wait for
 * the copy.
 */
export const toDevice =
  op<(self: Tensor, device: Device, dtype: DType, nonBlocking?: boolean, copy?: boolean) => Tensor>(
    "aten::to.device",
  );

// Creation.
/** Uninitialised memory of shape `size`; float32 on the CPU unless told otherwise. */
export const empty = op<(size: readonly number[], options?: Make) => Tensor>("aten::empty.memory_format");
/** Zeros of shape `size`; float32 on the CPU unless told otherwise. */
export const zeros = op<(size: readonly number[], options?: Make) => Tensor>("aten::zeros");
/** Ones of shape `size`; float32 on the CPU unless told otherwise. */
export const ones = op<(size: readonly number[], options?: Make) => Tensor>("aten::ones");
/** Every element `fillValue`; unless a dtype is given, int64 for a whole number and float32 for any other. */
export const full = op<(size: readonly number[], fillValue: number, options?: Make) => Tensor>("aten::full");
/** The identity matrix [n, n]; float32 unless told otherwise. */
export const eye = op<(n: number, options?: Make) => Tensor>("aten::eye");
/** start, start + step, ... below end; int64 for whole numbers, else float32, unless told otherwise. */
export const arangeStep =
  op<(start: number, end: number, step?: number, options?: Make) => Tensor>("aten::arange.start_step");
/** `steps` evenly spaced numbers from start to end, both included; float32 unless told otherwise. */
export const linspace =
  op<(start: number, end: number, steps: number, options?: Make) => Tensor>("aten::linspace");
/** Uninitialised memory of self's shape, dtype and device, unless told otherwise. */
export const emptyLike = op<(self: Tensor, options?: Make) => Tensor>("aten::empty_like");
/** Zeros of self's shape, dtype and device, unless told otherwise. */
export const zerosLike = op<(self: Tensor, options?: Make) => Tensor>("aten::zeros_like");
/** Ones of self's shape, dtype and device, unless told otherwise. */
export const onesLike = op<(self: Tensor, options?: Make) => Tensor>("aten::ones_like");
/** `fillValue` everywhere, of self's shape, dtype and device, unless told otherwise. */
export const fullLike = op<(self: Tensor, fillValue: number, options?: Make) => Tensor>("aten::full_like");
/** Uniform draws from [0, 1); float32 unless told otherwise. From `generator`, or the device's own. */
export const rand = op<(size: readonly number[], options?: Random) => Tensor>("aten::rand.generator");
/** Draws from N(0, 1); float32 unless told otherwise. From `generator`, or the device's own. */
export const randn = op<(size: readonly number[], options?: Random) => Tensor>("aten::randn.generator");
/** Whole numbers drawn from [low, high); int64 unless told otherwise. */
export const randint = op<(low: number, high: number, size: readonly number[], options?: Random) => Tensor>(
  "aten::randint.low_generator",
);
/** A random permutation of 0..n-1, int64. */
export const randperm = op<(n: number, options?: Random) => Tensor>("aten::randperm.generator");
/**
 * Draws places by weights: self [n] or [rows, n], not negative -> [numSamples] or [rows, numSamples] int64.
 * Without replacement unless told; throws where there are too few.
 */
export const multinomial =
  op<
    (self: Tensor, numSamples: number, replacement?: boolean, options?: { generator?: Generator }) => Tensor
  >("aten::multinomial");

// In place: the tensor that was changed comes back.
/**
 * `self += alpha * other`, broadcast to self's shape. In-place operators throw on a leaf that requires a
 * gradient while autograd records.
 */
export const add_ =
  op<(self: Tensor, other: Operand, options?: { alpha?: number }) => Tensor>("aten::add_.Tensor");
/** `self -= alpha * other`, broadcast to self's shape. */
export const sub_ =
  op<(self: Tensor, other: Operand, options?: { alpha?: number }) => Tensor>("aten::sub_.Tensor");
/** `self *= other`, broadcast to self's shape. */
export const mul_ = op<Binary>("aten::mul_.Tensor");
/** `self /= other`, broadcast to self's shape. Throws for an integer self. */
export const div_ = op<Binary>("aten::div_.Tensor");
/** `self = -self`. */
export const neg_ = op<Unary>("aten::neg_");
/** `self = exp(self)`. Throws for an integer self. */
export const exp_ = op<Unary>("aten::exp_");
/** `self = sqrt(self)`. Throws for an integer self. */
export const sqrt_ = op<Unary>("aten::sqrt_");
/** Limits self to [min, max]; either may be left out, but not both. */
export const clamp_ = op<(self: Tensor, min?: number, max?: number) => Tensor>("aten::clamp_");
/** `self += weight * (end - self)`. */
export const lerp_ = op<(self: Tensor, end: Tensor, weight: number) => Tensor>("aten::lerp_.Scalar");
/** `self += value * tensor1 * tensor2`; value is 1 where left out. */
export const addcmul_ =
  op<(self: Tensor, tensor1: Tensor, tensor2: Tensor, options?: { value?: number }) => Tensor>(
    "aten::addcmul_",
  );
/** `self += value * tensor1 / tensor2`; value is 1 where left out. Throws for integers. */
export const addcdiv_ =
  op<(self: Tensor, tensor1: Tensor, tensor2: Tensor, options?: { value?: number }) => Tensor>(
    "aten::addcdiv_",
  );
/** Copies `src`, broadcast to self's shape, into self, cast to its dtype; the devices may differ. */
export const copy_ = op<(self: Tensor, src: Tensor, nonBlocking?: boolean) => Tensor>("aten::copy_");
/** Zeroes every element. */
export const zero_ = op<Unary>("aten::zero_");
/** Sets every element to `value`. */
export const fill_ = op<(self: Tensor, value: number) => Tensor>("aten::fill_.Scalar");
/** Sets `value` where the bool `mask` (broadcast to self's shape) is true. */
export const maskedFill_ =
  op<(self: Tensor, mask: Tensor, value: number) => Tensor>("aten::masked_fill_.Scalar");
/** Draws from N(mean, std^2); mean 0 and std 1 where left out. Floating point only. */
export const normal_ =
  op<(self: Tensor, mean?: number, std?: number, options?: { generator?: Generator }) => Tensor>(
    "aten::normal_",
  );
/** Draws uniformly from [from, to); 0 and 1 where left out. Floating point only. */
export const uniform_ =
  op<(self: Tensor, from?: number, to?: number, options?: { generator?: Generator }) => Tensor>(
    "aten::uniform_",
  );
/** Draws 1 with probability p (0.5 where left out), else 0. */
export const bernoulli_ =
  op<(self: Tensor, p?: number, options?: { generator?: Generator }) => Tensor>("aten::bernoulli_.float");
