"""Synthesise speech with espeak-ng; no other module loads it (GPL-3, extra `demo`).

A process has one engine, which keeps state between utterances: the same calls in the same order in a fresh process
give the same samples. Sentences, noise and files are left to `corpus`.
"""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soxr

from diffclient.measure.log_mel import SAMPLE_RATE, Samples
from diffserver.tasks.errors import CorpusError

# espeak-ng's own numbers (speak_lib.h): output to a callback, and the two parameters that speakers differ in.
_SYNCHRONOUS, _UTF8, _RATE, _PITCH = 2, 1, 1, 3

ACCENTS = ("gmw/en-US", "gmw/en", "gmw/en-GB-x-rp")
TEST_VARIANTS = ("f5", "m7", "m2", "robert", "linda", "Mike", "steph", "paul", "steph3", "sandro")
TRAIN_VARIANTS = tuple(
    name
    for line in (
        "f1 f2 f3 f4 m1 m3 m4 m5 m6 Alex Alicia Annie Andy Denis Diogo Gene Gene2 Henrique Jacky Lee Marco",
        "Mario Michael Nguyen Reed RicishayMax RicishayMax2 adam anika announcer antonio aunty belinda benjamin",
        "david edward edward2 grandma grandpa gustave iven john marcelo max michel miguel mike2 norbert pablo",
        "pedro quincy rob shelby steph2 travis victor zac",
    )
    for name in line.split()
)


@dataclass(frozen=True)
class Voice:
    """A voice: espeak-ng's accent and variant, words a minute, and pitch from 0 to 100."""

    accent: str
    variant: str
    rate: int
    pitch: int


class Synthesiser:
    """The loaded engine, made by `synthesiser()`."""

    def __init__(self, library: ctypes.CDLL, rate: int) -> None:
        self._library, self._rate = library, rate
        self._chunks: list[bytes] = []
        kind = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)
        # The engine keeps the bare pointer: the callback must live as long as it does.
        self._callback = kind(self._collect)
        library.espeak_SetSynthCallback(self._callback)

    def _collect(self, samples: int | None, count: int, _events: int | None) -> int:
        if samples and count > 0:
            self._chunks.append(ctypes.string_at(samples, 2 * count))
        return 0

    def speak(self, text: str, voice: Voice) -> Samples:
        """Return `text` as float32 samples in [-1, 1] at 16 kHz, mono.

        Raises CorpusError if espeak-ng has no such voice or makes no sound.
        """
        name = f"{voice.accent}+{voice.variant}"
        if self._library.espeak_SetVoiceByName(name.encode()):
            raise CorpusError(f"espeak-ng has no voice {name!r}")
        self._library.espeak_SetParameter(_RATE, voice.rate, 0)
        self._library.espeak_SetParameter(_PITCH, voice.pitch, 0)
        self._chunks.clear()
        data = text.encode() + b"\0"
        self._library.espeak_Synth(data, ctypes.c_size_t(len(data)), 0, 0, 0, _UTF8, None, None)
        if not self._chunks:
            raise CorpusError(f"espeak-ng said nothing for {text!r} with voice {name!r}")
        spoken = np.frombuffer(b"".join(self._chunks), np.int16).astype(np.float32) / 32768
        return np.asarray(soxr.resample(spoken, self._rate, SAMPLE_RATE), np.float32)


@contextmanager
def synthesiser() -> Iterator[Synthesiser]:
    """Load espeak-ng during the block.

    Raises CorpusError if `espeakng-loader` is not installed or the engine does not start.
    """
    try:
        import espeakng_loader
    except ImportError as error:
        raise CorpusError("the reference corpus needs espeak-ng: pip install 'diffserver[demo]'") from error
    library = ctypes.CDLL(espeakng_loader.get_library_path())
    folder = Path(espeakng_loader.get_data_path()).parent
    rate = library.espeak_Initialize(_SYNCHRONOUS, 0, str(folder).encode(), 0)
    if rate <= 0:
        raise CorpusError(f"espeak-ng does not start with the data in {folder}")
    library.espeak_ng_SetRandSeed(ctypes.c_long(1))  # else breathy voices are seeded with the time
    try:
        yield Synthesiser(library, rate)
    finally:
        library.espeak_Terminate()
