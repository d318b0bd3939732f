// A tiny Qwen3 with random weights on a device beside the processor in float64: logits, gradients of every parameter,
// and the weights after three AdamW steps.
import { messageOf } from "../../errors.js";
import {
  buildEmptyModel,
  type FamilyModel,
  initializeWeights,
  parseModelConfig,
} from "../../models/index.js";
import { AdamW, decayGroups } from "../../optim/index.js";
import { full as trainAll } from "../../peft/index.js";
import {
  cat,
  crossEntropy,
  type Device,
  type DType,
  full,
  manualSeed,
  scope,
  type Tensor,
  tensor,
} from "../../torch/index.js";
import { type ComparedDType, DTYPES, type Parity, parityOf } from "./compare.js";

const CONFIG = {
  architectures: ["Qwen3ForCausalLM"],
  model_type: "qwen3",
  vocab_size: 320,
  hidden_size: 64,
  intermediate_size: 160,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  head_dim: 16,
  tie_word_embeddings: true,
};
const [ROWS, LENGTH] = [2, 48];
const STEPS = 3;

/** The model with weights rounded to `rounded`, then held in `dtype` on a device. */
function modelOf(rounded: DType, dtype: DType, device: Device): FamilyModel {
  manualSeed(7);
  const model = buildEmptyModel(parseModelConfig(CONFIG));
  initializeWeights(model);
  model.to({ dtype: rounded }).to({ dtype, device });
  trainAll(model, undefined);
  return model.train();
}

function forward(model: FamilyModel, device: Device): { loss: Tensor; logits: Tensor } {
  const ids = tensor(
    Array.from({ length: ROWS * LENGTH }, (_, at) => (at * at + 11 * at) % CONFIG.vocab_size),
    { shape: [ROWS, LENGTH], dtype: "int64", device },
  );
  const logits = model.forward({ inputIds: ids });
  const next = cat([ids.narrow(1, 1, LENGTH - 1), full([ROWS, 1], -100, { dtype: "int64", device })], 1);
  const wide = logits.dtype === "float64" ? logits : logits.float();
  const loss = crossEntropy(wide.flatten(0, 1), next.flatten(), undefined, 1, -100);
  return { loss, logits };
}

interface Results {
  logits: Tensor;
  gradients: Map<string, Tensor>;
  updated: Map<string, Tensor>;
}

function resultsOf(rounded: DType, dtype: DType, device: Device): Results {
  const model = modelOf(rounded, dtype, device);
  const { loss, logits } = forward(model, device);
  loss.backward();
  const gradients = new Map(
    [...model.namedParameters()].map(([name, p]) => [name, (p.grad as Tensor).clone()]),
  );
  const optimizer = new AdamW(decayGroups(model.namedParameters(), 0.1), { learningRate: 1e-3 });
  for (let step = 0; step < STEPS; step++) {
    optimizer.zeroGrad();
    scope(() => forward(model, device).loss.backward());
    optimizer.step();
  }
  return { logits, gradients, updated: new Map(model.namedParameters()) };
}

const paired = (a: Map<string, Tensor>, b: Map<string, Tensor>) =>
  [...a].map(([name, tensor]) => [name, tensor, b.get(name) as Tensor] as const);

function compare(dtype: ComparedDType, device: Device): Parity[] {
  return scope(() => {
    const exact = resultsOf(dtype, "float64", "cpu");
    const given = resultsOf(dtype, dtype, device);
    return [
      parityOf("model: logits", dtype, [["logits", given.logits, exact.logits]]),
      // gradients sum over many more roundings than a single operator's
      loosened(parityOf("model: gradients", dtype, paired(given.gradients, exact.gradients)), 5),
      loosened(
        parityOf(`model: weights after ${STEPS} steps of AdamW`, dtype, paired(given.updated, exact.updated)),
        10,
      ),
    ];
  });
}

const loosened = (parity: Parity, times: number): Parity => {
  const bound = parity.bound * times;
  return { ...parity, bound, passed: (parity.distance as number) <= bound };
};

/** The model in every dtype on a device. */
export function modelParity(device: Device): Parity[] {
  return DTYPES.flatMap((dtype) => {
    try {
      return compare(dtype, device);
    } catch (error) {
      return [{ name: "model", dtype, bound: 0, passed: false, error: messageOf(error) }];
    }
  });
}
