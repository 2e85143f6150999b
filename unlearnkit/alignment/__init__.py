"""What alignment by unlearning aims at: rewards, the expected reward J with its gradient, and who is selected."""

from unlearnkit.alignment.exact_j import ExactJ
from unlearnkit.alignment.judges import Judge, RuleJudge
from unlearnkit.alignment.policy_gradient_j import Estimate, PolicyGradientJ
from unlearnkit.alignment.rewards import Reward, TextReward, TokenReward, rewards_of, token_rewards_of

__all__ = [
    "Estimate",
    "ExactJ",
    "Judge",
    "PolicyGradientJ",
    "Reward",
    "RuleJudge",
    "TextReward",
    "TokenReward",
    "rewards_of",
    "token_rewards_of",
]
