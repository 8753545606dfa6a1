#!/bin/sh
# Tests every crate, and measures the engine's line coverage meanwhile; fails below 95 %. Needs a native Rust compiler,
# and LLVM's llvm-profdata and llvm-cov at least as new as the compiler's LLVM: rustup's llvm-tools, or a
# distribution's (apt-get install llvm). LLVM_PROFDATA and LLVM_COV name them where they are called otherwise, such as
# llvm-cov-22.
set -eu
cd "$(dirname "$0")"
profdata=${LLVM_PROFDATA:-llvm-profdata}
cov=${LLVM_COV:-llvm-cov}
out=target/coverage
rm -rf "$out/profiles"
mkdir -p "$out/profiles"
export RUSTFLAGS="-Cinstrument-coverage" CARGO_TARGET_DIR="$out" LLVM_PROFILE_FILE="$PWD/$out/profiles/%p-%m.profraw"
cargo test --locked --workspace
binaries=$(cargo test --locked --workspace --no-run --message-format=json 2>/dev/null |
    sed -n 's/.*"executable":"\([^"]*\)".*/\1/p')
"$profdata" merge -sparse "$out"/profiles/*.profraw -o "$out/merged.profdata"
objects=
for binary in $binaries; do objects="$objects --object $binary"; done
# shellcheck disable=SC2086  # several words are meant
"$cov" report $objects --instr-profile "$out/merged.profdata" --sources engine/src | tee "$out/report.txt"
# Columns of TOTAL: regions, missed, %, functions, missed, %, lines, missed, %
awk '/^TOTAL/ { sub("%", "", $10); found = 1; if ($10 < 95) { print "coverage of lines is " $10 " %, below 95 %"; exit 1 } }
     END { if (!found) { print "no coverage was reported"; exit 1 } }' "$out/report.txt"
