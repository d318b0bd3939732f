// Keys whose values are nobody else's business: they are used, and neither printed nor written down.

/** Whether a key holds a token, an API key or another secret. */
export function isSecret(name: string): boolean {
  return /_(?:token|api_key|secret|webhook_url)$/.test(name);
}

/** A recipe to write down: every secret that is set is replaced by its key's name, as transformers does. */
export function withoutSecrets<T extends object>(recipe: T): T {
  const entries = Object.entries(recipe).map(([name, value]) => [
    name,
    isSecret(name) && typeof value === "string" ? `<${name.toUpperCase()}>` : value,
  ]);
  return Object.fromEntries(entries) as T;
}
