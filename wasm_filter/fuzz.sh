#!/bin/sh
# Fuzzes every target for so many seconds each, or the one that is named: ./fuzz.sh SECONDS [TARGET]
#
# Fails when something is found. The input is then in fuzz/artifacts, and the last line says how to run it again.
# Any Rust compiler will do, and a C++ compiler for libFuzzer. The flags are those of cargo-fuzz without a sanitizer,
# of which safe Rust gains little: overflows and bounds are checked, and whatever panics is found.
set -eu
cd "$(dirname "$0")/fuzz"
seconds=${1:?how many seconds for each target?}
targets=${2:-snapshot image sse}
host=$(rustc -vV | sed -n 's/^host: //p')
coverage="-sanitizer-coverage-level=4 -sanitizer-coverage-inline-8bit-counters -sanitizer-coverage-pc-table \
-sanitizer-coverage-trace-compares"
RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module -Ccodegen-units=1"
for flag in $coverage; do
    RUSTFLAGS="$RUSTFLAGS -Cllvm-args=$flag"
done
export RUSTFLAGS
# With --target, so that build scripts and macros are built without the flags.
cargo build --quiet --release --locked --target "$host" ${CARGO_FLAGS:-}
built=${CARGO_TARGET_DIR:-target}/$host/release
for target in $targets; do
    mkdir -p "corpus/$target" "artifacts/$target"
    dictionary=
    if [ "$target" = snapshot ]; then dictionary=-dict=json.dict; fi
    echo "== $target, ${seconds} s"
    log=artifacts/$target/log
    if ! "$built/$target" "corpus/$target" "seeds/$target" $dictionary -max_total_time="$seconds" -timeout=10 \
        -rss_limit_mb=1024 -max_len=4096 -artifact_prefix="artifacts/$target/" -print_final_stats=1 >"$log" 2>&1; then
        tail -n 40 "$log"
        echo "found something: $built/$target artifacts/$target/… runs it again (in wasm_filter/fuzz)"
        exit 1
    fi
    grep -E '^(Done|stat::peak)' "$log"
done
