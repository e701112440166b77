"""Models from files: what they are, their tensors when asked for, their tokenizer."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from configs.errors import InputError

from .architecture import EMBEDDING, HEAD, Architecture, EncoderArchitecture, read_architecture
from .readers import GGUFFile, Llama2cFile, TensorSource, open_tensors
from .readers.binary import read_json
from .readers.gguf_file import is_llama, llama_config, llama_tensors
from .readers.source import RenamedTensors
from .registry import known_models, model_path
from .tokenizer import (
    Tokenizer,
    byte_tokenizer,
    file_tokenizer,
    gguf_tokenizer,
    llama2c_tokenizer,
)

__all__ = ["EMBEDDING", "HEAD", "LinearWeights", "Model", "expected_shapes", "load_model"]

AnyArchitecture = Architecture | EncoderArchitecture

BYTE_VALUES = 256
# buffers that old checkpoints carry and that the architecture already defines
IGNORED_SUFFIXES = ("rotary_emb.inv_freq", "embeddings.position_ids")
# what an encoder may have on top and sentence embeddings do not use
POOLER = "pooler."


class LinearWeights(Mapping[str, NDArray[np.floating]]):
    """Layer name -> weights (N, K); each is read when asked for.

    Parameters
    ----------
    tensors : where they are.
    names : layer name -> tensor name.
    """

    def __init__(
        self, tensors: Mapping[str, NDArray[np.floating]], names: Mapping[str, str]
    ) -> None:
        self._tensors, self._names = tensors, dict(names)

    def __getitem__(self, name: str) -> NDArray[np.floating]:
        return self._tensors[self._names[name]]

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


@dataclass(frozen=True, kw_only=True, eq=False)
class Model:
    """A floating-point model.

    Attributes
    ----------
    name : the registered name, or that of the folder or file.
    architecture : None for a file of matrices of which no more is known.
    tensors : Hugging Face name -> float16 or float32 array, ``lm_head.weight`` only if not tied;
        the file's own names where there is no architecture. A :class:`TensorSource` reads each
        when asked for, checks that it is finite, and does not keep it.
    heldout : text that training never saw, or None.
    tokenizer_factory : makes the tokenizer, or None where there is none.
    """

    name: str
    architecture: AnyArchitecture | None
    tensors: Mapping[str, NDArray[np.floating]] = field(repr=False)
    heldout: bytes | None = field(default=None, repr=False)
    tokenizer_factory: Callable[[], Tokenizer] | None = None

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer, made when first asked for.

        Raises
        ------
        InputError : there is none, or it cannot be read.
        """
        if self.tokenizer_factory is None:
            raise InputError(f"model '{self.name}' comes without a tokenizer")
        return self.tokenizer_factory()

    @property
    def linear_shapes(self) -> dict[str, tuple[int, int]]:
        """(N, K) of the matrices of :meth:`linear_weights`, without reading them."""
        if self.architecture is not None:
            linears = self.architecture.block_linears()
            return {linear.name: (linear.out_features, linear.in_features) for linear in linears}
        assert isinstance(self.tensors, TensorSource)
        return {
            name: (info.shape[0], info.shape[1])
            for name, info in self.tensors.infos.items()
            if len(info.shape) == 2 and self.tensors.is_float(name)
        }

    def linear_weights(self) -> LinearWeights:
        """Weights (N, K) of the block linears by name, in the order of execution.

        These are the matrices that bitsmith quantizes. The embedding and the head (one table
        where tied) stay in floating point, as in the published evaluations. Without an
        architecture they are all matrices of the file.
        """
        known = self.architecture
        names = {name: known.weight_name(name) if known else name for name in self.linear_shapes}
        return LinearWeights(self.tensors, names)


def expected_shapes(architecture: AnyArchitecture) -> dict[str, tuple[int, ...]]:
    """Name -> shape of every tensor that a checkpoint of ``architecture`` must hold."""
    return architecture.expected_shapes()


