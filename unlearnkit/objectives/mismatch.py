"""Mismatch: learn another question's answer."""

from __future__ import annotations

from unlearnkit.objectives.idk import IDK


class Mismatch(IDK):
    """Minimise the negative log-likelihood of a retain answer to each question to forget (part of LLMU).

    Which answer is a function of seed, row and round, so that it resumes. The mean is over its tokens
    (Yao et al. 2023, eq. 5).

    Raises:
        ConfigurationError: The batch has no second answers.

    >>> Mismatch.answers, Mismatch.role
    ('mismatch', 'forget')
    """

    answers = "mismatch"
