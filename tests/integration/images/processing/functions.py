"""Functions that a test has workers call instead of the transform: what an object says happens.

Imported by workers under their path; nothing else leads to them.
"""

from __future__ import annotations

import ctypes
import os
import signal
import struct
import sys
import time
from pathlib import Path

from assets.images.processing.operation import Limits, Operation
from assets.images.processing.transform import Made, hash_of, transform


def obey(data: bytes, product_id: int, operation: Operation, limits: Limits) -> Made:
    """Do what the object's text says; an image is transformed."""
    word, _, rest = data.partition(b" ")
    match word:
        case b"segfault":
            ctypes.string_at(0)
        case b"exit":
            os._exit(7)
        case b"killed":
            os.kill(os.getpid(), signal.SIGKILL)
        case b"once":
            # Ends its worker the first time only.
            path = Path(rest.decode())
            if not path.exists():
                path.touch()
                os._exit(9)
        case b"hang":
            time.sleep(3600)
        case b"hang-holding-python":
            ctypes.PyDLL(None).sleep(3600)
        case b"nonsense":
            # As one whose memory was overwritten might, on the channel, its first argument.
            os.write(int(sys.argv[1]), struct.pack("!i", 9) + b"\xc1nonsense")
            time.sleep(3600)
        case b"memory":
            taken = []
            while True:
                taken.append(bytes(64 << 20))
        case b"defect":
            raise KeyError("no such\x00thing")
        case b"slow":
            time.sleep(float(rest))
        case _:
            if data[:1] != b"=":
                return transform(data, product_id, operation, limits)
    made = b"made of " + data
    return Made(made, 1, 1, hash_of(data), hash_of(made))
