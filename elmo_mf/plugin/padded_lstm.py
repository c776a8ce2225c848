"""A bidirectional LSTM that trains fast on a CPU."""

from typing import Optional

import torch
from allennlp.modules.seq2seq_encoders import Seq2SeqEncoder


@Seq2SeqEncoder.register("elmo_mf_lstm")
class PaddedLstm(Seq2SeqEncoder):  # type: ignore[misc]
    """The encoder that AllenNLP registers as `lstm`, with `bidirectional`, without packed sequences.

    PyTorch runs an LSTM over packed sequences step by step, and records each step for the backward pass; over padded
    ones, a layer is one operation of oneDNN. The forward direction never reads the padding that follows a sequence,
    and the backward direction reads each sequence reversed within its length, so the outputs are the same.

    Args:
        input_size: Size of the input vectors.
        hidden_size: Size of each direction's states; the outputs are twice as long.
        num_layers: Number of layers. Defaults to 1.
        dropout: Probability of dropping an output between two layers. Defaults to 0.
        bidirectional: Must be true; here so that only the type in a config of `lstm` has to change.
        training_precision: `bfloat16` to round the operands of products in training on a CPU whose oneDNN has such
            LSTMs. Parameters, sums and evaluation are in float32 all the same. Defaults to `float32`.

    Raises:
        ValueError: `bidirectional` is false, or `training_precision` is another one.

    Examples:
        >>> import torch
        >>> encoder = PaddedLstm(input_size=3, hidden_size=4)
        >>> encoder(torch.zeros(2, 5, 3), torch.ones(2, 5, dtype=torch.bool)).shape
        torch.Size([2, 5, 8])
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        dropout: float = 0.0,
        bidirectional: bool = True,
        training_precision: str = "float32",
    ) -> None:
        super().__init__()
        if training_precision not in ("float32", "bfloat16"):
            raise ValueError(f"training_precision: found {training_precision}, expected float32 or bfloat16")
        if not bidirectional:
            raise ValueError("bidirectional: found false, expected true")
        sizes = [input_size] + (num_layers - 1) * [2 * hidden_size]
        self._forward_layers, self._backward_layers = (
            torch.nn.ModuleList(torch.nn.LSTM(size, hidden_size, batch_first=True) for size in sizes) for _ in range(2)
        )
        self._dropout = torch.nn.Dropout(dropout)
        self._rounds = training_precision == "bfloat16" and torch.ops.mkldnn._is_mkldnn_bf16_supported()
        self._input_dim, self._output_dim = input_size, 2 * hidden_size

    def get_input_dim(self) -> int:
        """Return the size of the input vectors."""
        return self._input_dim

    def get_output_dim(self) -> int:
        """Return the size of the output vectors."""
        return self._output_dim

    def is_bidirectional(self) -> bool:
        """Return True."""
        return True

    def forward(self, inputs: torch.Tensor, mask: Optional[torch.Tensor] = None) -> torch.Tensor:  # noqa: UP045
        """Encode sequences.

        Args:
            inputs: Vectors, (batch, steps, input size).
            mask: Which steps are not padding, (batch, steps); None where there is none. Padding follows a sequence.

        Returns:
            Vectors, (batch, steps, 2 * hidden size); 0 in the padding.
        """
        reversal = None if mask is None else _reversal(mask)
        for index, (forward, backward) in enumerate(zip(self._forward_layers, self._backward_layers, strict=True)):
            if index:
                inputs = self._dropout(inputs)
            with torch.autocast("cpu", torch.bfloat16, enabled=self._rounds and self.training):
                ahead, back = forward(inputs)[0], backward(_reversed(inputs, reversal))[0]
            inputs = torch.cat([ahead, _reversed(back, reversal)], dim=-1).to(inputs.dtype)
        return inputs if mask is None else inputs.masked_fill(~mask.bool().unsqueeze(-1), 0.0)


def _reversal(mask: torch.Tensor) -> torch.Tensor:
    """Return the step that each step changes places with, (batch, steps, 1); padding stays where it is."""
    steps = torch.arange(mask.shape[1], device=mask.device).unsqueeze(0)
    lengths = mask.sum(dim=1, keepdim=True)
    return torch.where(steps < lengths, lengths - 1 - steps, steps).unsqueeze(-1)


def _reversed(vectors: torch.Tensor, reversal: torch.Tensor | None) -> torch.Tensor:
    if reversal is None:
        return vectors.flip(1)
    return vectors.gather(1, reversal.expand_as(vectors))
