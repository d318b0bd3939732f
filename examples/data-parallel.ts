// Your own training loop in several processes: each has the whole model and its own blocks, gradients are averaged.
// Compile with tsc, then start one process a rank with torchrun's variables, by torchrun itself or by hand:
//   export WORLD_SIZE=2 MASTER_ADDR=127.0.0.1 MASTER_PORT=29500 OMP_NUM_THREADS=1
//   RANK=1 node data-parallel.js MODEL & RANK=0 node data-parallel.js MODEL
import * as qp from "qwen-pt";
import { DataParallel, init } from "qwen-pt/distributed";

const [folder, steps = "20", data = "examples/data"] = process.argv.slice(2);
if (folder === undefined) throw new Error("usage: node data-parallel.js MODEL [STEPS] [DATA]");

const world = await init(); // a process that is alone is a world of one
qp.manualSeed(42);
const tokenizer = await qp.loadTokenizer(folder);
const corpus = { dataset: ["prose"], dataset_dir: data, cutoff_len: 128, packing: true };
const { blocks } = await qp.prepareTrainingData(corpus, tokenizer);

const model = qp.loadModel(folder);
qp.addLora(model, { rank: 8, targets: "all" });
model.train();
const parallel = await DataParallel.of(model, world); // every rank starts from the weights of rank 0
const optimizer = new qp.AdamW(qp.decayGroups(model.namedParameters(), 0.01), { learningRate: 1e-3 });
const trained = optimizer.groups.flatMap((group) => group.parameters);

for (let step = 0; step < Number(steps); step++) {
  const mine = (step * world.size + world.rank) % blocks.length; // blocks go round the ranks
  const batch = qp.collate([blocks.get(mine)], tokenizer.padId);
  const loss = qp.scope(() => {
    const inputIds = qp.idsOf(batch, "cpu"); // [1, length]
    const logits = model.forward({ inputIds }).narrow(1, 0, batch.length - 1); // [1, length - 1, vocabulary]
    const loss = qp.crossEntropy(
      logits.flatten(0, 1).float(),
      inputIds.narrow(1, 1, batch.length - 1).flatten(0, 1),
    );
    qp.backward(loss);
    return loss.item();
  });
  await parallel.averageGradients(); // the same on every rank from here on
  qp.clipGradNorm(trained, 1);
  optimizer.step();
  optimizer.zeroGrad();
  const [sum = 0] = await world.sum([loss]);
  if (world.rank === 0) console.log(`step ${step + 1}  loss ${(sum / world.size).toFixed(4)}`);
}
await world.close();
