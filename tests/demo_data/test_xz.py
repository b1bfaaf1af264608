import io
import lzma

import numpy as np
import pytest

from demo_data.xz import StoredXz


@pytest.mark.parametrize("size", [0, 1, 3, 65535, 65536, 65537, 300_001])
def test_liblzma_reads_what_was_written_in_pieces(size):
    data = np.random.default_rng(size).bytes(size)
    file = io.BytesIO()
    xz = StoredXz(file)
    xz.write(data[: size // 3])
    xz.write(data[size // 3 :])
    xz.close()
    assert lzma.decompress(file.getvalue(), format=lzma.FORMAT_XZ) == data


def test_a_changed_byte_is_found_by_the_checksum():
    file = io.BytesIO()
    xz = StoredXz(file)
    xz.write(bytes(1000))
    xz.close()
    broken = bytearray(file.getvalue())
    broken[500] ^= 1
    with pytest.raises(lzma.LZMAError):
        lzma.decompress(bytes(broken))
