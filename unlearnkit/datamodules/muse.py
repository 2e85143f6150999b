"""MUSE: news or books as running text, some of which is to be forgotten."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from unlearnkit.artifacts import AnyPath
from unlearnkit.batches import QARow, TokenBatch
from unlearnkit.datamodules.base import EpochLength, ForgetRetainDataModule, Part, TrainOn
from unlearnkit.datamodules.muse_corpus import Forget, MUSECorpus, Retain, read_corpus, request_in
from unlearnkit.datamodules.muse_files import Corpus, Row, corpus_of, load_muse
from unlearnkit.datamodules.text_blocks import Block, Cut, collate_blocks, text_blocks
from unlearnkit.datamodules.tokenizer_files import load_tokenizer, save_tokenizer, train_bpe
from unlearnkit.errors import ConfigurationError, UnknownNameError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class MUSE(ForgetRetainDataModule):
    """The MUSE benchmark (Shi et al. 2024), real or generated in its form.

    A sample is a block of text (``text_blocks`` says how text is cut), all of whose tokens are scored. The target
    learns ``train`` of News, ``raw`` without ``holdout`` of Books, the retrained reference all of these documents but
    those that are to be forgotten; unlearning sees these and one retain set. The tokenizer
    is, in this order: the one named here, that of the trainer's model where the model has a name, or a byte-level BPE
    trained on what the target learns (so that target and reference share it).

    Args:
        path: Folder in the hub's layout, a folder that holds ``MUSE-News`` and ``MUSE-Books``, a name on the hub
            (``muse-bench/MUSE-News``), or None for generated news.
        corpus: ``News`` or ``Books``; None takes the one that the path names, else News.
        forget: What is to be forgotten: ``raw``; of News also ``scal_1`` to ``scal_4``, growing requests, and
            ``sust_1`` to ``sust_4``, requests one after the other (the reference has none of those up to it).
        requests: Requests that come one after the other, ``["sust_1", "sust_2", ...]`` from the first on, of which
            ``request`` is to be forgotten now; in place of ``forget``. None is the single request ``forget``.
        request: Number of the request to forget now, from 1 on.
        retain: Which retain set unlearning sees: ``retain1``, MUSE's for this purpose, or ``retain2``, on which
            utility is evaluated.
        articles: Number of generated articles.
        questions: Questions about each generated article.
        data_seed: Seed of the generated news; None takes ``seed``.
        tokenizer: Name or folder of a tokenizer; None as said above.
        vocab_size: Tokens of a tokenizer trained from scratch.
        cut: ``joined`` cuts blocks out of all documents joined, ``documents`` starts one with each document.
        max_length: Tokens of a block at most; the model's context where that is shorter. MUSE has 2048.
        forget_batch_size: Forget blocks in a round, over all ranks.
        retain_batch_size: Retain blocks in a round, over all ranks.
        train_batch_size: Blocks in a batch when training on one stream, and when evaluating losses.
        epoch_length: Rounds in an epoch: one pass over ``forget``, over ``retain``, or a number.
        train_on: ``full`` (target), ``retain`` (retrained reference) or ``pair`` (unlearning).
        micro_batch_size: Blocks of one side that go through the model at a time, on each process; None takes all.
        num_workers: Worker processes of each loader.
        seed: Seed of every draw.

    Raises:
        UnknownNameError: ``corpus``, ``forget``, ``retain``, ``cut``, ``train_on`` or ``epoch_length`` is no name
            that exists.
        ConfigurationError: A number is out of its range, or ``path`` and ``corpus`` contradict each other.

    >>> data = MUSE(articles=10, max_length=64, vocab_size=300)
    >>> data.setup()
    >>> {side: tuple(batch["input_ids"].shape) for side, batch in data.batch(0).items()}
    {'forget': (4, 64), 'retain': (4, 64)}
    """

    evaluation_sets: dict[str, list[QARow]]
    evaluation_texts: dict[str, list[str]]
    examples: dict[str, tuple[tuple[str, str], ...]]

    def __init__(
        self,
        path: str | None = None,
        *,
        corpus: Corpus | None = None,
        forget: Forget = "raw",
        requests: list[str] | None = None,
        request: int = 1,
        retain: Retain = "retain1",
        articles: int = 100,
        questions: int = 3,
        data_seed: int | None = None,
        tokenizer: str | None = None,
        vocab_size: int = 1000,
        cut: Cut = "joined",
        max_length: int = 2048,
        forget_batch_size: int = 4,
        retain_batch_size: int = 4,
        train_batch_size: int = 16,
        epoch_length: EpochLength = "forget",
        train_on: TrainOn = "pair",
        micro_batch_size: int | None = None,
        num_workers: int = 0,
        seed: int = 0,
    ) -> None:
        super().__init__(
            forget_batch_size=forget_batch_size,
            retain_batch_size=retain_batch_size,
            train_batch_size=train_batch_size,
            epoch_length=epoch_length,
            train_on=train_on,
            micro_batch_size=micro_batch_size,
            num_workers=num_workers,
            seed=seed,
        )
        if cut not in get_args(Cut):
            raise UnknownNameError.among("cut", cut, get_args(Cut))
        if max_length < 2:
            raise ConfigurationError(
                f"`max_length` must be 2 or above: the first token of a block is never scored. Found {max_length}. "
                "MUSE has 2048."
            )
        self.path = path
        self.corpus: Corpus = corpus_of(path, corpus)
        self.requests = None if requests is None else tuple(requests)
        self.request = request
        self.forget: Forget = forget if self.requests is None else request_in(self.requests, request, forget)
        self.retain: Retain = retain
        self.articles = articles
        self.questions = questions
        self.data_seed = data_seed if data_seed is not None else seed
        self.tokenizer_name = tokenizer
        self.vocab_size = vocab_size
        self.cut: Cut = cut
        self.max_length = max_length
        self._data: MUSECorpus | None = None
        self._tokenizer: PreTrainedTokenizerBase | None = None
        self._tokenizer_from: str | None = None
        self._limit = max_length
        self._blocks: dict[str, list[Block]] = {}

    # -------------------------------------------------------------------------------- set-up

    def prepare_data(self) -> None:
        """Fetch everything from the hub once, in one process."""
        if self.path is not None and not Path(self.path).expanduser().is_dir():
            self._read()

    def setup(self, stage: str = "fit") -> None:
        """Read the data and find the tokenizer; a second call only looks whether the model changed."""
        if self._data is None:
            self._data = self._read()
            self._split = self._data.split
            self.evaluation_sets = self._data.evaluation_sets
            self.evaluation_texts = self._data.evaluation_texts
            self.examples = self._data.examples
        model: Any = getattr(getattr(self.trainer, "lightning_module", None), "model", None)
        source = self.tokenizer_name or getattr(model, "name", None)
        limit = min(self.max_length, getattr(model, "context_length", self.max_length))
        if self._tokenizer is None or self._tokenizer_from != source:
            documents = self._data.documents
            self._tokenizer = load_tokenizer(source) if source else train_bpe(documents, self.vocab_size)
            _require_end(self._tokenizer)
            self._tokenizer_from = source
            self._blocks.clear()
        if self._limit != limit:
            self._limit = limit
            self._blocks.clear()
        parts: tuple[Part, ...] = ("train",) if self.train_on != "pair" else ("forget", "retain")
        for part in parts:  # what is wrong with the texts shows before a run starts
            self.samples(part)

    def _read(self) -> MUSECorpus:
        def load(configuration: str, split: str) -> list[Row]:
            return load_muse(
                self.path,
                configuration,
                split,
                corpus=self.corpus,
                articles=self.articles,
                questions=self.questions,
                seed=self.data_seed,
            )

        return read_corpus(load, self.corpus, self.forget, self.retain)

    def _known(self) -> MUSECorpus:
        if self._data is None:
            raise ConfigurationError(
                "`tokenizer` and documents are known after setup. Found MUSE before it. Call .setup() first."
            )
        return self._data

    @property
    def requested(self) -> tuple[tuple[int, ...], ...]:
        """Documents of each request up to this one, known after ``setup``."""
        return self._known().requested

    # ------------------------------------------------------------------------------- samples

    def samples(self, part: Part) -> Sequence[Block]:
        """Return the blocks of one side, or those of the single stream that ``train_on`` says.

        Forget blocks are numbered from 0, retain blocks go on after them; those of a stream are numbered from 0.
        """
        data = self._known()
        key = f"train on {self.train_on}" if part == "train" else part
        if key not in self._blocks:
            numbers: Sequence[int] = {"forget": data.split.forget, "retain": data.split.retain}.get(part, ())
            if part == "train":
                numbers = data.retained if self.train_on == "retain" else range(len(data.documents))
            first = len(self.samples("forget")) if part == "retain" else 0
            self._blocks[key] = self._cut([data.documents[number] for number in numbers], first)
        return self._blocks[key]

    def _cut(self, texts: Sequence[str], first: int = 0) -> list[Block]:
        return text_blocks(texts, self.tokenizer, self._limit, first, self.cut)

    def unseen_batches(self) -> Iterator[TokenBatch]:
        """Yield blocks of the holdout, which nobody learns, as many as are to be forgotten."""
        blocks = self._cut(self._known().holdout)[: len(self.samples("forget"))]
        yield from self._in_batches(blocks)

    def collate(self, samples: Sequence[Block]) -> TokenBatch:
        """Make one right-padded batch of some blocks."""
        pad: Any = self.tokenizer.pad_token_id
        return collate_blocks(samples, int(pad))

    # -------------------------------------------------------------------------------- tokens

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The tokenizer, known after ``setup``."""
        self._known()
        assert self._tokenizer is not None
        return self._tokenizer

    @property
    def traits(self) -> PreTrainedTokenizerBase:
        """What a model from scratch is built for: the tokenizer, known after ``setup``."""
        return self.tokenizer

    def save_tokenizer(self, folder: AnyPath) -> None:
        """Write the tokenizer as a ``from_pretrained`` folder."""
        save_tokenizer(self.tokenizer, folder)


def _require_end(tokenizer: PreTrainedTokenizerBase) -> None:
    if tokenizer.eos_token_id is None:
        raise ConfigurationError(
            f"`tokenizer` must have an EOS token, at which generation ends. Found {tokenizer.name_or_path!r} without "
            "one. Set tokenizer.eos_token and save the tokenizer again."
        )
