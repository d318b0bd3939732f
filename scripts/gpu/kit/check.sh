#!/usr/bin/env bash
# Examines a card: bash check.sh [cuda|cpu] [--full], in the folder that `npm run gpu:pack` made. Needs Python with torch
# (its libtorch is used), cmake and g++, and no network. Everything goes to ./report; BUDGET (seconds, 360) ends it in time.
# PATIENCE=4 gives each part four times as long, for a slow machine (BUDGET stays).
# `cpu` tries the kit where there is no card: small shapes, figures that mean nothing.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
kind=cuda full=
for word in "$@"; do
  case $word in
    cuda | cpu) kind=$word ;;
    --full) full=--full ;;
    *) echo "check.sh: $word is not an option; there are cuda, cpu and --full" >&2; exit 2 ;;
  esac
done
out=${OUT:-$PWD/report}
work=$out/work
budget=${BUDGET:-360}
mkdir -p "$work" || exit 1
: >"$out/log.txt"
: >"$out/parts.txt"
export PYTHONUNBUFFERED=1 HF_HUB_OFFLINE=1 QWEN_PT_CACHE=$work/cache PATH=$work/bin:$PATH
left() { echo $((budget - SECONDS)); }

# part NAME LIMIT COMMAND...: what it prints goes to log.txt, how it ended to parts.txt (77: this machine lacks what it needs);
# the next part comes whatever it did
part() {
  local name=$1 limit=$2 start=$SECONDS status
  shift 2
  if [ "$(left)" -lt 10 ]; then
    printf '%s\t%s\t%s\n' "not run" 0 "$name" | tee -a "$out/parts.txt"
    return 1
  fi
  limit=$((limit * ${PATIENCE:-1}))
  [ "$limit" -gt "$(left)" ] && limit=$(left)
  printf '\n== %s\n' "$name" >>"$out/log.txt"
  timeout -k 5 "$limit" "$@" >>"$out/log.txt" 2>&1
  status=$?
  case $status in 0) status=ok ;; 77) status="not here" ;; 124 | 137) status="over $limit s" ;; *) status="failed ($status)" ;; esac
  printf '%s\t%s\t%s\n' "$status" $((SECONDS - start)) "$name" | tee -a "$out/parts.txt"
  [ "$status" = ok ]
}

unpack() {
  python3 - "$here" "$work" <<'P' || return 1
import lzma, os, shutil, sys, tarfile
here, work = sys.argv[1:]
os.makedirs(work + "/bin", exist_ok=True)
with lzma.open(here + "/node.xz") as packed, open(work + "/bin/node", "wb") as node:
    shutil.copyfileobj(packed, node)
os.chmod(work + "/bin/node", 0o755)
for name in ("package", "modules", "headers"):
    if name == "headers" and not os.path.exists(f"{here}/{name}.tar.xz"):
        continue  # gpu:pack had no network: graphs and NCCL are built where that Python has them
    with tarfile.open(f"{here}/{name}.tar.xz") as archive:
        archive.extractall(work)
P
}

facts() {
  nvidia-smi 2>&1 | head -20
  uname -r; node --version; g++ --version | head -1; cmake --version | head -1
  python3 -c 'import torch; print("torch", torch.__version__, "CUDA", torch.version.cuda)'
  # by name: importing them takes a minute where the disk is slow
  python3 -c 'from importlib.metadata import version as v; print("transformers", v("transformers"), "peft", v("peft"))' || true
}

export here work
export -f unpack facts
part "unpack" 60 bash -c 'unpack' || { tail -5 "$out/log.txt"; exit 1; }
part "what is here" 60 bash -c 'facts'
LIBTORCH=${LIBTORCH:-$(python3 -c 'import importlib.util as u; print(u.find_spec("torch").submodule_search_locations[0])')} || {
  echo "check.sh: python3 has no torch; install it, or set LIBTORCH to a libtorch" >&2
  exit 1
}
export LIBTORCH
cd "$work" || exit 1
part "build the addon" 240 node scripts/build.mjs --addon || { tail -20 "$out/log.txt"; exit 1; }
part "build the library of graphs" 60 node scripts/cuda-graph.mjs --headers "$work/headers"
part "build the library of NCCL" 120 node scripts/nccl.mjs --headers "$work/headers"
device=cuda:0 quick=
[ "$kind" = cpu ] && device=cpu quick=--quick
part "doctor" 30 node dist/cli/main.js doctor
part "operators, a model and a recipe beside the processor" 120 \
  node dist/cli/main.js doctor --gpu --device $device $quick --output "$out"
part "a random model" 60 node "$here/model.mjs" "$work/model" $kind
part "cells" 200 node "$here/cells.mjs" "$work/model" "$out/cells.json" $kind $full
part "processes and NCCL" 150 node "$here/ranks.mjs" "$work/model" "$out/ranks.json" $kind
python=$(command -v python3)
part "the loop of transformers and PEFT" 90 "$python" "$here/loop.py" "$work/model" "$out/loop.json" $kind
node "$here/report.mjs" "$out" | tee -a "$out/log.txt"
grep -qvE $'^(ok|not here)\t' "$out/parts.txt" && exit 1
exit 0
