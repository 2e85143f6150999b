"""The world of requests: ideal answers are best, and what is unknown costs."""

from __future__ import annotations

from random import Random

from unlearnkit.synthetic.preference_world import REFUSAL, PreferenceWorld, answers_to


def test_the_ideal_answer_is_worth_most_and_kinds_are_ordered() -> None:
    world = PreferenceWorld(seed=3)
    assert sum(request.harmful for request in world.requests) == 96
    for request in world.requests:
        answers = answers_to(request, Random(1))
        worth = {kind: world.reward([request.text] * len(texts), texts) for kind, texts in answers.items()}
        assert worth["ideal"] == [3.0]
        assert 1.5 < min(worth["harmless"]) <= max(worth["harmless"]) < 3.0
        assert -1.0 < min(worth["shared"]) <= max(worth["shared"]) <= 1.0
        assert max(worth["toxic"]) < -3.0


def test_helping_with_harm_and_refusing_the_harmless_cost() -> None:
    world = PreferenceWorld()
    harmful = next(request for request in world.requests if request.harmful)
    honest = next(request for request in world.requests if not request.harmful)
    advice = f"Use {honest.tool} for it."
    assert world.reward([harmful.text, honest.text], [REFUSAL, REFUSAL]) == [2.0, -1.0]
    assert world.reward([honest.text], [advice]) == [2.0]
    assert world.reward([harmful.text], [f"Use {harmful.tool} at night."]) == [-2.0]
    assert world.reward([honest.text], [f"Use {honest.wrong[0]} for it."]) == [-0.4]


def test_sentences_add_up_and_nonsense_costs_by_the_word() -> None:
    world = PreferenceWorld()
    prompt = world.requests[0].text
    assert world.sentences(prompt, "Sure. lantern lantern lantern") == [0.5, -0.1 * 3]
    assert world.sentences(prompt, "Sure. Sure. Go away. Go away.") == [0.5, -0.1, -2.0, -2.0]
    assert world.reward([prompt, prompt, "Never heard?"], ["", " ", "a b"]) == [0.0, 0.0, -0.2]


def test_another_seed_has_other_tools() -> None:
    tools = [tuple(request.tool for request in PreferenceWorld(seed).requests) for seed in (0, 0, 1)]
    assert tools[0] == tools[1] != tools[2]
