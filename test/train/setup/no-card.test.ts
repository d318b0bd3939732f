// Cards that are not there, too old, hidden or lost: each is a line with its remedy, and what was saved stays whole.
import { readdirSync } from "node:fs";
import { afterEach, describe, expect, it, vi } from "vitest";
import { noCardLine } from "../../../lib/assembly/no-card.js";
import { UserError } from "../../../lib/errors.js";
import { OutOfMemoryError, TorchError } from "../../../lib/torch/index.js";
import { native } from "../../../lib/torch/native.js";
import { runRecipe } from "../../../lib/train/run.js";
import { folder, history, loaded, plain } from "../runs.js";

afterEach(() => vi.restoreAllMocks());

describe("a libtorch for cards that sees none", () => {
  const facts = { hasCuda: true, acceleratorError: undefined, visible: undefined, driver: "" };

  it.each([
    ["no driver", { driver: "libcuda.so.1: cannot open shared object file" }, /install NVIDIA's driver/],
    [
      "a driver older than CUDA",
      { driver: "the driver does not start: CUDA driver version is insufficient (35)" },
      /update NVIDIA's driver/,
    ],
    ["CUDA_VISIBLE_DEVICES that names no card", { visible: "7" }, /CUDA_VISIBLE_DEVICES is "7"\): unset it/],
    [
      "a library of NVIDIA's that is missing",
      { hasCuda: false, acceleratorError: "libcudnn.so.9: cannot open\nshared object file" },
      /does not load: libcudnn\.so\.9: cannot open shared object file\): install NVIDIA's libraries/,
    ],
    ["a driver that lists none", {}, /run qwen-pt doctor/],
  ] as const)("%s", (_, more, remedy) => {
    const line = noCardLine({ ...facts, ...more });
    expect(line).toMatch(/^training on the CPU: libtorch sees no card \(/);
    expect(line).toMatch(remedy);
    expect(line).not.toContain("\n");
  });

  it("a libtorch for the processor says nothing", () => {
    expect(noCardLine({ ...facts, hasCuda: false, visible: "0", driver: "libcuda" })).toBeUndefined();
  });

  it("a run says it before it trains", async () => {
    const info = native().buildInfo();
    vi.spyOn(native(), "buildInfo").mockReturnValue({ ...info, hasCuda: true });
    const said: string[] = [];
    await runRecipe(loaded({ max_steps: 1, save_strategy: "no", use_cpu: false, output_dir: folder() }), {
      onEvent: (event) => {
        if (event.type === "message" && event.level === "warning") said.push(event.text);
      },
    });
    expect(said).toEqual([expect.stringMatching(/^training on the CPU: libtorch sees no card \(.*libcuda/)]);
  });
});

describe("a card that fails in the middle of a step", () => {
  const keys = { max_steps: 4, logging_steps: 1, save_steps: 1, gradient_checkpointing: false };

  it.each([
    [
      "memory runs out",
      "CUDA out of memory. Tried to allocate 2 GiB.",
      "ERR_OUT_OF_MEMORY",
      /^out of memory \(CUDA/,
    ],
    [
      "a kernel of ours finds none",
      "CUDA error: out of memory (2) where the kernel swiglu_forward_bf16 was launched",
      "ERR_TORCH",
      /^out of memory \(CUDA error: out of memory \(2\).*\): lower/,
    ],
    [
      "it falls off the bus",
      "CUDA error: unspecified launch failure\nSearch for",
      "ERR_TORCH",
      /^the card failed \(CUDA error: unspecified launch failure\): see dmesg for NVRM and Xid/,
    ],
    [
      "libtorch has no code for it",
      "CUDA error: no kernel image is available for execution on the device\nmore",
      "ERR_TORCH",
      /no kernel image.*\): qwen-pt doctor names the build of libtorch that has it, or set use_cpu: true$/,
    ],
  ])(
    "%s: one line, and the last checkpoint goes on to the run that nothing befell",
    async (_, said, code, line) => {
      const dir = folder();
      const real = native().backward;
      let passes = 0;
      vi.spyOn(native(), "backward").mockImplementation((...args) => {
        if (++passes === 5) throw Object.assign(new Error(said), { code }); // of the third step, with two micro-steps each
        return real(...args);
      });
      const recipe = { ...keys, gradient_accumulation_steps: 2, output_dir: dir };
      const failed = await runRecipe(loaded(recipe), {}).catch((error: unknown) => error as Error);
      expect(failed).toBeInstanceOf(UserError);
      expect((failed as Error).message).toMatch(line);
      expect((failed as Error).message).not.toContain("\n");
      expect((failed as Error).cause).toBeInstanceOf(code === "ERR_TORCH" ? TorchError : OutOfMemoryError);
      vi.restoreAllMocks();
      expect(
        readdirSync(dir)
          .filter((name) => /^checkpoint/.test(name))
          .sort(),
      ).toEqual(["checkpoint-1", "checkpoint-2"]);
      await runRecipe(loaded({ ...recipe, resume_from_checkpoint: true }), {});
      const whole = folder();
      await runRecipe(loaded({ ...recipe, output_dir: whole }), {});
      expect(history(dir).map(plain)).toEqual(history(whole).map(plain));
    },
  );
});
