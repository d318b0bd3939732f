// The door to scripts/, which set up a clone before there is any TypeScript, and an installed package after: what of
// them the library calls, with types. It computes nothing.

/** What `setUp` reports: the libtorch that was found or fetched, and the addon, unless it only planned. */
export interface SetUp {
  readonly libtorch?: string;
  readonly version?: string;
  readonly cuda?: string;
  readonly addon?: string;
}

/** scripts/setup.mjs. */
export interface SetupScript {
  readonly buildNames: readonly string[];
  setUp(options: {
    cache: string;
    build?: string;
    force?: boolean;
    plan?: boolean;
    say: (text: string) => void;
  }): Promise<SetUp>;
}

/** scripts/setup.mjs, which finds or fetches libtorch and compiles the addon. */
export async function setupScript(): Promise<SetupScript> {
  return (await import(new URL("../../scripts/setup.mjs", import.meta.url).href)) as SetupScript;
}

/** Whether an error is a script's refusal: one line that is meant for the user. */
export function isRefusal(error: unknown): error is Error {
  return error instanceof Error && error.constructor.name === "SetupError";
}
