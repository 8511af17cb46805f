"""The only importers of transformers, peft and bitsandbytes."""
