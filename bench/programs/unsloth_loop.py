"""Unsloth by its documentation: FastLanguageModel, get_peft_model and its trainer, on the recipe's blocks, steps and LoRA
settings. unsloth_loop.py RECIPE OUTPUT: logs as the others'. The dtype is left to it (bf16 where the processor has it)."""
import json
import os
import sys

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # the model is a folder
from unsloth import FastLanguageModel  # has to come before transformers and TRL
from unsloth import UnslothTrainer, UnslothTrainingArguments
import yaml
from datasets import Dataset
from recipe_blocks import load

recipe = yaml.safe_load(open(sys.argv[1]))
output = sys.argv[2]
length = recipe["cutoff_len"]
model, tokenizer = FastLanguageModel.from_pretrained(
    model_name=recipe["model_name_or_path"], max_seq_length=length, dtype=None, load_in_4bit=recipe.get("quantization_bit") == 4
)
dtype = str(model.dtype).removeprefix("torch.")
model = FastLanguageModel.get_peft_model(
    model,
    r=recipe["lora_rank"],
    lora_alpha=2 * recipe["lora_rank"],
    lora_dropout=0,
    bias="none",
    target_modules=["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
    use_gradient_checkpointing=recipe["unsloth_checkpointing"],
    random_state=42,
)
wanted = recipe["max_steps"] * recipe["gradient_accumulation_steps"]
blocks = load(recipe, tokenizer)[:wanted]
rows = [{"input_ids": block, "attention_mask": [1] * length, "labels": block} for block in blocks]
trainer = UnslothTrainer(
    model=model,
    tokenizer=tokenizer,
    train_dataset=Dataset.from_list(rows),
    args=UnslothTrainingArguments(
        output_dir=output,
        max_steps=recipe["max_steps"],
        per_device_train_batch_size=1,
        gradient_accumulation_steps=recipe["gradient_accumulation_steps"],
        learning_rate=recipe["learning_rate"],
        lr_scheduler_type="cosine",
        warmup_steps=0,
        weight_decay=0.0,
        max_grad_norm=1.0,
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        max_length=length,
        packing=False,
        seed=42,
    ),
)
result = trainer.train()
os.makedirs(output, exist_ok=True)
model.save_pretrained(output)
json.dump({"log_history": trainer.state.log_history[:-1]}, open(os.path.join(output, "trainer_state.json"), "w"))
json.dump({"train_runtime": result.metrics["train_runtime"], "dtype": dtype}, open(os.path.join(output, "train_results.json"), "w"))
