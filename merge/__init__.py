"""Models as material: sources, mergekit recipes, INT8 weights, banks of LoRA adapters."""

import os

# A row must have the same bits in every batch. AMX kernels of oneDNN sum it in another order where
# the batch has other rows, AVX512 kernels do not. Read once, before the first product.
if not {"ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA"} & os.environ.keys():
    os.environ["ONEDNN_MAX_CPU_ISA"] = "AVX512_CORE_BF16"
