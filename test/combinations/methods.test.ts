// Each method with each other one: a run that is interrupted goes on as if it had not been, and neither method is
// silently dropped, which shows in other weights than either alone leaves. A pair that is refused says so in a line.
import { expect, it } from "vitest";
import { loaded } from "../train/runs.js";
import { BASE, METHODS, type Method, REFUSED, TUNINGS } from "./methods.js";
import { expectResumable, weightsOf } from "./pairs.js";

const entries = Object.entries(METHODS);

/** Of several that come by one door, the first is paired with every method, and the others with every tuning. */
const isPaired = (name: string, { choice }: Method): boolean =>
  choice === undefined || entries.find(([, other]) => other.choice === choice)?.[0] === name;

for (const [i, [first, a]] of entries.entries()) {
  for (const [second, b] of entries.slice(i + 1)) {
    const tuning = Object.keys(TUNINGS).find(
      (name) => (a.only ?? [name]).includes(name) && (b.only ?? [name]).includes(name),
    );
    if (tuning === undefined) continue; // each refuses the other's kind of fine-tuning: tunings.test.ts
    if (a.choice !== undefined && a.choice === b.choice) continue;
    const pair = `${first} + ${second}`;
    const [one, two] = [a, b].map(({ keys }) => ({ ...TUNINGS[tuning], ...keys }));
    const both = { ...one, ...b.keys };
    const refusal = REFUSED[pair];
    if (refusal !== undefined) {
      it(`${pair}: refused`, () => expect(() => loaded({ ...BASE, ...both })).toThrow(refusal));
      continue;
    }
    if (!isPaired(first, a) || !isPaired(second, b)) continue;
    it(`${pair}, ${tuning}`, async () => {
      await expectResumable(both);
      const weights = await weightsOf(both);
      if (!a.watches) expect(weights === (await weightsOf(two ?? {})), `${first} is dropped`).toBe(false);
      if (!b.watches) expect(weights === (await weightsOf(one ?? {})), `${second} is dropped`).toBe(false);
    });
  }
}
