// The typed operators: a line each, its static type after the schema that libtorch reports (a test holds the two
// together). Adding one takes no C++. Tensor methods and the layers in lib/nn are built on these.
import type { Device, DType } from "./dtype.js";
import type { Generator } from "./handle.js";
import { type Operand, op } from "./operator.js";
import type { Tensor } from "./tensor.js";

type Unary = (self: Tensor) => Tensor;
type Binary = (self: Tensor, other: Operand) => Tensor;
type Make = { dtype?: DType; device?: Device };
type Random = Make & { generator?: Generator };

// Arithmetic. A number beside a tensor takes the tensor's dtype.
export const add =
  op<(self: Tensor, other: Operand, options?: { alpha?: number }) => Tensor>("aten::add.Tensor");
export const sub =
  op<(self: Tensor, other: Operand, options?: { alpha?: number }) => Tensor>("aten::sub.Tensor");
export const mul = op<Binary>("aten::mul.Tensor");
export const div = op<Binary>("aten::div.Tensor");
export const divMode =
  op<(self: Tensor, other: Operand, options: { roundingMode?: string }) => Tensor>("aten::div.Tensor_mode");
export const remainder = op<Binary>("aten::remainder.Tensor");
export const pow = op<(self: Tensor, exponent: Tensor) => Tensor>("aten::pow.Tensor_Tensor");
export const powScalar = op<(self: Tensor, exponent: number) => Tensor>("aten::pow.Tensor_Scalar");
export const maximum = op<(self: Tensor, other: Tensor) => Tensor>("aten::maximum");
export const minimum = op<(self: Tensor, other: Tensor) => Tensor>("aten::minimum");
export const clamp = op<(self: Tensor, min?: number, max?: number) => Tensor>("aten::clamp");
export const lerp = op<(self: Tensor, end: Tensor, weight: number) => Tensor>("aten::lerp.Scalar");
export const addcmul =
  op<(self: Tensor, tensor1: Tensor, tensor2: Tensor, options?: { value?: number }) => Tensor>(
    "aten::addcmul",
  );
export const addcdiv =
  op<(self: Tensor, tensor1: Tensor, tensor2: Tensor, options?: { value?: number }) => Tensor>(
    "aten::addcdiv",
  );

// Element by element.
export const neg = op<Unary>("aten::neg");
export const abs = op<Unary>("aten::abs");
export const exp = op<Unary>("aten::exp");
export const log = op<Unary>("aten::log");
export const log2 = op<Unary>("aten::log2");
export const log1p = op<Unary>("aten::log1p");
export const sqrt = op<Unary>("aten::sqrt");
export const rsqrt = op<Unary>("aten::rsqrt");
export const square = op<Unary>("aten::square");
export const reciprocal = op<Unary>("aten::reciprocal");
export const sin = op<Unary>("aten::sin");
export const cos = op<Unary>("aten::cos");
export const tanh = op<Unary>("aten::tanh");
export const erf = op<Unary>("aten::erf");
export const sigmoid = op<Unary>("aten::sigmoid");
export const relu = op<Unary>("aten::relu");
export const silu = op<Unary>("aten::silu");
export const gelu = op<(self: Tensor, options?: { approximate?: string }) => Tensor>("aten::gelu");
export const floor = op<Unary>("aten::floor");
export const ceil = op<Unary>("aten::ceil");
export const round = op<Unary>("aten::round");
export const trunc = op<Unary>("aten::trunc");
export const sign = op<Unary>("aten::sign");
export const isfinite = op<Unary>("aten::isfinite");
export const isnan = op<Unary>("aten::isnan");
export const isinf = op<Unary>("aten::isinf");

// Comparison and logic.
export const eq = op<Binary>("aten::eq.Tensor");
export const ne = op<Binary>("aten::ne.Tensor");
export const lt = op<Binary>("aten::lt.Tensor");
export const le = op<Binary>("aten::le.Tensor");
export const gt = op<Binary>("aten::gt.Tensor");
export const ge = op<Binary>("aten::ge.Tensor");
export const logicalNot = op<Unary>("aten::logical_not");
export const logicalAnd = op<(self: Tensor, other: Tensor) => Tensor>("aten::logical_and");
export const logicalOr = op<(self: Tensor, other: Tensor) => Tensor>("aten::logical_or");
export const logicalXor = op<(self: Tensor, other: Tensor) => Tensor>("aten::logical_xor");
/** Elements of `self` where `condition` holds, of `other` elsewhere. */
export const where = op<(condition: Tensor, self: Operand, other: Operand) => Tensor>("aten::where.self");
export const maskedFill =
  op<(self: Tensor, mask: Tensor, value: number) => Tensor>("aten::masked_fill.Scalar");
