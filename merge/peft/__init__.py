"""PEFT adapter folders: reading, mixing, writing."""
