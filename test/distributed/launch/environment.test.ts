// A process's place by the variables of torchrun, of a Slurm job step and of a PyTorchJob's pod.
import { expect, it } from "vitest";
import { rankPlace } from "../../../lib/distributed/index.js";

const meeting = { MASTER_ADDR: "10.0.0.5", MASTER_PORT: "29500" };
const place = {
  rank: 3,
  size: 4,
  localRank: 1,
  address: "10.0.0.5",
  port: 29500,
  hasStore: false,
  attempt: 0,
};

it("is torchrun's, with its agent's store and its restarts", () => {
  const torchrun = {
    ...meeting,
    RANK: "3",
    LOCAL_RANK: "1",
    WORLD_SIZE: "4",
    LOCAL_WORLD_SIZE: "2",
    GROUP_RANK: "1",
    TORCHELASTIC_RESTART_COUNT: "2",
    TORCHELASTIC_USE_AGENT_STORE: "True",
  };
  expect(rankPlace(torchrun)).toEqual({ ...place, localSize: 2, hasStore: true, attempt: 2 });
});

it("is Slurm's in a job step, and of one process outside one", () => {
  const job = { ...meeting, SLURM_JOB_ID: "77", SLURM_NTASKS: "4", SLURM_PROCID: "3", SLURM_LOCALID: "1" };
  expect(rankPlace({ ...job, SLURM_STEP_ID: "0" })).toEqual({ ...place, localSize: undefined });
  expect(rankPlace(job)).toBeUndefined();
  expect(rankPlace({ ...job, SLURM_STEP_ID: "0", RANK: "0", WORLD_SIZE: "2" })?.size).toBe(2);
});

it("is a PyTorchJob's: torchrun's variables without a local rank", () => {
  const pod = { ...meeting, RANK: "1", WORLD_SIZE: "2", PET_NNODES: "2", PYTHONUNBUFFERED: "1" };
  expect(rankPlace(pod)).toMatchObject({ rank: 1, size: 2, address: "10.0.0.5", hasStore: false });
});

it("is nowhere for a process that is alone", () => {
  expect(rankPlace({})).toBeUndefined();
  expect(rankPlace({ WORLD_SIZE: "1" })).toBeUndefined();
});