export const maskedSelect = op<(self: Tensor, mask: Tensor) => Tensor>("aten::masked_select");
export const equal = op<(self: Tensor, other: Tensor) => boolean>("aten::equal");
export const allclose =
  op<(self: Tensor, other: Tensor, rtol?: number, atol?: number, equalNan?: boolean) => boolean>(
    "aten::allclose",
  );
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
export const sumAll = op<(self: Tensor, options?: { dtype?: DType }) => Tensor>("aten::sum");
export const sum = op<ReduceTo>("aten::sum.dim_IntList");
export const meanAll = op<(self: Tensor, options?: { dtype?: DType }) => Tensor>("aten::mean");
export const mean = op<ReduceTo>("aten::mean.dim");
export const prodAll = op<(self: Tensor, options?: { dtype?: DType }) => Tensor>("aten::prod");
export const amax = op<Reduce>("aten::amax");
export const amin = op<Reduce>("aten::amin");
export const maxAll = op<Unary>("aten::max");
export const minAll = op<Unary>("aten::min");
export const maxDim = op<(self: Tensor, dim: number, keepdim?: boolean) => [Tensor, Tensor]>("aten::max.dim");
export const minDim = op<(self: Tensor, dim: number, keepdim?: boolean) => [Tensor, Tensor]>("aten::min.dim");
export const argmax = op<(self: Tensor, dim?: number, keepdim?: boolean) => Tensor>("aten::argmax");
export const argmin = op<(self: Tensor, dim?: number, keepdim?: boolean) => Tensor>("aten::argmin");
export const varDim =
  op<
    (
      self: Tensor,
      dim?: number | readonly number[],
      options?: { correction?: number; keepdim?: boolean },
    ) => Tensor
  >("aten::var.correction");
export const allAll = op<Unary>("aten::all");
export const anyAll = op<Unary>("aten::any");
export const cumsum = op<(self: Tensor, dim: number, options?: { dtype?: DType }) => Tensor>("aten::cumsum");
export const logsumexp =
  op<(self: Tensor, dim: number | readonly number[], keepdim?: boolean) => Tensor>("aten::logsumexp");
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
export const topk =
  op<(self: Tensor, k: number, dim?: number, largest?: boolean, sorted?: boolean) => [Tensor, Tensor]>(
    "aten::topk",
  );
export const sort = op<(self: Tensor, dim?: number, descending?: boolean) => [Tensor, Tensor]>("aten::sort");
export const argsort = op<(self: Tensor, dim?: number, descending?: boolean) => Tensor>("aten::argsort");
export const bincount = op<(self: Tensor, weights?: Tensor, minlength?: number) => Tensor>("aten::bincount");

// Matrix products.
export const matmul = op<(self: Tensor, other: Tensor) => Tensor>("aten::matmul");
export const mm = op<(self: Tensor, mat2: Tensor) => Tensor>("aten::mm");
export const bmm = op<(self: Tensor, mat2: Tensor) => Tensor>("aten::bmm");
export const dot = op<(self: Tensor, tensor: Tensor) => Tensor>("aten::dot");
export const outer = op<(self: Tensor, vec2: Tensor) => Tensor>("aten::outer");
export const addmm =
  op<(self: Tensor, mat1: Tensor, mat2: Tensor, options?: { beta?: number; alpha?: number }) => Tensor>(
    "aten::addmm",
  );
/** x @ weight.T + bias: input [..., in], weight [out, in], bias [out]. */
export const linear = op<(input: Tensor, weight: Tensor, bias?: Tensor) => Tensor>("aten::linear");

