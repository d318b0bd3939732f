// What a run on a card says of the fused kernels before its first step: what they are compiled for, or why they do not run
// and what to do about it. Words only.
import { fusedKernels, type KernelState, kernelCacheProblem } from "../../torch/index.js";

/** A line of a run, and how loud it is. */
export interface KernelLine {
  readonly level: "info" | "warning";
  readonly text: string;
}

/** What helps, by a word of the reason. */
const REMEDIES: readonly (readonly [RegExp, string])[] = [
  [
    /nvrtc/i,
    "install the package nvidia-cuda-nvrtc beside this libtorch, or name its library in QWEN_PT_NVRTC",
  ],
  [/compute capability/, "a card of 7.5 or newer has them"],
  [/QWEN_PT_FUSED/, "unset it"],
  [/libcuda|nvcuda|driver/, "install or update NVIDIA's driver"],
];

/** The lines of a card whose kernels are in some state; `cacheProblem` says why what is compiled cannot be kept. */
export function kernelLines(
  device: string,
  state: KernelState,
  cacheProblem: string | undefined,
): KernelLine[] {
  const { architecture, compiler, reason } = state;
  if (reason !== "") {
    const remedy = REMEDIES.find(([pattern]) => pattern.test(reason))?.[1] ?? "see qwen-pt doctor";
    return [
      {
        level: "warning",
        text: `${device} trains without the fused kernels, which is slower (${reason.replace(/\s+/g, " ")}): ${remedy}`,
      },
    ];
  }
  const ready: KernelLine = { level: "info", text: `fused kernels: ${architecture}, NVRTC ${compiler}` };
  if (cacheProblem === undefined) return [ready];
  return [
    ready,
    {
      level: "warning",
      text: `compiled kernels cannot be kept, and every run compiles them again (${cacheProblem}): set QWEN_PT_CACHE to a folder that can be written`,
    },
  ];
}

/** What is to be said of the kernels on a run's device. */
export function sayKernels(device: string, say: (line: KernelLine) => void): void {
  const state = fusedKernels(device);
  if (state === undefined) return;
  for (const line of kernelLines(device, state, kernelCacheProblem())) say(line);
}
