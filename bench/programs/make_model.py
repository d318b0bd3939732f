"""Makes a Qwen3-0.6B-shaped model with random weights in bfloat16: make_model.py FOLDER [SEED]."""
import sys

import torch
from transformers import Qwen3Config, Qwen3ForCausalLM

folder, seed = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 0
torch.manual_seed(seed)
config = Qwen3Config(
    vocab_size=151936, hidden_size=1024, intermediate_size=3072, num_hidden_layers=28, num_attention_heads=16,
    num_key_value_heads=8, head_dim=128, max_position_embeddings=40960, rms_norm_eps=1e-6, rope_theta=1000000,
    tie_word_embeddings=True, bos_token_id=151643, eos_token_id=151645,
)
Qwen3ForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)
