"""What alignment by unlearning aims at: rewards, the expected reward J with its gradient, and who is selected."""

from unlearnkit.alignment.exact_j import ExactJ
from unlearnkit.alignment.gain_selectors import GainFilter, GainSelector, GivenSelection, GrowingSelector
from unlearnkit.alignment.gains import MarginalGains
from unlearnkit.alignment.judges import Judge, RuleJudge
from unlearnkit.alignment.learned_reward import HubReward, LearnedReward
from unlearnkit.alignment.plain_selectors import RandomSelector, RewardSelector
from unlearnkit.alignment.policy_gradient_j import Estimate, PolicyGradientJ
from unlearnkit.alignment.preference_margin_j import PreferenceMarginJ
from unlearnkit.alignment.reward_model import (
    RewardModel,
    bradley_terry,
    fit_reward_model,
    preference_accuracy,
)
from unlearnkit.alignment.reward_weighted_j import RewardWeightedJ
from unlearnkit.alignment.rewards import Reward, TextReward, TokenReward, rewards_of, token_rewards_of
from unlearnkit.alignment.selection import Selection

__all__ = [
    "Estimate",
    "ExactJ",
    "GainFilter",
    "GainSelector",
    "GivenSelection",
    "GrowingSelector",
    "HubReward",
    "Judge",
    "LearnedReward",
    "MarginalGains",
    "PolicyGradientJ",
    "PreferenceMarginJ",
    "RandomSelector",
    "Reward",
    "RewardModel",
    "RewardSelector",
    "RewardWeightedJ",
    "RuleJudge",
    "Selection",
    "TextReward",
    "TokenReward",
    "bradley_terry",
    "fit_reward_model",
    "preference_accuracy",
    "rewards_of",
    "token_rewards_of",
]
