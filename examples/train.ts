// Your own training loop: LoRA on a folder with a Qwen3 model. TypeScript defines the step, libtorch computes it.
// For a recipe's loop, with logs, checkpoints and bf16, call train() instead.
// Compile with tsc, then: node train.js MODEL [OUTPUT] [STEPS] [DATA]
import * as qp from "qwen-pt";

const [folder, output = "saves/loop", steps = "20", data = "examples/data"] = process.argv.slice(2);
if (folder === undefined) throw new Error("usage: node train.js MODEL [OUTPUT] [STEPS] [DATA]");

qp.manualSeed(42);
const tokenizer = await qp.loadTokenizer(folder);
const corpus = { dataset: ["prose"], dataset_dir: data, cutoff_len: 128, packing: true };
const { blocks, summary } = await qp.prepareTrainingData(corpus, tokenizer);
console.log(qp.formatSummary(summary));

const lora: qp.LoraConfig = { rank: 8, targets: "all" };
const model = qp.loadModel(folder);
qp.addLora(model, lora); // freezes the model; the adapter's matrices train
model.train();
const optimizer = new qp.AdamW(qp.decayGroups(model.namedParameters(), 0.01), { learningRate: 1e-3 });
const trained = optimizer.groups.flatMap((group) => group.parameters);

for (let step = 1; step <= Number(steps); step++) {
  const batch = qp.collate([blocks.get((step - 1) % blocks.length)], tokenizer.padId);
  const { loss, norm } = qp.scope(() => {
    const inputIds = qp.idsOf(batch, "cpu"); // [1, length]
    const logits = model.forward({ inputIds }).narrow(1, 0, batch.length - 1); // [1, length - 1, vocabulary]
    const next = inputIds.narrow(1, 1, batch.length - 1); // what each position should predict
    const loss = qp.crossEntropy(logits.flatten(0, 1).float(), next.flatten(0, 1)); // bf16 has steps of 1/16 here
    qp.backward(loss);
    return { loss: loss.item(), norm: qp.clipGradNorm(trained, 1)?.item() ?? 0 };
  }); // everything made in the scope is freed here; the gradients stay
  optimizer.step();
  optimizer.zeroGrad();
  console.log(`step ${step}  loss ${loss.toFixed(4)}  grad_norm ${norm.toFixed(3)}`);
}

qp.saveAdapter(model, output, { baseModel: folder });
console.log(`adapter saved in ${output}`);
