// disable_gradient_checkpointing beside gradient_checkpointing.

import { UserError } from "../../errors.js";
import type { Checked, Setting } from "../checked.js";

/** disable_gradient_checkpointing is another word for gradient_checkpointing: false. */
export function checkpointingRules({ recipe }: Checked, setting: Setting): void {
  if (!recipe.disable_gradient_checkpointing) return;
  const asked = recipe.gradient_checkpointing;
  if (asked !== null && asked !== false)
    throw new UserError(
      `${setting.where("gradient_checkpointing")}: gradient_checkpointing: ${asked} and disable_gradient_checkpointing: true contradict each other; keep one of the two`,
    );
  recipe.gradient_checkpointing = false;
}
