"""NT-ASGD (Merity, Keskar and Socher 2018, algorithm 1) in AllenNLP: averaging that starts when SGD stops improving.

A trainer needs both parts, the moving average `nt_asgd` and the callback `nt_asgd`. Validation and the saved model use
the average.
"""

from __future__ import annotations

from typing import Any

from allennlp.common.checks import ConfigurationError
from allennlp.training.callbacks import TrainerCallback
from allennlp.training.moving_average import MovingAverage


@MovingAverage.register("nt_asgd")
class TriggeredAverage(MovingAverage):  # type: ignore[misc]
    """Mean of the parameters over all steps since `start`, as in `torch.optim.ASGD` with `lambd=0, t0=-1`.

    Args:
        parameters: Names and parameters of the model.
    """

    def __init__(self, parameters: Any) -> None:
        super().__init__(parameters)
        self.started, self.steps = False, 0

    def start(self) -> None:
        """Start averaging with the next step."""
        self.started = True

    def apply(self, num_updates: int | None = None) -> None:
        """Add the parameters to the average, once it has started.

        Args:
            num_updates: Unused.
        """
        if self.started:
            self.steps += 1
            for name, parameter in self._parameters:
                shadow = self._shadows[name]
                shadow.add_(parameter.data - shadow, alpha=1 / self.steps)

    def assign_average_value(self) -> None:
        """Replace the parameters by their average, if there is one."""
        if self.steps:
            super().assign_average_value()

    def restore(self) -> None:
        """Restore the parameters that `assign_average_value` replaced."""
        if self.steps:
            super().restore()

    def state_dict(self) -> dict[str, Any]:
        """Return the average and its progress, without the parameters, which are in the model's checkpoint."""
        return {"shadows": self._shadows, "started": self.started, "steps": self.steps}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the average and its progress.

        Args:
            state_dict: What the method `state_dict` returned.
        """
        for name, shadow in state_dict["shadows"].items():
            self._shadows[name].copy_(shadow)
        self.started, self.steps = state_dict["started"], state_dict["steps"]


@TrainerCallback.register("nt_asgd")
class NtAsgd(TrainerCallback):  # type: ignore[misc]
    """Callback that starts the average and adapts the learning rate to the length of each batch.

    The average starts after an epoch whose validation perplexity is above the best one that is more than `patience`
    epochs old. The learning rate of a batch is multiplied by its number of steps divided by `steps` of the data loader,
    which compensates for random lengths.

    Args:
        serialization_dir: Output folder, passed by AllenNLP.
        patience: Non-monotone interval in epochs, n in the paper. Defaults to 5.
    """

    def __init__(self, serialization_dir: str, patience: int = 5) -> None:
        super().__init__(serialization_dir)
        self.patience = patience
        self.history: list[float] = []
        self._rates: list[float] = []

    def on_start(self, trainer: Any, is_primary: bool = True, **kwargs: Any) -> None:
        """Check that the trainer averages parameters with `TriggeredAverage`.

        Args:
            trainer: The trainer.
            is_primary: Unused.
            kwargs: Unused.

        Raises:
            ConfigurationError: It has another moving average, or none.
        """
        if not isinstance(trainer._moving_average, TriggeredAverage):
            raise ConfigurationError("trainer.moving_average: expected nt_asgd, which the callback nt_asgd requires")

    def on_backward(self, trainer: Any, batch_outputs: dict[str, Any], backward_called: bool, **kwargs: Any) -> bool:
        """Scale the learning rates by the batch's number of steps divided by the data loader's `steps`.

        Args:
            trainer: The trainer.
            batch_outputs: The model's outputs, with `steps`.
            backward_called: Unused.
            kwargs: Unused.

        Returns:
            False: the trainer computes the gradients.
        """
        groups = trainer.optimizer.param_groups
        self._rates = [group["lr"] for group in groups]
        for group in groups:
            group["lr"] *= batch_outputs["steps"] / trainer.data_loader.steps
        return False

    def on_batch(self, trainer: Any, *args: Any, is_training: bool, **kwargs: Any) -> None:
        """Restore the learning rates after a step.

        Args:
            trainer: The trainer.
            args: Unused.
            is_training: Whether the batch was one of training.
            kwargs: Unused.
        """
        if is_training:
            for group, rate in zip(trainer.optimizer.param_groups, self._rates, strict=True):
                group["lr"] = rate

    def on_epoch(
        self, trainer: Any, metrics: dict[str, Any], epoch: int, is_primary: bool = True, **kwargs: Any
    ) -> None:
        """Start the average if the perplexity has stopped falling.

        Args:
            trainer: The trainer.
            metrics: Metrics of the epoch, with `validation_perplexity`.
            epoch: Unused.
            is_primary: Unused.
            kwargs: Unused.
        """
        perplexity, older = metrics["validation_perplexity"], self.history[: -self.patience]
        if older and perplexity > min(older):
            trainer._moving_average.start()
        self.history.append(perplexity)

    def state_dict(self) -> dict[str, Any]:
        """Return the validation perplexities of all epochs."""
        return {"history": self.history}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the validation perplexities.

        Args:
            state_dict: What the method `state_dict` returned.
        """
        self.history = list(state_dict["history"])
