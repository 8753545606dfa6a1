"""What etcd 3.5 wrote when it could not go on, and what is told of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from hfi_core.store.etcd_log import LITTLE_BYTES, death

PLENTY = 1 << 40
#: On a disk of 50 MB.
FULL = """\
{"level":"warn","ts":"2026-11-30T01:03:22.765Z","caller":"wal/wal.go:148","msg":"failed to preallocate an initial WAL \
file","path":"/d/etcd/member/wal.tmp/0-0.wal","segment-bytes":64000000,"error":"no space left on device"}
{"level":"panic","ts":"2026-11-30T01:03:22.765Z","caller":"etcdserver/raft.go:433","msg":"failed to create WAL",\
"error":"no space left on device","stacktrace":"go.etcd.io/etcd/server/v3/etcdserver.startNode"}
panic: failed to create WAL

goroutine 1 [running]:
go.uber.org/zap/zapcore.(*CheckedEntry).Write(0xc000214840, 0xc000029d00, 0x1, 0x1)
\t/go/pkg/mod/go.uber.org/zap@v1.17.0/zapcore/entry.go:234 +0x58d
main.main()
\t/etcd/server/main.go:32 +0x45
"""
READ_ONLY = """\
{"level":"warn","ts":1796000626.1,"caller":"fileutil/fileutil.go:57","msg":"check file permission","error":"is wide"}
{"level":"warn","ts":"2026-11-30T01:03:46.1Z","msg":"failed to start etcd","error":"cannot access data directory"}
{"level":"fatal","ts":"2026-11-30T01:03:46.1Z","caller":"etcdmain/etcd.go:203","msg":"discovery failed","error":\
"cannot access data directory: open /d/etcd/.touch: read-only file system","stacktrace":"go.etcd.io/etcd"}
"""
TAKEN = """\
{"level":"fatal","msg":"discovery failed","error":"listen tcp 127.0.0.1:1: bind: address already in use"}
"""
HALF = """\
{"level":"warn","msg":"simple token is not cryptographically signed"}
{"level":"fatal","ts":"2026-11-30T01:05:19.440Z","caller":"backend/batch_tx.go:256","msg":"failed to comm
"""
NOTHING = "it has said nothing"


@pytest.mark.parametrize(
    ("text", "free", "forbidden", "words"),
    [
        (
            *(FULL, 50_000_000, False),
            "the disk of /d is full, and etcd needs some 130 MB there: failed to create WAL: no space left on device",
        ),
        (
            *(READ_ONLY, PLENTY, True),
            "etcd may not write to /d: discovery failed: cannot access data directory: open /d/etcd/.touch: "
            "read-only file system",
        ),
        (TAKEN, PLENTY, False, "discovery failed: listen tcp 127.0.0.1:1: bind: address already in use"),
        (
            *(HALF, LITTLE_BYTES - 1, False),
            "the disk of /d is full, and etcd needs some 130 MB there: simple token is not cryptographically signed",
        ),
        ("", 0, False, f"the disk of /d is full, and etcd needs some 130 MB there: {NOTHING}"),
        ("", None, False, NOTHING),
        ("", PLENTY, False, NOTHING),
        ("{}\n[]\nline\n\n two \n3\n4\n", PLENTY, False, "two; 3; 4"),
        (3 * TAKEN, PLENTY, False, "discovery failed: listen tcp 127.0.0.1:1: bind: address already in use"),
    ],
    ids=["full", "read only", "taken", "cut short", "full and silent", "unknown", "silent", "plain", "repeated"],
)
def test_why_it_has_ended(text: str, free: int | None, forbidden: bool, words: str) -> None:
    found = death(text, Path("/d"), free)
    assert (found.words, found.forbidden) == (words, forbidden)
