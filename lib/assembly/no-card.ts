// Why a run stays on the processor although its libtorch was built for cards: one line with what to do. Pure words; what
// `qwen-pt doctor` finds out beyond that is lib/doctor/checks-gpu.ts's.

/** What is known of a libtorch that has no device. */
export interface NoCard {
  /** Whether CUDA's half of it is loaded. */
  readonly hasCuda: boolean;
  /** Why that half did not load, where it is there. */
  readonly acceleratorError: string | undefined;
  /** CUDA_VISIBLE_DEVICES, where it is set. */
  readonly visible: string | undefined;
  /** Why the driver cannot be used; empty where it can. */
  readonly driver: string;
}

/** The line; undefined for a libtorch without CUDA, whose runs are meant for the processor. */
export function noCardLine({ hasCuda, acceleratorError, visible, driver }: NoCard): string | undefined {
  const line = (why: string, remedy: string): string =>
    `training on the CPU: libtorch sees no card (${why.replace(/\s+/g, " ").trim()}): ${remedy}, or set use_cpu: true to silence this`;
  if (acceleratorError !== undefined)
    return line(
      `its CUDA half does not load: ${acceleratorError}`,
      "install NVIDIA's libraries of this libtorch again",
    );
  if (!hasCuda) return undefined;
  if (/insufficient|too old/.test(driver))
    return line(driver, "update NVIDIA's driver (qwen-pt doctor says to which)");
  if (/libcuda|nvcuda/.test(driver))
    return line(driver, "install NVIDIA's driver, or start the container with --gpus all");
  if (visible !== undefined)
    return line(`CUDA_VISIBLE_DEVICES is "${visible}"`, "unset it, or name a card that nvidia-smi lists");
  return line(driver || "the driver lists none", "run qwen-pt doctor");
}