def load_model(path_or_name: str | Path) -> Model:
    """Open a model: its shapes and types are checked, its tensors are read when asked for.

    Parameters
    ----------
    path_or_name : a registered name; a Hugging Face folder with ``config.json`` and
        ``*.safetensors``; a GGUF file or a llama2.c checkpoint; or a ``.safetensors``, ``.gguf``,
        ``.onnx``, ``.npz`` or ``.npy`` file whose matrices are taken as they are. A file
        ``heldout.txt`` in a folder becomes ``heldout``; tokenizers are found in a folder
        (``tokenizer.json``), in a GGUF file and beside a llama2.c file (``tok512.bin`` for 512
        tokens, or ``tokenizer.bin``).

    Raises
    ------
    InputError : an unknown or missing model, unreadable files, or tensors that are missing,
        unexpected, or of the wrong shape or type.
    """
    path = model_path(path_or_name)
    registered = {info.name for info in known_models()}
    name = path_or_name if path_or_name in registered else None
    if path.is_dir():
        return _folder_model(path, str(name or path.resolve().name))
    source, name = open_tensors(path), str(name or path.stem)
    if isinstance(source, GGUFFile) and is_llama(source):
        return _gguf_model(source, name)
    if isinstance(source, Llama2cFile):
        return _llama2c_model(source, name)
    model = Model(name=name, architecture=None, tensors=source)
    if not model.linear_shapes:
        raise InputError(f"{path} holds no matrix of floating-point numbers")
    return model


def _folder_model(folder: Path, name: str) -> Model:
    where = folder / "config.json"
    architecture = read_architecture(read_json(where), str(where))  # type: ignore[arg-type]
    heldout, tokens = folder / "heldout.txt", folder / "tokenizer.json"
    factory: Callable[[], Tokenizer] | None = None
    if tokens.is_file():
        factory = partial(file_tokenizer, tokens)
    elif architecture.vocab_size == BYTE_VALUES:
        factory = byte_tokenizer
    return Model(
        name=name,
        architecture=architecture,
        tensors=_checked(
            open_tensors(folder), architecture, f"model folder {folder}", "config.json"
        ),
        heldout=heldout.read_bytes() if heldout.is_file() else None,
        tokenizer_factory=factory,
    )


def _gguf_model(source: GGUFFile, name: str) -> Model:
    architecture = read_architecture(llama_config(source), str(source.path))
    assert isinstance(architecture, Architecture)
    tensors = llama_tensors(
        source, architecture.num_attention_heads, architecture.num_key_value_heads
    )
    return Model(
        name=name,
        architecture=architecture,
        tensors=_checked(tensors, architecture, str(source.path), "its metadata"),
        tokenizer_factory=partial(gguf_tokenizer, source.metadata),
    )


def _llama2c_model(source: Llama2cFile, name: str) -> Model:
    architecture = read_architecture(source.config, str(source.path))
    size = architecture.vocab_size
    beside = [source.path.parent / f"tok{size}.bin", source.path.parent / "tokenizer.bin"]
    found = next((path for path in beside if path.is_file()), None)
    return Model(
        name=name,
        architecture=architecture,
        tensors=_checked(source, architecture, str(source.path), "its header"),
        tokenizer_factory=partial(llama2c_tokenizer, found, size) if found else None,
    )


def _checked(
    source: TensorSource, architecture: AnyArchitecture, where: str, origin: str
) -> TensorSource:
    """Exactly the expected tensors, in the order of :func:`expected_shapes`.

    ``where`` and ``origin`` say in messages where the tensors and the architecture are.
    """
    shapes = expected_shapes(architecture)
    for name, shape in shapes.items():
        if name not in source:
            raise InputError(f"{where}: tensor '{name}' is missing")
        if source.infos[name].shape != shape:
            raise InputError(
                f"{where}: tensor '{name}' has shape {source.infos[name].shape}, "
                f"{origin} asks for {shape}"
            )
        source.check_type(name)
    extra = {name for name in source if not name.endswith(IGNORED_SUFFIXES)} - set(shapes)
    if isinstance(architecture, EncoderArchitecture):
        extra = {name for name in extra if not name.startswith(POOLER)}
    elif HEAD in extra:
        # tied: a copy of the embedding is superfluous, anything else contradicts config.json
        if not np.array_equal(source[HEAD], source[EMBEDDING]):
            raise InputError(
                f"{where}: tie_word_embeddings is true, but '{HEAD}' differs from '{EMBEDDING}'"
            )
        extra.remove(HEAD)
    if extra:
        raise InputError(
            f"{where}: tensor '{min(extra)}' does not belong to a {architecture.model_type} model"
        )
    return RenamedTensors(source, {name: name for name in shapes})
