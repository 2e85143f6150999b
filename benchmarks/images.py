"""Images trained on per second, against a plain torchvision pipeline (PIL transforms, two workers) on the same model.

    python benchmarks/images.py --network small
    python benchmarks/images.py --network resnet18 --device cuda --images 50000

Colour images of 32 x 32, random ones, because neither way looks at what is on them. Both ways train the same
network with the same optimizer for as many batches of 256 in the same run, by turns: ours reads bytes, cuts and
mirrors a batch at once and normalises in the model; the other decodes nothing either, but transforms image by image
in two worker processes (PIL crop and mirror, ToTensor, Normalize), as the public unlearning code bases do. Prints
images per second, of the whole loop and of the data alone, and their ratios; --out writes them as JSON.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from unlearnkit.artifacts import atomic_write_json
from unlearnkit.batches import ImageTraits
from unlearnkit.datamodules.augmentation import crop_and_flip
from unlearnkit.evaluators.base import versions
from unlearnkit.keyed_draws import row_keys
from unlearnkit.models import ImageClassifier
from unlearnkit.models.image_classifier import CIFAR_MEAN, CIFAR_STD
from unlearnkit.study.environment import hardware

BATCH = 256
GOAL = 3.0


class Pictures(Dataset[tuple[Tensor, int]]):
    """Images as PIL pictures, transformed one by one."""

    def __init__(self, images: Tensor, labels: Tensor) -> None:
        self.pictures = [Image.fromarray(image) for image in images.permute(0, 2, 3, 1).numpy()]
        self.labels = labels.tolist()
        self.transform = transforms.Compose(
            [
                transforms.RandomCrop(32, 4),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize(CIFAR_MEAN, CIFAR_STD),
            ]
        )

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, row: int) -> tuple[Tensor, int]:
        return self.transform(self.pictures[row]), self.labels[row]


def ours(images: Tensor, labels: Tensor, device: torch.device) -> Iterator[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    for rows in torch.split(torch.randperm(len(labels), generator=generator), BATCH):
        moved, there = images[rows].to(device), rows.to(device)
        yield crop_and_flip(moved, row_keys(0, 0, there)), labels[rows].to(device)


def theirs(pictures: Pictures, device: torch.device) -> Iterator[tuple[Tensor, Tensor]]:
    pinned = device.type == "cuda"
    for inputs, labels in DataLoader(
        pictures, batch_size=BATCH, shuffle=True, num_workers=2, pin_memory=pinned
    ):
        yield inputs.to(device, non_blocking=pinned), labels.to(device, non_blocking=pinned)


def train(model: Any, batches: Iterator[tuple[Tensor, Tensor]], normalised: bool) -> None:
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    for inputs, labels in batches:
        optimizer.zero_grad()
        logits = model.network(inputs) if normalised else model({"inputs": inputs, "targets": labels})
        cross_entropy(logits, labels).backward()
        optimizer.step()


def use_up(batches: Iterator[Any]) -> None:
    for _ in batches:
        pass


def timed(run: Callable[[], None], device: torch.device) -> float:
    start = time.perf_counter()
    run()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start


def measure(network: str, n: int, turns: int, device: torch.device) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (n, 3, 32, 32), dtype=torch.uint8, generator=generator)
    labels = torch.randint(10, (n,), generator=generator)
    pictures = Pictures(images, labels)
    model = ImageClassifier(network=network)
    model.materialize(ImageTraits(classes=10, channels=3, height=32))
    model.to(device)
    ways: dict[str, Callable[[], None]] = {
        "ours, data": lambda: use_up(ours(images, labels, device)),
        "torchvision, data": lambda: use_up(theirs(pictures, device)),
        "ours, training": lambda: train(model, ours(images, labels, device), normalised=False),
        "torchvision, training": lambda: train(model, theirs(pictures, device), normalised=True),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(turns):
        for name, run in ways.items():
            seconds[name].append(timed(run, device))
    rates = {name: n / statistics.median(found) for name, found in seconds.items()}
    ratios = {
        part: statistics.median(
            other / own
            for own, other in zip(seconds[f"ours, {part}"], seconds[f"torchvision, {part}"], strict=True)
        )
        for part in ("data", "training")
    }
    return {
        "network": network,
        "device": str(device),
        "images": n,
        "turns": turns,
        "images_per_second": rates,
        "ratios": ratios,
    }


def table(found: dict[str, Any]) -> str:
    lines = ["| part | ours, images/s | torchvision, 2 workers | ratio |", "|:---|---:|---:|---:|"]
    for part, ratio in found["ratios"].items():
        own, other = (found["images_per_second"][f"{way}, {part}"] for way in ("ours", "torchvision"))
        verdict = f" (goal {GOAL:g}, {'met' if ratio >= GOAL else 'missed'})" if part == "training" else ""
        lines.append(f"| {part}, {found['network']} | {own:,.0f} | {other:,.0f} | {ratio:.1f}{verdict} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--network", default="small")
    parser.add_argument("--images", type=int, default=5120)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--device", type=torch.device, default=torch.device("cpu"))
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    found = measure(given.network, given.images, given.turns, given.device)
    print(table(found))
    if given.out is not None:
        said = {"date": datetime.now(UTC).date().isoformat(), "hardware": hardware(), "versions": versions()}
        atomic_write_json(given.out, said | found)


if __name__ == "__main__":
    main()
