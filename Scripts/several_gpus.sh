#!/usr/bin/env bash
# Trains one model on one GPU, on several, and on several of which one is killed, resumed on one; prints speeds and losses.
#
#     Scripts/several_gpus.sh LIGER FOLDER [GPUS]
#
# MODEL, BATCH (of all GPUs together), SEQ, STEPS, DTYPE, DEVICE, DATA and MORE (further options) change what is trained.
# FOLDER must be new. The speed of one GPU is taken at a GPU's share of the batch, so that each does the same work; all of the
# batch on one GPU is trained with ONE, by default --recompute blocks, which changes memory and time but no bit.
set -euo pipefail

liger=$1 folder=$2 gpus=${3:-2}
batch=${BATCH:-$((4 * gpus))} steps=${STEPS:-50}
mkdir "$folder"

train() { # name, batch, further options
    local name=$1 rows=$2
    shift 2
    # shellcheck disable=SC2086
    "$liger" train --model "${MODEL:-llama-3.2-1b}" --device "${DEVICE:-cuda}" --dtype "${DTYPE:-bf16}" --lr 1e-4 \
        --batch "$rows" --seq "${SEQ:-4096}" --steps "$steps" --eval-fraction 0 --save-every 20 --keep 1 \
        --out "$folder/$name" ${DATA:+--data "$DATA"} ${MORE:-} "$@" >"$folder/$name$(date +%s).log" 2>&1
}

echo "one GPU, its share of the batch"
train share $((batch / gpus))
echo "one GPU, all of the batch"
train one "$batch" ${ONE:---recompute blocks}
echo "$gpus GPUs, twice"
train several "$batch" --gpus "$gpus"
train again "$batch" --gpus "$gpus"
cmp "$folder/several/final/model.safetensors" "$folder/again/final/model.safetensors" && echo "the same bits"

echo "$gpus GPUs, rank 1 killed after a checkpoint, resumed on one"
train killed "$batch" --gpus "$gpus" &
run=$!
until [[ -e $folder/killed/checkpoints/step-00000020/manifest.json ]]; do sleep 0.2; done
for process in /proc/[0-9]*; do
    if tr '\0' '\n' 2>/dev/null <"$process/environ" | grep -qx "RANK=1" &&
        tr '\0' '\n' <"$process/cmdline" | grep -qx "$folder/killed"; then
        kill -KILL "${process#/proc/}"
    fi
done
began=$(date +%s)
wait "$run" && echo "it went on"
echo "all had ended $(($(date +%s) - began)) s after the kill:"
grep -h "Rank" "$folder"/killed*.log | head -3
train killed "$batch" --resume ${ONE:---recompute blocks}

grep -h "^speed\|^memory  [0-9.]* .*at most,\|^memory  about" "$folder"/{share,several}[0-9]*.log || true
python3 - "$folder" <<'PYTHON'
import json, sys
runs = {name: {} for name in ("one", "several", "again", "killed")}
for name, losses in runs.items():
    for line in open(f"{sys.argv[1]}/{name}/metrics.jsonl"):
        entry = json.loads(line)
        if "loss" in entry: losses[entry["step"]] = entry["loss"]
print("step  " + "  ".join(f"{name:>20}" for name in runs))
for step in runs["one"]:
    print(f"{step:4}  " + "  ".join(f"{losses[step]:20.15f}" for losses in runs.values()))
one = runs["one"]
for name, losses in runs.items():
    worst = max(abs(losses[step] - one[step]) / abs(one[step]) for step in one)
    print(f"{name}: at most {worst:.2e} from one GPU, relative")
PYTHON