// Shape. Views share their storage.
export const view = op<(self: Tensor, size: readonly number[]) => Tensor>("aten::view");
export const reshape = op<(self: Tensor, shape: readonly number[]) => Tensor>("aten::reshape");
export const permute = op<(self: Tensor, dims: readonly number[]) => Tensor>("aten::permute");
export const transpose = op<(self: Tensor, dim0: number, dim1: number) => Tensor>("aten::transpose.int");
export const t = op<Unary>("aten::t");
export const expand = op<(self: Tensor, size: readonly number[]) => Tensor>("aten::expand");
export const squeezeAll = op<Unary>("aten::squeeze");
export const squeeze = op<(self: Tensor, dim: number) => Tensor>("aten::squeeze.dim");
export const unsqueeze = op<(self: Tensor, dim: number) => Tensor>("aten::unsqueeze");
export const flatten =
  op<(self: Tensor, startDim?: number, endDim?: number) => Tensor>("aten::flatten.using_ints");
export const unflatten =
  op<(self: Tensor, dim: number, sizes: readonly number[]) => Tensor>("aten::unflatten.int");
export const repeat = op<(self: Tensor, repeats: readonly number[]) => Tensor>("aten::repeat");
export const repeatInterleave = op<(self: Tensor, repeats: number, dim?: number) => Tensor>(
  "aten::repeat_interleave.self_int",
);
export const split = op<(self: Tensor, splitSize: number, dim?: number) => Tensor[]>("aten::split.Tensor");
export const splitSizes =
  op<(self: Tensor, splitSizes: readonly number[], dim?: number) => Tensor[]>("aten::split_with_sizes");
export const chunk = op<(self: Tensor, chunks: number, dim?: number) => Tensor[]>("aten::chunk");
export const unbind = op<(self: Tensor, dim?: number) => Tensor[]>("aten::unbind.int");
export const cat = op<(tensors: readonly Tensor[], dim?: number) => Tensor>("aten::cat");
export const stack = op<(tensors: readonly Tensor[], dim?: number) => Tensor>("aten::stack");
export const flip = op<(self: Tensor, dims: readonly number[]) => Tensor>("aten::flip");
export const roll =
  op<(self: Tensor, shifts: readonly number[], dims?: readonly number[]) => Tensor>("aten::roll");
export const tril = op<(self: Tensor, diagonal?: number) => Tensor>("aten::tril");
export const triu = op<(self: Tensor, diagonal?: number) => Tensor>("aten::triu");
export const diagonal =
  op<(self: Tensor, offset?: number, dim1?: number, dim2?: number) => Tensor>("aten::diagonal");

// Indexing.
export const select = op<(self: Tensor, dim: number, index: number) => Tensor>("aten::select.int");
export const slice =
  op<(self: Tensor, dim?: number, start?: number, end?: number, step?: number) => Tensor>(
    "aten::slice.Tensor",
  );
export const narrow =
  op<(self: Tensor, dim: number, start: number, length: number) => Tensor>("aten::narrow");
export const indexSelect = op<(self: Tensor, dim: number, index: Tensor) => Tensor>("aten::index_select");
export const gather = op<(self: Tensor, dim: number, index: Tensor) => Tensor>("aten::gather");
export const index = op<(self: Tensor, indices: readonly (Tensor | null)[]) => Tensor>("aten::index.Tensor");
export const indexPut_ =
  op<(self: Tensor, indices: readonly (Tensor | null)[], values: Tensor, accumulate?: boolean) => Tensor>(
    "aten::index_put_",
  );
export const indexAdd_ =
  op<(self: Tensor, dim: number, index: Tensor, source: Tensor) => Tensor>("aten::index_add_");
export const indexCopy_ =
  op<(self: Tensor, dim: number, index: Tensor, source: Tensor) => Tensor>("aten::index_copy_");
export const scatter =
  op<(self: Tensor, dim: number, index: Tensor, src: Tensor) => Tensor>("aten::scatter.src");
export const scatterAdd =
  op<(self: Tensor, dim: number, index: Tensor, src: Tensor) => Tensor>("aten::scatter_add");
export const nonzero = op<Unary>("aten::nonzero");
/** Rows of `weight` [n, d] at `indices`. */
export const embedding = op<(weight: Tensor, indices: Tensor) => Tensor>("aten::embedding");

// Neural networks.
export const softmax = op<(self: Tensor, dim: number, dtype?: DType) => Tensor>("aten::softmax.int");
export const logSoftmax = op<(self: Tensor, dim: number, dtype?: DType) => Tensor>("aten::log_softmax.int");
export const dropout = op<(input: Tensor, p: number, train: boolean) => Tensor>("aten::dropout");
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

