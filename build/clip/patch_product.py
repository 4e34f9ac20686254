"""The embedding of an image's patches as a product with a matrix, which kernels compute in integers."""

from __future__ import annotations

from typing import Any

import torch


class PatchProduct(torch.nn.Module):
    """What a convolution computes whose windows touch and do not overlap."""

    def __init__(self, convolution: torch.nn.Conv2d, grid: int) -> None:
        """``grid``: patches of an image's side."""
        super().__init__()
        self.side, self.grid = convolution.kernel_size[0], grid
        self.weight = torch.nn.Parameter(convolution.weight.detach().flatten(1), requires_grad=False)
        self.bias = convolution.bias

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """(images, channels, side, side) to (images, width, grid, grid)."""
        grid, side = self.grid, self.side
        rows = pixels.reshape(-1, pixels.shape[1], grid, side, grid, side).permute(0, 2, 4, 1, 3, 5)
        rows = rows.reshape(-1, grid * grid, self.weight.shape[1])
        embedded = torch.nn.functional.linear(rows, self.weight, self.bias)
        return embedded.transpose(1, 2).reshape(-1, self.weight.shape[0], grid, grid)


def with_patch_product(embeddings: Any) -> None:
    """Replace the convolution of a vision transformer's embeddings, if patches divide its images."""
    convolution, side = embeddings.patch_embedding, embeddings.image_size
    if convolution.stride == convolution.kernel_size and side % convolution.kernel_size[0] == 0:
        embeddings.patch_embedding = PatchProduct(convolution, side // convolution.kernel_size[0])
