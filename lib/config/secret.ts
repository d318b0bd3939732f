// Secret keys: their values are used, and neither printed nor written down.

/** Whether a key holds a token, an API key or another secret. */
export function isSecret(name: string): boolean {
  return /_(?:token|api_key|secret|webhook_url)$/.test(name);
}

/** A `key=value` as it may be shown: of a secret's nothing but the key, however it is written. */
export function maskedOverride(override: string): string {
  const found = /^[\w.-]*?(?:token|api_key|secret|webhook_url)(?![\w-])/i.exec(override)?.[0];
  return found === undefined || found === override ? override : `${found}=...`;
}

/** Text without what looks like a hub's token, wherever it came from. */
export function withoutTokens(text: string): string {
  return text.replace(/\b(hf_)[A-Za-z0-9]{16,}/g, "$1...").replace(/\b(ms-)[0-9a-f-]{20,}/g, "$1...");
}

/** A recipe to write down: every secret that is set is replaced by its key's name, as transformers does. */
export function withoutSecrets<T extends object>(recipe: T): T {
  const entries = Object.entries(recipe).map(([name, value]) => [
    name,
    isSecret(name) && typeof value === "string" ? `<${name.toUpperCase()}>` : value,
  ]);
  return Object.fromEntries(entries) as T;
}
