// The schema's table of keys for training chosen parts of a model: layers, attention heads, parameters by name.
import { inGroup, list } from "../key.js";
import { headNumbers, layerNumbers } from "../values/whole-ranges.js";

export const layerSelectionKeys = inGroup("incremental", ["train"], {
  freeze_trainable_layer_ids: layerNumbers(
    "With finetuning_type: freeze, train these layers (from 0), instead of freeze_trainable_layers.",
  ),
  freeze_trainable_heads: headNumbers(
    "With finetuning_type: freeze, train these attention heads (from 0): their rows of q_proj and columns of o_proj, and a key-value head's rows of k_proj and v_proj where all its query heads are chosen. Everything else of those matrices stays as it is, bit for bit.",
  ),
  freeze_trainable_patterns: list({
    default: null,
    doc: "With finetuning_type: freeze, train the parameters whose whole names match one of these globs (* is any text, ? one character), such as *norm.weight or model.layers.3.mlp.*.",
  }),
  lora_layers: layerNumbers(
    "Put adapters on these layers only (from 0); PEFT's layers_to_transform. Default: every layer.",
  ),
});
