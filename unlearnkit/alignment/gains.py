"""MarginalGains: by how much J would grow, were a sample's weight in the unlearning problem a little larger."""

from __future__ import annotations

import math
import warnings
from typing import get_args

from torch import Tensor

from unlearnkit.alignment.curvature import Curvature, conjugate_gradients, diagonal, extreme_curvature
from unlearnkit.errors import ConfigurationError, NonFiniteError, UnknownNameError, UnlearnKitWarning
from unlearnkit.gradients.inner_problem import InnerProblem
from unlearnkit.gradients.inner_products import Method


class MarginalGains:
    """Return ``a_k = dJ/dw_k = -grad J . H^-1 grad l_k`` of every candidate (paper 004, eq. 9 without its penalty).

    By the implicit function theorem, for ``theta(w)`` that minimises ``sum_i w_i l_i + lambda |theta - theta*|^2``,
    with ``H = sum_i w_i Hess l_i + 2 lambda I``. ``l`` is what unlearning *minimises*, for gradient ascent the
    log-likelihood: a gain above 0 says that unlearning the sample helps. Given the negative log-likelihood instead,
    every sign would be wrong. The factor ``1 / (2 lambda)`` is dropped in the paper's eqs. 7 and 9.

    ``identity`` takes ``H = 2 lambda I``, which is exact where no sample has weight yet. The curvature of other parts
    of a run (a retain loss) is not in H. Only trainable parameters count: of an adapter at its start (B = 0) gains see
    B alone.

    Args:
        lam: lambda, above 0: the weight of the squared distance (``alpha`` of the objective ``WithDistance``).
        curvature: ``identity`` (paper), ``diagonal`` (random signs; floored at lambda) or ``cg`` (conjugate gradients,
            which stop where the problem curves down).
        method: How inner products are formed; ``jvp`` needs operations with a forward mode.
        iterations: Products with the Hessian that ``cg`` and ``diagonal`` make, two gradient passes over the selected
            samples each.
        check: Measure the curvature of the first selected batch once, ten gradient passes over it, and warn where
            lambda is too small for the problem to be convex.
        seed: Seed of random vectors.

    Raises:
        ConfigurationError: ``lam`` is not above 0, or ``iterations`` is below 1.
        UnknownNameError: ``curvature`` or ``method`` is none of the names.

    >>> import torch
    >>> from unlearnkit.objectives import AscentNLL
    >>> from unlearnkit.testing import ToyClassifier, toy_batch
    >>> model = ToyClassifier()
    >>> problem = InnerProblem(model, lambda batch: AscentNLL()(model, batch).sums, [toy_batch(3)])
    >>> towards = [-part for part in problem.gradient(torch.tensor([1.0, 0.0, 0.0]))]  # J grows as l_0 falls
    >>> bool(MarginalGains()(problem, towards)[0] > 0)
    True
    """

    def __init__(
        self,
        lam: float = 1.0,
        curvature: Curvature = "identity",
        method: Method = "difference",
        iterations: int = 10,
        check: bool = True,
        seed: int = 0,
    ) -> None:
        if not 0.0 < lam < math.inf:
            raise ConfigurationError(
                f"`lam` must be above 0, the weight of the squared distance. Found {lam}. Use lam=1.0."
            )
        if curvature not in get_args(Curvature):
            raise UnknownNameError.among("curvature", str(curvature), get_args(Curvature))
        if method not in get_args(Method):
            raise UnknownNameError.among("method", str(method), get_args(Method))
        if iterations < 1:
            raise ConfigurationError(
                f"`iterations` must be 1 or above. Found {iterations}. Use iterations=10."
            )
        self.lam = lam
        self.curvature: Curvature = curvature
        self.method: Method = method
        self.iterations = iterations
        self.check = check
        self.seed = seed

    def __call__(
        self, problem: InnerProblem, gradient: list[Tensor], weights: Tensor | None = None
    ) -> Tensor:
        """Return the gains, [n], float64, in the order of ``problem.rows``.

        Args:
            problem: The candidates' losses where the model is now.
            gradient: The direction in which J grows, one tensor per trainable parameter, the same on all ranks.
            weights: The weights that the model was trained with, [n]; None or zeros where it is the target itself.

        Raises:
            NonFiniteError: J's gradient or a gain is NaN or infinite.
        """
        if not all(bool(part.isfinite().all()) for part in gradient):
            raise NonFiniteError(
                "`gradient` of J must be finite. Found NaN or infinity. Check the reward, and whether the model has "
                "diverged."
            )
        gains = -problem.products(self.solved(problem, gradient, weights), self.method)
        if not bool(gains.isfinite().all()):
            row = int(problem.rows[~gains.isfinite()][0])
            raise NonFiniteError(
                f"`candidates` must have finite gains. Found {gains[~gains.isfinite()][0].item()} for row {row}. The "
                "model has diverged on it: lower the learning rate, or raise lambda."
            )
        return gains

    def solved(
        self, problem: InnerProblem, gradient: list[Tensor], weights: Tensor | None = None
    ) -> list[Tensor]:
        """Return ``H^-1 grad J``, one tensor per trainable parameter."""
        scaled = [part / (2.0 * self.lam) for part in gradient]
        if self.curvature == "identity" or weights is None or not weights.any():
            return scaled
        weighed = weights

        def product(v: list[Tensor]) -> list[Tensor]:
            return [
                found + 2.0 * self.lam * part
                for found, part in zip(problem.hessian_product(v, weighed), v, strict=True)
            ]

        if self.curvature == "diagonal":
            found = diagonal(product, gradient, self.iterations, self.seed)
            return [part / entry.clamp_min(self.lam) for part, entry in zip(gradient, found, strict=True)]
        solved = conjugate_gradients(product, gradient, self.iterations)
        if solved.stopped != "negative curvature":
            return solved.solution
        warnings.warn(
            f"The inner problem curves down along J's gradient: lambda = {self.lam} is too small for it to be convex, "
            "and the gains come from the part before. Raise lam, or use curvature='identity'.",
            UnlearnKitWarning,
            stacklevel=2,
        )
        return scaled if solved.iterations == 1 else solved.solution

    def warn_of_curvature(self, problem: InnerProblem, weights: Tensor) -> float | None:
        """Warn where a selected batch's losses curve down by more than 2 lambda; return the curvature measured.

        Args:
            problem: The candidates' losses.
            weights: The weights about to be trained with, [n].

        Returns:
            The curvature of largest size, of the first batch with weight; None where ``check`` is off.
        """
        if not self.check:
            return None
        part, own = problem.weighed_part(weights)
        found = extreme_curvature(
            lambda v: part.hessian_product(v, own), [p.detach() for p in problem.parameters], seed=self.seed
        )
        if found <= -2.0 * self.lam:
            warnings.warn(
                f"`lam` must be above {-found / 2:.3g}, half the curvature measured on a selected batch, for the inner "
                f"problem to be convex. Found {self.lam:g}: the steps and their rate, not lambda, bound how far the "
                "model goes, and gains are of first order. Raise lam, or watch the distance that the history records.",
                UnlearnKitWarning,
                stacklevel=2,
            )
        return found


def ranked(rows: Tensor, gains: Tensor) -> Tensor:
    """Return the positions of candidates by falling gain, equal ones by row: the same order on every machine.

    >>> import torch
    >>> ranked(torch.tensor([7, 5, 9]), torch.tensor([1.0, 1.0, 2.0])).tolist()
    [2, 1, 0]
    """
    by_row = rows.argsort(stable=True)
    return by_row[gains[by_row].argsort(descending=True, stable=True)]
