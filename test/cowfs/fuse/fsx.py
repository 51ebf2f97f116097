"""Random operations on one file, beside what it must hold: after fsx of the Apple and Linux test suites.

    python3 fsx.py FILE SEED OPERATIONS

Reads, writes, appends and truncates by system calls, and reads and writes through mappings of the file; closes and opens it;
asks for fsync and msync. After each operation the bytes that it touched are compared, and now and then all. What differs is
told with the operations that led there, and the exit code is 1.
"""
import mmap
import os
import random
import sys

path, seed, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
most = 256 * 1024
chance = random.Random(seed)
history = []
file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
expected = bytearray(os.pread(file, most, 0))


def fail(what):
    print(f"seed {seed}: {what}, after:", *history[-20:], sep="\n")
    sys.exit(1)


def compare(offset, found, how):
    wanted = bytes(expected[offset : offset + len(found)])
    if found == wanted and len(found) == len(wanted):
        return
    at = next((i for i, (a, b) in enumerate(zip(found, wanted)) if a != b), min(len(found), len(wanted)))
    fail(f"byte {offset + at} of {len(expected)} differs, read by {how}")


def span(limit):
    """Mostly small, sometimes at a page's edge."""
    offset = chance.randrange(limit) if limit else 0
    if chance.randrange(4) == 0:
        offset -= offset % 4096
    return offset, 1 + chance.randrange(chance.choice([10, 5000, 70000]))


def put(offset, data):
    if offset > len(expected):
        expected.extend(bytes(offset - len(expected)))
    expected[offset : offset + len(data)] = data


def resize(size):
    del expected[size:]
    expected.extend(bytes(size - len(expected)))


def write():
    offset, length = span(most - 70000)
    data = chance.randbytes(length)
    os.pwrite(file, data, offset)
    put(offset, data)
    return f"write {offset} {length}"


def append():
    if len(expected) > most - 5000:
        return truncate()
    data = chance.randbytes(1 + chance.randrange(5000))
    end = os.open(path, os.O_WRONLY | os.O_APPEND)
    os.write(end, data)
    os.close(end)
    put(len(expected), data)
    return f"append {len(data)}"


def read():
    offset, length = span(len(expected) + 100)
    found = os.pread(file, length, offset)
    compare(offset, found, "read")
    if len(found) != max(0, min(length, len(expected) - offset)):
        fail(f"{len(found)} bytes of {length} at {offset}")
    return f"read {offset} {length}"


def truncate():
    size = chance.choice([0, len(expected) // 2, chance.randrange(most), chance.randrange(most)])
    os.ftruncate(file, size)
    resize(size)
    return f"truncate {size}"


def mapped(change):
    if not expected:
        return truncate()
    offset, length = span(len(expected))
    length = min(length, len(expected) - offset)
    with mmap.mmap(file, len(expected)) as mapping:
        if change:
            data = chance.randbytes(length)
            mapping[offset : offset + length] = data
            put(offset, data)
            if chance.randrange(2) == 0:
                mapping.flush()
        compare(offset, mapping[offset : offset + length], "a mapping")
    return f"{'mapwrite' if change else 'mapread'} {offset} {length}"


def reopen():
    global file
    os.close(file)
    file = os.open(path, os.O_RDWR)
    return "close and open"


def sync():
    os.fsync(file)
    return "fsync"


def check():
    if os.fstat(file).st_size != len(expected):
        fail(f"the size is {os.fstat(file).st_size} and not {len(expected)}")
    compare(0, os.pread(file, most + 1, 0), "read")
    return "check"


operations = [write, write, append, read, read, truncate, lambda: mapped(True), lambda: mapped(True), lambda: mapped(False)]
rare = [reopen, sync, check]
for _ in range(count):
    history.append("begins the next")
    history[-1] = chance.choice(rare if chance.randrange(6) == 0 else operations)()
check()
