// A separate cache for each test, and the environment that leads to a hub on this machine.
import { mkdtempSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterEach, beforeEach } from "vitest";
import type { HubEvent } from "../../lib/hub/index.js";
import { fetchModel, type ModelOptions } from "../../lib/hub/models.js";
import { FakeHub } from "./server.js";

export interface Place {
  hub: FakeHub;
  /** HF_HOME */
  home: string;
  env: NodeJS.ProcessEnv;
  events: HubEvent[];
  texts(): string;
  fetch(id: string, options?: ModelOptions): Promise<string>;
}

/** Sets up and clears away a hub and a cache around every test of a file. */
export function place(): Place {
  const here = { events: [] as HubEvent[] } as Place;
  here.texts = () => here.events.map((event) => (event.type === "message" ? event.text : "")).join("\n");
  here.fetch = (id, options = {}) =>
    fetchModel(id, {
      env: here.env,
      backoff: () => 10,
      onEvent: (event) => here.events.push(event),
      ...options,
    });
  beforeEach(async () => {
    here.hub = await FakeHub.start();
    here.home = mkdtempSync(path.join(os.tmpdir(), "qwen-pt-hub-"));
    here.env = {
      HOME: here.home,
      HF_HOME: here.home,
      HF_ENDPOINT: here.hub.endpoint,
      PATH: process.env.PATH,
    };
    here.events.length = 0;
  });
  afterEach(async () => {
    await here.hub.stop();
    rmSync(here.home, { recursive: true, force: true });
  });
  return here;
}

/** What a promise is rejected with. */
export async function failure(work: Promise<unknown>): Promise<Error> {
  try {
    await work;
  } catch (error) {
    return error as Error;
  }
  throw new Error("it succeeded");
}
