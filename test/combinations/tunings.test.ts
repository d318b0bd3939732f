// Each method with LoRA, full and freeze, and with documents packed together or apart: it trains, it does something that
// the run without it does not, and a run that is interrupted goes on as if it had not been. Where a method is for one
// kind of fine-tuning, the others refuse it.
import { describe, expect, it } from "vitest";
import { loaded } from "../train/runs.js";
import { BASE, METHODS, PACKINGS, TUNINGS } from "./methods.js";
import { expectResumable, weightsOf } from "./pairs.js";

describe.each(Object.entries(TUNINGS))("%s", (tuning, tuningKeys) => {
  describe.each(Object.entries(PACKINGS))("%s", (_, packing) => {
    const bare = { ...tuningKeys, ...packing };
    it("bare", () => expectResumable(bare));
    for (const [name, { keys, only, watches }] of Object.entries(METHODS)) {
      if (only !== undefined && !only.includes(tuning)) continue;
      it(name, async () => {
        await expectResumable({ ...bare, ...keys });
        const [without, with_] = [await weightsOf(bare), await weightsOf({ ...bare, ...keys })];
        expect(with_ === without).toBe(watches === true);
      });
    }
  });

  // the same keys may be another row where they mean something else
  const taken = Object.values(METHODS).flatMap(({ keys, only }) =>
    only === undefined || only.includes(tuning) ? [JSON.stringify(keys)] : [],
  );
  for (const [name, { keys, only }] of Object.entries(METHODS)) {
    if (only === undefined || taken.includes(JSON.stringify(keys))) continue;
    it(`${name} is refused`, () => {
      const [key] = Object.keys(keys);
      expect(() => loaded({ ...BASE, ...tuningKeys, ...keys })).toThrow(
        new RegExp(`^(?:recipe: )?${key}: needs finetuning_type: ${only.join(" or ")}, not ${tuning}`),
      );
    });
  }
});
