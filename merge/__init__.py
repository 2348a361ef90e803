"""Models as material: sources, mergekit recipes, INT8 weights, banks of LoRA adapters."""
