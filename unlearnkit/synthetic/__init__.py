"""Seeded generators of data in the form of real benchmarks, for machines without network or data."""

from unlearnkit.synthetic.authors import fictitious_authors
from unlearnkit.synthetic.tofu_folder import write_tofu_folder

__all__ = ["fictitious_authors", "write_tofu_folder"]
