"""The engines by name; no torch here, so that settings can be checked without it."""

from __future__ import annotations

from enum import StrEnum


class EngineName(StrEnum):
    """The library and the number format that a network is run with."""

    TORCH_FP32 = "torch-fp32"
    TORCH_BF16 = "torch-bf16"
    OPENVINO_FP32 = "openvino-fp32"
    OPENVINO_BF16 = "openvino-bf16"
    OPENVINO_INT8 = "openvino-int8"
    CUDA_FP32 = "cuda-fp32"
    CUDA_FP16 = "cuda-fp16"
    CUDA_BF16 = "cuda-bf16"

    @property
    def on_gpu(self) -> bool:
        """True where it needs a GPU."""
        return self.value.startswith("cuda")
