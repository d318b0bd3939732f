// Which known key a mistyped one most likely meant.

/** The number of letters to insert, remove, replace or swap with their neighbour to get from a to b. */
export function editDistance(a: string, b: string): number {
  const rows: number[][] = [Array.from({ length: b.length + 1 }, (_, j) => j)];
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = (rows[i - 1]?.[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      let best = Math.min(replaced, (rows[i - 1]?.[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        best = Math.min(best, (rows[i - 2]?.[j - 2] ?? 0) + 1);
      }
      row.push(best);
    }
    rows.push(row);
  }
  return rows[a.length]?.[b.length] ?? 0;
}

// Names that other trainers or earlier releases use, too far from ours for the distance to find.
const ELSEWHERE: Readonly<Record<string, string>> = {
  evaluation_strategy: "eval_strategy",
  model: "model_name_or_path",
  base_model: "model_name_or_path",
  model_path: "model_name_or_path",
  adapter: "adapter_name_or_path",
  lora_r: "lora_rank",
  target_modules: "lora_target",
  modules_to_save: "additional_target",
  lr: "learning_rate",
  epochs: "num_train_epochs",
  num_epochs: "num_train_epochs",
  batch_size: "per_device_train_batch_size",
  max_seq_length: "cutoff_len",
  max_length_tokens: "cutoff_len",
  quantization: "quantization_bit",
};

/** The known name that an unknown one most likely meant: begins with it, or is a few letters away; undefined for none. */
export function nearestName(name: string, known: Iterable<string>): string | undefined {
  const wanted = name.toLowerCase().replaceAll("-", "_");
  const elsewhere = Object.hasOwn(ELSEWHERE, wanted) ? ELSEWHERE[wanted] : undefined;
  if (elsewhere !== undefined) return elsewhere;
  let best: string | undefined;
  // more would be another word: "webui" becomes "debug" by five changes
  let distance = Math.max(2, Math.floor(wanted.length / 3)) + 1;
  for (const candidate of known) {
    if (wanted.length > 2 && candidate.startsWith(wanted)) return candidate;
    if (Math.abs(candidate.length - wanted.length) >= distance) continue;
    const found = editDistance(wanted, candidate);
    if (found < distance) [best, distance] = [candidate, found];
  }
  return best;
}
