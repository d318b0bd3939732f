// Weights of a model of any family: loaded, or drawn from scratch. A parameter's path is its key in the file. How they are
// saved: save-model.ts.

import { UserError } from "../errors.js";
import { CodedLinear, Embedding, Linear, normal_, RMSNorm, zeroRow_ } from "../nn/index.js";
import type { Device, DType, Tensor } from "../torch/index.js";
import { empty, isFloatingPoint, keep, ones, scope, zeros } from "../torch/index.js";
import type { FamilyModel } from "./family.js";
import type { StoredTensor } from "./files/checkpoint-files.js";
import { openCheckpoint } from "./files/checkpoint-files.js";
import { takeQuantized } from "./files/quantized-weights.js";
import { hasHeadOfItsOwn, untie } from "./tied-head.js";

/** How weights are loaded. */
export interface LoadOptions {
  /** Cast to this; default: as stored. */
  dtype?: DType;
  /** Where to put the weights. Default: the CPU, on the pages of the files. */
  device?: Device;
  /** Told where the files contradict each other and one of them is followed. */
  onNote?: (text: string) => void;
}

/**
 * Gives a model the weights of a folder (`model.safetensors`, or shards with their index).
 * On the CPU and in the stored dtype they are views of the mapped files: no copy is made. Frozen until someone
 * asks for gradients. A tied model's `lm_head.weight` is left aside where it is the embedding; one that differs is kept,
 * the model's config then says that it is not tied, and `onNote` is told, as transformers does.
 * Throws UserError naming file and tensor where one is missing, unknown, or of another shape.
 */
export function loadWeights(model: FamilyModel, dir: string, options: LoadOptions = {}): void {
  scope(() => {
    const stored = withPrefix(openCheckpoint(dir));
    if (model.config.tie_word_embeddings && hasHeadOfItsOwn(stored)) {
      untie(model);
      options.onNote?.(
        `${dir}: config.json says tie_word_embeddings: true, but lm_head.weight differs from the embedding; the head is kept, and the two are trained and saved apart`,
      );
    }
    const { dtype, device } = options;
    const from = model.config.quantization?.from ?? dtype;
    const taken = takeQuantized(model, dir, stored, { dtype: from, device });
    checkFit(model, dir, stored, taken);
    model.mapParameters((parameter, name) => {
      if (taken.has(name)) return parameter;
      const { tensor } = stored.get(name) as StoredTensor;
      if (dtype === undefined && device === undefined) return tensor;
      return tensor.to({ ...(dtype !== undefined && { dtype }), ...(device !== undefined && { device }) });
    });
  });
}

/**
 * The names that the model itself has: a model that was saved without its head, as transformers' `Qwen3Model` is, lacks
 * the prefix, and one that a wrapper saved has it twice. transformers reads both.
 */
function withPrefix(stored: Map<string, StoredTensor>): Map<string, StoredTensor> {
  const isBare = stored.has("embed_tokens.weight") && !stored.has("model.embed_tokens.weight");
  if (!isBare && !stored.has("model.model.embed_tokens.weight")) return stored;
  const rename = (name: string) =>
    !isBare ? name.replace(/^model\./, "") : name.startsWith("lm_head.") ? name : `model.${name}`;
  return new Map([...stored].map(([name, one]) => [rename(name), one]));
}

/** Every tensor that the model needs is there, in its shape, and none that it has no place for; `taken` were seen to. */
function checkFit(
  model: FamilyModel,
  dir: string,
  stored: ReadonlyMap<string, StoredTensor>,
  taken: ReadonlySet<string>,
): void {
  const wanted = model.stateDict();
  for (const [name, parameter] of wanted) {
    if (taken.has(name)) continue;
    const found = stored.get(name);
    if (found === undefined) {
      throw new UserError(`${dir}: no tensor "${name}"; config.json and the weights do not belong together`);
    }
    const { file, tensor } = found;
    if (tensor.shape.join() !== parameter.shape.join()) {
      throw new UserError(
        `${file}: ${name}: shape [${tensor.shape}] where config.json asks for [${parameter.shape}]; the two do not belong together`,
      );
    }
    if (!isFloatingPoint(tensor.dtype)) {
      throw new UserError(`${file}: ${name}: dtype ${tensor.dtype} is not a weight's`);
    }
  }
  for (const [name, { file }] of stored) {
    const redundant = name === "lm_head.weight" && model.config.tie_word_embeddings;
    // transformers of old saved the rotary frequencies too
    if (!wanted.has(name) && !taken.has(name) && !redundant && !name.endsWith("rotary_emb.inv_freq")) {
      throw new UserError(
        `${file}: unexpected tensor "${name}"; config.json has no place for it: the two do not belong together`,
      );
    }
  }
}

/**
 * A fresh model, whose weights train: N(0, initializer_range^2), norms 1, biases 0.
 * The draws are those of transformers 5.6's `AutoModelForCausalLM.from_config`, from torch's global CPU generator
 * and in its order, discarded ones included, so that after `manualSeed(n)` the weights agree bit for bit.
 */
export function initializeWeights(model: FamilyModel, dtype: DType = "float32"): void {
  const { initializer_range: std, pad_token_id: pad } = model.config;
  const head = model.outputHead;
  const modules = [...model.namedModules()].map(([, module]) => module).filter((module) => module !== head);
  const fresh = new Map<Tensor, Tensor>();
  const make = (old: Tensor, fill: (shape: readonly number[]) => Tensor): Tensor => {
    const tensor = keep(fill(old.shape));
    fresh.set(old, tensor);
    return tensor;
  };
  // what the layers' own constructors draw, and the model then overwrites
  for (const module of modules) {
    if (module instanceof Embedding) normal_(make(module.weight, (shape) => empty([...shape], { dtype })));
    else if (module instanceof Linear) discardLinear(module, dtype);
  }
  for (const module of modules) {
    if (module instanceof Embedding) {
      const table = normal_(fresh.get(module.weight) as Tensor, 0, std);
      if (pad !== undefined) zeroRow_(table, pad);
    } else if (module instanceof Linear) {
      normal_(
        make(module.weight, (shape) => empty([...shape], { dtype })),
        0,
        std,
      );
      if (module.bias !== undefined) make(module.bias, (shape) => zeros([...shape], { dtype }));
    } else if (module instanceof CodedLinear) {
      scope(() =>
        module.quantize(normal_(empty([module.outFeatures, module.inFeatures], { dtype }), 0, std)),
      );
    } else if (module instanceof RMSNorm) make(module.weight, (shape) => ones([...shape], { dtype }));
  }
  // the head comes last; a tied one is drawn too, and dropped
  if (head instanceof Linear) {
    discardLinear(head, dtype);
    const drawn = scope(() => normal_(empty([...head.weight.shape], { dtype }), 0, std));
    if (model.config.tie_word_embeddings) drawn.dispose();
    else fresh.set(head.weight, drawn);
  }
  model.mapParameters((parameter) => fresh.get(parameter)?.requiresGrad_() ?? parameter);
}

function discardLinear(layer: Linear, dtype: DType): void {
  scope(() => {
    new Linear(layer.inFeatures, layer.outFeatures, { dtype, bias: layer.bias !== undefined })
      .parameters()
      .map((p) => p.dispose());
  });
}
