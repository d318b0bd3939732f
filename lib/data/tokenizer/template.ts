// What `template` does in pre-training: it may name another end-of-document token. Conversations are not formatted
// here. Names and stop words are LLaMA-Factory 0.9.5's; with a template that replaces the end token, the
// first stop word becomes the tokenizer's eos; without one, the tokenizer's own eos stays.

import { UserError } from "../../errors.js";

const REPLACED_EOS: Record<string, string> = {
  "<|im_end|>":
    "chatml chatml_de dbrx keye_vl lfm2 lfm2_vl moonlight llava_next_qwen mimo mimo_v2 mimo_vl phi4 qwen qwen3 " +
    "qwen3_nothink qwen2_audio qwen2_omni qwen3_omni qwen3_omni_nothink qwen2_vl qwen3_vl qwen3_vl_nothink " +
    "qwen3_5 qwen3_5_nothink qwen3_6",
  "<｜hy_eos｜>": "hy3",
  "<|end_of_sentence|>": "ernie_vl",
  "<end_of_turn>": "gemma gemma3 gemma3n paligemma_chat",
  "<turn|>": "gemma4 gemma4n",
  "<|eot_id|>": "llama3 mllama llava_next_llama3",
  "<|eot|>": "llama4",
  "<|end|>": "phi phi_small phi4_mini",
  "<|end_of_text|>": "youtu",
};

const KEPT_EOS =
  "alpaca bailing bailing_v2 breeze chatglm3 cohere cpm4 deepseek deepseek3 deepseekr1 deepseekcoder default dots_ocr " +
  "empty ernie ernie_nothink exaone falcon falcon_h1 fewshot gemma2 glm4 glm4_moe glm4v glm4_5v glm_ocr glm4_7 glmz1 " +
  "gpt_oss granite3 granite3_vision granite4 index hunyuan hunyuan_small intern2 intern_vl intern_s1 kimi_vl llama2 " +
  "llama2_zh llava llava_next llava_next_mistral llava_next_yi llava_next_video llava_next_video_mistral " +
  "llava_next_video_yi minicpm_v minicpm_v_4_6 minicpm_o minimax1 minimax2 ministral mistral mistral_small ministral3 " +
  "olmo openchat openchat-3.6 opencoder paligemma pixtral sailor seed_coder seed_oss smollm smollm2 solar starchat " +
  "telechat2 vicuna video_llava xuanyuan yi yi_vl youtu_vl yuan zephyr aeva";

const EOS_OF = new Map<string, string | undefined>();
for (const name of KEPT_EOS.split(" ")) EOS_OF.set(name, undefined);
for (const [token, names] of Object.entries(REPLACED_EOS)) {
  for (const name of names.split(" ")) EOS_OF.set(name, token);
}

/** What the separator needs to know of a tokenizer. */
interface EosHolder {
  readonly eosToken: string;
  tokenId(token: string): number | undefined;
}

/**
 * The end-of-document token that a template puts in place of the tokenizer's, or undefined where it leaves it.
 *
 * @param hasToken whether the vocabulary has a token of this text
 * @throws UserError for an unknown template, or one whose end token the tokenizer lacks
 */
export function replacedEos(
  template: string | null | undefined,
  hasToken: (token: string) => boolean,
): string | undefined {
  if (template === null || template === undefined) return undefined;
  if (!EOS_OF.has(template)) {
    throw new UserError(
      `template: there is no template ${template}; pre-training of Qwen3 needs none, or qwen3`,
    );
  }
  const token = EOS_OF.get(template);
  if (token === undefined || hasToken(token)) return token;
  // llama3 writes its own separator as plain text, whatever the eos is; so the tokenizer's stays.
  if (template === "llama3") return undefined;
  throw new UserError(
    `template: ${template} ends a document with ${token}, which this tokenizer lacks; leave template out, or use qwen3`,
  );
}

/** The text that ends every document. It is appended before tokenizing, so it is cut into ids like any text. */
export function documentSeparator(template: string | null | undefined, tokenizer: EosHolder): string {
  if (template === "llama3") return "<|end_of_text|>";
  return replacedEos(template, (token) => tokenizer.tokenId(token) !== undefined) ?? tokenizer.eosToken;
}
