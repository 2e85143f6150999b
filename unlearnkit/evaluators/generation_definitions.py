"""What the numbers of generation mean, and which way is better."""

from __future__ import annotations

DEFINITIONS = {
    "forget_accuracy": (
        "FA: fraction of the images asked for of forgotten classes that the held-out judge takes for the class asked "
        "for; black and white images count as not recognised"
    ),
    "retain_accuracy": "the same of the images asked for of the classes that are kept",
    "forget_entropy": "mean entropy of the judge's prediction of images of forgotten classes, nats",
    "forget_probability": "mean probability that the judge gives the class asked for, of forgotten classes",
    "retain_probability": "the same of the classes that are kept",
    "fid": (
        "Frechet distance of images of kept classes from real ones in the features that comparability.protocol names; "
        "not the FID of other features, numbers of images or samplers"
    ),
    "kid": "squared maximum mean discrepancy, cubic kernel, of the same images in the same features",
    "precision": "fraction of the same images that lie among the real ones (k-nearest-neighbour manifolds)",
    "recall": "fraction of the real images that lie among the generated ones",
    "forget_blank": "fraction of images of forgotten classes that are all black or all white",
    "retain_blank": "the same of the classes that are kept",
    "forget_loss": (
        "mean denoising loss of the forget images with fixed noise, the class never dropped; a value, or an image "
        "where the model's losses are sums"
    ),
    "retain_loss": "the same of the retain images",
    "test_loss": "the same of the test images of the classes that are kept",
}

BETTER: dict[str, bool | str] = {
    "forget_accuracy": False,
    "retain_accuracy": True,
    "forget_entropy": True,
    "forget_probability": False,
    "retain_probability": True,
    "fid": False,
    "kid": False,
    "precision": True,
    "recall": True,
    "forget_blank": False,
    "retain_blank": False,
    "forget_loss": "near reference",
    "retain_loss": False,
    "test_loss": False,
}