// Copies and conversions.
export const clone = op<(self: Tensor) => Tensor>("aten::clone");
export const detach = op<Unary>("aten::detach");
export const contiguous = op<Unary>("aten::contiguous");
export const toDType =
  op<(self: Tensor, dtype: DType, nonBlocking?: boolean, copy?: boolean) => Tensor>("aten::to.dtype");
export const toDevice =
  op<(self: Tensor, device: Device, dtype: DType, nonBlocking?: boolean, copy?: boolean) => Tensor>(
    "aten::to.device",
  );

// Creation.
export const empty = op<(size: readonly number[], options?: Make) => Tensor>("aten::empty.memory_format");
export const zeros = op<(size: readonly number[], options?: Make) => Tensor>("aten::zeros");
export const ones = op<(size: readonly number[], options?: Make) => Tensor>("aten::ones");
export const full = op<(size: readonly number[], fillValue: number, options?: Make) => Tensor>("aten::full");
export const eye = op<(n: number, options?: Make) => Tensor>("aten::eye");
export const arangeStep =
  op<(start: number, end: number, step?: number, options?: Make) => Tensor>("aten::arange.start_step");
export const linspace =
  op<(start: number, end: number, steps: number, options?: Make) => Tensor>("aten::linspace");
export const emptyLike = op<(self: Tensor, options?: Make) => Tensor>("aten::empty_like");
export const zerosLike = op<(self: Tensor, options?: Make) => Tensor>("aten::zeros_like");
export const onesLike = op<(self: Tensor, options?: Make) => Tensor>("aten::ones_like");
export const fullLike = op<(self: Tensor, fillValue: number, options?: Make) => Tensor>("aten::full_like");
export const rand = op<(size: readonly number[], options?: Random) => Tensor>("aten::rand.generator");
export const randn = op<(size: readonly number[], options?: Random) => Tensor>("aten::randn.generator");
export const randint = op<(low: number, high: number, size: readonly number[], options?: Random) => Tensor>(
  "aten::randint.low_generator",
);
/** A random permutation of 0..n-1, int64. */
export const randperm = op<(n: number, options?: Random) => Tensor>("aten::randperm.generator");
export const multinomial =
  op<
    (self: Tensor, numSamples: number, replacement?: boolean, options?: { generator?: Generator }) => Tensor
  >("aten::multinomial");

// In place: the tensor that was changed comes back.
export const add_ =
  op<(self: Tensor, other: Operand, options?: { alpha?: number }) => Tensor>("aten::add_.Tensor");
export const sub_ =
  op<(self: Tensor, other: Operand, options?: { alpha?: number }) => Tensor>("aten::sub_.Tensor");
export const mul_ = op<Binary>("aten::mul_.Tensor");
export const div_ = op<Binary>("aten::div_.Tensor");
export const neg_ = op<Unary>("aten::neg_");
export const exp_ = op<Unary>("aten::exp_");
export const sqrt_ = op<Unary>("aten::sqrt_");
export const clamp_ = op<(self: Tensor, min?: number, max?: number) => Tensor>("aten::clamp_");
export const lerp_ = op<(self: Tensor, end: Tensor, weight: number) => Tensor>("aten::lerp_.Scalar");
export const addcmul_ =
  op<(self: Tensor, tensor1: Tensor, tensor2: Tensor, options?: { value?: number }) => Tensor>(
    "aten::addcmul_",
  );
export const addcdiv_ =
  op<(self: Tensor, tensor1: Tensor, tensor2: Tensor, options?: { value?: number }) => Tensor>(
    "aten::addcdiv_",
  );
export const copy_ = op<(self: Tensor, src: Tensor, nonBlocking?: boolean) => Tensor>("aten::copy_");
export const zero_ = op<Unary>("aten::zero_");
export const fill_ = op<(self: Tensor, value: number) => Tensor>("aten::fill_.Scalar");
export const maskedFill_ =
  op<(self: Tensor, mask: Tensor, value: number) => Tensor>("aten::masked_fill_.Scalar");
export const normal_ =
  op<(self: Tensor, mean?: number, std?: number, options?: { generator?: Generator }) => Tensor>(
    "aten::normal_",
  );
export const uniform_ =
  op<(self: Tensor, from?: number, to?: number, options?: { generator?: Generator }) => Tensor>(
    "aten::uniform_",
  );
export const bernoulli_ =
  op<(self: Tensor, p?: number, options?: { generator?: Generator }) => Tensor>("aten::bernoulli_.float");
