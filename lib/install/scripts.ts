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

/** An NVIDIA card as nvidia-smi describes it. */
export interface Card {
  readonly name: string;
  readonly driver: string;
  /** Compute capability, such as 8.9; old drivers do not tell. */
  readonly capability?: string;
  readonly memoryMiB: number;
}

/** The code in a build of libtorch for CUDA. */
export interface CudaBuild {
  readonly cuda: string;
  readonly capabilities: readonly string[];
  readonly ptx: boolean;
}

/** scripts/cuda.mjs: which drivers and cards a build runs on. */
export interface CudaScript {
  readonly builds: Readonly<Record<string, CudaBuild>>;
  minimumDriver(cuda: string, platform: string): string | undefined;
  hasCodeFor(build: Omit<CudaBuild, "cuda">, capability: string): boolean;
  chooseBuild(cards: readonly Card[], platform: string): { build: string; why: string };
  askDriver(): { cards: Card[]; problem?: string } | undefined;
}

/** scripts/tools.mjs: versions, and how to get what a machine lacks. */
export interface ToolsScript {
  atLeast(version: string, least: string): boolean;
  howToGet(what: string, platform: string, tool: string): string;
  packageTool(): string;
  onPath(name: string): string | undefined;
}

/** scripts/libtorch.mjs: what is known of a libtorch without loading it. */
export interface LibtorchScript {
  namedLibtorch(): { root: string; version: string } | undefined;
  findLibtorch(): { root: string; version: string } | undefined;
  cudaOf(root: string): string | undefined;
}

/** scripts/pip.mjs. */
export interface PipScript {
  /** The Python whose site-packages hold this libtorch; undefined for a plain archive of libtorch. */
  pythonBeside(root: string): string | undefined;
}

const script = async <T>(name: string): Promise<T> =>
  (await import(new URL(`../../scripts/${name}`, import.meta.url).href)) as T;

export const cudaScript = () => script<CudaScript>("cuda.mjs");
export const toolsScript = () => script<ToolsScript>("tools.mjs");
export const pipScript = () => script<PipScript>("pip.mjs");
export const libtorchScript = () => script<LibtorchScript>("libtorch.mjs");

/** Whether an error is a script's refusal: one line that is meant for the user. */
export function isRefusal(error: unknown): error is Error {
  return error instanceof Error && error.constructor.name === "SetupError";
}
