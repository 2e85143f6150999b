"""What makes a table readable later: data, model, recipe, number of rows, budget."""

from __future__ import annotations

from typing import Any

from unlearnkit.datamodules import ForgetSet
from unlearnkit.study.method import Method
from unlearnkit.study.settings import Setting


def protocol(setting: Setting, methods: list[Method], rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Describe a comparison for its table's caption and its report.

    Args:
        setting: The comparison.
        methods: Its methods.
        rows: The runs made so far; the first tells size and numbers of rows.
    """
    model = setting.section("model")["init_args"]
    data = setting.section("data")
    name = model.get("name")
    target = next((row for row in rows if row["role"] == "target"), rows[0])
    return {
        "benchmark": setting.config.benchmark,
        "data": describe(data["init_args"]),
        "model": name or model.get("network") or model.get("shape") or "small Llama",
        "from_scratch": setting.from_scratch,
        "parameters": target["parameters"],
        "n": target["n"],
        "sections": {name: setting.section(name) for name in ("data", "model", "evaluator")},
        "path_rows": setting.path.rows,
        "path_every": setting.path.every,
        "seeds": list(setting.config.seeds),
        "target_seed": setting.config.target_seed,
        "batch_sizes": {method.name: setting.batch_sizes(method) for method in methods},
        "data_options": {method.name: own for method in methods if (own := setting.own_options(method))},
        "finetune": setting.section("finetune"),
        "rounds": {method.name: method.rounds for method in methods},
        "methods": {method.name: method.content for method in methods},
        "tuning": "none: every method runs with its packaged hyper-parameters",
    }


def describe(data: dict[str, Any]) -> str:
    """Say in a few words which data a comparison uses.

    >>> describe({"path": None, "authors": 40, "questions": 10, "forget": "forget10"})
    'generated authors (40 x 10 questions), forget10'
    >>> describe({"path": "locuslab/TOFU", "forget": "forget10", "forget_authors": 5, "retain_authors": 5})
    'locuslab/TOFU, forget10, 5 forget and 5 retain authors'
    >>> describe({"source": "digits", "forget": {"fraction": 0.1}, "label_noise": 0.1})
    'digits, forget 10 % at random, 10 % label noise'
    >>> describe({"source": "digits", "forget": None, "held_out": 0.5})
    'digits, forget 3, 50 % held out'
    >>> describe({"path": None, "articles": 80, "forget": "sust_2"})
    'generated news (80 articles), sust_2'
    >>> ratios = {"negative_ratio": 0.65, "forget_ratio": 0.8, "mislabel_rate": 0.3}
    >>> describe({"path": None, "pairs": 480, "prompts": 120, **ratios})
    'generated preferences (480 pairs, 120 prompts), negative ratio 0.65, forget ratio 0.8, 30 % mislabelled'
    >>> describe({"path": None, "people": 20, "neighbours": 40, "questions": 20})
    'generated people (20 to forget, 40 neighbours, 20 questions each)'
    >>> describe({"path": None, "authors": 40, "forget": "forget10", "requests": ["4", "1-2"]})
    'generated authors (40 x 10 questions), forget10, requests 4; 1-2'
    """
    if "source" in data:
        return _describe_images(data)
    if "mislabel_rate" in data:
        return _describe_preferences(data)
    if "people" in data:
        return _describe_people(data)
    if data.get("path"):
        parts = [str(data["path"])]
    elif "articles" in data:
        parts = [f"generated news ({data['articles']} articles)"]
    else:
        parts = [f"generated authors ({data.get('authors')} x {data.get('questions') or 10} questions)"]
    parts.append(str(data.get("forget")))
    if data.get("forget_authors") or data.get("retain_authors"):
        kept = [data.get("forget_authors") or "all", data.get("retain_authors") or "all"]
        parts.append(f"{kept[0]} forget and {kept[1]} retain authors")
    if data.get("requests"):
        parts.append(f"requests {'; '.join(map(str, data['requests']))}")
    return ", ".join(parts)


def _describe_preferences(data: dict[str, Any]) -> str:
    where = data.get("path") or f"generated preferences ({data['pairs']} pairs, {data['prompts']} prompts)"
    parts = [str(where), f"negative ratio {data['negative_ratio']:g}, forget ratio {data['forget_ratio']:g}"]
    if data["mislabel_rate"] and not data.get("path"):
        parts.append(f"{100 * data['mislabel_rate']:g} % mislabelled")
    return ", ".join(parts)


def _describe_people(data: dict[str, Any]) -> str:
    if data.get("path"):
        return f"people in {data['path']}"
    numbers = (
        f"{data['people']} to forget, {data['neighbours']} neighbours, {data['questions']} questions each"
    )
    return f"generated people ({numbers})"


def _describe_images(data: dict[str, Any]) -> str:
    chosen = data.get("forget")
    held_out = data.get("held_out")
    default = {"fraction": 0.1} if held_out is None else {"classes": [3]}
    given = dict(getattr(chosen, "as_dict", lambda: chosen or default)())
    parts = [str(data["source"]), f"forget {ForgetSet(**given).name}"]
    if held_out:
        parts.append(f"{100 * held_out:g} % held out")
    if data.get("first_classes"):
        parts.append(f"the first {data['first_classes']} classes")
    if data.get("per_class"):
        parts.append(f"{data['per_class']} training images of each class")
    if data.get("label_noise"):
        parts.append(f"{100 * data['label_noise']:g} % label noise")
    return ", ".join(parts)
